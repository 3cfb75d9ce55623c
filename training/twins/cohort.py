"""Many models trained side by side by back-propagation through one twin.

Models of one structure are stacked and run as one batch. Stacking changes none of them: each has
trials, gradient, clip and optimiser state of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from ...controllers import Controller
from ..runs.state import optimizer_state, restore_optimizer
from ..trainer import TRAINING, VALIDATION
from .course import Course, Trials
from .losses import (
    LOSSES,
    MUSCLE,
    TERMS,
    Loss,
    Mode,
    penalty,
    position,
    released,
    total,
    weights,
)

PLANT = ("hand", "q", "v", *MUSCLE)
"""parts of the twin's state that the released code penalises"""
FINAL_RATE = 0.1
"""learning rate at the end of annealing, as a part of the first one"""
Weights = dict[str, Tensor]
"""weights by name, stacked: (rows, ...) or (models, ...)"""


@runtime_checkable
class TwoColumns(Protocol):
    """A controller whose weights belong to a left column, a right one, or neither."""

    def side_of(self, name: str) -> str | None:
        """``"left"``, ``"right"``, or None, of the weight of this name."""
        ...


@runtime_checkable
class Floored(Protocol):
    """A controller with weights that must not fall below a floor."""

    def floors(self) -> dict[str, float]:
        """The floor of each such weight, by name."""
        ...


@dataclass(frozen=True)
class Pupil:
    """One model of a cohort."""

    controller: Controller
    """its structure and first weights"""
    losses: tuple[str, str]
    """names of the losses that drive the left column and the right; equal: one loss drives every
    weight. Weights of neither column take the mean of both gradients"""
    seed: int = 0
    """of its trials"""
    frozen: tuple[str, ...] = ()
    """beginnings of the names of weights that stay as they are"""


