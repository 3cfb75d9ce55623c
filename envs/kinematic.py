"""Model K: a kinematic two-wheeled light seeker in a plane (Powers et al. 2021, arXiv 2108.08398; spec codesign 2.1).

Explicit Euler in float64 is part of the task, not an approximation: sensors read 1 / distance^2 without bound, so that
a robot near the light jumps metres in one step, and regions of policies that solve the task are speckled stripes.
Single policies at their edges depend on the last bit of every cosine; counts over a grid do so by a few per cent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from ..errors import LanceletError
from ..morphology.braitenberg import placement
from ..threads import in_threads

STARTS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]]) * (4 / math.sqrt(2))
"""x, y of the four environments' starts; heading 0 in all, the light at the origin"""
NEAR, DT, STEPS = 0.075, 0.05, 10_000
"""a policy solves an environment that brings the body's centre nearer than this; step; steps of a rollout"""
GRID = 121
"""weights a side of the policy grid"""
_LANES, _BLOCK, _SPREAD = 8, 50, 64
"""rollouts stepped in one sweep, as wide registers hold them; steps between two looks at which have ended;
stride by which work is mixed, so that threads get equal parts"""
_ROWS = 12
_FLIP = (
    6755399441055744.0,
    2 / math.pi,
    1.57079632673412561417,
    6.07710050630396597660e-11,
    2.02226624871116645580e-21,
)
"""rounds to whole numbers; quarter turns in a radian; a quarter turn in three parts (Cody & Waite 1980)"""
_MAGIC, _PER, _P1, _P2, _P3 = _FLIP


@njit(inline="always", fastmath={"contract"}, error_model="numpy")
def _turn(angle):
    """Cosine and sine within an ulp or two, by FreeBSD's polynomials and without a branch, so that loops vectorise.

    Angles beyond 3e9 come out wrong. Only a kick that has sent the robot out of reach for good makes such an angle.
    """
    k = (angle * _PER + _MAGIC) - _MAGIC
    q = np.int32(k)
    r = ((angle - k * _P1) - k * _P2) - k * _P3
    z = r * r
    s = 2.75573137070700676789e-06 + z * (
        -2.50507602534068634195e-08 + z * 1.58969099521155010221e-10
    )
    s = r + r * z * (-1.66666666666666324348e-01 + z * (8.33333333332248946124e-03
                                                        + z * (-1.98412698298579493134e-04 + z * s)))  # fmt: skip
    c = -2.75573143513906633035e-07 + z * (
        2.08757232129817482790e-09 - z * 1.13596475577881948265e-11
    )
    c = 4.16666666666666019037e-02 + z * (
        -1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 + z * c)
    )
    c = 1.0 - (0.5 * z - z * z * c)
    cos, sin = (c, s) if q & 1 == 0 else (s, c)
    return (cos if (q + 1) & 2 == 0 else -cos), (sin if q & 2 == 0 else -sin)


@njit(inline="always", fastmath={"contract"}, error_model="numpy")
def _sense(x, y, cos, sin, forward, left, floor):
    """Squared distance of a sensor from the light, not below `floor`: its value is one over this."""
    across, up = x + (cos * forward - sin * left), y + (sin * forward + cos * left)
    square = across * across + up * up
    return square if square > floor else floor


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _sweep(s, count, dt, floor):
    """`count` Euler steps of all lanes; rows of `s`: x, y, heading, w1, w2, least d^2, forward, left of each sensor."""
    for _ in range(count):
        for j in range(_LANES):
            x, y, angle = s[j], s[_LANES + j], s[2 * _LANES + j]
            cos, sin = _turn(angle)
            one = _sense(x, y, cos, sin, s[6 * _LANES + j], s[7 * _LANES + j], floor)
            two = _sense(x, y, cos, sin, s[8 * _LANES + j], s[9 * _LANES + j], floor)
            m1, m2 = s[3 * _LANES + j] / two, s[4 * _LANES + j] / one
            v = dt * 0.5 * (m1 + m2)
            x, y = x + v * cos, y + v * sin
            s[j], s[_LANES + j], s[2 * _LANES + j] = x, y, angle + dt * (m2 - m1)
            d, least = x * x + y * y, s[5 * _LANES + j]
            s[5 * _LANES + j] = d if d < least else least


