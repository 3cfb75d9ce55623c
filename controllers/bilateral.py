"""Left and right column over one arm: the bilateral network of Rinaldo et al. 2024 (arXiv 2401.14057; spec 4)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..errors import LanceletError
from .boxes import box
from .core import Controller, Options, State, sigmoid
from .recurrent import gated


@dataclass(frozen=True, kw_only=True)
class BilateralOptions(Options):
    """Options of the columns; one column of 10 or 8 units is the unilateral baseline."""

    units: int = 10
    """of each hidden layer, all columns together"""
    layers: int = 2
    """hidden layers of a column"""
    columns: Literal[1, 2] = 2
    """hemispheres"""
    callosum: bool = False
    """each column hears the other before every hidden layer but the first"""
    cell: Literal["dense", "gru"] = "dense"
    """of the hidden layers: tanh without memory, or gated recurrent units"""
    join: Literal["sum", "action"] = "sum"
    """two columns meet before one motor layer, or each has a motor layer of its own and actions are averaged
    (the ensemble baseline)"""
    seed: int = 0
    """of the random initial weights"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("units", "layers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise LanceletError(
                    f"bilateral {name} = {value!r}: must be a whole number, 1 or more"
                )
        if self.units % self.columns:
            raise LanceletError(
                f"bilateral units = {self.units}: must divide by the {self.columns} columns"
            )
        if self.callosum and self.columns == 1:
            raise LanceletError("bilateral callosum = True: needs columns = 2")


class Bilateral(Controller):
    """Equal columns that see the same observation; z = w1 left + w2 right, then one sigmoid layer to the action.

    Hidden layers are tanh, weights Glorot uniform, biases 0, w1 = w2 = 0.5 and kept >= 0 by `project`. The callosum
    has no weights: each column's vector gets the other's pairwise maxima added to its last units. One seed gives the
    columns the same first weights with and without callosum. The sigmoid is stretched over the action space.

    State and signals: activity of the hidden layers (batch, layers, units of a column), ``left`` and ``right``
    (``column`` where there is one). Parts to lesion: ``high:SIDE``, a column that sees nothing while its biases still
    act; ``low:SIDE``, a column that sends nothing; ``callosum`` where there is one.
    """

    Options: ClassVar[type[Options]] = BilateralOptions
    stacks: ClassVar[bool] = True
    """whether `forward` takes stacked weights as they are, without the price of vmap"""

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: BilateralOptions
    ) -> None:
        inputs = box(observation_space, "Bilateral", "the observation space")
        outputs = box(action_space, "Bilateral", "the action space")
        assert isinstance(action_space, spaces.Box)
        if not action_space.is_bounded():
            raise LanceletError(
                f"Bilateral cannot act in {action_space}: needs bounds on every action"
            )
        self.sides = ("left", "right") if options.columns == 2 else ("column",)
        super().__init__(observation_space, action_space, options)
        self._units = options.units // options.columns
        gates = 3 if options.cell == "gru" else 1
        sizes = [inputs, *[self._units] * options.layers]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            columns = {
                side: [_glorot(a, gates * b) for a, b in pairwise(sizes)] for side in self.sides
            }
            heads = self.sides if options.join == "action" else ("",)
            outs = {head: _glorot(self._units, outputs) for head in heads}
            loops = {
                side: [_glorot(self._units, 3 * self._units) for _ in range(options.layers)]
                for side in self.sides
            }
        for side, layers in columns.items():
            parts: dict[str, nn.Module] = {"layers": nn.ModuleList(layers)}
            if options.cell == "gru":
                parts["loops"] = nn.ModuleList(loops[side])
            if options.join == "action":
                parts["output"] = outs[side]
            setattr(self, side, nn.ModuleDict(parts))
        if options.join == "sum":
            self.output = outs[""]
            if options.columns == 2:
                self.w1, self.w2 = (
                    nn.Parameter(torch.full((1,), 0.5)),
                    nn.Parameter(torch.full((1,), 0.5)),
                )
        self._unit = bool((action_space.low == 0).all() and (action_space.high == 1).all())
        self.low: Tensor
        self.span: Tensor
        self.register_buffer(
            "low", torch.from_numpy(np.array(action_space.low, np.float32)), persistent=False
        )
        self.register_buffer(
            "span",
            torch.from_numpy(np.array(action_space.high - action_space.low, np.float32)),
            persistent=False,
        )

    def parts(self) -> list[str]:
        """See the class."""
        found = [f"{depth}:{side}" for depth in ("high", "low") for side in self.sides]
        return found + ["callosum"] * self.options.callosum

    def initial_state(self, batch: int) -> State:
        """No activity."""
        return {
            side: self.low.new_zeros(batch, self.options.layers, self._units) for side in self.sides
        }

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m) within the action space, and the activity.

        With weights stacked (models, ...) by `torch.func.functional_call` everything has models in front.
        """
        lesions, seen = (
            self.options.lesions,
            observation.mT.contiguous(),
        )  # units first: four times as fast in a stack
        x = {side: seen * 0.0 if f"high:{side}" in lesions else seen for side in self.sides}
        activity: dict[str, list[Tensor]] = {side: [] for side in self.sides}
        for k in range(self.options.layers):
            if k and self.options.callosum and "callosum" not in lesions:
                x = {
                    "left": crossed(x["left"], x["right"]),
                    "right": crossed(x["right"], x["left"]),
                }
            x = {side: self._layer(side, k, x[side], state) for side in self.sides}
            for side, values in x.items():
                activity[side].append(values)
        x = {
            side: values * 0.0 if f"low:{side}" in lesions else values for side, values in x.items()
        }
        after = {side: torch.stack(layers, -3).movedim(-1, -3) for side, layers in activity.items()}
        action = self._joined(x).mT
        return action if self._unit else self.low + self.span * action, after

    def _layer(self, side: str, k: int, x: Tensor, state: State) -> Tensor:
        column: Any = getattr(self, side)
        given = _linear(column["layers"][k], x)
        if self.options.cell == "dense":
            return torch.tanh(given)
        before = state[side][..., k, :]
        return gated(given.mT, _linear(column["loops"][k], before.mT).mT, before).mT

    def _joined(self, x: dict[str, Tensor]) -> Tensor:
        """The motor layer's output (m, batch) in (0, 1)."""
        if self.options.join == "action":
            columns: Any = [getattr(self, side) for side in self.sides]
            outs = [
                sigmoid(_linear(col["output"], x[side]))
                for side, col in zip(self.sides, columns, strict=True)
            ]
            return sum(outs[1:], outs[0]) / len(outs)
        if self.options.columns == 1:
            return sigmoid(_linear(self.output, x["column"]))
        return sigmoid(
            _linear(self.output, self.w1[..., None] * x["left"] + self.w2[..., None] * x["right"])
        )

    def signals(self, state: State) -> dict[str, Tensor]:
        """Activity of the columns."""
        return dict(state)

    @property
    def memoryless(self) -> bool:
        """Dense columns keep their activity for `signals` alone."""
        return self.options.cell == "dense"

    def side_of(self, name: str) -> str | None:
        """Column that the weight called `name` belongs to; None: to the combiner or the motor layer."""
        side = name.partition(".")[0]
        return side if side in self.sides else None

    def floors(self) -> dict[str, float]:
        """Weight -> least value that training may give it."""
        return dict.fromkeys(("w1", "w2"), 0.0) if hasattr(self, "w1") else {}


