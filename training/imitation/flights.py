"""Flights to learn from: errors of a loop, and what a PD or I controller makes of them (docs/systems/blimp.md, "Training")."""

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
"""command units; targets are clipped to plus and minus this"""
KP_RANGE = (4.0, 14.0)
"""command units per m, of the recorded flights"""
KI_RANGE = (0.0, 1.5)
"""command units per m s, of the recorded flights"""
KD_RANGE = (3.0, 20.0)
"""command units per m/s, of the recorded flights"""
GAINS = (KP_RANGE, KI_RANGE, KD_RANGE)
"""ranges in the order of the PID's parameters"""
TRIM = 2.0
"""command units: the recorded blimp is trimmed only so well, and the ballast of a flight drawn from +- this. Without it
no flight has a lasting error, and what learns from them has no proportional part to speak of"""
BIAS = 4.0
"""command units: largest bias of the integral data"""
STEPS = 5
"""steps of the reference in a set of the integral data"""
HOLD = 50.0
"""s that each of them lasts"""
FIRST_POSITION = 1.0
"""m, where every set of the integral data begins"""
GAIN_STREAM = 1
"""second word of the seed of a flight's gains and trim, which must not be that of its reference"""


@dataclass(frozen=True)
class Flights:
    """Sets of errors (sets, steps) in m and of targets (sets, steps) in command units, float32, 10 Hz."""

    errors: np.ndarray
    """m"""
    targets: np.ndarray
    """command units"""


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
    task_options = {**options, "reference": "recording"}
    env = make_env(task, len(seeds), max_episode_steps=length, **task_options)
    gains, trim = _gains_and_trim(seeds)
    errors: list[np.ndarray] = []
    references: list[np.ndarray] = []

    def record(_: int) -> None:
        observation = np.array(env.task.observe(env.sim, env.memory))
        errors.append(observation[:, 0])
        references.append(env.memory["reference"].copy())

    weights = torch.tensor(gains, dtype=torch.float32)
    pilots = Population(controllers.make("pid", env), len(seeds), weights)
    rollout(env, pilots, list(seeds), {"ballast": trim}, on_step=record)
    error = np.stack(errors, axis=1)
    reference = np.stack(references, axis=1)
    change = np.diff(error, axis=1, prepend=error[:, :1])
    # Where the reference jumps the error's change is no speed of the blimp.
    jumps = np.diff(reference, axis=1) != 0
    change[:, 1:][jumps] = 0.0
    target = kp * error + kd * change / PERIOD
    return Flights(error.astype(np.float32), _clipped(target, clip))


def _gains_and_trim(seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Gains (flights, 3) in the order of `GAINS`, and trim (flights,) in command units, drawn by each flight's seed."""
    low, high = np.array([*GAINS, (-TRIM, TRIM)]).T
    rows = []
    for seed in seeds:
        generator = np.random.default_rng([seed, GAIN_STREAM])
        rows.append(generator.uniform(low, high))
    drawn = np.array(rows)
    return drawn[:, :-1], drawn[:, -1]


def integral(seeds: Sequence[int], kp: float, ki: float, kd: float, clip: bool = True) -> Flights:
    """Flights of a double integrator x'' = u + b under PID, b drawn anew from +-4 at every step of the reference.

    The target is the integral part of u. A set has five steps of 50 s; levels and sizes are as in the recording flights.

    Args:
        seeds: one a set: of its levels and biases.
        kp: command units per m.
        ki: command units per m s.
        kd: command units per m/s.
        clip: keep targets within the command's range.

    Raises:
        LanceletError: the gains make the loop unstable.
    """
    hold = round(HOLD / PERIOD)
    reference, bias = _levels_and_biases(seeds, hold)
    position = np.full(len(seeds), FIRST_POSITION)
    velocity = np.zeros(len(seeds))
    total_error = np.zeros(len(seeds))
    error_before = reference[:, 0] - position
    errors = np.empty_like(reference)
    targets = np.empty_like(reference)
    # Unstable gains overflow; `_clipped` refuses what they leave.
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(reference.shape[1]):
            error = reference[:, step] - position
            total_error = total_error + PERIOD * error
            jumped = step > 0 and step % hold == 0
            slope = np.zeros_like(error) if jumped else (error - error_before) / PERIOD
            command = kp * error + ki * total_error + kd * slope
            error_before = error
            errors[:, step] = error
            targets[:, step] = ki * total_error
            # Symplectic Euler: the new velocity moves the position.
            velocity = velocity + PERIOD * (command + bias[:, step])
            position = position + PERIOD * velocity
        recorded = errors.astype(np.float32)
    return Flights(recorded, _clipped(targets, clip))


def _levels_and_biases(seeds: Sequence[int], hold: int) -> tuple[np.ndarray, np.ndarray]:
    """Reference (m) and bias (command units) of every time step, (sets, STEPS * hold) each.

    Args:
        seeds: one a set.
        hold: time steps that each step of the reference lasts.
    """
    levels = []
    biases = []
    for seed in seeds:
        generator = np.random.default_rng(seed)
        _, own_levels = steps.recording(generator)
        levels.append(own_levels[:STEPS])
        biases.append(generator.uniform(-BIAS, BIAS, STEPS))
    return np.repeat(np.array(levels), hold, axis=1), np.repeat(np.array(biases), hold, axis=1)


def _clipped(target: np.ndarray, clip: bool) -> np.ndarray:
    """The targets as float32, within the command's range where `clip` is set."""
    if not np.isfinite(target).all():
        raise LanceletError(
            "the recorded flights hold numbers that are not finite: the gains make the loop unstable"
        )
    if clip:
        target = np.clip(target, -COMMAND, COMMAND)
    return target.astype(np.float32)


def static_gain(flights: Flights, clip: bool = True) -> tuple[float, float]:
    """The gain K (command units per m) whose u = K e is closest to the targets, and its loss, mean over the sets."""
    from scipy.optimize import minimize_scalar

    def loss(gain: float) -> float:
        command = gain * flights.errors
        if clip:
            command = np.clip(command, -COMMAND, COMMAND)
        return float(costs(command, flights.targets)["loss"].mean())

    # The loss has many minima: the best of a grid first, then the minimum beside it.
    coarse = min(np.geomspace(0.1, 100, 40), key=loss)
    result = minimize_scalar(loss, bounds=(coarse / 1.5, coarse * 1.5), method="bounded")
    return float(result.x), float(result.fun)  # pyright: ignore[reportAttributeAccessIssue]