@njit(nogil=True, cache=True, error_model="numpy")
def _over(s, j, left, enough, dt):
    """Whether nothing that lane `j` can still do in `left` steps changes its result.

    Outside the sensors' radius L the centre nears the light by at most dt W / (r - L)^2 a step, W = (|w1| + |w2|) / 2;
    so (r - L)^3 / 3 falls by at most dt W a step.
    """
    r2, best2 = s[j] * s[j] + s[_LANES + j] * s[_LANES + j], s[5 * _LANES + j]
    if left == 0 or best2 < enough * enough or not r2 < math.inf:
        return True
    r, best = math.sqrt(r2), math.sqrt(best2)
    radius = math.sqrt(
        max(
            s[6 * _LANES + j] ** 2 + s[7 * _LANES + j] ** 2,
            s[8 * _LANES + j] ** 2 + s[9 * _LANES + j] ** 2,
        )
    )
    if r <= radius:
        return False
    room = (r - radius) ** 3 - max(best - radius, 0.0) ** 3
    return room > 1.5 * (abs(s[3 * _LANES + j]) + abs(s[4 * _LANES + j])) * dt * left * 1.000001


@njit(nogil=True, cache=True, error_model="numpy")
def _rollouts(first, last, order, bodies, weights, starts, steps, dt, floor, enough, whole, out):
    """Least distances of rollouts ``order[first:last]`` (policies times environments); lanes refill as they end."""
    s = np.zeros(_ROWS * _LANES)
    who, left = np.full(_LANES, -1), np.zeros(_LANES, np.int64)
    following, busy = first, 0
    for j in range(_LANES):
        s[j] = s[_LANES + j] = s[6 * _LANES + j] = 1.0  # idle lanes circle where nothing overflows
    while following < last or busy > 0:
        for j in range(_LANES):
            if who[j] >= 0 and (_over(s, j, left[j], enough, dt) if not whole else left[j] == 0):
                out[who[j]] = math.sqrt(s[5 * _LANES + j])
                who[j], busy = -1, busy - 1
            if who[j] < 0 and following < last:
                item = order[following]
                policy, environment = item // len(starts), item % len(starts)
                following, busy, who[j], left[j] = following + 1, busy + 1, item, steps
                x, y = starts[environment]
                body = bodies[policy % len(bodies)]
                s[j], s[_LANES + j], s[2 * _LANES + j] = x, y, 0.0
                s[3 * _LANES + j], s[4 * _LANES + j] = weights[policy, 0], weights[policy, 1]
                s[5 * _LANES + j] = x * x + y * y
                for k in range(4):
                    s[(6 + k) * _LANES + j] = body[k]
        count = _BLOCK
        for j in range(_LANES):
            if who[j] >= 0:
                count = min(count, left[j])
        _sweep(s, count, dt, floor)
        left -= count


def distances(
    bodies: Any,
    weights: Any,
    *,
    dt: float = DT,
    steps: int = STEPS,
    saturation: float = math.inf,
    enough: float = 0.0,
    whole: bool = False,
    threads: int = 0,
) -> np.ndarray:
    """Least distance of the body's centre from the light over a rollout, in each environment: float64 (n, 4).

    Rollouts end early where nothing that could follow changes the number. Numbers depend neither on the number of
    threads nor on what else is asked for in the call.

    Args:
        bodies: placements (4,), or (b, 4) with b dividing n: policy i acts in body ``i % b``.
        weights: policies (n, 2): w1 from sensor 2 to the left wheel, w2 from sensor 1 to the right wheel, in [-1, 1].
        dt: s, of the Euler step.
        steps: of a rollout.
        saturation: largest sensor value.
        enough: a rollout may end once it came nearer than this; its number then only says so.
        whole: run all steps of every rollout anyway (for timing).
        threads: that share the work; 0: one a core.

    Raises:
        LanceletError: sensors beyond the deck, weights outside the box, NaN, or settings that make no rollout.
    """  # fmt: skip
    bodies, weights = np.atleast_2d(placement(bodies)), policies(weights)
    if not (math.isfinite(dt) and dt > 0 and steps >= 1 and saturation > 0):
        raise LanceletError(
            f"dt = {dt}, steps = {steps}, saturation = {saturation}: must be above 0"
        )
    out = np.empty(len(weights) * len(STARTS))
    order = np.concatenate([np.arange(k, len(out), _SPREAD) for k in range(min(_SPREAD, len(out)))])
    values = (
        np.ascontiguousarray(bodies),
        weights,
        STARTS,
        int(steps),
        float(dt),
        1 / saturation,
        float(enough),
    )
    in_threads(_rollouts, len(out), threads, order, *values, whole, out)
    return out.reshape(len(weights), len(STARTS))


def policies(weights: Any) -> np.ndarray:
    """Policies (n, 2), checked.

    Raises:
        LanceletError: another shape, NaN, or a weight outside the box.
    """
    weights = np.ascontiguousarray(weights, float)
    if weights.ndim != 2 or weights.shape[1] != 2:
        raise LanceletError(f"weights of shape {weights.shape}: must be (n, 2)")
    wrong = ~(np.abs(weights) <= 1)
    if wrong.any():
        row, k = np.argwhere(wrong)[0]
        raise LanceletError(f"weights: w{k + 1} = {weights[row, k]:g}: must be from -1 to 1")
    return weights


