"""The safe stop, F1 to F5: every fault of the sensors, in every task, whatever controller.

Codes: docs/systems/hdemg.md, "Row codes". The command of the step that follows a faulty stride must be zero, and from one
stride later on the tip must stand.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lancelet import training
from lancelet.assist_layout import CONTROL_PERIOD
from lancelet.controllers import Controller, Population
from lancelet.emg_layout import GESTURE_COUNT, GESTURES
from lancelet.envs.assist.faults import FAULTS, NO_FAULT
from lancelet.scripts.rows import at_most
from lancelet.scripts.studies.assist.experts import TASKS, task_id
from lancelet.scripts.studies.hdemg.people import People
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env

FAULT_BEGIN = 3.0
"""s after the reset: by then the robot is moving"""
FAULT_SECONDS = 1.0
"""s that it lasts"""
LARGEST_MOTION = 1.0
"""mm that the tip may move while the fault lasts, from one stride after its begin on"""
MILLIMETRES = 1000.0
"""in a metre"""
START = 3000
"""seed of the start state"""
PPO = {
    "steps": 16_384,
    "envs": 16,
    "rollout": 64,
    "batch_size": 512,
    "epochs": 10,
    "test": 2,
    "validation": 2,
    "validate_every": 8192,
}
"""a short training: the policy need not be good, it has to push"""
LEARNED_TASK = "reach"


class Stop(NamedTuple):
    """What a fault did to one robot."""

    largest_command: float
    """share of the largest speed, in any step of the fault"""
    motion: float
    """mm between the farthest places of the tip while the fault lasts, from one stride after its begin on"""
    speed_before: float
    """mm/s of the tip in the step before the fault"""


class Pusher(Controller):
    """Makes one gesture for ever, whatever it sees: nothing of it lets the robot stop."""

    gesture = GESTURES.index("wrist_extension")

    def forward(self, observation: Mapping[str, Tensor], state: tuple) -> tuple[Tensor, tuple]:
        """The gesture's posterior 1, (batch, 10)."""
        scores = torch.zeros(len(observation["robot"]), GESTURE_COUNT)
        scores[:, self.gesture] = 1.0
        return scores, state


def stop_rows(study: Study, people: People) -> None:
    """F1 to F5: the largest command and motion over all tasks and controllers, a row a fault."""
    learned = learned_policy()
    real_faults = [fault for fault in FAULTS if fault != FAULTS[NO_FAULT]]
    for number, fault in enumerate(real_faults, start=1):
        stops = {}
        for task in TASKS:
            for name, controller in controllers_of(task, people, learned).items():
                stops[f"{task}, {name}"] = stopped(task, controller, fault, people.users[0])
        worst = max(stops, key=lambda key: stops[key].motion)
        largest_command = max(stop.largest_command for stop in stops.values())
        moving = sum(stop.speed_before > 1.0 for stop in stops.values())
        study.add(
            at_most(
                f"F{number} {fault}: largest command while it lasts (share of the largest speed)",
                "gate",
                largest_command,
                0.0,
                seeds=len(stops),
                note=f"{len(TASKS)} tasks, {len(stops) // len(TASKS)} controllers",
            )
        )
        study.add(
            at_most(
                f"F{number} {fault}: motion after one stride (mm)",
                "gate",
                stops[worst].motion,
                LARGEST_MOTION,
                seeds=len(stops),
                note=f"the most in {worst}; in {moving} of {len(stops)} the tip moved when the fault began",
            )
        )


def controllers_of(task: str, people: People, learned: Controller) -> dict[str, Controller]:
    """The controllers of the matrix, by name: the decoder, one that never rests, and a policy that has learned."""
    env = make_env(task_id(task), 1, input="emg")
    pusher = Pusher(env.single_observation_space, env.single_action_space, Controller.Options())
    env.close()
    return {"decoder": people.decoders[0], "never rests": pusher, "learned": learned}


def learned_policy() -> Controller:
    """A perceptron that ppo has trained for a short while on signals."""
    with tempfile.TemporaryDirectory() as folder:
        ppo = training.algorithms.get("ppo")
        trainer = ppo(folder=str(Path(folder) / "run"), quiet=True, **PPO)
        run = trainer.train(
            f"assist-{LEARNED_TASK}", "mlp", task_options={"input": "emg", "episode": "short"}
        )
        return run.controller


def stopped(task: str, controller: Controller, fault: str, user: int) -> Stop:
    """Break the sensors of one robot in the midst of a task."""
    disturbances = {"fault": fault, "fault_begin": FAULT_BEGIN, "fault_seconds": FAULT_SECONDS}
    env = make_env(task_id(task), 1, input="emg", users=(user,), disturbances=disturbances)
    agents = Population(controller, 1)
    observation, _ = env.reset(seed=START)
    state = agents.initial_state()
    steps = round((FAULT_BEGIN + FAULT_SECONDS) / CONTROL_PERIOD)
    places = []
    commands = []
    is_stopped = []
    for _ in range(steps):
        action, state = agents(observation, state)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated[0] or truncated[0]:
            break
        places.append(env.memory["tip_place"][0].copy())
        commands.append(float(np.abs(env.memory["moved_by"][0]).max()))
        is_stopped.append(bool(env.memory["stopped_by"][0] != NO_FAULT))
    env.close()
    begin = is_stopped.index(True)
    way_before = np.linalg.norm(places[begin - 1] - places[begin - 2])
    standing = np.array(places[begin:])
    motion = np.linalg.norm(standing - standing[0], axis=1).max()
    return Stop(
        largest_command=max(commands[begin:]),
        motion=float(motion * MILLIMETRES),
        speed_before=float(way_before / CONTROL_PERIOD * MILLIMETRES),
    )
