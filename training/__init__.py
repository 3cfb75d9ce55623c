"""Rollouts and optimisers. Importing this package registers the ids."""

from __future__ import annotations

from .rollout import Score, evaluate

__all__ = ["Score", "evaluate"]