def crossed(own: Tensor, other: Tensor) -> Tensor:
    """`own` (n, batch) and what the callosum brings it: maxima of `other`'s pairs, an odd last unit dropped.

    They are added to the last units; the first n - n // 2 hear nothing.
    """
    n = own.shape[-2]
    heard, pairs = n - n // 2, torch.maximum(other[..., 0 : n - 1 : 2, :], other[..., 1::2, :])
    return torch.cat([own[..., :heard, :], own[..., heard:, :] + pairs], -2)


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """What a layer makes of inputs (k, batch): (units, batch)."""
    return layer.weight @ x + layer.bias[..., None]


def _glorot(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def joined(left: Bilateral, right: Bilateral, **options: Any) -> Bilateral:
    """Two columns trained apart as one controller; its other weights are those it was born with.

    Args:
        left: a controller of one column.
        right: another of equal size.
        **options: of the result, such as ``join="action"`` (an ensemble: the motor layers come along) or ``seed``.
    """
    one = left.options
    both = BilateralOptions(
        **{"units": 2 * one.units, "layers": one.layers, "cell": one.cell, **options}
    )
    whole = Bilateral(left.observation_space, left.action_space, both)
    weights = whole.state_dict()
    for side, half in (("left", left), ("right", right)):
        for name, value in half.state_dict().items():
            target = f"{side}.{name.removeprefix('column.')}"
            if target in weights:
                weights[target] = value
    whole.load_state_dict(weights)
    return whole


def apart(whole: Bilateral) -> tuple[Bilateral, Bilateral]:
    """The columns of `whole`, each a controller of its own with a motor layer like the one that they shared."""
    options, weights, halves = whole.options, whole.state_dict(), []
    for side in whole.sides:
        one = BilateralOptions(
            units=options.units // 2, layers=options.layers, columns=1, cell=options.cell
        )
        half = Bilateral(whole.observation_space, whole.action_space, one)
        own = {name: name.replace("column.", f"{side}.") for name in half.state_dict()}
        half.load_state_dict({name: weights[source] for name, source in own.items()})
        halves.append(half)
    left, right = halves
    return left, right
