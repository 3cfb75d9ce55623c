"""Model K: a kinematic two-wheeled light seeker in a plane (Powers et al. 2021, arXiv 2108.08398).

The equations stand in docs/systems/goodbody.md, "Model K".

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
NEAR = 0.075
"""m; a policy solves an environment that brings the body's centre nearer to the light than this"""
DT = 0.05
"""s, of the Euler step"""
STEPS = 10_000
"""steps of a rollout"""
GRID = 121
"""weights a side of the policy grid"""
_LANES = 8
"""rollouts stepped in one sweep, as wide registers hold them"""
_BLOCK = 50
"""steps between two looks at which rollouts have ended"""
_SPREAD = 64
"""stride by which work is mixed, so that threads get equal parts"""

# Rows of the state of all lanes, a flat array (_ROWS * _LANES,): row r of lane j is at
# r * _LANES + j, so that one row of all lanes fills a register.
_X = 0
_Y = 1
_HEADING = 2
_W1 = 3
"""weight from sensor 2 to the left wheel"""
_W2 = 4
"""weight from sensor 1 to the right wheel"""
_LEAST = 5
"""least squared distance from the light so far"""
_FORWARD1 = 6
"""place of sensor 1: metres before the centre"""
_LEFT1 = 7
"""place of sensor 1: metres to the left"""
_FORWARD2 = 8
"""place of sensor 2: metres before the centre"""
_LEFT2 = 9
"""place of sensor 2: metres to the left"""
_ROWS = 12
"""rows in all; two are padding"""

_MAGIC = 6755399441055744.0
"""added and taken away again, it rounds a float64 to a whole number: 1.5 x 2^52"""
_PER = 2 / math.pi
"""quarter turns in a radian"""
# A quarter turn in three parts, so that taking many of them from an angle loses no bits
# (Cody & Waite 1980).
_P1 = 1.57079632673412561417
_P2 = 6.07710050630396597660e-11
_P3 = 2.02226624871116645580e-21


@njit(inline="always", fastmath={"contract"}, error_model="numpy")
def _turn(angle):
    """Cosine and sine within an ulp or two, by FreeBSD's polynomials and without a branch, so that loops vectorise.

    Angles beyond 3e9 come out wrong. Only a kick that has sent the robot out of reach for good makes such an angle.
    """
    quarters = (angle * _PER + _MAGIC) - _MAGIC
    quadrant = np.int32(quarters)
    r = ((angle - quarters * _P1) - quarters * _P2) - quarters * _P3
    z = r * r
    # Horner's scheme, the highest power first.
    s = 2.75573137070700676789e-06 + z * (
        -2.50507602534068634195e-08 + z * 1.58969099521155010221e-10
    )
    s = -1.98412698298579493134e-04 + z * s
    s = 8.33333333332248946124e-03 + z * s
    s = -1.66666666666666324348e-01 + z * s
    s = r + r * z * s
    c = -2.75573143513906633035e-07 + z * (
        2.08757232129817482790e-09 - z * 1.13596475577881948265e-11
    )
    c = 2.48015872894767294178e-05 + z * c
    c = -1.38888888888741095749e-03 + z * c
    c = 4.16666666666666019037e-02 + z * c
    c = 1.0 - (0.5 * z - z * z * c)
    # In every other quadrant sine and cosine change places; in two of four each changes its sign.
    cos, sin = (c, s) if quadrant & 1 == 0 else (s, c)
    signed_cos = cos if (quadrant + 1) & 2 == 0 else -cos
    signed_sin = sin if quadrant & 2 == 0 else -sin
    return signed_cos, signed_sin


@njit(inline="always", fastmath={"contract"}, error_model="numpy")
def _sense(x, y, cos, sin, forward, left, floor):
    """Squared distance of a sensor from the light, not below `floor`: its value is one over this."""
    across, up = x + (cos * forward - sin * left), y + (sin * forward + cos * left)
    square = across * across + up * up
    return square if square > floor else floor


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _sweep(s, count, dt, floor):
    """`count` Euler steps of all lanes of the state `s`, in place.

    Args:
        s: state of all lanes, (_ROWS * _LANES,).
        count: steps.
        dt: s.
        floor: least squared distance that a sensor can read.
    """
    for _ in range(count):
        for j in range(_LANES):
            x = s[_X * _LANES + j]
            y = s[_Y * _LANES + j]
            angle = s[_HEADING * _LANES + j]
            cos, sin = _turn(angle)
            per_sensor1 = _sense(
                x, y, cos, sin, s[_FORWARD1 * _LANES + j], s[_LEFT1 * _LANES + j], floor
            )
            per_sensor2 = _sense(
                x, y, cos, sin, s[_FORWARD2 * _LANES + j], s[_LEFT2 * _LANES + j], floor
            )
            left_wheel = s[_W1 * _LANES + j] / per_sensor2
            right_wheel = s[_W2 * _LANES + j] / per_sensor1
            way = dt * 0.5 * (left_wheel + right_wheel)
            x += way * cos
            y += way * sin
            s[_X * _LANES + j] = x
            s[_Y * _LANES + j] = y
            s[_HEADING * _LANES + j] = angle + dt * (right_wheel - left_wheel)
            squared_distance = x * x + y * y
            least = s[_LEAST * _LANES + j]
            s[_LEAST * _LANES + j] = squared_distance if squared_distance < least else least


