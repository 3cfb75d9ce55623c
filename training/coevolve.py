"""The names of co-evolution that scripts import; the room behind them is `training/coevolution/`."""

from __future__ import annotations

from .coevolution.driver import Coevolve, Evolved

__all__ = ["Coevolve", "Evolved"]