@dataclass
class _Group:
    """Pupils of one structure, stacked.

    A model that learns from two losses has two rows in a batch, one for each loss: one backward
    pass over all rows then gives the gradients of both.
    """

    members: list[int]
    """numbers of the pupils among all of the cohort"""
    template: Controller
    """a controller of this structure"""
    rows: list[tuple[int, str]]
    """(place of the model among `members`, name of the loss) of every row"""
    first: Tensor
    """row whose loss drives the left column of each model, (models,)"""
    second: Tensor
    """row whose loss drives the right column of each model, (models,)"""
    weights: Weights
    """(models, ...) each"""
    learns: dict[str, Tensor]
    """whether a weight changes, (models,) each"""
    act: Callable[..., Any] = field(init=False)
    """(weights, observation, state) -> action, next state, signals, all with a row axis in front"""

    def __post_init__(self) -> None:
        self.act = self._act_in_episode if _stacks(self.template) else vmap(self._act_of_one)

    def _act_of_one(
        self, weights: Weights, observation: Tensor, state: Any
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """One row's action, next state and signals; `vmap` makes it a function of all rows."""
        parameters = {**weights, **dict(self.template.named_buffers())}
        action, state = functional_call(self.template, parameters, (observation, state))
        return action, state, self.template.signals(state)

    def _act_in_episode(
        self, weights: Weights, observation: Tensor, state: Any
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """All rows at once: inside `_Episode` the template has the stacked weights already."""
        action, state = self.template(observation, state)
        return action, state, self.template.signals(state)

    @property
    def models(self) -> Tensor:
        """Place of the model of each row among `members`, (rows,)."""
        return torch.tensor([model for model, _ in self.rows])


def _stacks(controller: Controller) -> bool:
    """Whether a controller computes with stacked weights (rows, ...) as it is, without `vmap`."""
    return getattr(controller, "stacks", False)


class _Episode(nn.Module):
    """The structures of a cohort as one module.

    A whole episode runs inside one `functional_call` of it. One call for each control step would
    swap all weights in and out every time.
    """

    def __init__(self, groups: list[_Group]) -> None:
        super().__init__()
        self.templates = nn.ModuleList(group.template for group in groups)

    def forward(self, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return run()


class Cohort:
    """Models of any structures, each with weights, trials, gradient, clip and optimiser state of its own.

    A model that learns from two losses takes two rows of the batch, so that one backward pass gives
    the gradients of both; `route` then hands each weight its own (docs/systems/arm.md, "Losses").

    Args:
        course: the twin and its trials.
        pupils: the models.
        mode: where the regulariser acts.
        rate: of Adam.
        anneal: updates in which the rate falls evenly to a tenth; 0: it stays.
        clip: largest norm of the gradient of one tensor of one model.
        batch: fresh trials of an update.
        validation: held trials.
        losses: what the names of the pupils' losses mean, and ``mixed`` for the validation.
    """

    def __init__(
        self,
        course: Course,
        pupils: Sequence[Pupil],
        mode: Mode = "intended",
        rate: float = 3e-3,
        anneal: int = 0,
        clip: float = 1.0,
        batch: int = 64,
        validation: int = 256,
        losses: Mapping[str, Loss] = LOSSES,
    ) -> None:
        self.course = course
        self.pupils = list(pupils)
        self.mode: Mode = mode
        self._rate = rate
        self._anneal = anneal
        self._clip = clip
        self._batch = batch
        self._losses = losses
        self._groups = _grouped(self.pupils)
        self._episode = _Episode(self._groups)
        self._leaves = [group.weights[name] for group in self._groups for name in group.weights]
        self._adam = torch.optim.Adam(self._leaves, lr=rate)
        self.updates = 0
        self.held = _draw(course, [VALIDATION], 0, validation)
        """trials of the validation, (validation, 2) each"""
        self.best = [_cloned(group.weights) for group in self._groups]
        """weights with the least validation loss so far, group after group"""
        self.best_loss = np.full(len(self.pupils), np.inf)
        """their loss, (models,)"""
        self.found = np.zeros(len(self.pupils), int)
        """update after which they were found, (models,)"""

    def update(self) -> np.ndarray:
        """One step of Adam for every model; its loss (models,), averaged over the losses that drive it."""
        stacks = [_rows_of(group) for group in self._groups]
        losses = total(self.terms(stacks, self._fresh_trials()), self._row_weights())
        leaves = [values for stack in stacks for values in stack.values()]
        gradients = iter(torch.autograd.grad(losses.sum(), leaves, materialize_grads=True))
        for group in self._groups:
            for name, values in group.weights.items():
                own = route(group, name, next(gradients))
                values.grad = self._clipped(own, group.learns[name])
        self._adam.param_groups[0]["lr"] = self._annealed_rate()
        self._adam.step()
        self._keep_floors()
        self.updates += 1
        return self._mean_over_losses(losses.detach())

    def _fresh_trials(self) -> Trials:
        """Trials of this update for every row, (rows, batch, 2); models of one seed share theirs."""
        seeds = []
        for group in self._groups:
            for model, _ in group.rows:
                seeds.append(self.pupils[group.members[model]].seed)
        drawn = {
            seed: _draw(self.course, [TRAINING, seed], self.updates + 1, self._batch)
            for seed in set(seeds)
        }
        names = drawn[seeds[0]]
        return {name: torch.stack([drawn[seed][name] for seed in seeds]) for name in names}

    def _row_weights(self) -> dict[str, Tensor]:
        """Weights of the terms for every row, by the loss of the row."""
        names = [loss for group in self._groups for _, loss in group.rows]
        return weights(names, self._losses)

    def _annealed_rate(self) -> float:
        """Adam's rate in this update."""
        passed = min(1.0, self.updates / self._anneal) if self._anneal else 0.0
        return self._rate * (1 - (1 - FINAL_RATE) * passed)

    def _keep_floors(self) -> None:
        """Raise weights that fell below the floor of their controller, in place."""
        for group in self._groups:
            if isinstance(group.template, Floored):
                for name, floor in group.template.floors().items():
                    group.weights[name].clamp_(min=floor)

    def _clipped(self, gradient: Tensor, learns: Tensor) -> Tensor:
        """A gradient (models, ...) with the norm of each model's part at most `clip`.

        A model that has blown up has no gradient to follow, and a weight that does not learn none
        either: theirs is 0.

        Args:
            gradient: (models, ...).
            learns: whether the weight of each model changes, (models,).
        """
        flat = gradient.flatten(1)
        norm = flat.norm(dim=1, keepdim=True)
        scaled = flat * (self._clip / norm.clamp(min=self._clip))
        is_followed = norm.isfinite() & learns[:, None]
        return torch.where(is_followed, scaled, 0.0).reshape(gradient.shape)

    def terms(self, stacks: list[Weights], trials: Trials) -> dict[str, Tensor]:
        """The four terms (rows,) of weights stacked by row on trials (rows, batch, 2)."""
        trace = self.unroll(stacks, trials)
        positions = position(trace["hand"], trials["target"])
        return {
            "E": trace["action"].square().mean((0, 2, 3)),
            "P1": positions["P1"],
            "P2": positions["P2"],
            "R": self._regulariser(trace, [_row_count(stack) for stack in stacks]),
        }

    def _regulariser(self, trace: dict[str, Any], counts: list[int]) -> Tensor:
        """R (rows,) of an episode, whose groups have `counts` rows."""
        dt = self.course.dt
        parts = []
        begin = 0
        for count, layers in zip(counts, trace["hidden"], strict=True):
            rows = slice(begin, begin + count)
            begin += count
            if self.mode == "as_released" and layers:
                own = {name: trace[name][:, rows] for name in (*PLANT, "seen")}
                parts.append(released(own, dt, len(layers)))
            else:
                parts.append(sum((penalty(layer, dt) for layer in layers), torch.zeros(count)))
        return torch.cat(parts)

    def unroll(self, stacks: list[Weights], trials: Trials) -> dict[str, Any]:
        """What happens in an episode of weights stacked by row, group after group.

        Args:
            stacks: weights of every group, (rows, ...) each.
            trials: ``angles``, ``target`` and ``force``, (rows, batch, 2) each.

        Returns:
            ``action``, ``hand``, ... (steps, rows, batch, k), the plant after each step; ``seen``,
            the observation then; ``hidden``, for each group its hidden layers' activity
            (steps, rows, units, batch).
        """
        stacked_weights = {}
        for number, (group, stack) in enumerate(zip(self._groups, stacks, strict=True)):
            if _stacks(group.template):
                for name, value in stack.items():
                    stacked_weights[f"templates.{number}.{name}"] = value
        run = (lambda: self._unroll(stacks, trials),)
        return functional_call(self._episode, stacked_weights, run)

    def _unroll(self, stacks: list[Weights], trials: Trials) -> dict[str, Any]:
        """As `unroll`, inside the call that puts stacked weights into the templates."""
        twin = self.course.twin
        is_released = self.mode == "as_released"
        recorded = PLANT if is_released else ("hand",)
        counts = [_row_count(stack) for stack in stacks]
        batch = trials["target"].shape[1]
        memories = [
            _initial_states(group.template, batch, count)
            for group, count in zip(self._groups, counts, strict=True)
        ]
        state = twin.start(trials["angles"])
        observations = [twin.observe(state, trials["target"])]
        trace: dict[str, list[Tensor]] = {name: [] for name in ("action", *recorded)}
        signals: list[list[dict[str, Tensor]]] = [[] for _ in self._groups]
        for _ in range(self.course.steps):
            actions = []
            for number, seen in enumerate(self._delayed(observations).split(counts)):
                group = self._groups[number]
                action, memories[number], activity = group.act(
                    stacks[number], seen, memories[number]
                )
                actions.append(action)
                signals[number].append(activity)
            action = torch.cat(actions)
            state = twin.step(state, action, trials["force"])
            observations.append(twin.observe(state, trials["target"]))
            trace["action"].append(action)
            for name in recorded:
                trace[name].append(state[name])

        episode: dict[str, Any] = {name: torch.stack(steps) for name, steps in trace.items()}
        episode["hidden"] = [_layers(steps) for steps in signals]
        # The first observation belongs to the start, before any step.
        episode["seen"] = torch.stack(observations[1:]) if is_released else None
        return episode

    def _delayed(self, observations: list[Tensor]) -> Tensor:
        """What the models see now: each part of the observation as old as the course says.

        Args:
            observations: all since the start, the newest last, (..., size) each.
        """
        if not any(steps for _, steps in self.course.delays):
            return observations[-1]
        newest = len(observations) - 1
        parts = []
        begin = 0
        for size, steps in self.course.delays:
            observation = observations[max(0, newest - steps)]
            parts.append(observation[..., begin : begin + size])
            begin += size
        return torch.cat(parts, -1)

    @torch.no_grad()
    def play(self, trials: Trials) -> dict[str, Any]:
        """`unroll` of the present weights, every model on the same trials (batch, 2).

        Rows of the result are the models, group after group.
        """
        return self.unroll([group.weights for group in self._groups], self._for_all(trials))

    def _for_all(self, trials: Trials) -> Trials:
        """Trials (batch, 2) that every model plays, (models, batch, 2)."""
        count = len(self.pupils)
        return {name: value.expand(count, *value.shape) for name, value in trials.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, np.ndarray]:
        """Mixed loss and its terms (models,) on the held trials; the best weights so far are kept."""
        stacks = [group.weights for group in self._groups]
        terms = self.terms(stacks, self._for_all(self.held))
        terms["loss"] = total(terms, weights(["mixed"] * len(self.pupils), self._losses))
        figures = {name: self._by_model(values) for name, values in terms.items()}
        is_better = figures["loss"] < self.best_loss
        self.best_loss = np.where(is_better, figures["loss"], self.best_loss)
        self.found = np.where(is_better, self.updates, self.found)
        for group, best in zip(self._groups, self.best, strict=True):
            improved = torch.from_numpy(is_better[group.members])
            for name, values in group.weights.items():
                trailing_axes = [1] * (values.dim() - 1)
                mask = improved.reshape(-1, *trailing_axes)
                best[name] = torch.where(mask, values, best[name])
        return figures

    def controller(self, model: int) -> Controller:
        """The best of a model so far, a copy of its own.

        Raises:
            IndexError: there is no such model.
        """
        for group, best in zip(self._groups, self.best, strict=True):
            if model in group.members:
                place = group.members.index(model)
                original = self.pupils[model].controller
                copy = type(original)(
                    original.observation_space, original.action_space, original.options
                )
                weights_of_model = {name: values[place] for name, values in best.items()}
                copy.load_state_dict({**original.state_dict(), **weights_of_model})
                return copy
        raise IndexError(model)

    def _by_model(self, values: Tensor) -> np.ndarray:
        """Values of the models, group after group, in the order of `pupils`."""
        return self._in_order(values.split([len(group.members) for group in self._groups]))

    def _mean_over_losses(self, values: Tensor) -> np.ndarray:
        """One value a model, in the order of `pupils`: the mean over its rows, group after group."""
        parts = values.split([len(group.rows) for group in self._groups])
        means = []
        for group, part in zip(self._groups, parts, strict=True):
            means.append((part[group.first] + part[group.second]) / 2)
        return self._in_order(means)

    def _in_order(self, parts: Iterable[Tensor]) -> np.ndarray:
        """Values of the models of each group, as one array in the order of `pupils`."""
        ordered = np.zeros(len(self.pupils))
        for group, part in zip(self._groups, parts, strict=True):
            ordered[group.members] = part.double().numpy()
        return ordered

    def state_dict(self) -> dict[str, Any]:
        """All that the next update depends on, for a checkpoint."""
        return {
            "updates": self.updates,
            "weights": [group.weights for group in self._groups],
            "adam": optimizer_state(self._adam),
            "best": self.best,
            "best_loss": self.best_loss,
            "found": self.found,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.updates = saved["updates"]
        self.best = saved["best"]
        self.best_loss = saved["best_loss"]
        self.found = saved["found"]
        for group, values in zip(self._groups, saved["weights"], strict=True):
            for name, value in group.weights.items():
                value.copy_(values[name])
        restore_optimizer(self._adam, saved["adam"])


def _cloned(values: Weights) -> Weights:
    """Copies of weights."""
    return {name: value.clone() for name, value in values.items()}


def _rows_of(group: _Group) -> Weights:
    """The weights of a group by row, (rows, ...), as leaves of a new graph."""
    return {
        name: torch.index_select(values, 0, group.models).requires_grad_()
        for name, values in group.weights.items()
    }


def _row_count(stack: Weights) -> int:
    """Rows of stacked weights."""
    return len(next(iter(stack.values())))


def _initial_states(template: Controller, batch: int, rows: int) -> Any:
    """States of `batch` agents at the start of an episode, for every row: (rows, batch, ...)."""

    def for_all_rows(value: Tensor) -> Tensor:
        return value.expand(rows, *value.shape)

    return tree_map(for_all_rows, template.initial_state(batch))


def route(group: Any, name: str, gradient: Tensor) -> Tensor:
    """Gradient (models, ...) of a weight from that of every row: its column's loss, or the mean of both.

    Args:
        group: has the ``template``, and the rows ``first`` and ``second`` of every model.
        name: of the weight.
        gradient: (rows, ...).
    """
    by_first = gradient[group.first]
    by_second = gradient[group.second]
    side = group.template.side_of(name) if isinstance(group.template, TwoColumns) else None
    if side == "left":
        return by_first
    if side == "right":
        return by_second
    return (by_first + by_second) / 2


def _grouped(pupils: list[Pupil]) -> list[_Group]:
    """Pupils by structure: class and all options but the seed."""
    members_by_structure: dict[Any, list[int]] = {}
    for number, pupil in enumerate(pupils):
        options = dict(vars(pupil.controller.options))
        options.pop("seed", None)
        structure = (type(pupil.controller), tuple(sorted(options.items())))
        members_by_structure.setdefault(structure, []).append(number)
    return [_group(pupils, members) for members in members_by_structure.values()]


def _group(pupils: list[Pupil], members: list[int]) -> _Group:
    """The pupils of numbers `members`, all of one structure, stacked."""
    rows: list[tuple[int, str]] = []
    first = []
    second = []
    for place, number in enumerate(members):
        left, right = pupils[number].losses
        first.append(len(rows))
        rows.append((place, left))
        if right != left:
            rows.append((place, right))
        second.append(len(rows) - 1)

    parameters = [dict(pupils[number].controller.named_parameters()) for number in members]
    stacked = {}
    learns = {}
    for name in parameters[0]:
        stacked[name] = torch.stack([own[name].detach() for own in parameters])
        learns[name] = torch.tensor(
            [not name.startswith(pupils[number].frozen) for number in members]
        )
    return _Group(
        members=members,
        template=pupils[members[0]].controller,
        rows=rows,
        first=torch.tensor(first),
        second=torch.tensor(second),
        weights=stacked,
        learns=learns,
    )


def _draw(course: Course, key: list[int], update: int, count: int) -> Trials:
    """Trials (count, 2) of an update, a function of the key and the update's number alone.

    A resumed run draws the same trials as one that was never stopped: no generator lives on.

    Args:
        course: whose trials.
        key: numbers that tell this stream of trials from others.
        update: number of the update.
        count: trials.
    """
    word = int(np.random.SeedSequence([*key, update]).generate_state(1, np.uint64)[0])
    # Generators of torch take signed 64-bit seeds.
    return course.trials(count, torch.Generator().manual_seed(word % 2**63))


def _layers(steps: list[dict[str, Tensor]]) -> list[Tensor]:
    """Activity (steps, rows, units, batch) of each hidden layer from the controllers' signals.

    A signal (rows, batch, units) is a layer, one (rows, batch, layers, units) several. Others are
    no layers.
    """
    layers: list[Tensor] = []
    for name, first in steps[0].items():
        if first.dim() == 4:
            by_layer = torch.stack([signals[name].permute(0, 2, 3, 1) for signals in steps])
            layers += by_layer.unbind(2)
        elif first.dim() == 3:
            layers.append(torch.stack([signals[name].mT for signals in steps]))
    return layers


__all__ = ["TERMS", "Cohort", "Pupil", "TwoColumns", "route"]
