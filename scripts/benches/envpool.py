"""The vector environment against EnvPool's swimmer, which is installed in an environment of its own under .tmp/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np

from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least

N = 256
"""simulations on both sides"""
STEPS = 20
"""control steps of each simulation in a round"""
HOME = Path(".tmp/envpool")
"""folder of the Python environment that EnvPool is installed in"""
TARGET = 1.5
"""how many times as fast ours should be"""

_PEER = """
import os, sys
import envpool, numpy as np
n, steps = int(sys.argv[1]), int(sys.argv[2])
env = envpool.make_gymnasium("SwimmerSwimmer6-v1", num_envs=n, num_threads=os.cpu_count())
actions = np.random.default_rng(0).uniform(-1, 1, (steps, n, 5))
env.reset()
print("ready", flush=True)
for line in sys.stdin:
    for action in actions:
        env.step(action)
    print("done", flush=True)
"""


def run(quick: bool) -> list[Row]:
    """One row; where EnvPool does not install or run, its note says why."""
    name = f"vector env n={N} vs EnvPool SwimmerSwimmer6-v1"
    try:
        peer = _start()
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        return [
            Row(name, "info", target=f">= {TARGET:g}", note=f"EnvPool does not run here: {reason}")
        ]
    env = gym.make_vec("lancelet/Swim-v0", num_envs=N)
    actions = np.random.default_rng(0).uniform(-1, 1, (STEPS, N, 5)).astype(np.float32)
    env.reset(seed=0)

    def theirs() -> None:
        assert peer.stdin and peer.stdout
        print("go", file=peer.stdin, flush=True)
        if peer.stdout.readline().strip() != "done":
            raise RuntimeError(f"EnvPool ended with status {peer.wait()}")

    def ours() -> None:
        for action in actions:
            env.step(action)

    try:
        times = take_turns(5 if quick else 15, ours=ours, theirs=theirs)
    finally:
        peer.kill()
        peer.wait()
    value, interval = times.ratio("theirs", "ours")
    note = "same body and 15 substeps, all cores on both sides, start states drawn by each"
    steps = STEPS * N
    return [
        at_least(name, "info", value, TARGET, interval=interval, note=note),
        Row("vector env, env steps/s", "info", times.rate("ours", steps), note="fastest round"),
        Row("EnvPool, env steps/s", "info", times.rate("theirs", steps), note="fastest round"),
    ]


def _start() -> subprocess.Popen[str]:
    """EnvPool's process, ready to step; the first call installs it."""
    python = HOME / "bin" / "python"
    if not (HOME / "installed").exists():
        subprocess.run(
            [sys.executable, "-m", "venv", str(HOME)], check=True, capture_output=True, text=True
        )
        install = [str(python), "-m", "pip", "install", "-q", "envpool", "gymnasium"]
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=600)
        (HOME / "installed").touch()
    peer = subprocess.Popen(
        [str(python), "-P", "-c", _PEER, str(N), str(STEPS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert peer.stdout and peer.stderr
    if peer.stdout.readline().strip() != "ready":
        peer.wait()
        raise subprocess.SubprocessError(peer.stderr.read())
    return peer
