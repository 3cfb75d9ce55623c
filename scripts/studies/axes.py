"""How axes of the studies' pictures look."""

from __future__ import annotations

from typing import Any


def tidy(axes: Any, title: str = "", x: str | None = None, y: str | None = None) -> None:
    """Title on the left, no frame above and on the right; labels where given."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    if x is not None:
        axes.set_xlabel(x)
    if y is not None:
        axes.set_ylabel(y)
