"""Five small doubles that prove the contracts: each is real, and used through the public surface alone."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from gymnasium import spaces

import lancelet
from lancelet import controllers, morphology
from lancelet.envs import Task
from lancelet.envs.swim import Swim


@dataclass(frozen=True)
class Bead(morphology.Body):
    """A ball on a straight wire with a motor."""

    mass: float = 1.0

    def __post_init__(self):
        self.positive("mass")

    def build(self):
        spec = mujoco.MjSpec()
        spec.option.timestep = 0.01
        ball = spec.worldbody.add_body(name="ball")
        ball.add_joint(
            name="slide", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0], damping=[0.5, 0, 0]
        )
        ball.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1, 0, 0], mass=self.mass)
        spec.add_actuator(
            name="motor", target="slide", trntype=mujoco.mjtTrn.mjTRN_JOINT, gear=[2, 0, 0, 0, 0, 0],
            ctrllimited=1, ctrlrange=[-1, 1],
        )  # fmt: skip
        return spec


@dataclass(kw_only=True)
class Spring(Swim):
    """A force at every substep: the head is tied to the origin by a spring that MuJoCo knows nothing of."""

    stiffness: float = 0.5

    def advance(self, sim, memory, action):
        sim.ctrl[:] = action
        for _ in range(self.substeps):
            sim.xfrc_applied[:, 1, :2] = -self.stiffness * sim.qpos[:, :2]
            sim.step(1)


@dataclass(kw_only=True)
class Reach(Task):
    """A Dict observation with goals: bring the bead to a place; the episode ends there."""

    tolerance: float = 0.05
    substeps = 5
    reset_options = ("goal",)

    def default_body(self):
        return Bead()

    @property
    def observation_space(self):
        one = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        both = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        return spaces.Dict({"observation": both, "achieved_goal": one, "desired_goal": one})

    @property
    def action_space(self):
        return spaces.Box(-1.0, 1.0, (1,), np.float32)

    def memory(self, n):
        return {"goal": np.zeros((n, 1))}

    def reset(self, sim, memory, ids, rngs, options):
        for i, rng in zip(ids, rngs, strict=True):
            memory["goal"][i] = rng.uniform(0.5, 1.0) * rng.choice([-1, 1])
        if "goal" in options:
            memory["goal"][ids] = options["goal"]

    def observe(self, sim, memory):
        state = np.concatenate([sim.qpos, sim.qvel], axis=1)
        return {
            "observation": state,
            "achieved_goal": np.array(sim.qpos),
            "desired_goal": memory["goal"].copy(),
        }

    def _distance(self, sim, memory):
        return np.abs(sim.qpos - memory["goal"])[:, 0]

    def reward(self, sim, memory, action):
        near, effort = -self._distance(sim, memory), -0.01 * action[:, 0] ** 2
        return near + effort, {"near": near, "effort": effort}

    def terminated(self, sim, memory):
        return self._distance(sim, memory) < self.tolerance

    def metrics(self, sim, memory):
        return {"success": self.terminated(sim, memory).astype(float)}


class Tape:
    """A simulator that is not MuJoCo: a counter."""

    def __init__(self, n):
        self.n, self.live, self.state = n, None, np.zeros((n, 1))

    def reset(self, ids):
        self.state[ids] = 0

    def step(self):
        self.state[slice(None) if self.live is None else self.live] += 1


@dataclass(kw_only=True)
class Cue(Task):
    """Memory without MuJoCo: a cue at the start, noise for a while, then answer with the cue's sign."""

    delay: int = 5
    discrete: bool = False

    @property
    def observation_space(self):
        return spaces.Box(-1.0, 1.0, (2,), np.float32)

    @property
    def action_space(self):
        return spaces.Discrete(2) if self.discrete else spaces.Box(-1.0, 1.0, (1,), np.float32)

    def make(self, n, nthread):
        return Tape(n)

    def control_dt(self, sim):
        return 0.1

    def memory(self, n):
        return {
            "cue": np.zeros(n),
            "noise": np.zeros((n, self.delay + 2)),
            "time": np.zeros(n, np.int64),
        }

    def reset(self, sim, memory, ids, rngs, options):
        for i, rng in zip(ids, rngs, strict=True):
            memory["cue"][i] = rng.choice([-1.0, 1.0])
            memory["noise"][i] = rng.uniform(-0.2, 0.2, self.delay + 2)

    def advance(self, sim, memory, action):
        sim.step()
        memory["time"] += 1

    def observe(self, sim, memory):
        now = np.minimum(memory["time"], self.delay + 1)
        cue = np.where(memory["time"] == 0, memory["cue"], memory["noise"][np.arange(sim.n), now])
        return np.stack([cue, memory["time"] == self.delay], axis=1)

    def reward(self, sim, memory, action):
        answer = 2.0 * action - 1 if self.discrete else np.sign(action[:, 0])
        right = (memory["time"] == self.delay + 1) & (answer == memory["cue"])
        return right.astype(float), {}

    def terminated(self, sim, memory):
        return memory["time"] > self.delay

    def metrics(self, sim, memory):
        return {"time": sim.state[:, 0].copy()}


@dataclass(kw_only=True)
class Gale(Reach):
    """Two bodies in one environment, the damping of each drawn anew at every reset."""

    def bodies(self):
        return [Bead(mass=1.0), Bead(mass=3.0)]

    def reset(self, sim, memory, ids, rngs, options):
        super().reset(sim, memory, ids, rngs, options)
        for i, rng in zip(ids, rngs, strict=True):
            sim.field("dof_damping")[i] = rng.uniform(0.1, 1.0)

    def metrics(self, sim, memory):
        return super().metrics(sim, memory) | {"damping": sim.field("dof_damping")[:][:, 0].copy()}


class Notebook:
    """What one plastic agent has in mind: not a tensor, and changed in place."""

    def __init__(self):
        self.cue, self.steps, self.lessons = None, 0, []


class Plastic(controllers.Controller):
    """Writes the cue into a notebook, learns from the first reward whether to answer with it or against it."""

    pure = False

    def initial_state(self, batch):
        return [Notebook() for _ in range(batch)]

    def reset(self, state, mask):
        return [
            Notebook() if fresh else old for old, fresh in zip(state, mask.tolist(), strict=True)
        ]

    def forward(self, observation, state):
        action = []
        for seen, note in zip(observation[:, 0].tolist(), state, strict=True):
            if note.steps % 6 == 0:
                note.cue = seen
            note.steps += 1
            action.append([note.cue * (-1 if note.lessons == [] else 1)])
        return torch.tensor(action), state

    def learn(self, observation, action, reward, ended, next_observation, state):
        for i, note in enumerate(state):
            if ended[i]:
                note.lessons.append((reward[i].item(), next_observation[i].tolist()))
        return state

    def signals(self, state):
        return {"steps": torch.tensor([[note.steps] for note in state])}


TASKS = {
    "doubles/Spring-v0": ("doubles:Spring", 12),
    "doubles/Reach-v0": ("doubles:Reach", 40),
    "doubles/Cue-v0": ("doubles:Cue", 20),
    "doubles/Gale-v0": ("doubles:Gale", 40),
}


def register_all():
    """Put the doubles in the registries, as a user's file would."""
    for id, (task, limit) in TASKS.items():
        lancelet.register(id, task, max_episode_steps=limit)
    lancelet.register("doubles/CueDiscrete-v0", "doubles:Cue", max_episode_steps=20, discrete=True)
    morphology.register("bead", "doubles:Bead")
    controllers.register("plastic", "doubles:Plastic")
