"""Left and right column over one arm: the bilateral network of Rinaldo et al. 2024 (arXiv 2401.14057).

The networks that were compared stand in docs/systems/arm.md, "The networks".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from ..checks import whole_number
from ..errors import LanceletError
from .boxes import box
from .core import Controller, Options, State, sigmoid
from .recurrent import gated

FIRST_SHARE = 0.5
"""weight of each column in their sum, before any training"""
GRU_GATES = 3
"""blocks of rows in the layers of gated recurrent units: reset, update, candidate"""


@runtime_checkable
class TwoColumns(Protocol):
    """A controller whose weights belong to columns, so that each column can learn from a loss of its own."""

    sides: tuple[str, ...]
    """names of the columns; ``("left", "right")`` where there are two"""

    def side_of(self, name: str) -> str | None:
        """Column that the weight called `name` belongs to; None: the columns share it."""
        ...

    def floors(self) -> dict[str, float]:
        """Least value that training may give a weight, by the weight's name."""
        ...


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
        whole_number("bilateral units", self.units, least=1)
        whole_number("bilateral layers", self.layers, least=1)
        if self.units % self.columns:
            raise LanceletError(
                f"bilateral units = {self.units}: must divide by the {self.columns} columns"
            )
        if self.callosum and self.columns == 1:
            raise LanceletError("bilateral callosum = True: needs columns = 2")


