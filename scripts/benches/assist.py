"""The assistive manipulator: real-time factors on one core, its vector environment, memory, and a learner's steps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from mujoco.batch import Batch

from lancelet.assist_layout import CONTROL_PERIOD
from lancelet.envs.assist import scene
from lancelet.envs.assist.base import SPEEDS
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.training.config import committed
from lancelet.training.rollout import make_env

SCRATCH = "lancelet/AssistScratch-v0"
REACH = "lancelet/AssistReach-v0"
FETCH = "lancelet/AssistFetch-v0"
HARDEST_ROBOT = {"name": "manipulator", "base": "wheels", "arm": "four-slide", "tool": "none"}
"""the robot with most joints and contacts"""
SIMULATED_SECONDS = 20.0
"""s that one simulation is stepped in a round"""
LEAST_REAL_TIME = {"one-slide arm, person": 20.0, "four-slide arm, wheels, box, person": 10.0}
"""simulated seconds in one of the clock"""
ENVS = 64
"""simulations side by side"""
CONTROL_STEPS = 20
"""of every simulation in a round"""
LEAST_SHARE = 0.80
"""of the bare batch's speed that the vector environment keeps"""
MANY = 1024
"""simulations whose address space is looked at"""
MOST_MEMORY = 0.5
"""GB"""
CONFIG = "assist-reach-mlp-ppo"
"""the training whose steps are timed"""
MOST_TRAINING_TIME = 180.0
"""s of one core for the whole training"""
STATUS = Path("/proc/self/status")
"""where Linux tells a process its address space"""


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds and shorter ones."""
    rounds = 3 if quick else 9
    seconds = SIMULATED_SECONDS / 4 if quick else SIMULATED_SECONDS
    return [
        _real_time("one-slide arm, person", SCRATCH, rounds, seconds),
        _real_time(
            "four-slide arm, wheels, box, person", FETCH, rounds, seconds, body=HARDEST_ROBOT
        ),
        _vector_env(rounds),
        _memory(),
        _training(iterations=2 if quick else 8),
    ]


def _real_time(name: str, task: str, rounds: int, seconds: float, **options: Any) -> Row:
    """How much faster than the clock one scene is stepped by MuJoCo alone, on one core.

    Args:
        name: of the scene, a key of `LEAST_REAL_TIME`.
        task: its id.
        rounds: of the measurement.
        seconds: simulated in a round.
        **options: of the task.
    """
    env = make_env(task, 1, nthread=1, **options)
    env.reset(seed=0)
    model: mujoco.MjModel = env.sim.model  # pyright: ignore[reportAttributeAccessIssue]
    data = mujoco.MjData(model)
    columns = scene.columns(model)
    start = env.sim.qpos[0].copy()  # pyright: ignore[reportAttributeAccessIssue]
    # To and fro, so that nothing ever stands at a limit.
    commands = np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds / CONTROL_PERIOD), 6))
    substeps = round(CONTROL_PERIOD / model.opt.timestep)

    def step() -> None:
        mujoco.mj_resetData(model, data)
        data.qpos[:] = start
        mujoco.mj_forward(model, data)
        data.act[:] = data.actuator_length[columns.joints]
        data.ctrl[columns.posture] = data.actuator_length[columns.posture]
        for command in commands:
            data.ctrl[columns.joints] = command * SPEEDS[2:]
            mujoco.mj_step(model, data, substeps)

    times = take_turns(rounds, step=step)
    factors = seconds / times.seconds["step"]
    note = f"timestep {1000 * model.opt.timestep:g} ms, random speeds, fastest of {rounds} rounds; "
    note += f"median {np.median(factors):.1f}"
    label = f"real-time factor on one core: {name}"
    return at_least(label, "speed", float(factors.max()), LEAST_REAL_TIME[name], note=note)


def _vector_env(rounds: int) -> Row:
    """The vector environment against its model stepped bare, the sensors of every substep kept by both."""
    env = gym.make_vec(
        REACH, num_envs=ENVS, nthread=1, force_limit=200.0, max_episode_steps=-1
    ).unwrapped
    env.reset(seed=0)
    sim: Any = env.sim  # pyright: ignore[reportAttributeAccessIssue]
    columns = scene.columns(sim.model)
    substeps = round(CONTROL_PERIOD / sim.timestep)
    actions = np.random.default_rng(0).uniform(-0.5, 0.5, (CONTROL_STEPS, ENVS, 8))
    actions = actions.astype(np.float32)
    bare = Batch(sim.model, ENVS, 1)
    out = {"sensordata": np.zeros((ENVS, substeps, sim.model.nsensordata))}

    def restart(number: int) -> None:
        env.reset(seed=number * ENVS)
        bare.reset()
        bare.qpos[:] = sim.qpos
        bare.act[:] = sim.actuator_length[:, columns.joints]
        bare.ctrl[:, columns.posture] = sim.actuator_length[:, columns.posture]

    def ours() -> None:
        for action in actions:
            env.step(action)

    def theirs() -> None:
        for action in actions:
            speeds = action * SPEEDS
            bare.ctrl[:, columns.base] = speeds[:, :2]
            bare.ctrl[:, columns.joints] = speeds[:, 2:]
            bare.rollout(substeps, record=("sensordata",), out=out)

    times = take_turns(rounds, restart, ours=ours, bare=theirs)
    value, interval = times.ratio("bare", "ours")
    rate = times.rate("ours", ENVS * CONTROL_STEPS)
    note = (
        f"{rate:,.0f} control steps/s of {substeps} substeps, forces of every one read, one thread"
    )
    name = f"vector env n = {ENVS} vs bare mujoco.batch"
    return at_least(name, "speed", value, LEAST_SHARE, interval=interval, note=note)


def _memory() -> Row:
    """Address space of many simulations."""
    name = f"address space of {MANY:,} simulations, GB"
    if not STATUS.exists():
        return Row(name, "speed", target=f"<= {MOST_MEMORY:g}", note="not run: needs Linux's /proc")
    grown = _growth(lambda: make_env(REACH, MANY, nthread=1))
    return at_most(name, "speed", grown, MOST_MEMORY, note="growth of VmSize, one physics thread")


def _growth(make: Callable[[], Any]) -> float:
    """GB by which the address space has grown once `make` has made something."""
    before = _address_space()
    made = make()
    grown = _address_space() - before
    made.close()
    return grown


def _address_space() -> float:
    """GB of this process."""
    for line in STATUS.read_text().splitlines():
        if line.startswith("VmSize:"):
            return int(line.split()[1]) * 1024 / 1e9
    return float("nan")


def _training(iterations: int) -> Row:
    """Time of one core for the whole training of `CONFIG`, from a few of its rollouts and updates."""
    config = committed()[CONFIG]
    options = config.algorithm_options
    in_iteration = options["envs"] * options["rollout"]
    brief = {"validation": 1, "validate_every": 10**9, "save_every": 10**9}
    spent = []
    # The first one counts for nothing: it imports, and fills caches.
    for count in (1, 1, 1 + iterations):
        short = config.shorter(steps=count * in_iteration, **brief)
        with tempfile.TemporaryDirectory() as folder:
            begun = time.process_time()
            short.train(seed=0, folder=f"{folder}/run", quiet=True, test=0)
            spent.append(time.process_time() - begun)
    # The difference leaves out what is done once: building, the first and the last validation.
    seconds = (spent[2] - spent[1]) / iterations * options["steps"] / in_iteration
    name = f"ppo on AssistReach, {options['steps']:,} steps, s of one core"
    note = (
        f"processor time of {iterations} iterations of {in_iteration:,} steps, without validation"
    )
    return at_most(name, "speed", seconds, MOST_TRAINING_TIME, note=note)
