"""Pictures of the NCAP study: what was measured, over the reference points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.studies.ncap.learning import EPOCHS
from lancelet.scripts.studies.ncap.published import (
    EVOLUTION_STRATEGY,
    PERIODS,
    RETURNS_BY_PERIOD,
    UNTRAINED,
)
from lancelet.scripts.study import Study

OURS = "#1f6f8b"
THEIRS = "#d1495b"
SECOND = "#e09f3e"
THIRD = "#6a994e"
GREATEST_RETURN = 1000


@dataclass
class Measured:
    """What the pictures show."""

    untrained: dict[int, np.ndarray]
    """joints -> returns of the untrained circuit, (start states,)"""
    periods: dict[int, list[float]]
    """joints -> mean return at each of `PERIODS`"""
    evolution: np.ndarray
    """A8: returns at epoch 0 and at `EPOCHS`, (tests, searches)"""
    signs: np.ndarray | None
    """A11: returns at epoch 0 and at `EPOCHS`, (tests, searches); None: not run"""
    magnitudes: np.ndarray | None
    """A12: returns at epoch 0 and at `EPOCHS`, (tests, searches); None: not run"""
    transfer: dict[str, dict[int, np.ndarray]]
    """algorithm -> joints -> returns, (start states,)"""
    lesions: dict[str, float]
    """part of the circuit -> return without it, as a share of the intact circuit's"""


def draw(study: Study, measured: Measured) -> None:
    """All pictures for which `measured` holds the figures."""
    _untrained(study, measured.untrained)
    _periods(study, measured.periods)
    _curves(
        study,
        "learning",
        title="A8: published evolution strategy, P = 8",
        curve=measured.evolution,
        reference=EVOLUTION_STRATEGY,
    )
    if measured.signs is not None:
        _curves(
            study,
            "signs",
            title="A11: learning without the sign constraint, 16 patterns",
            curve=measured.signs,
        )
    if measured.magnitudes is not None:
        _curves(
            study,
            "magnitudes",
            title="A12: learning from uniform magnitudes, signs kept",
            curve=measured.magnitudes,
        )
    _transfer(study, measured.transfer)
    _lesions(study, measured.lesions)


def _axes(title: str, x: str, y: str = "return", width: float = 6.5) -> tuple[Figure, Axes]:
    """A figure with one pair of axes.

    Args:
        title: above the axes.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        width: of the figure, inches.
    """
    plot, axes = plt.subplots(figsize=(width, 3.6))
    tidy(axes, title, x, y)
    return plot, axes


def _untrained(study: Study, returns_by_joints: Mapping[int, np.ndarray]) -> None:
    """A3 and A4: returns of every start state in six bodies."""
    plot, axes = _axes("A3, A4: untrained NCAP in six bodies", "joints")
    label = "measured"
    for joints, returns in returns_by_joints.items():
        x = np.full(len(returns), joints)
        axes.plot(x, returns, "o", color=OURS, alpha=0.35, label=label)
        # One entry in the legend stands for all bodies: matplotlib leaves out labels that begin so.
        label = "_nolegend_"
    joint_counts = list(UNTRAINED)
    axes.plot(
        joint_counts,
        list(UNTRAINED.values()),
        "_",
        color=THEIRS,
        markersize=22,
        label="reference",
    )
    axes.set_xticks(joint_counts)
    axes.set_ylim(0, GREATEST_RETURN)
    axes.legend(frameon=False)
    study.picture("untrained", "Ten start states each; crosses: the published code.", plot)


def _periods(study: Study, returns_by_joints: Mapping[int, list[float]]) -> None:
    """A6: return over the oscillator's period in three bodies."""
    plot, axes = _axes("A6: period of the head oscillator, untrained", "period (control steps)")
    colors = (OURS, SECOND, THIRD)
    for (joints, returns), color in zip(returns_by_joints.items(), colors, strict=True):
        axes.plot(PERIODS, returns, "-", color=color, label=f"N = {joints}")
        axes.plot(PERIODS, RETURNS_BY_PERIOD[joints], "x", color=color)
    axes.plot([], [], "x", color="gray", label="reference")
    axes.legend(frameon=False)
    study.picture("periods", "Lines: measured, 2 start states; crosses: the published code.", plot)


def _curves(
    study: Study,
    name: str,
    title: str,
    curve: np.ndarray,
    reference: Mapping[int, float] | None = None,
) -> None:
    """Learning curves of searches by the evolution strategy, and their mean.

    Args:
        study: takes the picture.
        name: of the picture's file.
        title: above the axes.
        curve: returns at epoch 0 and at `EPOCHS`, (tests, searches).
        reference: epoch -> return of the published code; None: it is not known.
    """
    plot, axes = _axes(title, "epoch (8 episodes of 1,000 steps)")
    epochs = (0, *EPOCHS)
    for returns in curve.T:
        axes.plot(epochs, returns, color=OURS, alpha=0.25, linewidth=1)
    label = f"mean of {curve.shape[1]} searches"
    axes.plot(epochs, curve.mean(1), color=OURS, linewidth=2, label=label)
    if reference is not None:
        axes.plot(
            list(reference),
            list(reference.values()),
            "x",
            color=THEIRS,
            label="reference (one run)",
        )
    axes.legend(frameon=False)
    study.picture(name, "Deterministic return of the centre, 4 start states.", plot)


def _transfer(study: Study, returns: Mapping[str, Mapping[int, np.ndarray]]) -> None:
    """A13: mean returns in all bodies of weights that were trained in one."""
    plot, axes = _axes("A13: weights trained at N = 5, other bodies, unchanged", "joints")
    for (algorithm, returns_by_joints), color in zip(returns.items(), (OURS, SECOND), strict=True):
        means = [of_body.mean() for of_body in returns_by_joints.values()]
        axes.plot(list(returns_by_joints), means, "o-", color=color, label=algorithm)
    axes.set_ylim(0, GREATEST_RETURN)
    axes.legend(frameon=False)
    study.picture("transfer", "Five start states each.", plot)


def _lesions(study: Study, shares: Mapping[str, float]) -> None:
    """What is left of the return without each part of the trained circuit."""
    title = "Trained circuit: return without one part"
    plot, axes = _axes(title, "", "share of the intact return", width=8)
    axes.bar(list(shares), list(shares.values()), color=OURS)
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.tick_params(axis="x", rotation=60)
    caption = "Synapse classes, joint sensors, B-neuron pairs; 5 start states."
    study.picture("lesions", caption, plot)
