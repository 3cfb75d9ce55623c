"""Many models trained side by side by back-propagation through one twin: stacking them changes none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from ...controllers import Controller
from ..runs.state import optimizer_state, restore_optimizer
from ..trainer import TRAINING, VALIDATION
from .course import Course, Trials
from .losses import MUSCLE, TERMS, Mode, penalty, position, released, total, weights

PLANT = ("hand", "q", "v", *MUSCLE)


@dataclass(frozen=True)
class Pupil:
    """One model of a cohort."""

    controller: Controller
    losses: tuple[str, str]
    """names of the losses that drive the left column and the right; equal: one loss drives every weight.
    Weights of neither column take the mean of both gradients"""
    seed: int = 0
    """of its trials"""
    frozen: tuple[str, ...] = ()
    """beginnings of the names of weights that stay as they are"""


@dataclass
class _Group:
    """Pupils of one structure: weights stacked (models, ...), one row a model and loss."""

    members: list[int]
    template: Controller
    rows: list[tuple[int, str]]
    first: Tensor
    second: Tensor
    """(models,) row whose loss drives the left column, and the right"""
    weights: dict[str, Tensor]
    learns: dict[str, Tensor]
    """(models,) whether a weight changes"""
    act: Callable[..., Any] = field(init=False)

    def __post_init__(self) -> None:
        template, buffers = self.template, dict(self.template.named_buffers())
        if getattr(template, "stacks", False):
            self.act = self._as_it_is
            return

        def act(
            weights: dict[str, Tensor], observation: Tensor, state: Any
        ) -> tuple[Tensor, Any, dict[str, Tensor]]:
            action, state = functional_call(template, {**weights, **buffers}, (observation, state))
            return action, state, template.signals(state)

        self.act = vmap(act)

    def _as_it_is(
        self, weights: dict[str, Tensor], observation: Tensor, state: Any
    ) -> tuple[Tensor, Any, Any]:
        """Inside `_Episode`, where the template has the stacked weights already."""
        action, state = self.template(observation, state)
        return action, state, self.template.signals(state)

    @property
    def models(self) -> Tensor:
        """Model of each row."""
        return torch.tensor([model for model, _ in self.rows])


class _Episode(nn.Module):
    """The structures of a cohort; a whole episode runs inside one `functional_call`, whose price would tell a step."""

    def __init__(self, groups: list[_Group]) -> None:
        super().__init__()
        self.templates = nn.ModuleList(group.template for group in groups)

    def forward(self, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return run()


class Cohort:
    """Models of any structures, each with weights, trials, gradient, clip and optimiser state of its own.

    A model that learns from two losses takes two rows of the batch, so that one backward pass gives the gradients of
    both; `route` then hands each weight its own (spec 5).

    Args:
        course: the twin and its trials.
        pupils: the models.
        mode: where the regulariser acts.
        rate: of Adam.
        anneal: updates in which the rate falls evenly to a tenth; 0: it stays.
        clip: largest norm of the gradient of one tensor of one model.
        batch: fresh trials of an update.
        validation: held trials.
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
    ) -> None:
        self.course, self.pupils, self.mode = course, list(pupils), mode
        self._rate, self._anneal, self._clip, self._batch = rate, anneal, clip, batch
        self._groups = _grouped(self.pupils)
        self._episode = _Episode(self._groups)
        self._leaves = [group.weights[name] for group in self._groups for name in group.weights]
        self._adam = torch.optim.Adam(self._leaves, lr=rate)
        self.updates = 0
        self.held = _draw(course, [VALIDATION], 0, validation)
        self.best = [
            {name: value.clone() for name, value in group.weights.items()} for group in self._groups
        ]
        self.best_loss, self.found = (
            np.full(len(self.pupils), np.inf),
            np.zeros(len(self.pupils), int),
        )

    def update(self) -> np.ndarray:
        """One step of Adam for every model; its loss (models,), averaged over the losses that drive it."""
        picked = [torch.index_select(group.weights[name], 0, group.models).requires_grad_()
                  for group in self._groups for name in group.weights]  # fmt: skip
        stacks, rest = [], iter(picked)
        for group in self._groups:
            stacks.append({name: next(rest) for name in group.weights})
        order = [
            self.pupils[group.members[model]].seed
            for group in self._groups
            for model, _ in group.rows
        ]
        drawn = {
            seed: _draw(self.course, [TRAINING, seed], self.updates + 1, self._batch)
            for seed in set(order)
        }
        trials = {
            name: torch.stack([drawn[seed][name] for seed in order]) for name in drawn[order[0]]
        }
        losses = total(
            self.terms(stacks, trials), weights([loss for g in self._groups for _, loss in g.rows])
        )
        gradients = iter(torch.autograd.grad(losses.sum(), picked, materialize_grads=True))
        for group in self._groups:
            for name, values in group.weights.items():
                values.grad = self._clipped(route(group, name, next(gradients)), group.learns[name])
        passed = min(1.0, self.updates / self._anneal) if self._anneal else 0.0
        self._adam.param_groups[0]["lr"] = self._rate * (1 - 0.9 * passed)
        self._adam.step()
        for group in self._groups:
            for name, least in getattr(group.template, "floors", dict)().items():
                group.weights[name].clamp_(min=least)
        self.updates += 1
        return self._by_model(losses.detach(), rows=True)

    def _clipped(self, gradient: Tensor, learns: Tensor) -> Tensor:
        """Norms at most `clip`, one a model; a model that has blown up has no gradient to follow."""
        flat = gradient.flatten(1)
        norm = flat.norm(dim=1, keepdim=True)
        kept = torch.where(
            norm.isfinite() & learns[:, None], flat * (self._clip / norm.clamp(min=self._clip)), 0.0
        )
        return kept.reshape(gradient.shape)

    def terms(self, stacks: list[dict[str, Tensor]], trials: Trials) -> dict[str, Tensor]:
        """The four terms (rows,) of weights stacked by row on trials (rows, batch, 2)."""
        trace = self.unroll(stacks, trials)
        found = {
            "E": trace["action"].square().mean((0, 2, 3)),
            **position(trace["hand"], trials["target"]),
        }
        dt, parts, begin = self.course.dt, [], 0
        for stack, layers in zip(stacks, trace["hidden"], strict=True):
            count = len(next(iter(stack.values())))
            rows, begin = slice(begin, begin + count), begin + count
            if self.mode == "as_released" and layers:
                parts.append(
                    released({n: trace[n][:, rows] for n in (*PLANT, "seen")}, dt, len(layers))
                )
            else:
                parts.append(sum((penalty(layer, dt) for layer in layers), torch.zeros(count)))
        return {**found, "R": torch.cat(parts)}

    def unroll(self, stacks: list[dict[str, Tensor]], trials: Trials) -> dict[str, Any]:
        """What happens in an episode of weights stacked by row, group after group.

        Returns:
            ``action``, ``hand``, ... (steps, rows, batch, k), the plant after each step; ``seen``, the observation
            then; ``hidden``, for each group its hidden layers' activity (steps, rows, units, batch).
        """
        own = {f"templates.{k}.{name}": value for k, stack in enumerate(stacks) for name, value in stack.items()
               if getattr(self._groups[k].template, "stacks", False)}  # fmt: skip
        return functional_call(self._episode, own, (lambda: self._unroll(stacks, trials),))

    def _unroll(self, stacks: list[dict[str, Tensor]], trials: Trials) -> dict[str, Any]:
        twin, batch = self.course.twin, trials["target"].shape[1]
        counts = [len(next(iter(stack.values()))) for stack in stacks]
        brains = [tree_map(lambda x, n=n: x.expand(n, *x.shape), group.template.initial_state(batch))
                  for group, n in zip(self._groups, counts, strict=True)]  # fmt: skip
        state = twin.start(trials["angles"])
        seen = [twin.observe(state, trials["target"])]
        kept = PLANT if self.mode == "as_released" else ("hand",)
        trace: dict[str, list[Tensor]] = {name: [] for name in ("action", *kept)}
        hidden: list[list[dict[str, Tensor]]] = [[] for _ in self._groups]
        for _ in range(self.course.steps):
            actions = []
            for k, part in enumerate(self._delayed(seen).split(counts)):
                action, brains[k], signals = self._groups[k].act(stacks[k], part, brains[k])
                actions.append(action)
                hidden[k].append(signals)
            action = torch.cat(actions)
            state = twin.step(state, action, trials["force"])
            seen.append(twin.observe(state, trials["target"]))
            trace["action"].append(action)
            for name in kept:
                trace[name].append(state[name])
        layers = [_layers(steps) for steps in hidden]
        return {name: torch.stack(rows) for name, rows in trace.items()} | {
            "hidden": layers, "seen": torch.stack(seen[1:]) if self.mode == "as_released" else None,
        }  # fmt: skip

    def _delayed(self, seen: list[Tensor]) -> Tensor:
        """What the models see now: each part of the observation as old as the course says."""
        if not any(steps for _, steps in self.course.delays):
            return seen[-1]
        parts, begin = [], 0
        for size, steps in self.course.delays:
            parts.append(seen[max(0, len(seen) - 1 - steps)][..., begin : begin + size])
            begin += size
        return torch.cat(parts, -1)

    @torch.no_grad()
    def play(self, trials: Trials) -> dict[str, Any]:
        """`unroll` of the present weights: every model on the same trials (batch, 2); rows are models by group."""
        shared = {
            name: value.expand(len(self.pupils), *value.shape) for name, value in trials.items()
        }
        return self.unroll([group.weights for group in self._groups], shared)

    @torch.no_grad()
    def validate(self) -> dict[str, np.ndarray]:
        """Mixed loss and its terms (models,) on the held trials; the best weights so far are kept."""
        trials = {
            name: value.expand(len(self.pupils), *value.shape) for name, value in self.held.items()
        }
        terms = self.terms([group.weights for group in self._groups], trials)
        terms["loss"] = total(terms, weights(["mixed"] * len(self.pupils)))
        found = {name: self._by_model(values) for name, values in terms.items()}
        better = found["loss"] < self.best_loss
        self.best_loss = np.where(better, found["loss"], self.best_loss)
        self.found = np.where(better, self.updates, self.found)
        for group, kept in zip(self._groups, self.best, strict=True):
            pick = torch.from_numpy(better[group.members])
            for name, values in group.weights.items():
                kept[name] = torch.where(
                    pick.reshape(-1, *[1] * (values.dim() - 1)), values, kept[name]
                )
        return found

    def controller(self, model: int) -> Controller:
        """The best of a model so far, a copy of its own."""
        for group, kept in zip(self._groups, self.best, strict=True):
            if model in group.members:
                row = group.members.index(model)
                own = self.pupils[model].controller
                copy = type(own)(own.observation_space, own.action_space, own.options)
                copy.load_state_dict(
                    {**own.state_dict(), **{name: values[row] for name, values in kept.items()}}
                )
                return copy
        raise IndexError(model)

    def _by_model(self, values: Tensor, rows: bool = False) -> np.ndarray:
        """One value a model, in the order of `pupils`, from one a row or one a member of each group."""
        found, begin = np.zeros(len(self.pupils)), 0
        for group in self._groups:
            count = len(group.rows) if rows else len(group.members)
            part = values[begin : begin + count]
            found[group.members] = (
                ((part[group.first] + part[group.second]) / 2 if rows else part).double().numpy()
            )
            begin += count
        return found

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
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
        self.updates, self.best = saved["updates"], saved["best"]
        self.best_loss, self.found = saved["best_loss"], saved["found"]
        for group, values in zip(self._groups, saved["weights"], strict=True):
            for name, value in group.weights.items():
                value.copy_(values[name])
        restore_optimizer(self._adam, saved["adam"])


