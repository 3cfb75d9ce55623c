"""The arm: its differentiable twin, alone and with 70 models stacked, and its vector environment on MuJoCo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from mujoco.batch import Batch

from lancelet.scripts.benches._timing import Times, take_turns
from lancelet.scripts.rows import Row, at_least
from lancelet.training.twins.arm import ArmTwin, trials

TASK, BATCH, MODELS, STEPS, ENVS = "lancelet/ArmReach-v0", 64, 70, 50, 256
HOME = Path(".tmp/motornet")
"""where MotorNet is installed: beside this environment, never in it"""
_MOTORNET = """
import json, sys, time
import motornet, torch
torch.set_num_threads(1)
batch, steps, rounds = map(int, sys.argv[1:])
torch.manual_seed(0)
body = motornet.effector.RigidTendonArm26(muscle=motornet.muscle.RigidTendonHillMuscle())
seconds = []
for _ in range(rounds + 1):
    actions = torch.rand(steps, batch, 6, requires_grad=True)
    begun = time.perf_counter()
    body.reset(options={"batch_size": batch})
    total = 0.0
    for action in actions.unbind(0):
        body.step(action)
        total = total + body.states["fingertip"].square().mean()
    total.backward()
    seconds.append(time.perf_counter() - begun)
    assert torch.isfinite(actions.grad).all() and actions.grad.abs().sum() > 0
print(json.dumps({"seconds": seconds[1:], "version": motornet.__version__}))
"""


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds."""
    rounds = 3 if quick else 9
    times = take_turns(rounds, alone=_learner((BATCH,)), stacked=_learner((MODELS, BATCH)))
    return [*_twin(times, rounds), _physics(rounds)]


def _learner(lead: tuple[int, ...]) -> Callable[[], None]:
    """One pass: 50 steps under random excitations, and the gradient of the hand's mean square in all of them."""
    twin, random = ArmTwin(), torch.Generator().manual_seed(0)
    angles = trials("reach", BATCH, random)["angles"].expand(*lead, 2)
    excitations = torch.rand(STEPS, *lead, 6, generator=random).requires_grad_()

    def learn() -> None:
        excitations.grad = None
        state, total = twin.start(angles), torch.zeros(())
        for excitation in excitations.unbind(0):
            state = twin.step(state, excitation)
            total = total + state["hand"].square().mean()
        total.backward()

    return learn


def _twin(times: Times, rounds: int) -> list[Row]:
    rows, note = (
        [],
        f"{STEPS} steps, gradient in every excitation, one core, fastest of {rounds} rounds",
    )
    for key, count, target, name in (
        ("alone", BATCH, 20_000, f"batch {BATCH}"), ("stacked", MODELS * BATCH, 300_000, f"{MODELS} models x {BATCH}"),
    ):  # fmt: skip
        rate = times.rate(key, count * STEPS)
        rows.append(
            at_least(
                f"twin, forward + backward, {name}, arm-steps/s", "speed", rate, target, note=note
            )
        )
    return [*rows, _motornet(rounds, times.rate("alone", BATCH * STEPS))]


def _motornet(rounds: int, ours: float) -> Row:
    """MotorNet on the same arm, batch and steps, in a process of its own under this very torch."""
    name, goal = f"twin vs MotorNet, batch {BATCH}, forward + backward", ">= 2"
    try:
        if not (HOME / "motornet").exists():
            install = [
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                "--retries",
                "0",
                "--target",
                str(HOME),
                "motornet",
            ]
            _child(install, 120)
        found = json.loads(
            _child(["-P", "-c", _MOTORNET, str(BATCH), str(STEPS), str(rounds)], 600).splitlines()[
                -1
            ]
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        return Row(name, "info", target=goal, note=f"MotorNet does not run here: {reason[:120]}")
    theirs = BATCH * STEPS / min(found["seconds"])
    note = f"MotorNet {found['version']}: {theirs:,.0f} arm-steps/s, RigidTendonArm26, one torch thread, fastest round"
    return at_least(name, "info", ours / theirs, 2, note=note)


def _child(arguments: list[str], timeout: float) -> str:
    env = {**os.environ, "PYTHONPATH": str(HOME.resolve()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=timeout, env=env
    ).stdout


def _physics(rounds: int) -> Row:
    """Control steps of the vector environment against its model stepped bare, on one thread."""
    env = gym.make_vec(TASK, num_envs=ENVS, nthread=1, max_episode_steps=-1).unwrapped
    actions = np.random.default_rng(0).uniform(0, 1, (STEPS, ENVS, 6)).astype(np.float32)
    bare = Batch(env.sim.model, ENVS, 1)  # pyright: ignore[reportAttributeAccessIssue]

    def restart(number: int) -> None:
        env.reset(seed=number * ENVS)
        bare.reset()
        bare.qpos[:] = env.sim.qpos  # pyright: ignore[reportAttributeAccessIssue]

    def ours() -> None:
        for action in actions:
            env.step(action)

    def theirs() -> None:
        for _ in actions:
            bare.step(nstep=1)

    times = take_turns(rounds, restart, ours=ours, bare=theirs)
    value, interval = times.ratio("bare", "ours")
    note = f"{times.rate('ours', ENVS * STEPS):,.0f} control steps/s; muscles in ours, none in bare; one thread"
    name = f"vector env n = {ENVS} vs bare mujoco.batch"
    return at_least(name, "speed", value, 0.4, interval=interval, note=note)
