"""Tasks: one batched implementation each, Gymnasium at the door."""

from __future__ import annotations

from .core import SingleEnv, VectorEnv
from .simulation import Simulation
from .task import Task

__all__ = ["Simulation", "SingleEnv", "Task", "VectorEnv"]