@njit(nogil=True, cache=True, error_model="numpy")
def _over(s, j, left, enough, dt):
    """Whether nothing that lane `j` can still do in `left` steps changes its result.

    Outside the sensors' radius L the centre nears the light by at most dt W / (r - L)^2 a step, W = (|w1| + |w2|) / 2;
    so (r - L)^3 / 3 falls by at most dt W a step.
    """
    r2, best2 = (
        s[_X * _LANES + j] * s[_X * _LANES + j] + s[_Y * _LANES + j] * s[_Y * _LANES + j],
        s[_LEAST * _LANES + j],
    )
    if left == 0 or best2 < enough * enough or not r2 < math.inf:
        return True
    r, best = math.sqrt(r2), math.sqrt(best2)
    radius = math.sqrt(
        max(
            s[_FORWARD1 * _LANES + j] ** 2 + s[_LEFT1 * _LANES + j] ** 2,
            s[_FORWARD2 * _LANES + j] ** 2 + s[_LEFT2 * _LANES + j] ** 2,
        )
    )
    if r <= radius:
        return False
    room = (r - radius) ** 3 - max(best - radius, 0.0) ** 3
    return room > 1.5 * (abs(s[_W1 * _LANES + j]) + abs(s[_W2 * _LANES + j])) * dt * left * 1.000001


@njit(nogil=True, cache=True, error_model="numpy")
def _rollouts(first, last, order, bodies, weights, starts, steps, dt, floor, enough, whole, out):
    """Least distances of rollouts ``order[first:last]`` (policies times environments); lanes refill as they end."""
    s = np.zeros(_ROWS * _LANES)
    items = np.full(_LANES, -1)  # rollout of each lane; -1: the lane is idle
    left = np.zeros(_LANES, np.int64)  # steps that each lane still has
    following = first
    busy = 0
    for j in range(_LANES):
        # Idle lanes circle where nothing overflows.
        s[_X * _LANES + j] = 1.0
        s[_Y * _LANES + j] = 1.0
        s[_FORWARD1 * _LANES + j] = 1.0
    while following < last or busy > 0:
        for j in range(_LANES):
            if items[j] >= 0:
                has_ended = left[j] == 0 if whole else _over(s, j, left[j], enough, dt)
                if has_ended:
                    out[items[j]] = math.sqrt(s[_LEAST * _LANES + j])
                    items[j] = -1
                    busy -= 1
            if items[j] < 0 and following < last:
                item = order[following]
                policy = item // len(starts)
                x, y = starts[item % len(starts)]
                body = bodies[policy % len(bodies)]
                following += 1
                busy += 1
                items[j] = item
                left[j] = steps
                s[_X * _LANES + j] = x
                s[_Y * _LANES + j] = y
                s[_HEADING * _LANES + j] = 0.0
                s[_W1 * _LANES + j] = weights[policy, 0]
                s[_W2 * _LANES + j] = weights[policy, 1]
                s[_LEAST * _LANES + j] = x * x + y * y
                for k in range(4):
                    s[(_FORWARD1 + k) * _LANES + j] = body[k]
        count = _BLOCK
        for j in range(_LANES):
            if items[j] >= 0:
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
    s[_X * _LANES], s[_Y * _LANES], s[_HEADING * _LANES], s[_LEAST * _LANES] = (
        start[0],
        start[1],
        0.0,
        math.inf,
    )
    s[_W1 * _LANES], s[_W2 * _LANES] = weights[_X * _LANES], weights[1]
    for k in range(4):
        s[(_FORWARD1 + k) * _LANES] = body[k]
    for t in range(steps + 1):
        x, y, angle = s[_X * _LANES], s[_Y * _LANES], s[_HEADING * _LANES]
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
