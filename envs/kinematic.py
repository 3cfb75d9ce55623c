"""Model K: a kinematic two-wheeled light seeker in a plane (Powers et al. 2021, arXiv 2108.08398).

The equations stand in docs/systems/goodbody.md, "Model K"; their compiled steps in `kinematic_rollout`.

Explicit Euler in float64 is part of the task, not an approximation: sensors read 1 / distance^2 without bound, so that
a robot near the light jumps metres in one step, and regions of policies that solve the task are speckled stripes.
Single policies at their edges depend on the last bit of every cosine; counts over a grid do so by a few per cent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from ..errors import LanceletError
from ..morphology.braitenberg import placement
from ..threads import in_threads
from .kinematic_rollout import TRACE_COLUMNS, Rollouts, least_distances, trace_rollout

STARTS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]]) * (4 / math.sqrt(2))
"""x and y of the four environments' starts, m; heading 0 in all, the light at the origin"""
ENVIRONMENTS = len(STARTS)
NEAR = 0.075
"""m; a policy solves an environment that brings the body's centre nearer to the light than this"""
DT = 0.05
"""s, of the Euler step"""
STEPS = 10_000
"""steps of a rollout"""
GRID = 121
"""weights a side of the policy grid"""
LEAST_GRID = 3
"""weights a side of the smallest grid that has an inside"""
_STRIDE = 64
"""rollouts between two that are worked on one after the other: threads then get equal parts of long and short ones"""


def distances(
    bodies: ArrayLike,
    weights: ArrayLike,
    *,
    dt: float = DT,
    steps: int = STEPS,
    saturation: float = math.inf,
    enough: float = 0.0,
    whole: bool = False,
    threads: int = 0,
) -> np.ndarray:
    """Least distance of the body's centre from the light over a rollout, in each environment.

    Rollouts end early where nothing that could follow changes the number. Numbers depend neither on the number of
    threads nor on what else is asked for in the call.

    Args:
        bodies: placements (4,), m, or (b, 4) with b dividing n: policy i acts in body ``i % b``.
        weights: policies (n, 2): w1 from sensor 2 to the left wheel, w2 from sensor 1 to the right wheel, in [-1, 1].
        dt: Euler step, s.
        steps: steps of a rollout.
        saturation: largest value of a sensor, 1 / m^2.
        enough: m; a rollout may end once it came nearer than this. Its number then only says so.
        whole: run all steps of every rollout anyway (for timing).
        threads: threads that share the work; 0: one a core.

    Returns:
        Distances in m, float64 (n, 4).

    Raises:
        LanceletError: sensors beyond the deck, weights outside the box, NaN, or settings that make no rollout.
    """
    all_bodies = np.atleast_2d(placement(bodies))
    all_weights = policies(weights)
    if not (math.isfinite(dt) and dt > 0 and steps >= 1 and saturation > 0):
        raise LanceletError(
            f"dt = {dt}, steps = {steps}, saturation = {saturation}: must be above 0"
        )
    job = Rollouts(
        bodies=np.ascontiguousarray(all_bodies),
        weights=all_weights,
        starts=STARTS,
        steps=int(steps),
        dt=float(dt),
        floor=1 / saturation,
        enough=float(enough),
        whole=whole,
    )
    count = len(all_weights) * ENVIRONMENTS
    least = np.empty(count)
    in_threads(least_distances, count, threads, _order_of_work(count), job, least)
    return least.reshape(len(all_weights), ENVIRONMENTS)


def _order_of_work(count: int) -> np.ndarray:
    """The numbers from 0 to before `count`, every `_STRIDE`-th first, then those behind them, and so on."""
    return np.concatenate(
        [np.arange(first, count, _STRIDE) for first in range(min(_STRIDE, count))]
    )


def policies(weights: ArrayLike) -> np.ndarray:
    """Policies (n, 2), checked, as a contiguous array of float64.

    Raises:
        LanceletError: another shape, NaN, or a weight outside the box.
    """
    array = np.ascontiguousarray(weights, float)
    if array.ndim != 2 or array.shape[1] != 2:
        raise LanceletError(f"weights of shape {array.shape}: must be (n, 2)")
    # The other way round NaN would pass.
    is_wrong = ~(np.abs(array) <= 1)
    if is_wrong.any():
        policy, column = np.argwhere(is_wrong)[0]
        raise LanceletError(
            f"weights: w{column + 1} = {array[policy, column]:g}: must be from -1 to 1"
        )
    return array