def route(group: Any, name: str, gradient: Tensor) -> Tensor:
    """Gradient (models, ...) of a weight from that of every row: its column's loss, or the mean of both."""
    side = group.template.side_of(name) if hasattr(group.template, "side_of") else None
    if side == "left":
        return gradient[group.first]
    if side == "right":
        return gradient[group.second]
    return (gradient[group.first] + gradient[group.second]) / 2


def _grouped(pupils: list[Pupil]) -> list[_Group]:
    """Pupils by structure: class and all options but the seed."""
    kinds: dict[Any, list[int]] = {}
    for k, pupil in enumerate(pupils):
        about = {
            name: value for name, value in vars(pupil.controller.options).items() if name != "seed"
        }
        kinds.setdefault((type(pupil.controller), tuple(sorted(about.items()))), []).append(k)
    groups = []
    for members in kinds.values():
        rows: list[tuple[int, str]] = []
        first, second = [], []
        for row, k in enumerate(members):
            left, right = pupils[k].losses
            first.append(len(rows))
            rows.append((row, left))
            if right != left:
                rows.append((row, right))
            second.append(len(rows) - 1)
        own = [dict(pupils[k].controller.named_parameters()) for k in members]
        stacked = {name: torch.stack([one[name].detach() for one in own]) for name in own[0]}
        learns = {
            name: torch.tensor([not name.startswith(pupils[k].frozen) for k in members])
            for name in own[0]
        }
        template = pupils[members[0]].controller
        groups.append(
            _Group(
                members, template, rows, torch.tensor(first), torch.tensor(second), stacked, learns
            )
        )
    return groups


def _draw(course: Course, key: list[int], update: int, count: int) -> Trials:
    """Trials of an update, a function of the key and the update's number alone."""
    word = int(np.random.SeedSequence([*key, update]).generate_state(1, np.uint64)[0])
    return course.trials(count, torch.Generator().manual_seed(word % 2**63))


def _layers(steps: list[dict[str, Tensor]]) -> list[Tensor]:
    """Activity (steps, rows, units, batch) of each hidden layer from the controllers' signals."""
    found = []
    for name, first in steps[0].items():
        if first.dim() == 4:  # several layers in one signal
            rows = torch.stack([signals[name].permute(0, 2, 3, 1) for signals in steps])
            found += list(rows.unbind(2))
        elif first.dim() == 3:
            found.append(torch.stack([signals[name].mT for signals in steps]))
    return found


__all__ = ["TERMS", "Cohort", "Pupil", "route"]
