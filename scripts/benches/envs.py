"""Environment steps: the vector and single environment against bare physics, dm_control and process pools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Protocol

import gymnasium as gym
import mujoco
import numpy as np
from mujoco.batch import Batch

from lancelet.optional import why_no_dm_control
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least, at_most

ID = "lancelet/Swim-v0"
NAVIGATE_ID = "lancelet/SwimNavigate-v0"
"""the task that observes what dm_control's swimmer does"""
JOINTS = 5
"""joints of the swimmer in both tasks"""
SUBSTEPS = 15
"""physics steps of a control step in both tasks"""
POOL_ENVS = 64
"""environments of a pool"""
BATCH_ENVS = 256
"""simulations of a batch"""
ROUND_STEPS = 20
"""control steps of a round, in pools and batches"""
SINGLE_STEPS = 200
"""control steps of a round of a single environment"""
ROUNDS = 15
QUICK_ROUNDS = 5
IMPORT_ROUNDS = 5
"""fresh processes whose imports are timed"""
QUICK_IMPORT_ROUNDS = 2

POOL_TARGETS = {"sync": 1.7, "async": 3.0}
"""Gymnasium's vectorisation mode -> how many times as fast ours must be"""
BARE_TARGET = 0.88
"""part of the rate of bare physics, at least"""
SINGLE_TARGET = 1.2
"""times as fast as dm_control, at least"""
IMPORT_TARGET = 1.5
"""s, at most"""
MEMORY_TARGET = 500
"""MB, at most"""

EQUAL = "equal actions, median ratio of rounds in turn"
ENVPOOL = Row(
    name=f"vector env n={BATCH_ENVS} vs EnvPool SwimmerSwimmer6-v1",
    kind="info",
    target=">= 1.5",
    note="not run here: `lancelet bench envpool` installs it in an environment of its own",
)

_IMPORT = """
import json, sys, time
begun = time.perf_counter()
import gymnasium as gym, lancelet
gym.make("lancelet/Swim-v0").reset(seed=0)
heavy = sorted({name.split(".")[0] for name in sys.modules} & {"torch", "OpenGL"})
print(json.dumps({"seconds": time.perf_counter() - begun, "heavy": heavy}))
"""
"""program that prints how long the import takes, and which heavy packages it loads"""

_MEMORY = """
import json, re, resource, sys
import gymnasium as gym, lancelet, lancelet.envs.swim

def peak():
    if sys.platform == "linux":  # getrusage would give the parent's peak, kept across fork and exec
        return int(re.search("VmHWM:(.*)kB", open("/proc/self/status").read())[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

before = peak()
env = gym.make_vec("lancelet/Swim-v0", num_envs=1024)
env.reset(seed=0)
for _ in range(20):
    env.step(env.action_space.sample())
print(json.dumps(peak() - before))
"""
"""program that prints the memory of 1,024 swimmers, MB"""


class Steppable(Protocol):
    """An environment of Gymnasium's or of dm_control's."""

    def step(self, action: Any, /) -> Any:
        """Make one control step."""
        ...


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    import_rounds = QUICK_IMPORT_ROUNDS if quick else IMPORT_ROUNDS
    # Process pools first: a fork beside physics threads hangs.
    return [
        *_pools(rounds),
        *_bare(rounds),
        *_single(rounds),
        *_import_time(import_rounds),
        _memory(),
        ENVPOOL,
    ]


def _actions(steps: int, env_count: int) -> np.ndarray:
    """Random actions in [-1, 1], (steps, env_count, JOINTS), the same at every call."""
    generator = np.random.default_rng(0)
    return generator.uniform(-1, 1, (steps, env_count, JOINTS)).astype(np.float32)


def _walk(env: Steppable, actions: np.ndarray) -> None:
    """Step an environment by one action after the other."""
    for action in actions:
        env.step(action)


def _walker(env: Steppable, actions: np.ndarray) -> Callable[[], None]:
    """A function that steps an environment by one action after the other."""
    return lambda: _walk(env, actions)


def _pools(rounds: int) -> list[Row]:
    """Our vector environment against Gymnasium's pools of our single one."""
    actions = _actions(ROUND_STEPS, POOL_ENVS)
    # The pools before ours, whose threads a fork must not find.
    pools = {}
    for mode in ("async", "sync"):
        pools[mode] = gym.make_vec(ID, num_envs=POOL_ENVS, vectorization_mode=mode)
    ours = gym.make_vec(ID, num_envs=POOL_ENVS)
    envs = {"ours": ours, **pools}

    def restart(number: int) -> None:
        for env in envs.values():
            env.reset(seed=number * POOL_ENVS)

    times = take_turns(
        rounds, restart, **{name: _walker(env, actions) for name, env in envs.items()}
    )
    rows = []
    for mode, target in POOL_TARGETS.items():
        value, interval = times.ratio(mode, "ours")
        name = f"vector env n={POOL_ENVS} vs {mode.capitalize()}VectorEnv of our single env"
        rows.append(at_least(name, "speed", value, target, interval=interval, note=EQUAL))
        pools[mode].close()
    ours.close()
    return rows


