"""Three ways to move the arm through a plant step; their paths part, so they are never mixed in one table."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import muscles
from .task import Memory


class Explicit:
    """Section 2's step of spec bilateral over MuJoCo's inverse inertia: the angles move with the OLD speeds."""

    def start(self, sim: Any, memory: Memory, ids: np.ndarray) -> None:
        """Silent muscles, consistent with the angles and speeds of simulations `ids`, and their forces."""
        muscle, rows = memory["muscles"][ids], memory["plant"][ids]
        muscle[:, 0] = rows[:, muscles.LEAST, None]
        muscles.pull(rows, sim.qpos[ids], sim.qvel[ids], muscle)
        memory["muscles"][ids] = muscle
        sim.qfrc_applied[ids] = self.forces(memory, sim.qpos, sim.qvel)[ids]

    def step(self, sim: Any, memory: Memory, excitation: np.ndarray, dt: float) -> None:
        """One plant step of the live simulations."""
        q, v = sim.qpos.copy(), sim.qvel.copy()
        muscles.move(memory["plant"], q, v, sim.qacc, dt)
        muscles.drive(memory["plant"], q, v, memory["muscles"], excitation, dt)
        sim.move(q, v, self.forces(memory, q, v))

    def forces(self, memory: Memory, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Generalised forces (n, 2) of muscles, hand force and field; keeps the muscles' torque at the elbow."""
        out, push = np.empty((len(q), 2)), (memory["force"], memory["gain"], memory["squared"])
        muscles.torques(memory["plant"], q, v, memory["muscles"], *push, memory["elbow"], out)
        return out


class Semi(Explicit):
    """The same forces under MuJoCo's Euler, which moves the angles with the NEW speeds, and its soft limits."""

    def step(self, sim: Any, memory: Memory, excitation: np.ndarray, dt: float) -> None:
        """One plant step of the live simulations."""
        sim.step()
        muscles.drive(memory["plant"], sim.qpos, sim.qvel, memory["muscles"], excitation, dt)
        self.push(sim, memory)

    def push(self, sim: Any, memory: Memory) -> None:
        """Forces that MuJoCo applies in the next step."""
        rows = slice(None) if sim.live is None else sim.live
        sim.qfrc_applied[rows] = self.forces(memory, sim.qpos, sim.qvel)[rows]


class Native(Semi):
    """MuJoCo's own muscles (`morphology.arm.NativeArm`); only activation, length, speed and force are told of them."""

    def start(self, sim: Any, memory: Memory, ids: np.ndarray) -> None:
        """Muscles without activation, as MuJoCo starts them."""
        super().start(sim, memory, ids)
        memory["muscles"][ids, 0] = memory["muscles"][ids, 3:] = 0.0

    def step(self, sim: Any, memory: Memory, excitation: np.ndarray, dt: float) -> None:
        """One plant step of the live simulations."""
        sim.ctrl[:] = excitation
        sim.step()
        muscle = memory["muscles"]
        muscles.pull(memory["plant"], sim.qpos, sim.qvel, muscle)
        # MuJoCo's force is that of the step just made, all else is fresh
        muscle[:, 0], muscle[:, 3:6], muscle[:, 6] = sim.act, 0.0, -sim.actuator_force
        self.push(sim, memory)

    def forces(self, memory: Memory, q: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Generalised forces (n, 2) of hand force and field: MuJoCo applies its muscles itself."""
        out = super().forces(memory, q, v)
        push, none = (
            (memory["force"], memory["gain"], memory["squared"]),
            np.zeros_like(memory["muscles"]),
        )
        muscles.torques(memory["plant"], q, v, none, *push, np.empty(len(q)), out)
        return out
