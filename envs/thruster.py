"""From commands to the vertical force of the blimp: firmware, latency, servo and thrust lag (spec blimp_snn 2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..morphology.blimp import COMMAND, thrust_curve

Plant = Mapping[str, np.ndarray]
"""quantities of `morphology.blimp.Blimp`, (n,) each"""


def firmware(command: np.ndarray, plant: Plant) -> np.ndarray:
    """Size of a command (n,) when it reaches the motors: clipped, dead zone, whole counts of motor duty.

    Duty is 9 + 3 |c| of 45 counts, cut off to a whole count; the first 9 do not move the blimp.
    """
    size, pwm = np.minimum(np.abs(command), COMMAND), plant["pwm"]
    counts = np.where(pwm > 0, pwm, 1.0)
    whole = (
        np.floor(size * counts + 1e-6) / counts
    )  # float32 commands: a third is three counts' worth
    return np.where(size < plant["dead_zone"], 0.0, np.where(pwm > 0, whole, size))


def forces(
    commands: np.ndarray,
    servo: np.ndarray,
    thrust: np.ndarray,
    plant: Plant,
    substeps: int,
    timestep: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertical force in each substep of one control step.

    Within a control step the motors hear at most two commands: one until the latency has passed, the next from
    there on. Under a constant command the servo turns at constant rate and the thrust follows with a first-order
    lag, so that every substep follows in closed form.

    Args:
        commands: (n, h) newest first, command units.
        servo: (n,) angle of the shaft, rad: 0 pushes up, pi down.
        thrust: (n,) N.
        plant: quantities of every simulation.
        substeps: of a control step.
        timestep: s, of a substep.

    Returns:
        forces (n, substeps) in N, up positive; servo (n,) and thrust (n,) at the end.
    """
    delay = np.rint(plant["latency"] / timestep).astype(int)
    late, rest = np.divmod(delay, substeps)
    rows = np.arange(len(commands))
    passed = np.arange(1, substeps + 1)
    before = np.minimum(passed, rest[:, None])  # substeps under the older command, (n, substeps)
    after = passed - before
    rate = np.pi * timestep / plant["sweep"]
    decay = np.exp(-timestep / plant["lag"])[:, None]
    angle, push = servo[:, None], thrust[:, None]
    for age, lasted in ((late + 1, before), (late, after)):
        command = commands[rows, age]
        turn = rate[:, None] * lasted
        goal = np.where(command >= 0, 0.0, np.pi)[:, None]
        angle = angle + np.clip(goal - angle, -turn, turn)
        goal = thrust_curve(firmware(command, plant), plant["thrust"], plant["exponent"])[:, None]
        push = goal + (push - goal) * decay**lasted
    upright = np.cos(angle)
    force = push * np.where(upright < 0, upright * plant["down_efficiency"][:, None], upright)
    return force, angle[:, -1], push[:, -1]