class Bilateral(Controller):
    """Equal columns that see the same observation; z = w1 left + w2 right, then one sigmoid layer to the action.

    Hidden layers are tanh, weights Glorot uniform, biases 0, w1 = w2 = 0.5 and kept >= 0 by `floors`. The callosum
    has no weights: each column's vector gets the other's pairwise maxima added to its last units. One seed gives the
    columns the same first weights with and without callosum. The sigmoid is stretched over the action space.

    State and signals: activity of the hidden layers (batch, layers, units of a column), ``left`` and ``right``
    (``column`` where there is one). Parts to lesion: ``high:SIDE``, a column that sees nothing while its biases still
    act; ``low:SIDE``, a column that sends nothing; ``callosum`` where there is one.

    Inside, activity has its units first, (units, batch): in a stack of models this is four times as fast.
    """

    Options: ClassVar[type[Options]] = BilateralOptions
    options: BilateralOptions
    stacks: ClassVar[bool] = True
    """whether `forward` takes stacked weights as they are, without the price of vmap"""

    low: Tensor
    """(m,) lower bound of the actions"""
    span: Tensor
    """(m,) range of the actions"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: BilateralOptions,
    ) -> None:
        input_count = box(observation_space, "Bilateral", "the observation space")
        action_count = box(action_space, "Bilateral", "the action space")
        assert isinstance(action_space, spaces.Box)
        if not action_space.is_bounded():
            raise LanceletError(
                f"Bilateral cannot act in {action_space}: needs bounds on every action"
            )
        self.sides = ("left", "right") if options.columns == 2 else ("column",)
        super().__init__(observation_space, action_space, options)
        self._column_units = options.units // options.columns
        self._add_weights(input_count, action_count)

        self._is_unit = bool((action_space.low == 0).all() and (action_space.high == 1).all())
        low = torch.from_numpy(np.array(action_space.low, np.float32))
        span = torch.from_numpy(np.array(action_space.high - action_space.low, np.float32))
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("span", span, persistent=False)

    def _add_weights(self, input_count: int, action_count: int) -> None:
        """Create columns and motor layers from the seed."""
        options = self.options
        units = self._column_units
        rows = GRU_GATES * units if options.cell == "gru" else units
        layer_inputs = [input_count] + [units] * (options.layers - 1)
        motor_sides = self.sides if options.join == "action" else ("",)

        # The order of the draws decides the weights of a seed: all layers, the motor layers, all loops. Loops are
        # drawn where nothing uses them too.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            layers = {
                side: [_glorot(inputs, rows) for inputs in layer_inputs] for side in self.sides
            }
            motors = {side: _glorot(units, action_count) for side in motor_sides}
            loops = {
                side: [_glorot(units, GRU_GATES * units) for _ in layer_inputs]
                for side in self.sides
            }

        for side in self.sides:
            column: dict[str, nn.Module] = {"layers": nn.ModuleList(layers[side])}
            if options.cell == "gru":
                column["loops"] = nn.ModuleList(loops[side])
            if options.join == "action":
                column["output"] = motors[side]
            setattr(self, side, nn.ModuleDict(column))
        if options.join == "sum":
            self.output = motors[""]
            if options.columns == 2:
                self.w1 = nn.Parameter(torch.full((1,), FIRST_SHARE))
                self.w2 = nn.Parameter(torch.full((1,), FIRST_SHARE))

    def _column(self, side: str) -> Any:
        """Layers of a column: "layers", and where present "loops" and "output"."""
        return getattr(self, side)

    def parts(self) -> list[str]:
        """Input and output of every column, and the callosum where there is one."""
        names = [f"high:{side}" for side in self.sides]
        names += [f"low:{side}" for side in self.sides]
        if self.options.callosum:
            names.append("callosum")
        return names

    def initial_state(self, batch: int) -> State:
        """No activity."""
        shape = (batch, self.options.layers, self._column_units)
        return {side: self.low.new_zeros(shape) for side in self.sides}

    def forward(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m) within the action space, and the activity.

        With weights stacked (models, ...) by `torch.func.functional_call` everything has models in front.
        """
        lesions = self.options.lesions
        units_first = observation.mT.contiguous()
        outputs = {side: units_first for side in self.sides}
        outputs = self._silenced("high", outputs)
        activity: dict[str, list[Tensor]] = {side: [] for side in self.sides}
        for depth in range(self.options.layers):
            if depth > 0 and self.options.callosum and "callosum" not in lesions:
                outputs = {
                    "left": crossed(outputs["left"], outputs["right"]),
                    "right": crossed(outputs["right"], outputs["left"]),
                }
            outputs = {side: self._layer(side, depth, outputs[side], state) for side in self.sides}
            for side in self.sides:
                activity[side].append(outputs[side])

        next_state = {}
        for side, layers in activity.items():
            # (layers, units, batch) becomes (batch, layers, units).
            next_state[side] = torch.stack(layers, -3).movedim(-1, -3)
        action = self._joined(self._silenced("low", outputs)).mT
        if self._is_unit:
            return action, next_state
        return self.low + self.span * action, next_state

    def _silenced(self, part: str, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """`values` by column, those of a column whose `part` is lesioned times 0."""
        result = {}
        for side, column_values in values.items():
            is_lesioned = f"{part}:{side}" in self.options.lesions
            result[side] = column_values * 0.0 if is_lesioned else column_values
        return result

    def _layer(self, side: str, depth: int, inputs: Tensor, state: State) -> Tensor:
        """Activity (units, batch) of a hidden layer from its inputs (k, batch)."""
        column = self._column(side)
        from_input = _linear(column["layers"][depth], inputs)
        if self.options.cell == "dense":
            return torch.tanh(from_input)
        before = state[side][..., depth, :]
        from_units = _linear(column["loops"][depth], before.mT)
        return gated(from_input.mT, from_units.mT, before).mT

    def _joined(self, outputs: dict[str, Tensor]) -> Tensor:
        """The motor layer's output (m, batch) in (0, 1), from the last layers (units, batch) of the columns."""
        if self.options.join == "action":
            actions = []
            for side in self.sides:
                motor = self._column(side)["output"]
                actions.append(sigmoid(_linear(motor, outputs[side])))
            return sum(actions[1:], actions[0]) / len(actions)
        if self.options.columns == 1:
            return sigmoid(_linear(self.output, outputs["column"]))
        left = self.w1[..., None] * outputs["left"]
        right = self.w2[..., None] * outputs["right"]
        return sigmoid(_linear(self.output, left + right))

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
        """Least value that training may give a weight, by the weight's name: columns are added, never subtracted."""
        if self.options.join == "sum" and self.options.columns == 2:
            return {"w1": 0.0, "w2": 0.0}
        return {}


def crossed(own: Tensor, other: Tensor) -> Tensor:
    """What a column hears by the callosum: its own activity, and the other's maxima of pairs on top.

    The maxima are added to the last n // 2 units; the first n - n // 2 hear nothing. An odd last unit of the other
    column is dropped.

    Args:
        own: (n, batch).
        other: (n, batch).
    """
    units = own.shape[-2]
    pairs = units // 2
    deaf = units - pairs
    first_of_pair = other[..., 0 : units - 1 : 2, :]
    second_of_pair = other[..., 1::2, :]
    maxima = torch.maximum(first_of_pair, second_of_pair)
    return torch.cat([own[..., :deaf, :], own[..., deaf:, :] + maxima], -2)


def _linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """Output (units, batch) of a layer from inputs (k, batch)."""
    return layer.weight @ inputs + layer.bias[..., None]


def _glorot(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with Glorot uniform weights and biases of 0."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def joined(left: Bilateral, right: Bilateral, **options: Any) -> Bilateral:
    """Two columns trained apart as one controller; what the columns share is what the result was born with.

    Where the result joins actions, the motor layers of the halves come along. Where it joins sums it has one motor
    layer for both columns: those of the halves are left behind.

    Args:
        left: a controller of one column.
        right: another of equal size.
        **options: of the result, such as ``join="action"`` (an ensemble) or ``seed``.

    Raises:
        LanceletError: layers of a half that have no place in the result, or the other way round.
    """
    half_options = left.options
    sizes = {
        "units": 2 * half_options.units,
        "layers": half_options.layers,
        "cell": half_options.cell,
    }
    both_options = BilateralOptions(**{**sizes, **options})
    both = Bilateral(left.observation_space, left.action_space, both_options)
    weights = both.state_dict()
    for side, half in (("left", left), ("right", right)):
        column_weights = _column_weights(half, side)
        if both_options.join == "sum":
            motor_layer = f"{side}.output."
            column_weights = {
                name: value
                for name, value in column_weights.items()
                if not name.startswith(motor_layer)
            }
        needed = {name for name in weights if both.side_of(name) == side}
        unmatched = sorted(needed ^ column_weights.keys())
        if unmatched:
            raise LanceletError(
                f"bilateral: the {side} half and the network that is to hold it differ in {unmatched}"
            )
        weights.update(column_weights)
    both.load_state_dict(weights)
    return both


def _column_weights(half: Bilateral, side: str) -> dict[str, Tensor]:
    """Weights of a controller of one column, by the names that they have in the column `side` of two."""
    return {
        f"{side}.{name.removeprefix('column.')}": value for name, value in half.state_dict().items()
    }


def apart(both: Bilateral) -> tuple[Bilateral, Bilateral]:
    """The columns of `both`, each a controller of its own with a motor layer like the one that they shared."""
    left, right = (_half(both, side) for side in both.sides)
    return left, right


def _half(both: Bilateral, side: str) -> Bilateral:
    """One column of `both` as a controller of its own, with its weights and the motor layer's."""
    options = BilateralOptions(
        units=both.options.units // 2,
        layers=both.options.layers,
        columns=1,
        cell=both.options.cell,
    )
    half = Bilateral(both.observation_space, both.action_space, options)
    weights = both.state_dict()
    own_weights = {}
    for name in half.state_dict():
        source = name.replace("column.", f"{side}.")
        own_weights[name] = weights[source]
    half.load_state_dict(own_weights)
    return half
