"""How scripts read the individuals of a co-evolution; the database itself is `training/coevolution/individuals.py`."""

from __future__ import annotations

from .coevolution.individuals import Individual, Individuals, read, settings

__all__ = ["Individual", "Individuals", "read", "settings"]
