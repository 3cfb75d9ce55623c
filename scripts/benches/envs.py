"""Environment steps: the vector and single environment against bare physics, dm_control and process pools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from mujoco.batch import Batch

from lancelet.optional import why_no_dm_control
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least, at_most

ID, JOINTS, SUBSTEPS = "lancelet/Swim-v0", 5, 15
EQUAL = "equal actions, median ratio of rounds in turn"
ENVPOOL = Row(
    "vector env n=256 vs EnvPool SwimmerSwimmer6-v1", "info", target=">= 1.5",
    note="not run here: `lancelet bench envpool` installs it in an environment of its own",
)  # fmt: skip

_IMPORT = """
import json, sys, time
begun = time.perf_counter()
import gymnasium as gym, lancelet
gym.make("lancelet/Swim-v0").reset(seed=0)
heavy = sorted({name.split(".")[0] for name in sys.modules} & {"torch", "OpenGL"})
print(json.dumps({"seconds": time.perf_counter() - begun, "heavy": heavy}))
"""

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


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds."""
    rounds = 5 if quick else 15
    # process pools first: a fork beside physics threads hangs
    return [
        *_pools(rounds),
        *_bare(rounds),
        *_single(rounds),
        *_import_time(2 if quick else 5),
        _memory(),
        ENVPOOL,
    ]


def _actions(steps: int, n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (steps, n, JOINTS)).astype(np.float32)


def _walk(env: Any, actions: np.ndarray) -> None:
    for action in actions:
        env.step(action)


def _pools(rounds: int) -> list[Row]:
    n, actions, rows = 64, _actions(20, 64), []
    pools = {
        mode: gym.make_vec(ID, num_envs=n, vectorization_mode=mode) for mode in ("async", "sync")
    }
    ours = gym.make_vec(ID, num_envs=n)
    envs = {"ours": ours, **pools}

    def restart(number: int) -> None:
        for env in envs.values():
            env.reset(seed=number * n)

    times = take_turns(
        rounds, restart, **{name: lambda env=env: _walk(env, actions) for name, env in envs.items()}
    )
    for mode, target in (("sync", 1.7), ("async", 3.0)):
        value, interval = times.ratio(mode, "ours")
        name = f"vector env n={n} vs {mode.capitalize()}VectorEnv of our single env"
        rows.append(at_least(name, "speed", value, target, interval=interval, note=EQUAL))
        pools[mode].close()
    ours.close()
    return rows


def _bare(rounds: int) -> list[Row]:
    n, actions = 256, _actions(20, 256)
    env = gym.make_vec(ID, num_envs=n)
    sim = env.unwrapped.sim  # pyright: ignore[reportAttributeAccessIssue]
    plain, derived = Batch(sim.model, n, 0), Batch(sim.model, n, 0)

    def restart(number: int) -> None:
        env.reset(seed=number * n)
        for batch in (plain, derived):
            batch.reset()
            batch.qpos[:] = sim.qpos

    def bare() -> None:
        for action in actions:
            plain.ctrl[:] = action
            plain.step(nstep=SUBSTEPS)

    def bare_vel() -> None:
        for action in actions:
            derived.ctrl[:] = action
            derived.step(nstep=SUBSTEPS, stage=mujoco.mjtStage.mjSTAGE_VEL)

    times = take_turns(
        rounds, restart, env=lambda: _walk(env, actions), bare=bare, bare_vel=bare_vel
    )
    name = f"vector env n={n} vs bare mujoco.batch"
    note = f"bare: ctrl written, step(nstep={SUBSTEPS}), derived fields left stale; all cores on both sides; {EQUAL}"
    value, interval = times.ratio("bare", "env")
    rows = [at_least(name, "speed", value, 0.88, interval=interval, note=note)]
    value, interval = times.ratio("bare_vel", "env")
    note = "bare: step(stage=VEL), which refreshes what observations read"
    rows.append(Row(f"{name}, fresh sensors", "info", value, interval=interval, note=note))
    steps = len(actions) * n
    rows.append(
        Row(
            f"vector env n={n}, env steps/s", "info", times.rate("env", steps), note="fastest round"
        )
    )
    rows.append(
        Row(
            f"bare mujoco.batch n={n}, env steps/s",
            "info",
            times.rate("bare", steps),
            note="fastest round",
        )
    )
    return rows


def _single(rounds: int) -> list[Row]:
    name = f"single env (gym.make) vs dm_control swimmer{JOINTS + 1}"
    reason = why_no_dm_control()
    if reason is not None:
        return [Row(name, "speed", target=">= 1.2", note=reason)]
    from dm_control import suite

    actions, rows = _actions(200, 1)[:, 0], []
    peer = suite.load("swimmer", f"swimmer{JOINTS + 1}", task_kwargs={"random": 0})
    envs = {"swim": gym.make(ID), "navigate": gym.make("lancelet/SwimNavigate-v0")}

    def restart(number: int) -> None:
        peer.reset()
        for env in envs.values():
            env.reset(seed=number)

    contenders = {name: lambda env=env: _walk(env, actions) for name, env in envs.items()}
    times = take_turns(rounds, restart, peer=lambda: _walk(peer, actions), **contenders)
    value, interval = times.ratio("peer", "swim")
    rows.append(
        at_least(name, "speed", value, 1.2, interval=interval, note=f"Swim-v0, env.step; {EQUAL}")
    )
    value, interval = times.ratio("peer", "navigate")
    rows.append(
        Row(
            f"{name}, like for like",
            "info",
            value,
            interval=interval,
            note="SwimNavigate-v0 observes the same",
        )
    )
    rate = times.rate("swim", len(actions))
    return [*rows, Row("single env, env steps/s", "info", rate, note="fastest round")]


def _import_time(rounds: int) -> list[Row]:
    runs = [json.loads(_child(_IMPORT)) for _ in range(rounds)]
    seconds = float(np.median([run["seconds"] for run in runs]))
    heavy = ", ".join(runs[-1]["heavy"]) or "none"
    note = f"fresh process, first reset included, median of {rounds}"
    return [
        at_most("import lancelet + gym.make, s", "speed", seconds, 1.5, note=note),
        Row("torch, PyOpenGL loaded by it", "gate", heavy, "none", heavy == "none"),
    ]


def _memory() -> Row:
    note = "fresh process, peak resident memory above the imports, after 20 steps"
    return at_most(
        "1,024 swimmers and their vector env, MB",
        "speed",
        json.loads(_child(_MEMORY)),
        500,
        note=note,
    )


def _child(code: str) -> str:
    env = {
        key: value for key, value in os.environ.items() if key != "MUJOCO_GL"
    }  # as a user's shell has it
    return subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=env
    ).stdout
