"""Pictures of the reflex study: searches, variants, transfer, lesions, and one episode joint by joint."""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.study import Study

OURS, THEIRS, SHOWN = "#1f6f8b", "#d1495b", 200


def draw(study: Study, data: dict[str, Any]) -> None:
    """All pictures for which `data` holds the figures."""
    if "curves" in data:
        _curves(study, data["curves"])
    if "variants" in data:
        _variants(study, data["variants"])
    if "transfer" in data:
        _transfer(study, data["transfer"])
    if "lesions" in data:
        _lesions(study, data["lesions"])
    if "record" in data:
        _raster(study, data["record"])


def _axes(title: str, x: str, y: str, height: float = 3.6) -> tuple[Any, Any]:
    plot, axes = plt.subplots(figsize=(6.5, height))
    tidy(axes, title, x, y)
    return plot, axes


def _curves(study: Study, curves: list[np.ndarray]) -> None:
    plot, axes = _axes(
        "Searches, best by validation so far", "environment steps of training", "return of 500"
    )
    for curve in curves:
        axes.plot(curve[:, 0], np.maximum.accumulate(curve[:, 1]), color=OURS, linewidth=1.2)
    study.picture(
        "learning", "One line a search; 16 validation start states, 500 control steps.", plot
    )


def _variants(study: Study, curves: dict[str, np.ndarray]) -> None:
    plot, axes = _axes(
        "What was tried: first search each", "environment steps of training", "return of 500", 4.2
    )
    for i, (name, curve) in enumerate(curves.items()):
        rest = (
            {"color": "black", "linewidth": 2}
            if name == "whole"
            else {"color": f"C{i}", "linewidth": 1.2}
        )
        axes.plot(curve[:, 0], np.maximum.accumulate(curve[:, 1]), label=name, **rest)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    study.picture(
        "variants",
        "Best by validation so far; 16 validation start states, 500 control steps.",
        plot,
    )


def _transfer(study: Study, found: dict[str, dict[int, np.ndarray]]) -> None:
    plot, axes = _axes(
        "Weights trained at N = 5 in other bodies, unchanged", "joints", "return of 1000"
    )
    for (name, returns), color in zip(found.items(), (OURS, THEIRS), strict=False):
        label = {"reflex": "reflex chain", "ncap": "NCAP (SNES)"}[name]
        axes.plot(
            list(returns), [r.mean() for r in returns.values()], "o-", color=color, label=label
        )
    axes.set_xticks(list(next(iter(found.values()))))
    axes.set_ylim(0, 1000)
    axes.legend(frameon=False)
    study.picture("transfer", "Means over held-out start states.", plot)


def _lesions(study: Study, found: dict[str, float]) -> None:
    plot, axes = _axes("Trained circuit with one mechanism silenced", "", "return of 1000")
    axes.bar(list(found), list(found.values()), color=OURS)
    axes.set_ylim(0, 1000)
    study.picture("lesions", "Not trained again.", plot)


def _raster(study: Study, record: dict[str, np.ndarray]) -> None:
    plot, (above, below) = plt.subplots(2, 1, figsize=(6.5, 4.6), sharex=True, height_ratios=(3, 1))
    bend = np.degrees(record["qpos"][:SHOWN, 3:]).T
    image = above.imshow(
        bend, aspect="auto", cmap="RdBu_r", vmin=-65, vmax=65, interpolation="nearest"
    )
    above.set_yticks(range(len(bend)), [f"joint {i + 1}" for i in range(len(bend))])
    above.set_title(
        "One held-out start: joint angles (degrees) and reward", loc="left", fontsize=10
    )
    plot.colorbar(image, ax=[above, below], shrink=0.6, location="right")
    below.plot(record["reward"][:SHOWN], color=OURS)
    below.set_ylim(0, 1.05)
    below.set_xlabel("control step (0.03 s)")
    below.set_ylabel("reward")
    below.spines[["top", "right"]].set_visible(False)
    study.picture("raster", "The bending wave from rest: head above, tail below; seed 0.", plot)