def grid(size: int = GRID) -> np.ndarray:
    """All policies of a `size` x `size` grid over the box, its edges among them: (size^2, 2), w1 outer.

    Raises:
        LanceletError: fewer than 3 a side, which leaves no inside.
    """
    if size != int(size) or size < LEAST_GRID:
        raise LanceletError(f"grid = {size}: must be {LEAST_GRID} or more weights a side")
    side = np.linspace(-1, 1, int(size))
    w1, w2 = np.meshgrid(side, side, indexing="ij")
    return np.stack([w1, w2], axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Manifolds:
    """Which policies of a grid solve which environments, for one body."""

    solved: np.ndarray
    """whether a policy solves an environment, bool (size, size, 4): by w1, w2 and environment"""

    @property
    def count(self) -> np.ndarray:
        """Number of environments that each policy solves, n(w), uint8 (size, size)."""
        return self.solved.sum(-1).astype(np.uint8)

    @property
    def optimal(self) -> int:
        """Number of policies that solve all four environments, A_o."""
        return int((self.count == ENVIRONMENTS).sum())

    @property
    def some(self) -> int:
        """Number of policies that solve at least one environment, A_any."""
        return int((self.count > 0).sum())

    @property
    def each(self) -> tuple[int, ...]:
        """Number of policies that solve each environment, A_e."""
        return tuple(int(count) for count in self.solved.sum((0, 1)))

    @property
    def r1(self) -> float:
        """Share of policies that solve all four environments, from 0 to 1."""
        return self.optimal / self.count.size

    @property
    def r2(self) -> float:
        """Of the policies that solve any environment, the share that solve all; 0 where none solves any."""
        if self.some == 0:
            return 0.0
        return self.optimal / self.some

    @property
    def overlap(self) -> float:
        """`r1` over what independent environments would give: above 1 their solutions coincide.

        NaN where an environment has no solution.
        """
        chance = math.prod(solved / self.count.size for solved in self.each)
        if chance == 0:
            return math.nan
        return self.r1 / chance

    @property
    def area(self) -> float:
        """`r1` by the trapezoid rule: the chance that a policy drawn uniformly from the box solves all four."""
        return float(area(self.count))


def area(counts: np.ndarray) -> np.ndarray:
    """Share of the box whose policies solve all four environments, by the trapezoid rule.

    Args:
        counts: environments solved by each policy of a grid, n(w), (..., size, size).

    Returns:
        Shares from 0 to 1, (...).
    """
    # The cells at the edges of the grid lie half outside the box.
    cell_width = np.ones(counts.shape[-1])
    cell_width[[0, -1]] = 0.5
    cell_width /= cell_width.sum()
    return np.einsum("...ij,i,j->...", counts == ENVIRONMENTS, cell_width, cell_width)


@overload
def manifolds(
    body: ArrayLike, size: int = GRID, near: float = NEAR, **settings: Any
) -> Manifolds: ...


@overload
def manifolds(
    body: ArrayLike, size: int = GRID, *, near: Sequence[float], **settings: Any
) -> list[Manifolds]: ...


def manifolds(
    body: ArrayLike, size: int = GRID, near: float | Sequence[float] = NEAR, **settings: Any
) -> Manifolds | list[Manifolds]:
    """The policy grid of one body: `Manifolds`, or a list of them where several distances count as `near`.

    Args:
        body: placement of its sensors, m, (4,).
        size: weights a side.
        near: m, one or several.
        **settings: further arguments of `distances`.

    Raises:
        LanceletError: as `grid` and `distances`.
    """
    limits = np.atleast_1d(near)
    # One rollout serves all limits: it may end early only once it came nearer than the smallest.
    least = distances(
        placement(body).reshape(4), grid(size), enough=float(limits.min()), **settings
    )
    shape = (int(size), int(size), ENVIRONMENTS)
    results = [Manifolds((least < limit).reshape(shape)) for limit in limits]
    if np.ndim(near) == 0:
        return results[0]
    return results


def trace(
    body: ArrayLike,
    weights: ArrayLike,
    *,
    dt: float = DT,
    steps: int = STEPS,
    saturation: float = math.inf,
) -> np.ndarray:
    """Record one policy's rollouts in full.

    Args:
        body: placement of the sensors, m, (4,).
        weights: w1 and w2 of the policy, (2,).
        dt: Euler step, s.
        steps: steps of a rollout.
        saturation: largest value of a sensor, 1 / m^2.

    Returns:
        The state before every step and after the last, in each environment, (4, steps + 1, 5): x and y in m, heading
        in rad, and the values of sensor 1 and sensor 2 in 1 / m^2.
    """
    sensors = placement(body).reshape(4)
    (policy,) = policies(np.atleast_2d(weights))
    states = np.empty((ENVIRONMENTS, steps + 1, TRACE_COLUMNS))
    for start, states_of_start in zip(STARTS, states, strict=True):
        trace_rollout(sensors, policy, start, steps, float(dt), 1 / saturation, states_of_start)
    return states
