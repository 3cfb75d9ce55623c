"""The arm: its differentiable twin, and its vector environment on MuJoCo.

A twin is the task's physics written once more in torch, so that gradients pass through it (`training/twins`). It is
timed alone, as one model is trained in it, and stacked, as many models are trained side by side in one pass.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from mujoco.batch import Batch

from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least
from lancelet.training.twins.arm import ArmTwin, trials

TASK = "lancelet/ArmReach-v0"
BATCH = 64
"""arms of a model"""
MODELS = 70
"""models stacked"""
STEPS = 50
"""control steps"""
ENVS = 256
"""simulations of the vector environment"""
MUSCLES = 6
"""muscles of the arm"""
ROUNDS = 9
"""rounds that are timed"""
QUICK_ROUNDS = 3
"""rounds that a quick bench times"""
TWIN_TARGET = 20_000
"""arm-steps/s of the twin alone, at least"""
STACKED_TARGET = 300_000
"""arm-steps/s of all models stacked, at least"""
MOTORNET_TARGET = 2
"""times as fast as MotorNet, at least"""
PHYSICS_TARGET = 0.4
"""part of the bare model's rate, at least"""
INSTALL_TIMEOUT = 120
"""s that pip may take"""
RUN_TIMEOUT = 600
"""s that MotorNet may take for all rounds"""
SHOWN_OF_A_REASON = 120
"""characters of an error in a note"""
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
    rounds = QUICK_ROUNDS if quick else ROUNDS
    twin_rows = _twin_rows(rounds)
    return [*twin_rows, _physics(rounds)]


def _learner(shape: tuple[int, ...]) -> Callable[[], None]:
    """One pass: `STEPS` steps under random excitations, and the gradient of the hand's mean square in all of them.

    Args:
        shape: of the batch of arms, (BATCH,) or (MODELS, BATCH).
    """
    twin = ArmTwin()
    random = torch.Generator().manual_seed(0)
    angles = trials("reach", BATCH, random)["angles"].expand(*shape, 2)
    excitations = torch.rand(STEPS, *shape, MUSCLES, generator=random).requires_grad_()

    def learn() -> None:
        # Set anew: else the gradients of all rounds would be added up.
        excitations.grad = None
        state = twin.start(angles)
        total = torch.zeros(())
        for excitation in excitations.unbind(0):
            state = twin.step(state, excitation)
            total = total + state["hand"].square().mean()
        total.backward()

    return learn


def _twin_rows(rounds: int) -> list[Row]:
    """Time the twin alone and stacked, in turns; their rates, and MotorNet's beside that of the twin alone."""
    alone_shape = (BATCH,)
    stacked_shape = (MODELS, BATCH)
    times = take_turns(rounds, alone=_learner(alone_shape), stacked=_learner(stacked_shape))
    # A round of `_learner` is `STEPS` steps of every arm of its shape.
    alone_rate = times.rate("alone", math.prod(alone_shape) * STEPS)
    stacked_rate = times.rate("stacked", math.prod(stacked_shape) * STEPS)
    note = f"{STEPS} steps, gradient in every excitation, one core, fastest of {rounds} rounds"
    title = "twin, forward + backward"
    return [
        at_least(
            f"{title}, batch {BATCH}, arm-steps/s",
            "speed",
            alone_rate,
            TWIN_TARGET,
            note=note,
        ),
        at_least(
            f"{title}, {MODELS} models x {BATCH}, arm-steps/s",
            "speed",
            stacked_rate,
            STACKED_TARGET,
            note=note,
        ),
        _motornet(rounds, alone_rate),
    ]


def _motornet(rounds: int, ours: float) -> Row:
    """MotorNet on the same arm, batch and steps, in a process of its own under this very torch.

    Args:
        rounds: rounds that are timed.
        ours: rate of the twin alone, arm-steps/s.
    """
    name = f"twin vs MotorNet, batch {BATCH}, forward + backward"
    try:
        if not (HOME / "motornet").exists():
            # Without its requirements, which would replace this torch.
            words = ["-m", "pip", "install", "-q", "--no-deps", "--retries", "0", "--target"]
            _child([*words, str(HOME), "motornet"], INSTALL_TIMEOUT)
        # `-P`: Python does not look for modules in the present folder, where `lancelet` has names of its own.
        # The numbers are read by `_MOTORNET` in this order.
        script = ["-P", "-c", _MOTORNET, str(BATCH), str(STEPS), str(rounds)]
        output = _child(script, RUN_TIMEOUT)
    except (OSError, subprocess.SubprocessError) as error:
        reason = _last_line(error)[:SHOWN_OF_A_REASON]
        note = f"MotorNet does not run here: {reason}"
        return Row(name, "info", target=f">= {MOTORNET_TARGET:g}", note=note)
    # The last line: libraries may print before it.
    result = json.loads(output.splitlines()[-1])
    theirs = BATCH * STEPS / min(result["seconds"])
    note = (
        f"MotorNet {result['version']}: {theirs:,.0f} arm-steps/s, RigidTendonArm26, one torch thread, "
        "fastest round"
    )
    return at_least(name, "info", ours / theirs, MOTORNET_TARGET, note=note)


def _last_line(error: Exception) -> str:
    """The last line that a child process wrote to stderr, or the error's own message."""
    text = str(error)
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        text = error.stderr
    return text.strip().splitlines()[-1]


def _child(arguments: list[str], timeout: float) -> str:
    """What a Python of its own prints, which finds MotorNet; `timeout` is in s."""
    env = {**os.environ, "PYTHONPATH": str(HOME.resolve()), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout,
        env=env,
    )
    return result.stdout


def _physics(rounds: int) -> Row:
    """Control steps of the vector environment against its model stepped bare, on one thread."""
    env = gym.make_vec(TASK, num_envs=ENVS, nthread=1, max_episode_steps=-1).unwrapped
    generator = np.random.default_rng(0)
    actions = generator.uniform(0, 1, (STEPS, ENVS, MUSCLES)).astype(np.float32)
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
    rate = times.rate("ours", ENVS * STEPS)
    note = f"{rate:,.0f} control steps/s; muscles in ours, none in bare; one thread"
    name = f"vector env n = {ENVS} vs bare mujoco.batch"
    return at_least(name, "speed", value, PHYSICS_TARGET, interval=interval, note=note)
