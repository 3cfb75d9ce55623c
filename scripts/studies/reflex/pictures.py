"""Pictures of the reflex study: searches, variants, transfer, lesions, and one episode joint by joint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib

# Before pyplot is imported: pictures go to files, and no display is needed.
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.study import Study

OURS = "#1f6f8b"
"""color of the reflex chain"""
THEIRS = "#d1495b"
"""color of what it is held against"""
SHOWN = 200
"""control steps of the episode that is drawn"""
WHOLE = "whole"
"""name of the circuit among its variants"""
STEPS = 0
"""column of a curve: environment steps of training so far"""
VALIDATION = 1
"""column of a curve: return on validation start states"""
ROOT_COORDINATES = 3
"""of a swimmer's configuration, in front of its joint angles: x, y and heading"""
WHOLE_EPISODE = 1000
"""control steps of an episode of the task, and so its largest return: a step pays at most 1"""
LARGEST_BEND = 65
"""degrees, where the colours of the raster end"""

ByJoints = Mapping[int, np.ndarray]
"""number of joints -> returns, (start states,)"""


@dataclass
class Results:
    """What the study measured, as the pictures show it; empty where a part of it was not asked for."""

    validation_starts: int
    """Start states of each validation in `curves` and `variants`."""
    validation_steps: int
    """Control steps of its episodes, and so the largest return: a step pays at most 1."""
    curves: Sequence[np.ndarray] = ()
    """A curve a search, (validations, `STEPS` and `VALIDATION`)."""
    variants: dict[str, np.ndarray] = field(default_factory=dict)
    """Variant -> curve of its first search."""
    reflex_transfer: ByJoints = field(default_factory=dict)
    """Returns of the best circuit in other bodies."""
    ncap_transfer: ByJoints = field(default_factory=dict)
    """The same of the best NCAP."""
    lesions: dict[str, float] = field(default_factory=dict)
    """Silenced mechanism -> mean return."""
    record: Mapping[str, np.ndarray] = field(default_factory=dict)
    """One recorded episode (`training.rollout.Score.record`)."""


def draw(study: Study, results: Results) -> None:
    """Draw all pictures of which `results` holds the figures into the study's folder and report."""
    if results.curves:
        _curves(study, results)
    if results.variants:
        _variants(study, results)
    if results.reflex_transfer:
        _transfer(study, results.reflex_transfer, results.ncap_transfer)
    if results.lesions:
        _lesions(study, results.lesions)
    if results.record:
        _raster(study, results.record)


def _axes(title: str, x: str, y: str, height: float = 3.6) -> tuple[Figure, Axes]:
    """A figure with one set of axes.

    Args:
        title: above the axes.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        height: of the figure, inches.
    """
    plot, axes = plt.subplots(figsize=(6.5, height))
    tidy(axes, title, x, y)
    return plot, axes


def _curve(axes: Axes, curve: np.ndarray, **style: Any) -> None:
    """Draw the best validation so far of one search."""
    # A search keeps its best circuit: what a validation finds worse changes nothing.
    best_so_far = np.maximum.accumulate(curve[:, VALIDATION])
    axes.plot(curve[:, STEPS], best_so_far, **style)


def _validation_in_words(results: Results) -> str:
    """What a validation is, for a caption."""
    return (
        f"{results.validation_starts} validation start states, "
        f"{results.validation_steps} control steps"
    )


def _curves(study: Study, results: Results) -> None:
    """Draw every search of the circuit."""
    plot, axes = _axes(
        "Searches, best by validation so far",
        x="environment steps of training",
        y=f"return of {results.validation_steps}",
    )
    for curve in results.curves:
        _curve(axes, curve, color=OURS, linewidth=1.2)
    caption = f"One line a search; {_validation_in_words(results)}."
    study.picture("learning", caption, plot)


def _variants(study: Study, results: Results) -> None:
    """Draw the first search of every variant."""
    plot, axes = _axes(
        "What was tried: first search each",
        x="environment steps of training",
        y=f"return of {results.validation_steps}",
        height=4.2,
    )
    for number, (name, curve) in enumerate(results.variants.items()):
        style: dict[str, Any] = {"color": f"C{number}", "linewidth": 1.2}
        if name == WHOLE:
            style = {"color": "black", "linewidth": 2}
        _curve(axes, curve, label=name, **style)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    caption = f"Best by validation so far; {_validation_in_words(results)}."
    study.picture("variants", caption, plot)


def _transfer(study: Study, reflex: ByJoints, ncap: ByJoints) -> None:
    """Return in other bodies of the reflex chain, and of NCAP where it was measured."""
    title = "Weights trained at N = 5 in other bodies, unchanged"
    plot, axes = _axes(title, x="joints", y=f"return of {WHOLE_EPISODE}")
    _line_of_means(axes, reflex, color=OURS, label="reflex chain")
    if ncap:
        _line_of_means(axes, ncap, color=THEIRS, label="NCAP (SNES)")
    axes.set_xticks(list(reflex))
    axes.set_ylim(0, WHOLE_EPISODE)
    axes.legend(frameon=False)
    study.picture("transfer", "Means over held-out start states.", plot)


def _line_of_means(axes: Axes, by_joints: ByJoints, color: str, label: str) -> None:
    """Draw the mean return over the number of joints."""
    means = [returns.mean() for returns in by_joints.values()]
    axes.plot(list(by_joints), means, "o-", color=color, label=label)


def _lesions(study: Study, lesions: Mapping[str, float]) -> None:
    """Return with each mechanism silenced."""
    title = "Trained circuit with one mechanism silenced"
    plot, axes = _axes(title, x="", y=f"return of {WHOLE_EPISODE}")
    axes.bar(list(lesions), list(lesions.values()), color=OURS)
    axes.set_ylim(0, WHOLE_EPISODE)
    study.picture("lesions", "Not trained again.", plot)


def _raster(study: Study, record: Mapping[str, np.ndarray]) -> None:
    """Joint angles and reward of one episode over time."""
    plot, (above, below) = plt.subplots(2, 1, figsize=(6.5, 4.6), sharex=True, height_ratios=(3, 1))
    angles = record["qpos"][:SHOWN, ROOT_COORDINATES:]
    bend = np.degrees(angles).T
    image = above.imshow(
        bend,
        aspect="auto",
        cmap="RdBu_r",
        vmin=-LARGEST_BEND,
        vmax=LARGEST_BEND,
        interpolation="nearest",
    )
    names = [f"joint {number}" for number in range(1, len(bend) + 1)]
    above.set_yticks(range(len(bend)), names)
    title = "One held-out start: joint angles (degrees) and reward"
    above.set_title(title, loc="left", fontsize=10)
    plot.colorbar(image, ax=[above, below], shrink=0.6, location="right")
    below.plot(record["reward"][:SHOWN], color=OURS)
    below.set_ylim(0, 1.05)
    tidy(below, x="control step (0.03 s)", y="reward")
    study.picture("raster", "The bending wave from rest: head above, tail below; seed 0.", plot)
