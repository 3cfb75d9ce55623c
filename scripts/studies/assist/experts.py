"""The scripted experts on held-out start states, E1 to E9, and the forces with which every task is done, F1 to F7.

Codes: docs/systems/assist.md, "Row codes".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lancelet import controllers
from lancelet.assist_layout import CONTROL_PERIOD
from lancelet.controllers import Population
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.study import Study
from lancelet.training.rollout import Score, make_env, rollout
from lancelet.training.statistics import interval

TASKS = ("reach", "scratch", "feed", "drink", "wipe", "fetch", "drawer")
"""in the order of the codes E1 to E7 and F1 to F7"""
STARTS = {"quick": 5, "shown": 30, "full": 30}
"""start states of every task"""
FIRST_START = 1000
"""seed of the first; no training and no choice saw them"""
LARGEST_SCRATCH_FORCE = 10.0
"""N"""
LARGEST_SCRATCH_TIME = 30.0
"""s"""


@dataclass(frozen=True)
class Episodes:
    """What an expert did on its start states."""

    score: Score
    force_limit: float
    """N, above which an episode ends as unsafe"""
    forces: np.ndarray
    """(k,) N, the largest force in any substep of every control step in which robot and person touched"""
    steps: int
    """control steps of all episodes together"""
    record: dict[str, np.ndarray]
    """of the first episode"""

    @property
    def seconds(self) -> np.ndarray:
        """(episodes,) s that each took."""
        return self.score.lengths * CONTROL_PERIOD


def task_id(task: str) -> str:
    """Id of the task with a short name of `TASKS`."""
    return f"lancelet/Assist{task.capitalize()}-v0"


def perform(task: str, starts: int) -> Episodes:
    """Episodes of a task's expert, one a start state."""
    env = make_env(task_id(task), starts)
    expert = controllers.make(f"{task}-expert", env)
    peaks: list[np.ndarray] = []

    def note_forces(_: int) -> None:
        peaks.append(env.memory["peak_force"].copy())

    seeds = list(range(FIRST_START, FIRST_START + starts))
    score, _ = rollout(env, Population(expert, starts), seeds, record=True, on_step=note_forces)
    by_step = np.array(peaks)
    # Episodes that have ended stand still, and their last force with them.
    is_live = np.arange(len(by_step))[:, None] < score.lengths
    in_contact = by_step[is_live & (by_step > 0)]
    force_limit: float = env.task.force_limit  # pyright: ignore[reportAttributeAccessIssue] - all tasks here have it
    return Episodes(
        score=score,
        force_limit=force_limit,
        forces=in_contact,
        steps=int(score.lengths.sum()),
        record=score.record,
    )


def expert_rows(study: Study) -> dict[str, Episodes]:
    """E1 to E9 and F1 to F7; what was done, by task."""
    starts = STARTS[study.size]
    episodes = {task: perform(task, starts) for task in TASKS}
    for number, (task, done) in enumerate(episodes.items(), start=1):
        study.add(success_row(f"E{number}", task, done))
    for row in scratch_rows(episodes["scratch"]):
        study.add(row)
    for number, (task, done) in enumerate(episodes.items(), start=1):
        study.add(force_row(f"F{number}", task, done))
    return episodes


def success_row(code: str, task: str, done: Episodes) -> Row:
    """Start states from which the expert helped the person, all of which it must."""
    metrics = done.score.metrics
    count = len(metrics["success"])
    times = f"{np.median(done.seconds):.1f} s in the median, {done.seconds.max():.1f} s at most"
    force = f"largest force {np.nanmax(metrics['worst_force']):.1f} N of {done.force_limit:g} N"
    return at_least(
        f"{code} {task}: start states on which the expert succeeds",
        "gate",
        float(np.sum(metrics["success"] == 1)),
        count,
        seeds=count,
        note=f"{times}; {force}; unsafe {np.nansum(metrics['unsafe']):.0f}",
    )


def scratch_rows(done: Episodes) -> list[Row]:
    """E8 and E9: how gently and how fast the expert scratches."""
    forces = done.score.metrics["worst_force"]
    seconds = done.seconds
    rest: dict[str, Any] = {"seeds": len(forces)}
    return [
        at_most(
            "E8 scratch: largest force of any substep (N)",
            "gate",
            float(forces.max()),
            LARGEST_SCRATCH_FORCE,
            note=f"{forces.min():.1f} to {forces.max():.1f} N over the episodes",
            **rest,
        ),
        at_most(
            "E9 scratch: median time (s)",
            "gate",
            float(np.median(seconds)),
            LARGEST_SCRATCH_TIME,
            interval=interval(seconds, np.median),
            **rest,
        ),
    ]


def force_row(code: str, task: str, done: Episodes) -> Row:
    """The distribution of contact forces of a task."""
    name = f"{code} {task}: contact force, median (N)"
    count = len(done.score.lengths)
    if not done.forces.size:
        return Row(name, "info", 0.0, seeds=count, note="the expert never touches the person")
    percentile = np.percentile(done.forces, 95)
    share = len(done.forces) / done.steps
    note = f"95th percentile {percentile:.1f} N, largest {done.forces.max():.1f} N; "
    note += f"in contact {share:.0%} of the time; peaks of 2 ms substeps in every control step"
    return Row(name, "info", float(np.median(done.forces)), seeds=count, note=note)
