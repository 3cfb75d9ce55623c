"""Observations and infos of a batch: one array of n rows, or a dictionary of such arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Observation = np.ndarray | dict[str, np.ndarray]


def row_of(observation: Observation, i: int) -> Observation:
    """A copy of the observation of simulation `i`."""
    if isinstance(observation, dict):
        return {name: rows[i].copy() for name, rows in observation.items()}
    return observation[i].copy()


def copy_rows(target: Observation, mask: np.ndarray, source: Observation) -> None:
    """Overwrite, in place, the rows of `target` that the mask (n,) selects with those of `source`."""
    if isinstance(target, dict):
        assert isinstance(source, dict)
        for name, rows in target.items():
            rows[mask] = source[name][mask]
    else:
        assert isinstance(source, np.ndarray)
        target[mask] = source[mask]


def masked(values: Mapping[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    """Gymnasium's form of vector info: ``name`` a copy of its array (n,), ``_name`` the mask of its valid rows."""
    info: dict[str, np.ndarray] = {}
    for name, rows in values.items():
        info[name] = np.array(rows)
        info[f"_{name}"] = mask
    return info
