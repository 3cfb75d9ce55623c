"""Models of one structure, stacked so that they run as one batch; which gradient each of their weights takes.

Source: arXiv 2401.14057; docs/systems/arm.md, "Losses".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from ...controllers import Controller
from ...controllers.bilateral import TwoColumns
from ...controllers.core import State

Weights = dict[str, Tensor]
"""weights by name, stacked: (rows, ...) or (models, ...)"""


@runtime_checkable
class Stacking(Protocol):
    """A controller that may compute with stacked weights (rows, ...) as it is, without `vmap`."""

    stacks: bool
    """whether it does"""


@dataclass(frozen=True)
class Pupil:
    """One model of a cohort."""

    controller: Controller
    """its structure and first weights"""
    losses: tuple[str, str]
    """names of the losses that drive the left column and the right; equal: one loss drives every
    weight. Weights of neither column take the mean of both gradients"""
    seed: int = 0
    """seed of its trials"""
    frozen: tuple[str, ...] = ()
    """weights whose names begin with one of these stay as they are"""


class Row(NamedTuple):
    """A row of a group's batch: one model, driven by one loss."""

    model: int
    """place of the model among the group's members"""
    loss: str
    """name of the loss"""


class Step(NamedTuple):
    """What the rows of a group do in one control step."""

    action: Tensor
    """(rows, batch, m)"""
    state: State
    """after the step, (rows, batch, ...)"""
    signals: dict[str, Tensor]
    """the controllers' signals, (rows, batch, ...) each"""


@dataclass(kw_only=True)
class Group:
    """Pupils of one structure, stacked.

    A model that learns from two losses has two rows in a batch, one for each loss: one backward
    pass over all rows then gives the gradients of both.
    """

    members: list[int]
    """numbers of the pupils among all of the cohort"""
    template: Controller
    """a controller of this structure"""
    rows: list[Row]
    """the rows of all models, those of one model side by side"""
    left_row: Tensor
    """row whose loss drives the left column of each model, (models,)"""
    right_row: Tensor
    """row whose loss drives the right column of each model, (models,)"""
    weights: Weights
    """(models, ...) each"""
    learns: dict[str, Tensor]
    """whether a weight changes, (models,) each"""

    @property
    def model_of_row(self) -> Tensor:
        """Place of the model of each row among `members`, (rows,)."""
        return torch.tensor([row.model for row in self.rows])

    def weights_by_row(self) -> Weights:
        """The weights of every row, (rows, ...), as leaves of a new graph."""
        stack = {}
        for name, values in self.weights.items():
            stack[name] = torch.index_select(values, 0, self.model_of_row).requires_grad_()
        return stack

    def initial_states(self, batch: int, rows: int) -> State:
        """States of `batch` agents at the start of an episode, the same for every row: (rows, batch, ...)."""

        def for_all_rows(value: Tensor) -> Tensor:
            return value.expand(rows, *value.shape)

        return tree_map(for_all_rows, self.template.initial_state(batch))

    @property
    def stacks(self) -> bool:
        """Whether the template computes with the weights of all rows at once."""
        return isinstance(self.template, Stacking) and self.template.stacks

    def act(self, weights: Weights, observation: Tensor, state: State) -> Step:
        """One control step of all rows.

        Args:
            weights: (rows, ...) each; a template that `stacks` must have them as its own already.
            observation: (rows, batch, k).
            state: (rows, batch, ...).
        """
        if self.stacks:
            action, next_state = self.template(observation, state)
            return Step(action, next_state, self.template.signals(next_state))
        return Step(*vmap(self._act_of_one_row)(weights, observation, state))

    def _act_of_one_row(
        self, weights: Weights, observation: Tensor, state: State
    ) -> tuple[Tensor, State, dict[str, Tensor]]:
        """One row's action, next state and signals, without the row axis."""
        parameters = {**weights, **dict(self.template.named_buffers())}
        action, next_state = functional_call(self.template, parameters, (observation, state))
        return action, next_state, self.template.signals(next_state)

    def route(self, name: str, gradient: Tensor) -> Tensor:
        """The gradient that each model's weight takes: of its column's loss, or the mean of both.

        Args:
            name: of the weight.
            gradient: of every row's loss in the weight of that row, (rows, ...).

        Returns:
            (models, ...).
        """
        of_left_loss = gradient[self.left_row]
        of_right_loss = gradient[self.right_row]
        side = self.template.side_of(name) if isinstance(self.template, TwoColumns) else None
        if side == "left":
            return of_left_loss
        if side == "right":
            return of_right_loss
        return (of_left_loss + of_right_loss) / 2

    def keep_floors(self) -> None:
        """Raise weights that fell below the floor of their controller, in place."""
        if isinstance(self.template, TwoColumns):
            for name, floor in self.template.floors().items():
                self.weights[name].clamp_(min=floor)


def grouped(pupils: Sequence[Pupil]) -> list[Group]:
    """The pupils by structure: class and all options but the seed."""
    members_by_structure: dict[tuple[object, ...], list[int]] = {}
    for number, pupil in enumerate(pupils):
        options = dict(vars(pupil.controller.options))
        options.pop("seed", None)
        structure = (type(pupil.controller), tuple(sorted(options.items())))
        members_by_structure.setdefault(structure, []).append(number)
    return [_group(pupils, members) for members in members_by_structure.values()]


def _group(pupils: Sequence[Pupil], members: list[int]) -> Group:
    """The pupils of numbers `members`, all of one structure, stacked."""
    rows = []
    left_row = []
    right_row = []
    for place, number in enumerate(members):
        left_loss, right_loss = pupils[number].losses
        left_row.append(len(rows))
        rows.append(Row(place, left_loss))
        # Where one loss drives both columns, one row gives the gradient of both.
        if right_loss != left_loss:
            rows.append(Row(place, right_loss))
        right_row.append(len(rows) - 1)

    parameters = [dict(pupils[number].controller.named_parameters()) for number in members]
    weights = {}
    learns = {}
    for name in parameters[0]:
        weights[name] = torch.stack([own[name].detach() for own in parameters])
        is_free = [not name.startswith(pupils[number].frozen) for number in members]
        learns[name] = torch.tensor(is_free)
    return Group(
        members=members,
        template=pupils[members[0]].controller,
        rows=rows,
        left_row=torch.tensor(left_row),
        right_row=torch.tensor(right_row),
        weights=weights,
        learns=learns,
    )