def _bare(rounds: int) -> list[Row]:
    """Our vector environment against its model stepped bare, on all cores."""
    actions = _actions(ROUND_STEPS, BATCH_ENVS)
    env = gym.make_vec(ID, num_envs=BATCH_ENVS)
    sim = env.unwrapped.sim  # pyright: ignore[reportAttributeAccessIssue]
    stale = Batch(sim.model, BATCH_ENVS, 0)
    fresh = Batch(sim.model, BATCH_ENVS, 0)

    def restart(number: int) -> None:
        env.reset(seed=number * BATCH_ENVS)
        for batch in (stale, fresh):
            batch.reset()
            batch.qpos[:] = sim.qpos

    def bare() -> None:
        for action in actions:
            stale.ctrl[:] = action
            stale.step(nstep=SUBSTEPS)

    def bare_with_sensors() -> None:
        for action in actions:
            fresh.ctrl[:] = action
            fresh.step(nstep=SUBSTEPS, stage=mujoco.mjtStage.mjSTAGE_VEL)

    times = take_turns(
        rounds, restart, env=_walker(env, actions), bare=bare, bare_vel=bare_with_sensors
    )
    name = f"vector env n={BATCH_ENVS} vs bare mujoco.batch"
    note = (
        f"bare: ctrl written, step(nstep={SUBSTEPS}), derived fields left stale; "
        f"all cores on both sides; {EQUAL}"
    )
    value, interval = times.ratio("bare", "env")
    rows = [at_least(name, "speed", value, BARE_TARGET, interval=interval, note=note)]
    value, interval = times.ratio("bare_vel", "env")
    note = "bare: step(stage=VEL), which refreshes what observations read"
    rows.append(Row(f"{name}, fresh sensors", "info", value, interval=interval, note=note))
    steps = ROUND_STEPS * BATCH_ENVS
    rows.append(_rate_row(f"vector env n={BATCH_ENVS}", times.rate("env", steps)))
    rows.append(_rate_row(f"bare mujoco.batch n={BATCH_ENVS}", times.rate("bare", steps)))
    return rows


def _rate_row(name: str, rate: float) -> Row:
    """Environment steps a second of the fastest round."""
    return Row(f"{name}, env steps/s", "info", rate, note="fastest round")


def _single(rounds: int) -> list[Row]:
    """Our single environments against dm_control's swimmer of as many joints."""
    name = f"single env (gym.make) vs dm_control swimmer{JOINTS + 1}"
    reason = why_no_dm_control()
    if reason is not None:
        return [Row(name, "speed", target=f">= {SINGLE_TARGET:g}", note=reason)]
    from dm_control import suite

    actions = _actions(SINGLE_STEPS, 1)[:, 0]
    peer = suite.load("swimmer", f"swimmer{JOINTS + 1}", task_kwargs={"random": 0})
    swim = gym.make(ID)
    navigate = gym.make(NAVIGATE_ID)

    def restart(number: int) -> None:
        peer.reset()
        swim.reset(seed=number)
        navigate.reset(seed=number)

    times = take_turns(
        rounds,
        restart,
        peer=_walker(peer, actions),
        swim=_walker(swim, actions),
        navigate=_walker(navigate, actions),
    )
    value, interval = times.ratio("peer", "swim")
    note = f"Swim-v0, env.step; {EQUAL}"
    rows = [at_least(name, "speed", value, SINGLE_TARGET, interval=interval, note=note)]
    value, interval = times.ratio("peer", "navigate")
    note = "SwimNavigate-v0 observes the same"
    rows.append(Row(f"{name}, like for like", "info", value, interval=interval, note=note))
    rows.append(_rate_row("single env", times.rate("swim", SINGLE_STEPS)))
    return rows


def _import_time(rounds: int) -> list[Row]:
    """How long the first environment takes in a fresh process, and what it loads."""
    results = [json.loads(_child(_IMPORT)) for _ in range(rounds)]
    seconds = float(np.median([result["seconds"] for result in results]))
    heavy = ", ".join(results[-1]["heavy"]) or "none"
    note = f"fresh process, first reset included, median of {rounds}"
    return [
        at_most("import lancelet + gym.make, s", "speed", seconds, IMPORT_TARGET, note=note),
        Row(
            name="torch, PyOpenGL loaded by it",
            kind="gate",
            value=heavy,
            target="none",
            holds=heavy == "none",
        ),
    ]


def _memory() -> Row:
    """Memory of many swimmers in a fresh process."""
    name = "1,024 swimmers and their vector env, MB"
    megabytes = json.loads(_child(_MEMORY))
    note = "fresh process, peak resident memory above the imports, after 20 steps"
    return at_most(name, "speed", megabytes, MEMORY_TARGET, note=note)


def _child(code: str) -> str:
    """What a program prints in a fresh process, whose environment is that of a user's shell."""
    # `bench` has set MUJOCO_GL for this process only.
    env = {key: value for key, value in os.environ.items() if key != "MUJOCO_GL"}
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=env
    )
    return result.stdout
