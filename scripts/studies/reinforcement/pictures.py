"""Learning curves of the study of PPO and DDPG, and their picture over the reference points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lancelet.scripts.study import Study

REFERENCE = {
    "ncap": {20: 780, 40: 783, 60: 796, 80: 798, 100: 808},
    "mlp": {
        20: 174,
        40: 397,
        60: 591,
        80: 667,
        100: 758,
        140: 853,
        200: 925,
        300: 965,
        400: 971,
        500: 976,
    },
}
"""controller -> thousands of steps -> test mean of one PPO run, sampled actions"""
LABELS = {"ncap": "NCAP", "mlp": "MLP (256, 256)"}
"""controller -> its name in the legend"""
COLORS = {"ncap": "#1f6f8b", "mlp": "#e09f3e"}
"""controller -> colour of its curve"""
GREATEST_RETURN = 1000


@dataclass
class Curve:
    """Tests of all trainings of one configuration."""

    steps: np.ndarray
    """control steps before each test, (tests,)"""
    validation: np.ndarray
    """mean return of deterministic actions, (trainings, tests)"""
    sampled: np.ndarray
    """mean return of sampled actions, (trainings, tests)"""
    parameter_count: int
    """weights of the controller"""

    def at(self, steps: int, returns: np.ndarray) -> np.ndarray:
        """The test at `steps`, the first at or after it, of every training.

        Args:
            steps: control steps.
            returns: `validation` or `sampled`.

        Returns:
            (trainings,).
        """
        return returns[:, int(np.searchsorted(self.steps, steps))]

    def steps_to(self, level: float) -> np.ndarray:
        """Steps until the sampled test first reaches `level`, (trainings,); infinite where it never does."""
        reached = self.sampled >= level
        return np.where(reached.any(axis=1), self.steps[reached.argmax(axis=1)], np.inf)


def draw(study: Study, ppo: Mapping[str, Curve], ddpg: Mapping[str, Curve]) -> None:
    """Learning curves over the reference points.

    Args:
        study: takes the picture.
        ppo: controller -> its curve under PPO.
        ddpg: controller -> its curve under DDPG.
    """
    plot, (ppo_axes, ddpg_axes) = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True)
    for controller, curve in ppo.items():
        _draw_curve(ppo_axes, controller, curve, curve.sampled)
        points = REFERENCE[controller]
        ppo_axes.plot(
            list(points),
            list(points.values()),
            "x",
            color=COLORS[controller],
            markeredgewidth=2,
        )
    for controller, curve in ddpg.items():
        _draw_curve(ddpg_axes, controller, curve, curve.validation)
    ppo_axes.plot([], [], "x", color="gray", label="reference (one run)")
    ppo_axes.set_ylabel("return")
    ppo_seeds = len(ppo["ncap"].sampled)
    ddpg_seeds = len(ddpg["ncap"].validation)
    _finish(ppo_axes, f"A7, A9, A10: PPO, sampled actions, {ppo_seeds} seeds")
    _finish(ddpg_axes, f"A7, A9, A10: DDPG, deterministic actions, {ddpg_seeds} seeds")
    caption = "Mean and range over seeds of tests of 5 episodes; crosses: a replication by others."
    study.picture("trainers", caption, plot)


def _draw_curve(axes: Axes, controller: str, curve: Curve, returns: np.ndarray) -> None:
    """Mean and range over trainings.

    Args:
        axes: to draw on.
        controller: of `LABELS`.
        curve: tests of all trainings.
        returns: `validation` or `sampled` of `curve`.
    """
    color = COLORS[controller]
    thousands = curve.steps / 1000
    label = f"{LABELS[controller]}, {curve.parameter_count:,} parameters"
    axes.fill_between(
        thousands,
        returns.min(axis=0),
        returns.max(axis=0),
        color=color,
        alpha=0.2,
        linewidth=0,
    )
    axes.plot(thousands, returns.mean(axis=0), color=color, linewidth=2, label=label)


def _finish(axes: Axes, title: str) -> None:
    """Title, frame, range and legend of one pair of axes; comes last, since a legend lists what is drawn before it."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("thousand control steps")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(0, GREATEST_RETURN)
    axes.legend(frameon=False, loc="lower right")
