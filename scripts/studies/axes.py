"""How axes of the studies' pictures look."""

from __future__ import annotations

from typing import Any


def tidy(axes: Any, title: str = "", x: str | None = None, y: str | None = None) -> None:
    """Give axes a title on the left, and no frame above and on the right.

    Args:
        axes: of matplotlib, changed in place.
        title: above them.
        x: label of the horizontal axis; None: it keeps its label.
        y: label of the vertical axis; None: it keeps its label.
    """
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if x is not None:
        axes.set_xlabel(x)
    if y is not None:
        axes.set_ylabel(y)
