"""Stateful PPO: ours over a GRU and an LSTM against sb3-contrib's RecurrentPPO of equal width, on the swimmer."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium as gym

from lancelet import controllers
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least

ID = "lancelet/Swim-v0"
"""the task"""
ENVS = 64
"""simulations"""
ROLLOUT = 32
"""control steps of each simulation in a rollout, and in a sequence"""
BATCH = 1024
"""control steps in a minibatch"""
EPOCHS = 10
"""passes over a rollout"""
WIDTH = 64
"""units of the recurrent cell"""
CRITIC = (64, 64)
"""units of the critic's hidden layers"""
TARGET = 0.8
"""least ratio of our rate to theirs"""
NAME = "stateful PPO over a GRU vs sb3-contrib RecurrentPPO of equal width, steps/s"
NEVER = 1e9
"""a divergence that no update reaches: both sides do all their epochs"""


def rows(quick: bool) -> list[Row]:
    """The ratio and the rates; `quick` measures fewer rounds."""
    if importlib.util.find_spec("sb3_contrib") is None:
        note = "not run: sb3-contrib is missing (pip install sb3-contrib==2.9.2)"
        return [Row(NAME, "speed", target=f">= {TARGET:g}", note=note)]
    rounds = 5 if quick else 9
    repeats = 1 if quick else 2
    contenders = {
        "GRU": ours("gru"),
        "LSTM": ours("lstm"),
        "contrib": theirs(native=True, shared_lstm=True, enable_critic_lstm=False),
        "contrib defaults": theirs(native=True),
        "contrib DummyVecEnv": theirs(native=False, shared_lstm=True, enable_critic_lstm=False),
    }
    times = take_turns(
        rounds, None, **{name: _repeat(step, repeats) for name, step in contenders.items()}
    )
    value, interval = times.ratio("contrib", "GRU")
    same = (
        f"{ENVS} envs x {ROLLOUT} steps, sequences of {ROLLOUT}, batch {BATCH}, {EPOCHS} epochs, {WIDTH} units, critic "
        f"{CRITIC}, one torch thread"
    )
    note = (
        f"theirs: an LSTM (it knows no GRU) that the critic reads without gradient, as ours does, no layers after it "
        f"in the actor, on our vector env; {same}; median of {rounds} rounds"
    )
    out = [at_least(NAME, "speed", value, TARGET, interval=interval, note=note)]
    value, interval = times.ratio("contrib", "LSTM")
    out.append(
        Row(
            "the same over our LSTM, ratio",
            "info",
            value,
            interval=interval,
            note="equal cells on both sides",
        )
    )
    value, interval = times.ratio("contrib defaults", "GRU")
    note = "theirs with an LSTM of the critic's own as well, its default"
    out.append(
        Row("the same, a second LSTM in theirs, ratio", "info", value, interval=interval, note=note)
    )
    for name in times.seconds:
        rate = times.rate(name, repeats * ENVS * ROLLOUT)
        out.append(Row(f"stateful PPO, {name}, steps/s", "info", rate, note="fastest round"))
    return out


def ours(controller: str) -> Callable[[], Any]:
    """One iteration of our recurrent PPO: a rollout and its update."""
    from lancelet.training.reinforcement.recurrent_ppo import RecurrentPPO

    trainer = RecurrentPPO(
        envs=ENVS,
        rollout=ROLLOUT,
        sequence=ROLLOUT,
        batch_size=BATCH,
        epochs=EPOCHS,
        critic=CRITIC,
        target_kl=NEVER,
    )
    trainer.check()
    network = controllers.make(controller, gym.make(ID), hidden=WIDTH)
    return trainer.learner(network, ID, {}).iterate


def theirs(native: bool, **policy: Any) -> Callable[[], Any]:
    """One iteration of sb3-contrib's on our vector env, or on its own `DummyVecEnv` over our single one."""
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.vec_env import DummyVecEnv

    from lancelet.training.reinforcement.sb3 import make_sb3_env

    env = make_sb3_env(ID, ENVS) if native else DummyVecEnv([lambda: gym.make(ID)] * ENVS)
    network = {"lstm_hidden_size": WIDTH, "net_arch": {"pi": [], "vf": list(CRITIC)}, **policy}
    model = RecurrentPPO(
        "MlpLstmPolicy",
        env,
        n_steps=ROLLOUT,
        batch_size=BATCH,
        n_epochs=EPOCHS,
        policy_kwargs=network,
        device="cpu",
    )
    model.set_logger(Logger(None, []))
    return lambda: model.learn(ENVS * ROLLOUT, reset_num_timesteps=False)


def _repeat(step: Callable[[], Any], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            step()

    return run
