"""Pictures of the NCAP study: what was measured, over the reference points."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.study import Study

OURS, THEIRS = "#1f6f8b", "#d1495b"
PERIOD_REFERENCE = {
    5: (230, 497, 615, 699, 801, 804, 798, 772, 770, 790, 766),
    11: (649, 931, 962, 937, 905, 939, 957, 959, 939, 914, 896),
    13: (766, 952, 954, 926, 916, 959, 960, 956, 934, 927, 896),
}


def draw(study: Study, data: dict[str, Any]) -> None:
    """All pictures for which `data` holds the figures."""
    from lancelet.scripts.studies.ncap import study as ncap

    _untrained(study, data["untrained"], ncap.UNTRAINED)
    _periods(study, data["periods"], ncap.PERIODS)
    _curves(
        study,
        "learning",
        "A8: published evolution strategy, P = 8",
        data["es"],
        ncap.EPOCHS,
        ncap.ES_REFERENCE,
    )
    if "signs" in data:
        _curves(
            study,
            "signs",
            "A11: learning without the sign constraint, 16 patterns",
            data["signs"],
            ncap.EPOCHS,
        )
        title = "A12: learning from uniform magnitudes, signs kept"
        _curves(study, "magnitudes", title, data["magnitudes"], ncap.EPOCHS)
    _transfer(study, data["transfer"])
    _lesions(study, data["lesions"])


def _axes(title: str, x: str, y: str = "return", width: float = 6.5) -> tuple[Any, Any]:
    plot, axes = plt.subplots(figsize=(width, 3.6))
    tidy(axes, title, x, y)
    return plot, axes


def _untrained(study: Study, found: dict[int, np.ndarray], reference: dict[int, float]) -> None:
    plot, axes = _axes("A3, A4: untrained NCAP in six bodies", "joints")
    for joints, returns in found.items():
        label = "measured" if joints == 3 else None
        axes.plot(np.full(len(returns), joints), returns, "o", color=OURS, alpha=0.35, label=label)
    axes.plot(
        list(reference),
        list(reference.values()),
        "_",
        color=THEIRS,
        markersize=22,
        label="reference",
    )
    axes.set_xticks(list(reference))
    axes.set_ylim(0, 1000)
    axes.legend(frameon=False)
    study.picture("untrained", "Ten start states each; crosses: the published code.", plot)


def _periods(study: Study, scan: dict[int, list[float]], periods: tuple[int, ...]) -> None:
    plot, axes = _axes("A6: period of the head oscillator, untrained", "period (control steps)")
    for joints, color in zip(scan, (OURS, "#e09f3e", "#6a994e"), strict=False):
        axes.plot(periods, scan[joints], "-", color=color, label=f"N = {joints}")
        axes.plot(periods, PERIOD_REFERENCE[joints], "x", color=color)
    axes.plot([], [], "x", color="gray", label="reference")
    axes.legend(frameon=False)
    study.picture("periods", "Lines: measured, 2 start states; crosses: the published code.", plot)


def _curves(
    study: Study,
    name: str,
    title: str,
    curve: np.ndarray,
    epochs: tuple[int, ...],
    reference: tuple[float, ...] = (),
) -> None:
    plot, axes = _axes(title, "epoch (8 episodes of 1,000 steps)")
    at = (0, *epochs)
    for column in curve.T:
        axes.plot(at, column, color=OURS, alpha=0.25, linewidth=1)
    axes.plot(
        at, curve.mean(1), color=OURS, linewidth=2, label=f"mean of {curve.shape[1]} searches"
    )
    if reference:
        axes.plot(epochs, reference, "x", color=THEIRS, label="reference (one run)")
    axes.legend(frameon=False)
    study.picture(name, "Deterministic return of the centre, 4 start states.", plot)


def _transfer(study: Study, found: dict[str, dict[int, np.ndarray]]) -> None:
    plot, axes = _axes("A13: weights trained at N = 5, other bodies, unchanged", "joints")
    for (name, returns), color in zip(found.items(), (OURS, "#e09f3e"), strict=False):
        axes.plot(
            list(returns), [r.mean() for r in returns.values()], "o-", color=color, label=name
        )
    axes.set_ylim(0, 1000)
    axes.legend(frameon=False)
    study.picture("transfer", "Five start states each.", plot)


def _lesions(study: Study, found: dict[str, float]) -> None:
    plot, axes = _axes(
        "Trained circuit: return without one part", "", "share of the intact return", width=8
    )
    axes.bar(list(found), list(found.values()), color=OURS)
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.tick_params(axis="x", rotation=60)
    study.picture(
        "lesions", "Synapse classes, joint sensors, B-neuron pairs; 5 start states.", plot
    )
