"""Liquid networks: a training step against the authors' library, and a control step of a population."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from lancelet import controllers
from lancelet.controllers import Controller, Population
from lancelet.scripts.benches._timing import Times, take_turns
from lancelet.scripts.rows import Row, at_least, at_most

INPUTS = 17
"""numbers of an observation"""
ACTIONS = 4
"""numbers of an action"""
STEPS = 64
"""control steps of a sequence"""
BATCH = 64
"""sequences of a training step"""
UNITS = 32
"""neurons"""
BACKBONE = 64
"""units of the CfC's backbone"""
SPARSITY = 0.5
"""of the wiring ncp"""
LEARNING_RATE = 1e-3
"""of Adam"""
ROUNDS = 15
"""rounds that are timed"""
QUICK_ROUNDS = 3
"""rounds that a quick bench times"""

POPULATION = 256
"""networks side by side in a control step"""
POPULATION_PARAMETERS = 11_500
"""of each of them"""
CONTROL_STEPS = 20
"""control steps of the population in a round"""

CFC_TARGET = 2.0
"""least time of the library's CfC in units of ours"""
LTC_TARGET = 3.0
"""least time of the library's LTC with the wiring ncp in units of ours"""
CLOSED_FORM_TARGET = 3.0
"""least time of our LTC in units of our CfC"""
POPULATION_TARGET = 1.5
"""most time of a control step of the CfC in units of the GRU's"""

SETTING = f"{STEPS} steps, batch {BATCH}, {UNITS} units, {INPUTS} inputs: forward, backward and Adam; one torch thread"
"""of a training step, for notes"""

ENV = SimpleNamespace(
    observation_space=spaces.Box(-np.inf, np.inf, (INPUTS,)),
    action_space=spaces.Box(-1, 1, (ACTIONS,)),
)
"""spaces of the networks"""


def run(quick: bool) -> list[Row]:
    """Training steps and the population; `quick` measures fewer rounds."""
    rounds = QUICK_ROUNDS if quick else ROUNDS
    return [*_training_rows(rounds), *_population_rows(rounds)]


def _training_rows(rounds: int) -> list[Row]:
    """A training step of every network, in one run."""
    networks = {
        "cfc": controllers.make("cfc", ENV, hidden=UNITS, backbone_units=BACKBONE),
        "ltc": controllers.make("ltc", ENV, hidden=UNITS),
        "ltc ncp": controllers.make("ltc", ENV, hidden=UNITS, wiring="ncp", sparsity=SPARSITY),
        "gru": controllers.make("gru", ENV, hidden=UNITS),
        "lstm": controllers.make("lstm", ENV, hidden=UNITS),
    }
    contenders = {name: _ours(network) for name, network in networks.items()}
    has_library = importlib.util.find_spec("ncps") is not None
    if has_library:
        contenders |= _library()
    times = take_turns(rounds, None, **contenders)

    result = []
    for name, contender, target in (
        ("cfc", "ncps CfC", CFC_TARGET),
        ("ltc ncp", "ncps LTC ncp", LTC_TARGET),
    ):
        row_name = f"a training step of {name}: {contender}'s time over ours"
        if has_library:
            value, interval = times.ratio(contender, name)
            result.append(
                at_least(row_name, "speed", value, target, interval=interval, note=SETTING)
            )
        else:
            note = "not run: ncps is missing (pip install ncps==1.0.1)"
            result.append(Row(row_name, "speed", target=f">= {target:g}", note=note))
    value, interval = times.ratio("ltc", "cfc")
    name = "a training step: the time of ltc over that of cfc, equal units"
    result.append(
        at_least(name, "speed", value, CLOSED_FORM_TARGET, interval=interval, note=SETTING)
    )
    return result + _milliseconds(times)


def _milliseconds(times: Times) -> list[Row]:
    """What each contender takes, for the reader; no target."""
    result = []
    for name, seconds in times.seconds.items():
        milliseconds = 1000 * float(seconds.min())
        result.append(
            Row(f"a training step, {name}, ms", "info", milliseconds, note="fastest round")
        )
    return result


