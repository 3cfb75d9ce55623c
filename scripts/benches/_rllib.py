"""RLlib's PPO over our native vector environment against its own default, a loop over single environments."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium as gym

from lancelet import controllers
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least

ID = "lancelet/Swim-v0"
"""the task"""
ENVS = 64
"""simulations, as many as the trainer has by default"""
ROLLOUT = 32
"""control steps of each simulation in a rollout, as many as the trainer has by default"""
BATCH = 2048
"""control steps in a minibatch: one a rollout, so that runners are what is timed"""
TARGET = 1.5
"""how many times as fast the native runner must be"""
NAME = 'RLlib PPO, native vector runner vs its default "sync" runner'


def rows(quick: bool) -> list[Row]:
    """The ratio of whole iterations, and both rates; not run where Ray does not start."""
    from lancelet import LanceletError
    from lancelet.training.distributed.cluster import connected

    rounds = 4 if quick else 10
    try:
        with connected(1):
            return _rows(rounds)
    except LanceletError as error:
        return [Row(NAME, "speed", target=f">= {TARGET:g}", note=f"not run: {error}")]


def _rows(rounds: int) -> list[Row]:
    from lancelet.training.distributed.cluster import hushed

    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    with hushed():
        native = _config().build_algo()
        sync = _default(_config()).build_algo()
    try:
        times = take_turns(rounds, native=native.train, sync=sync.train)
        alone = take_turns(rounds, native=native.env_runner.sample, sync=sync.env_runner.sample)
    finally:
        native.stop()
        sync.stop()
    value, interval = times.ratio("sync", "native")
    steps = ENVS * ROLLOUT
    note = (
        f"whole iterations (sampling {steps:,} steps, 10 epochs on them in batches of {BATCH:,}) of an mlp on {ENVS} "
        f"environments, env runner in the driver; median of {rounds} rounds"
    )
    sampled, between = alone.ratio("sync", "native")
    rates = [
        Row(
            "RLlib sampling alone, native vs sync",
            "info",
            sampled,
            interval=between,
            note="as above",
        )
    ]
    rates += [
        Row(f"RLlib PPO {name}, steps/s", "info", times.rate(name, steps), note="fastest round")
        for name in times.seconds
    ]
    return [at_least(NAME, "speed", value, TARGET, interval=interval, note=note), *rates]


def _config() -> Any:
    from lancelet.training.reinforcement.rllib import RLlib

    circuit = controllers.make("mlp", gym.make(ID))
    return RLlib(envs=ENVS, rollout=ROLLOUT, batch_size=BATCH).config(circuit, ID)


def _default(config: Any) -> Any:
    """The same training as RLlib vectorises by itself."""
    config.callbacks(on_environment_created=lambda **_: None, on_episode_end=lambda **_: None)
    config.env_config = {}  # `environment` would merge
    return config.env_runners(gym_env_vectorize_mode="sync")
