"""Flights to learn from: errors of a loop, and what a PD or I controller makes of them (spec blimp_snn 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ... import controllers
from ...controllers import Population
from ...controllers.spiking.kernel import costs
from ...envs import steps
from ...envs.blimp import PERIOD
from ...errors import LanceletError
from ..rollout import make_env, rollout

COMMAND = 10.0
"""command units, where targets are clipped"""
GAINS = ((4.0, 14.0), (0.0, 1.5), (3.0, 20.0))
"""ranges of Kp, Ki, Kd of the recorded flights"""
TRIM = 2.0
"""command units: the recorded blimp is trimmed only so well, and the ballast of a flight drawn from +- this. Without it
no flight has a lasting error, and what learns from them has no proportional part to speak of"""
BIAS, STEPS, HOLD = 4.0, 5, 50.0
"""of the integral data: largest bias, steps a set, s a step"""


@dataclass(frozen=True)
class Flights:
    """Sets of errors (sets, steps) in m and of targets (sets, steps) in command units, float32, 10 Hz."""

    errors: np.ndarray
    targets: np.ndarray


def proportional_derivative(
    task: str,
    seeds: Sequence[int],
    kp: float,
    kd: float,
    clip: bool = True,
    length: int = 1000,
    **options: Any,
) -> Flights:
    """Flights of the blimp after the recording profile, from 0.1 s on, each with PID gains and a trim of its own.

    The target is PD(kp, kd) on the flight's error, its derivative 0 where the reference jumps; clipped to +-10.

    Args:
        task: id, of `envs.blimp.BlimpAltitude`.
        seeds: one a flight: of its gains, its trim and its reference.
        kp: command units per m.
        kd: command units per m/s.
        clip: keep targets within the command's range.
        length: steps of a flight.
        **options: of the task (``body``).
    """
    env = make_env(
        task, len(seeds), max_episode_steps=length, **{**options, "reference": "recording"}
    )
    low, high = np.array([*GAINS, (-TRIM, TRIM)]).T
    drawn = np.array([np.random.default_rng([seed, 1]).uniform(low, high) for seed in seeds])
    gains, trim = drawn[:, :3], drawn[:, 3]
    errors, references = [], []

    def look(_: int) -> None:
        errors.append(np.array(env.task.observe(env.sim, env.memory))[:, 0])
        references.append(env.memory["reference"].copy())

    pilots = Population(
        controllers.make("pid", env), len(seeds), torch.tensor(gains, dtype=torch.float32)
    )
    rollout(env, pilots, list(seeds), {"ballast": trim}, on_step=look)
    error, reference = np.stack(errors, axis=1), np.stack(references, axis=1)
    change = np.diff(error, axis=1, prepend=error[:, :1])
    change[:, 1:][np.diff(reference, axis=1) != 0] = 0.0
    target = kp * error + kd * change / PERIOD
    return Flights(error.astype(np.float32), _clipped(target, clip))


def integral(seeds: Sequence[int], kp: float, ki: float, kd: float, clip: bool = True) -> Flights:
    """A double integrator x'' = u + b under PID, b drawn anew from +-4 at every step of the reference.

    The target is the integral part of u. Five steps of 50 s a set; levels and sizes as in the recording flights.
    """
    hold = round(HOLD / PERIOD)
    levels, biases = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        levels.append(steps.recording(rng)[1][:STEPS])
        biases.append(rng.uniform(-BIAS, BIAS, STEPS))
    level, bias = (np.repeat(np.array(rows), hold, axis=1) for rows in (levels, biases))
    x, v, total = np.full(len(seeds), 1.0), np.zeros(len(seeds)), np.zeros(len(seeds))
    before = level[:, 0] - x
    errors, targets = np.empty_like(level), np.empty_like(level)
    for t in range(level.shape[1]):
        error = level[:, t] - x
        total = total + PERIOD * error
        jumped = t > 0 and t % hold == 0
        slope = np.zeros_like(error) if jumped else (error - before) / PERIOD
        u, before = kp * error + ki * total + kd * slope, error
        errors[:, t], targets[:, t] = error, ki * total
        v = v + PERIOD * (u + bias[:, t])
        x = x + PERIOD * v
    return Flights(errors.astype(np.float32), _clipped(targets, clip))


def _clipped(target: np.ndarray, clip: bool) -> np.ndarray:
    if not np.isfinite(target).all():
        raise LanceletError(
            "the recorded flights hold numbers that are not finite: the gains make the loop unstable"
        )
    return (np.clip(target, -COMMAND, COMMAND) if clip else target).astype(np.float32)


def static_gain(flights: Flights, clip: bool = True) -> tuple[float, float]:
    """The gain K (command units per m) whose u = K e is closest to the targets, and its loss, mean over the sets."""
    from scipy.optimize import minimize_scalar

    def loss(gain: float) -> float:
        u = gain * flights.errors
        return float(
            costs(np.clip(u, -COMMAND, COMMAND) if clip else u, flights.targets)["loss"].mean()
        )

    coarse = min(np.geomspace(0.1, 100, 40), key=loss)
    found = minimize_scalar(loss, bounds=(coarse / 1.5, coarse * 1.5), method="bounded")
    return float(found.x), float(found.fun)  # pyright: ignore[reportAttributeAccessIssue]
