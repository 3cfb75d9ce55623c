"""Tasks: one batched implementation each, and Gymnasium environments made of them.

Begin with `task` (what a task is) and `core` (how it becomes an environment); `swim` is the simplest task.
"""

from __future__ import annotations

from .core import SingleEnv, VectorEnv
from .simulation import Simulation
from .task import Task

__all__ = ["Simulation", "SingleEnv", "Task", "VectorEnv"]
