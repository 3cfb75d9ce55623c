"""From commands to the vertical force of the blimp: firmware, latency, servo and thrust lag.

The plant is that of docs/systems/blimp.md, "The plant".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..morphology.blimp import COMMAND, thrust_curve

Plant = Mapping[str, np.ndarray]
"""quantities of `morphology.blimp.Blimp`, (n,) each"""

SHAFT_UP = 0.0
"""rad, angle of the shaft at which the propellers push up"""
SHAFT_DOWN = np.pi
"""rad, angle of the shaft at which the propellers push down"""
ROUNDING = 1e-6
"""counts; commands are float32: a third of a unit is three counts' worth, and must not lose one"""


def firmware(command: np.ndarray, plant: Plant) -> np.ndarray:
    """Size of a command (n,) when it reaches the motors: clipped, dead zone, whole counts of motor duty.

    Duty is 9 + 3 |c| of 45 counts, cut off to a whole count; the first 9 do not move the blimp.
    """
    size = np.minimum(np.abs(command), COMMAND)
    counts_per_unit = plant["pwm"]
    has_counts = counts_per_unit > 0
    divisor = np.where(has_counts, counts_per_unit, 1.0)
    whole_counts = np.floor(size * divisor + ROUNDING) / divisor
    moving = np.where(has_counts, whole_counts, size)
    return np.where(size < plant["dead_zone"], 0.0, moving)


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
    delay_in_control_steps, delay_in_substeps = np.divmod(delay, substeps)
    passed = np.arange(1, substeps + 1)
    # Of the substeps passed, (n, substeps): those under the older command, and those under the newer one.
    under_older = np.minimum(passed, delay_in_substeps[:, None])
    under_newer = passed - under_older

    turn_rate = np.pi * timestep / plant["sweep"]
    decay = np.exp(-timestep / plant["lag"])[:, None]
    rows = np.arange(len(commands))
    shaft = servo[:, None]
    push = thrust[:, None]
    older = delay_in_control_steps + 1
    newer = delay_in_control_steps
    for age, duration in ((older, under_older), (newer, under_newer)):
        command = commands[rows, age]
        turn = turn_rate[:, None] * duration
        shaft_goal = np.where(command >= 0, SHAFT_UP, SHAFT_DOWN)[:, None]
        shaft = shaft + np.clip(shaft_goal - shaft, -turn, turn)
        motor_command = firmware(command, plant)
        push_goal = thrust_curve(motor_command, plant["thrust"], plant["exponent"])[:, None]
        push = push_goal + (push - push_goal) * decay**duration

    upward = np.cos(shaft)
    downward = upward * plant["down_efficiency"][:, None]
    force = push * np.where(upward < 0, downward, upward)
    return force, shaft[:, -1], push[:, -1]