def grid(size: int = GRID) -> np.ndarray:
    """All policies of a `size` x `size` grid over the box, its edges among them: (size^2, 2), w1 outer.

    Raises:
        LanceletError: fewer than 3 a side, which leaves no inside.
    """
    if size != int(size) or size < 3:
        raise LanceletError(f"grid = {size}: must be 3 or more weights a side")
    side = np.linspace(-1, 1, int(size))
    return np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)


@dataclass(frozen=True)
class Manifolds:
    """Which policies of a grid solve which environments, for one body."""

    solved: np.ndarray
    """bool (size, size, 4): w1, w2, environment"""

    @property
    def count(self) -> np.ndarray:
        """n(w): environments solved by each policy, uint8 (size, size)."""
        return self.solved.sum(-1).astype(np.uint8)

    @property
    def optimal(self) -> int:
        """A_o: policies that solve all four."""
        return int((self.count == 4).sum())

    @property
    def some(self) -> int:
        """A_any: policies that solve at least one."""
        return int((self.count > 0).sum())

    @property
    def each(self) -> tuple[int, ...]:
        """A_e: policies that solve environment e."""
        return tuple(int(n) for n in self.solved.sum((0, 1)))

    @property
    def r1(self) -> float:
        """Share of policies that solve all four environments."""
        return self.optimal / self.count.size

    @property
    def r2(self) -> float:
        """Of those that solve any, the share that solve all; 0 where none does."""
        return self.optimal / self.some if self.some else 0.0

    @property
    def overlap(self) -> float:
        """r1 over what independent environments would give; above 1 they coincide; nan where one has no solution."""
        chance = math.prod(n / self.count.size for n in self.each)
        return self.r1 / chance if chance else math.nan

    @property
    def area(self) -> float:
        """r1 by the trapezoid rule: the chance that a uniformly drawn policy solves all four."""
        return float(area(self.count))


def area(counts: np.ndarray) -> np.ndarray:
    """Share of the box where n(w) = 4, by the trapezoid rule, from grids (..., size, size)."""
    side = np.ones(counts.shape[-1])
    side[[0, -1]] = 0.5
    side /= side.sum()
    return np.einsum("...ij,i,j->...", counts == 4, side, side)


def manifolds(
    body: Any, size: int = GRID, near: float | Sequence[float] = NEAR, **settings: Any
) -> Any:
    """The policy grid of one body: `Manifolds`, or a list of them where several distances count as `near`.

    Args:
        body: placement (4,).
        size: weights a side.
        near: m, one or several.
        **settings: of `distances`.
    """
    limits = np.atleast_1d(near)
    found = distances(
        placement(body).reshape(4), grid(size), enough=float(limits.min()), **settings
    )
    whole = [Manifolds((found < limit).reshape(int(size), int(size), 4)) for limit in limits]
    return whole if np.ndim(near) else whole[0]


@njit(nogil=True, cache=True, error_model="numpy")
def _trace(body, weights, start, steps, dt, floor, out):
    """States and sensor values of one rollout into `out` (steps + 1, 5)."""
    s = np.ones(_ROWS * _LANES)
    s[0], s[_LANES], s[2 * _LANES], s[5 * _LANES] = start[0], start[1], 0.0, math.inf
    s[3 * _LANES], s[4 * _LANES] = weights[0], weights[1]
    for k in range(4):
        s[(6 + k) * _LANES] = body[k]
    for t in range(steps + 1):
        x, y, angle = s[0], s[_LANES], s[2 * _LANES]
        cos, sin = _turn(angle)
        out[t, 0], out[t, 1], out[t, 2] = x, y, angle
        out[t, 3] = 1.0 / _sense(x, y, cos, sin, body[0], body[1], floor)
        out[t, 4] = 1.0 / _sense(x, y, cos, sin, body[2], body[3], floor)
        if t < steps:
            _sweep(s, 1, dt, floor)


def trace(
    body: Any, weights: Any, *, dt: float = DT, steps: int = STEPS, saturation: float = math.inf
) -> np.ndarray:
    """One policy's rollouts in full, (4 environments, steps + 1, 5): x, y, heading, and both sensors' values."""
    body, (policy,) = placement(body).reshape(4), policies(np.atleast_2d(weights))
    out = np.empty((len(STARTS), steps + 1, 5))
    for start, rows in zip(STARTS, out, strict=True):
        _trace(body, policy, start, steps, float(dt), 1 / saturation, rows)
    return out
