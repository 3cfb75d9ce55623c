"""Three ways to move the arm through a plant step; their paths part, so never mix them in one table.

They share the forces: muscles, a push on the hand, and a field that resists the hand. What differs
is who integrates the angles, and whose muscles pull.
"""

from __future__ import annotations

import numpy as np

from . import muscles
from .arm_parameters import as_arms
from .muscles import Column
from .simulation import Simulation
from .task import Memory


class Explicit:
    """The original's step over MuJoCo's inverse inertia: the angles move with the OLD speeds.

    It is the step of docs/systems/arm.md, "The arm".
    """

    def start(self, sim: Simulation, memory: Memory, ids: np.ndarray) -> None:
        """Silence the muscles of simulations `ids`, and hand the forces at the start to MuJoCo."""
        muscle = memory["muscles"][ids]
        arms = as_arms(memory["plant"][ids])
        muscle[:, Column.ACTIVATION] = arms["least_activation"][:, None]
        muscles.fill_muscles(arms, sim.qpos[ids], sim.qvel[ids], muscle)
        memory["muscles"][ids] = muscle
        sim.qfrc_applied[ids] = self.forces(memory, sim.qpos, sim.qvel)[ids]

    def step(self, sim: Simulation, memory: Memory, excitation: np.ndarray, dt: float) -> None:
        """Move the live simulations by one plant step.

        Args:
            sim: the simulations.
            memory: the task's, whose muscles move on.
            excitation: of every muscle, (n, 6).
            dt: plant step, s.
        """
        arms = as_arms(memory["plant"])
        joints = muscles.Joints(
            angles=sim.qpos.copy(), speeds=sim.qvel.copy(), accelerations=sim.qacc
        )
        muscles.advance_joints(arms, joints, dt)
        # After the joints: the muscles' lengths are those at the new angles.
        muscles.advance_muscles(
            arms, joints.angles, joints.speeds, memory["muscles"], excitation, dt
        )
        forces = self.forces(memory, joints.angles, joints.speeds)
        sim.move(joints.angles, joints.speeds, forces)

    def forces(self, memory: Memory, angles: np.ndarray, speeds: np.ndarray) -> np.ndarray:
        """Generalised forces of muscles, push and field, N m, (n, 2).

        The muscles' torque at the elbow is kept in ``memory["elbow"]``.

        Args:
            memory: the task's.
            angles: rad, (n, 2).
            speeds: rad/s, (n, 2).
        """
        return _torques(memory, angles, speeds, memory["muscles"], memory["elbow"])


class Semi(Explicit):
    """The same forces under MuJoCo's semi-implicit Euler and its soft joint limits.

    MuJoCo moves the angles with the NEW speeds.
    """

    def step(self, sim: Simulation, memory: Memory, excitation: np.ndarray, dt: float) -> None:
        """Move the live simulations by one plant step, as `Explicit.step` does."""
        sim.step()
        arms = as_arms(memory["plant"])
        muscles.advance_muscles(arms, sim.qpos, sim.qvel, memory["muscles"], excitation, dt)
        self.apply_forces(sim, memory)

    def apply_forces(self, sim: Simulation, memory: Memory) -> None:
        """Hand MuJoCo the forces of its next step, in the live simulations only."""
        live = slice(None) if sim.live is None else sim.live
        sim.qfrc_applied[live] = self.forces(memory, sim.qpos, sim.qvel)[live]


class Native(Semi):
    """MuJoCo's own muscles (`morphology.arm.NativeArm`).

    Only their activation, length, speed and force are known; the other columns are 0.
    """

    def start(self, sim: Simulation, memory: Memory, ids: np.ndarray) -> None:
        """Start muscles of simulations `ids` without activation and force, as MuJoCo does."""
        super().start(sim, memory, ids)
        memory["muscles"][ids, Column.ACTIVATION] = 0.0
        for column in (Column.PASSIVE, Column.ACTIVE_LENGTH, Column.ACTIVE, Column.FORCE):
            memory["muscles"][ids, column] = 0.0

    def step(self, sim: Simulation, memory: Memory, excitation: np.ndarray, dt: float) -> None:
        """Move the live simulations by one plant step, as `Explicit.step` does."""
        sim.ctrl[:] = excitation
        sim.step()
        muscle = memory["muscles"]
        muscles.fill_muscles(as_arms(memory["plant"]), sim.qpos, sim.qvel, muscle)
        muscle[:, Column.ACTIVATION] = sim.act
        for column in (Column.PASSIVE, Column.ACTIVE_LENGTH, Column.ACTIVE):
            muscle[:, column] = 0.0
        # MuJoCo's force is that of the step just made; all else follows from the new state.
        muscle[:, Column.FORCE] = -sim.actuator_force
        self.apply_forces(sim, memory)

    def forces(self, memory: Memory, angles: np.ndarray, speeds: np.ndarray) -> np.ndarray:
        """Generalised forces of push and field, N m, (n, 2): MuJoCo applies its muscles itself."""
        # The first call is for its side effect, the muscles' torque at the elbow.
        super().forces(memory, angles, speeds)
        without_force = np.zeros_like(memory["muscles"])
        not_used = np.empty(len(angles))
        return _torques(memory, angles, speeds, without_force, not_used)


def _torques(
    memory: Memory,
    angles: np.ndarray,
    speeds: np.ndarray,
    muscle: np.ndarray,
    elbow: np.ndarray,
) -> np.ndarray:
    """Joint torques, N m, (n, 2), of `muscle` (n, 7, 6) and the trial's push and field.

    Args:
        memory: the task's.
        angles: rad, (n, 2).
        speeds: rad/s, (n, 2).
        muscle: state of the muscles whose forces count, (n, 7, 6).
        elbow: filled with the muscles' torque at the elbow, N m, (n,).
    """
    torques = np.empty((len(angles), 2))
    muscles.joint_torques(
        as_arms(memory["plant"]),
        angles,
        speeds,
        muscle,
        memory["force"],
        memory["gain"],
        memory["squared"],
        elbow,
        torques,
    )
    return torques
