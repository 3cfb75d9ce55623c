"""Many models trained side by side by back-propagation through one twin.

Models of one structure are stacked and run as one batch. Stacking changes none of them: each has
trials, gradient, clip and optimiser state of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ...controllers import Controller
from ..runs.state import optimizer_state, restore_optimizer
from ..trainer import TRAINING, VALIDATION
from .course import Course, Trials
from .groups import Group, Pupil, Weights, grouped
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
SEED_LIMIT = 2**63
"""torch's generators take signed 64-bit seeds, below this"""


class _Episode(nn.Module):
    """The structures of a cohort as one module.

    A whole episode runs inside one `functional_call` of it. One call for each control step would
    swap all weights in and out every time.
    """

    def __init__(self, groups: list[Group]) -> None:
        super().__init__()
        self.templates = nn.ModuleList(group.template for group in groups)

    def forward(self, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return run()


class Cohort:
    """Models of any structures, each with weights, trials, gradient, clip and optimiser state of its own.

    A model that learns from two losses takes two rows of the batch, so that one backward pass gives
    the gradients of both; `Group.route` then hands each weight its own (docs/systems/arm.md, "Losses").

    Args:
        course: the twin and its trials.
        pupils: the models.
        mode: where the regulariser acts.
        rate: Adam's learning rate.
        anneal: updates in which the rate falls evenly to a tenth; 0: it stays.
        clip: largest norm of the gradient of one tensor of one model.
        batch: fresh trials of an update.
        validation: trials of the validation.
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
        self._groups = grouped(self.pupils)
        self._episode = _Episode(self._groups)
        self._leaves = [group.weights[name] for group in self._groups for name in group.weights]
        """weights of all groups, (models, ...) each; Adam treats every number alone, so that models share it"""
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
        """Take one step of Adam for every model.

        Returns:
            Each model's loss before the step, averaged over the losses that drive it, (models,).
        """
        stacks = [group.weights_by_row() for group in self._groups]
        losses = total(self.terms(stacks, self._fresh_trials()), self._row_weights())
        leaves = [values for stack in stacks for values in stack.values()]
        # Rows share nothing, so that the gradient of the sum holds that of every row's own loss.
        gradients = iter(torch.autograd.grad(losses.sum(), leaves, materialize_grads=True))
        for group in self._groups:
            for name, values in group.weights.items():
                routed = group.route(name, next(gradients))
                values.grad = self._clipped(routed, group.learns[name])
        self._adam.param_groups[0]["lr"] = self._annealed_rate()
        self._adam.step()
        for group in self._groups:
            group.keep_floors()
        self.updates += 1
        return self._mean_over_losses(losses.detach())

    def _fresh_trials(self) -> Trials:
        """Trials of this update for every row, (rows, batch, 2); models of one seed share theirs."""
        seeds = []
        for group in self._groups:
            for row in group.rows:
                seeds.append(self.pupils[group.members[row.model]].seed)
        trials_of_seed = {}
        for seed in set(seeds):
            key = [TRAINING, seed]
            trials_of_seed[seed] = _draw(self.course, key, self.updates + 1, self._batch)
        names = trials_of_seed[seeds[0]]
        return {name: torch.stack([trials_of_seed[seed][name] for seed in seeds]) for name in names}

    def _row_weights(self) -> dict[str, Tensor]:
        """Weights of the terms for every row, by the loss of the row."""
        names = [row.loss for group in self._groups for row in group.rows]
        return weights(names, self._losses)

    def _annealed_rate(self) -> float:
        """Adam's rate in this update."""
        passed_share = 0.0
        if self._anneal:
            passed_share = min(1.0, self.updates / self._anneal)
        return self._rate * (1 - (1 - FINAL_RATE) * passed_share)

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
        """The four terms of the losses.

        Args:
            stacks: weights of every group, (rows, ...) each.
            trials: (rows, batch, 2) each.

        Returns:
            `losses.TERMS`, (rows,) each.
        """
        trace = self.unroll(stacks, trials)
        positions = position(trace["hand"], trials["target"])
        return {
            "E": trace["action"].square().mean((0, 2, 3)),
            "P1": positions["P1"],
            "P2": positions["P2"],
            "R": self._regulariser(trace, [_row_count(stack) for stack in stacks]),
        }

    def _regulariser(self, trace: dict[str, Any], row_counts: list[int]) -> Tensor:
        """The regulariser R of an episode, (rows,).

        Args:
            trace: of `unroll`.
            row_counts: rows of each group.
        """
        dt = self.course.dt
        parts = []
        first_row = 0
        for row_count, layers in zip(row_counts, trace["hidden"], strict=True):
            rows = slice(first_row, first_row + row_count)
            first_row += row_count
            if self.mode == "as_released" and layers:
                group_trace = {name: trace[name][:, rows] for name in (*PLANT, "seen")}
                parts.append(released(group_trace, dt, hidden_layers=len(layers)))
            else:
                penalties = (penalty(layer, dt) for layer in layers)
                parts.append(sum(penalties, torch.zeros(row_count)))
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
            if group.stacks:
                for name, value in stack.items():
                    stacked_weights[f"templates.{number}.{name}"] = value
        run = (lambda: self._unroll(stacks, trials),)
        return functional_call(self._episode, stacked_weights, run)

    def _unroll(self, stacks: list[Weights], trials: Trials) -> dict[str, Any]:
        """As `unroll`, inside the call that puts stacked weights into the templates.

        The plant steps all rows at once, group after group: `split` gives each group its rows of an observation, and
        `cat` puts the groups' actions together in the same order.
        """
        twin = self.course.twin
        is_released = self.mode == "as_released"
        recorded_parts = PLANT if is_released else ("hand",)
        row_counts = [_row_count(stack) for stack in stacks]
        batch = trials["target"].shape[1]
        memories = [
            group.initial_states(batch, row_count)
            for group, row_count in zip(self._groups, row_counts, strict=True)
        ]
        state = twin.start(trials["angles"])
        observations = [twin.observe(state, trials["target"])]
        trace: dict[str, list[Tensor]] = {name: [] for name in ("action", *recorded_parts)}
        signals: list[list[dict[str, Tensor]]] = [[] for _ in self._groups]
        for _ in range(self.course.steps):
            observations_of_groups = self._delayed(observations).split(row_counts)
            actions = []
            for number, group in enumerate(self._groups):
                step = group.act(stacks[number], observations_of_groups[number], memories[number])
                actions.append(step.action)
                memories[number] = step.state
                signals[number].append(step.signals)
            action = torch.cat(actions)
            state = twin.step(state, action, trials["force"])
            observations.append(twin.observe(state, trials["target"]))
            trace["action"].append(action)
            for name in recorded_parts:
                trace[name].append(state[name])

        episode: dict[str, Any] = {name: torch.stack(rows) for name, rows in trace.items()}
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
            # Before the delay has passed the models see the start.
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
        model_count = len(self.pupils)
        return {name: value.expand(model_count, *value.shape) for name, value in trials.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, np.ndarray]:
        """Score all models on the held trials, and keep the weights of those that are better than ever.

        Returns:
            ``loss``, the mixed one, and its `TERMS`, (models,) each.
        """
        stacks = [group.weights for group in self._groups]
        terms = self.terms(stacks, self._for_all(self.held))
        terms["loss"] = total(terms, weights(["mixed"] * len(self.pupils), self._losses))
        figures = {name: self._by_model(values) for name, values in terms.items()}
        self._keep_best(figures["loss"])
        return figures

    def _keep_best(self, losses: np.ndarray) -> None:
        """Keep the weights of models whose validation loss (models,) is their least so far."""
        is_better = losses < self.best_loss
        self.best_loss = np.where(is_better, losses, self.best_loss)
        self.found = np.where(is_better, self.updates, self.found)
        for group, best in zip(self._groups, self.best, strict=True):
            improved = torch.from_numpy(is_better[group.members])
            for name, values in group.weights.items():
                trailing_axes = [1] * (values.dim() - 1)
                mask = improved.reshape(-1, *trailing_axes)
                best[name] = torch.where(mask, values, best[name])

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
        """The mean over the rows of each model, (models,) in the order of `pupils`; `values` are by row."""
        parts = values.split([len(group.rows) for group in self._groups])
        means = []
        for group, part in zip(self._groups, parts, strict=True):
            means.append((part[group.left_row] + part[group.right_row]) / 2)
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
        for group, saved_weights in zip(self._groups, saved["weights"], strict=True):
            for name, value in group.weights.items():
                # In place: Adam holds these very tensors.
                value.copy_(saved_weights[name])
        restore_optimizer(self._adam, saved["adam"])


def _cloned(values: Weights) -> Weights:
    """Copies of weights."""
    return {name: value.clone() for name, value in values.items()}


def _row_count(stack: Weights) -> int:
    """Rows of stacked weights."""
    return len(next(iter(stack.values())))


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
    return course.trials(count, torch.Generator().manual_seed(word % SEED_LIMIT))


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


__all__ = ["TERMS", "Cohort", "Pupil"]