def _ours(network: Controller) -> Callable[[], object]:
    """A training step of a controller."""
    start = network.initial_state(BATCH)

    def act(observations: Tensor) -> Tensor:
        actions, _ = network.unroll(observations, start)
        return actions

    return _training_step(network, act)


def _library() -> dict[str, Callable[[], object]]:
    """Training steps of the library's networks."""
    from ncps.torch import LTC, CfC  # pyright: ignore[reportMissingImports]
    from ncps.wirings import (  # pyright: ignore[reportMissingImports]
        AutoNCP,
        FullyConnected,
    )

    closed_form = CfC(INPUTS, UNITS, proj_size=ACTIONS, batch_first=False, backbone_units=BACKBONE)
    policy = AutoNCP(UNITS, ACTIONS, sparsity_level=SPARSITY)
    networks = {
        "ncps CfC": closed_form,
        "ncps LTC": LTC(INPUTS, FullyConnected(UNITS, ACTIONS), batch_first=False),
        "ncps LTC ncp": LTC(INPUTS, policy, batch_first=False),
    }
    return {name: _theirs(network) for name, network in networks.items()}


def _theirs(network: nn.Module) -> Callable[[], object]:
    """A training step of a network of the library, with the rectifier of its weights that it asks its users to call."""
    cell = getattr(network, "rnn_cell", None)
    rectify = getattr(cell, "apply_weight_constraints", lambda: None)

    def act(observations: Tensor) -> Tensor:
        actions, _ = network(observations)
        return torch.tanh(actions)

    step = _training_step(network, act)

    def rectified_step() -> None:
        step()
        rectify()

    return rectified_step


def _training_step(network: nn.Module, act: Callable[[Tensor], Tensor]) -> Callable[[], object]:
    """Imitation of fixed random actions: forward, backward and Adam.

    Args:
        network: whose weights are trained.
        act: actions (steps, batch, m) of observations (steps, batch, k).
    """
    random = torch.Generator().manual_seed(0)
    observations = torch.randn(STEPS, BATCH, INPUTS, generator=random)
    actions = torch.rand(STEPS, BATCH, ACTIONS, generator=random) - 0.5
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=LEARNING_RATE)

    def step() -> None:
        optimizer.zero_grad()
        loss = (act(observations) - actions).square().mean()
        loss.backward()
        optimizer.step()

    return step


def _population_rows(rounds: int) -> list[Row]:
    """A control step of a population of CfCs beside one of GRUs of as many parameters."""
    contenders = {name: _population(name) for name in ("cfc", "gru")}
    times = take_turns(rounds, None, **contenders)
    value, interval = times.ratio("cfc", "gru")
    name = "a control step of a population: the time of cfc over that of gru"
    note = f"{POPULATION} networks of about {POPULATION_PARAMETERS:,} parameters, one torch thread"
    result = [at_most(name, "speed", value, POPULATION_TARGET, interval=interval, note=note)]
    for name, seconds in times.seconds.items():
        milliseconds = 1000 * float(seconds.min()) / CONTROL_STEPS
        result.append(
            Row(f"a control step of {POPULATION} {name}, ms", "info", milliseconds, note=note)
        )
    return result


def _population(name: str) -> Callable[[], object]:
    """Some control steps of a population of networks, each with weights of its own."""
    options = controllers.size_for(name, ENV, parameters=POPULATION_PARAMETERS)
    network = controllers.make(name, ENV, **options)
    genome = parameters_to_vector(network.parameters()).detach()
    population = Population(network, POPULATION, genome.repeat(POPULATION, 1))
    random = np.random.default_rng(0)
    observations = random.normal(size=(POPULATION, INPUTS)).astype(np.float32)

    def run() -> None:
        state = population.initial_state()
        for _ in range(CONTROL_STEPS):
            _, state = population(observations, state)

    return run
