"""Training speed: PPO over our vector env against stable-baselines3's own, recurrent PPO, RLlib's runners."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import gymnasium as gym
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

import lancelet
from lancelet.scripts.benches import _recurrent, _rllib
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least
from lancelet.training.reinforcement.sb3 import make_sb3_env

ID = "lancelet/Swim-v0"
"""the task"""
ENVS = 256
"""simulations on our side"""
ROLLOUT = 32
"""control steps of each simulation in a rollout"""
BATCH = 2048
"""control steps in a minibatch"""
STEPS = ENVS * ROLLOUT
"""control steps of a rollout on our side; the peers' steps are a multiple of it too"""


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds."""
    return [*_sb3(quick), *_recurrent.rows(quick), *_rllib.rows(quick)]


def _single() -> gym.Env:
    return gym.make(f"{lancelet.__name__}:{ID}")


def _sb3(quick: bool) -> list[Row]:
    """PPO of stable-baselines3 with its own MlpPolicy everywhere: only the environments and batch sizes differ."""
    rounds = 2 if quick else 5
    rollouts = 1 if quick else 2
    # Its processes start before any physics thread does (docs/libraries.md, "Threads and forks").
    subproc = SubprocVecEnv([_single] * 2, start_method="spawn")
    ours = {"n_steps": ROLLOUT, "batch_size": BATCH}
    models = {
        "ours": _model(make_sb3_env(ID, ENVS), **ours),
        "dummy": _model(DummyVecEnv([_single])),
        "subproc": _model(subproc, n_steps=STEPS // 2, batch_size=BATCH),
    }
    torch.set_num_threads(1)

    def learn(model: PPO) -> Callable[[], object]:
        return lambda: model.learn(rollouts * STEPS, reset_num_timesteps=False)

    times = take_turns(rounds, None, **{name: learn(model) for name, model in models.items()})
    subproc.close()
    note = (
        f"MlpPolicy, {rollouts * STEPS:,} steps a round, median of {rounds}, one torch thread; "
        f"ours: {ENVS} envs, n_steps {ROLLOUT}, batch {BATCH:,}"
    )
    rows = []
    for name, target, peer in (
        ("dummy", 4.0, "SB3's defaults on DummyVecEnv"),
        ("subproc", 1.5, "SubprocVecEnv(2) with our batch sizes"),
    ):
        value, interval = times.ratio(name, "ours")
        title = f"SB3 PPO, wall-clock per 100k swimmer steps: ours vs {peer}"
        rows.append(at_least(title, "speed", value, target, interval=interval, note=note))
    for name in models:
        seconds = 1e5 / times.rate(name, rollouts * STEPS)
        rows.append(
            Row(f"SB3 PPO, {name}, s per 100k steps", "info", seconds, note="fastest round")
        )
    return rows


def _model(env: VecEnv, **sizes: int) -> PPO:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PPO("MlpPolicy", env, device="cpu", seed=0, verbose=0, **sizes)  # pyright: ignore[reportArgumentType]
