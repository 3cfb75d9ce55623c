"""Pictures of the assistive study: a still of every task, the forces, learning curves."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from lancelet.scripts.studies.assist.baselines import Curve
from lancelet.scripts.studies.assist.experts import Episodes, task_id
from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env
from lancelet.training.video import opengl
from lancelet.training.video.video import draw

MOMENTS = {
    "reach": 1.0,
    "scratch": 0.8,
    "feed": 0.95,
    "drink": 0.98,
    "wipe": 0.7,
    "fetch": 0.5,
    "drawer": 1.0,
}
"""share of the expert's first episode at which a task's still is taken"""
STILL_SIZE = (800, 600)
"""pixels"""
COLUMNS = 4
"""stills beside each other on the sheet"""
STILL_INCHES = (3.2, 2.65)
"""width and height of a still on the sheet, with its title"""
OURS = "#1f6f8b"


def draw_stills(study: Study, episodes: Mapping[str, Episodes]) -> None:
    """A sheet with one still a task; none where there is no OpenGL."""
    if opengl.probe() is None:
        study.say(f"  no stills: {opengl.advice()}")
        return
    rows = -(-len(episodes) // COLUMNS)
    width, height = STILL_INCHES
    sheet, grid = plt.subplots(rows, COLUMNS, figsize=(width * COLUMNS, height * rows))
    for axes in grid.flat:
        axes.axis("off")
    with tempfile.TemporaryDirectory() as folder:
        for axes, (task, done) in zip(grid.flat, episodes.items(), strict=False):
            path = Path(folder) / f"{task}.png"
            draw_still(task, done, path)
            axes.imshow(plt.imread(path))
            axes.set_title(f"{task}, {done.seconds[0]:.0f} s", loc="left", fontsize=11)
    sheet.tight_layout()
    study.picture("tasks", "The experts at work, each from the first held-out start state.", sheet)


def draw_still(task: str, done: Episodes, path: Path) -> None:
    """Draw the telling moment of a task's first episode to `path`."""
    frames = len(done.record["qpos"])
    moment = round(MOMENTS[task] * (frames - 1))
    record = {
        name: done.record[name][moment : moment + 1] for name in ("qpos", "mocap_pos", "mocap_quat")
    }
    env = make_env(task_id(task), 1, nthread=1)
    width, height = STILL_SIZE
    draw(
        env.sim.model,  # pyright: ignore[reportAttributeAccessIssue] - these are tasks of MuJoCo
        record,
        path,
        fps=1.0,
        width=width,
        height=height,
        shadows=True,
    )
    env.close()


def draw_forces(study: Study, episodes: Mapping[str, Episodes]) -> None:
    """How hard the experts press, task by task."""
    touched = {task: done for task, done in episodes.items() if done.forces.size}
    plot, axes = plt.subplots(figsize=(7.5, 3.6))
    tidy(
        axes,
        "Contact forces of the experts",
        "share of the control steps in contact",
        "largest force of the step (N)",
    )
    for task, done in touched.items():
        shares = np.linspace(0, 1, len(done.forces))
        axes.plot(shares, np.sort(done.forces), linewidth=1.5, label=task)
    axes.legend(frameon=False, fontsize=8)
    caption = "Sorted peaks of 2 ms substeps; tasks in which the expert touches the person."
    study.picture("forces", caption, plot)


def draw_learning(study: Study, curves: Mapping[str, Sequence[Curve]]) -> None:
    """Validation returns of the trainings, one line each."""
    plot, grid = plt.subplots(1, len(curves), figsize=(5 * len(curves), 3.6), squeeze=False)
    for axes, (name, trainings) in zip(grid.flat, curves.items(), strict=True):
        tidy(axes, name.removeprefix("assist-"), "thousand control steps", "return")
        for curve in trainings:
            axes.plot(curve.steps / 1000, curve.returns, color=OURS, linewidth=1.2)
    plot.tight_layout()
    study.picture("learning", "Validation start states, without noise; one line a training.", plot)
