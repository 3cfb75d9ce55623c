"""Stateful PPO: ours over a GRU and an LSTM against sb3-contrib's RecurrentPPO of equal width, on the swimmer."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium as gym

from lancelet import controllers
from lancelet.scripts.benches._timing import Times, take_turns
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
ROUNDS = 9
"""iterations that are timed"""
QUICK_ROUNDS = 5
"""iterations that a quick bench times"""
REPEATS = 2
"""iterations in a round"""
QUICK_REPEATS = 1
"""iterations in a round of a quick bench"""


def rows(quick: bool) -> list[Row]:
    """The ratio and the rates; `quick` measures fewer rounds."""
    if importlib.util.find_spec("sb3_contrib") is None:
        note = "not run: sb3-contrib is missing (pip install sb3-contrib==2.9.2)"
        return [Row(NAME, "speed", target=f">= {TARGET:g}", note=note)]
    rounds = QUICK_ROUNDS if quick else ROUNDS
    repeats = QUICK_REPEATS if quick else REPEATS
    contenders = {
        "GRU": ours("gru"),
        "LSTM": ours("lstm"),
        "contrib": theirs(native=True, shared_lstm=True, enable_critic_lstm=False),
        "contrib defaults": theirs(native=True),
        "contrib DummyVecEnv": theirs(native=False, shared_lstm=True, enable_critic_lstm=False),
    }
    repeated = {name: _repeat(step, repeats) for name, step in contenders.items()}
    times = take_turns(rounds, None, **repeated)
    result = [
        _goal_row(times),
        _ratio_row(
            times,
            "the same over our LSTM, ratio",
            slow="contrib",
            fast="LSTM",
            note="equal cells on both sides",
        ),
        _ratio_row(
            times,
            "the same, a second LSTM in theirs, ratio",
            slow="contrib defaults",
            fast="GRU",
            note="theirs with an LSTM of the critic's own as well, its default",
        ),
    ]
    for name in times.seconds:
        rate = times.rate(name, repeats * ENVS * ROLLOUT)
        result.append(Row(f"stateful PPO, {name}, steps/s", "info", rate, note="fastest round"))
    return result


def _goal_row(times: Times) -> Row:
    """The row that is held against `TARGET`: our GRU against their LSTM."""
    value, interval = times.ratio("contrib", "GRU")
    rounds = len(times.seconds["GRU"])
    note = (
        "theirs: an LSTM (it knows no GRU) that the critic reads without gradient, as ours does, no layers after it "
        f"in the actor, on our vector env; {ENVS} envs x {ROLLOUT} steps, sequences of {ROLLOUT}, batch {BATCH}, "
        f"{EPOCHS} epochs, {WIDTH} units, critic {CRITIC}, one torch thread; median of {rounds} rounds"
    )
    return at_least(NAME, "speed", value, TARGET, interval=interval, note=note)


def _ratio_row(times: Times, name: str, *, slow: str, fast: str, note: str) -> Row:
    """A row that says how many times as long the contender `slow` took as `fast`."""
    value, interval = times.ratio(slow, fast)
    return Row(name, "info", value, interval=interval, note=note)


def ours(controller: str) -> Callable[[], object]:
    """One iteration of our recurrent PPO over a kind of network: a rollout and its update."""
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


def theirs(native: bool, **policy: Any) -> Callable[[], object]:
    """One iteration of sb3-contrib's RecurrentPPO.

    Args:
        native: whether it runs on our vector environment; else on its own `DummyVecEnv` over our single one.
        **policy: further arguments of its policy.
    """
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.vec_env import DummyVecEnv

    from lancelet.training.reinforcement.sb3 import make_sb3_env

    env = make_sb3_env(ID, ENVS) if native else DummyVecEnv([_make_single] * ENVS)
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


def _make_single() -> gym.Env:
    """One environment of the task."""
    return gym.make(ID)


def _repeat(step: Callable[[], object], times: int) -> Callable[[], None]:
    """A function that calls `step` a number of times."""

    def run() -> None:
        for _ in range(times):
            step()

    return run
