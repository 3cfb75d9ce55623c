"""A generation of an evolution strategy: our batched rollout against EvoTorch's GymNE on our own single environment."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import gymnasium as gym
import torch
from torch import Tensor, nn

from lancelet import LanceletError, controllers
from lancelet.controllers import Controller, Population
from lancelet.scripts.benches._timing import Times, take_turns
from lancelet.scripts.rows import Row, at_least

if TYPE_CHECKING:
    from evotorch import Problem
    from evotorch.algorithms import SNES

ID = "lancelet/Swim-v0"
"""the task"""
POPULATION = 256
"""individuals in a generation"""
STEPS = 100
"""control steps of an episode"""
QUICK_STEPS = 50
"""control steps of an episode of a quick bench"""
ROUNDS = 5
"""generations that are timed"""
QUICK_ROUNDS = 3
"""generations that a quick bench times"""
STDEV = 0.1
"""deviation of the first generation's genomes"""
TARGETS = {0: 3.0, 2: 1.5}
"""GymNE's actors -> how many times as fast as GymNE ours must be; without actors it runs in this process"""


class Policy(nn.Module):
    """NCAP as GymNE wants a network: observation -> action. Stateless, since ``clock=True`` observes the phase."""

    def __init__(self, circuit: Controller) -> None:
        super().__init__()
        self.circuit = circuit

    def forward(self, observation: Tensor) -> Tensor:
        """Action (m,) of an observation (k,)."""
        no_state = ()
        actions, _ = self.circuit(observation[None], no_state)
        return actions[0]


def run(quick: bool) -> list[Row]:
    """All rows; `quick` shortens the episodes further."""
    steps = QUICK_STEPS if quick else STEPS
    rounds = QUICK_ROUNDS if quick else ROUNDS
    circuit = controllers.make("ncap", gym.make(ID, clock=True))
    rows = []
    with _ray() as trouble:
        contenders = {"ours": _ours(circuit, steps).step}
        for actors in TARGETS:
            needs_ray = actors > 0
            if not (needs_ray and trouble):
                contenders[_gymne_name(actors)] = _gymne(circuit, steps, actors).step
        times = take_turns(rounds, None, **contenders)
    for actors, target in TARGETS.items():
        rows.append(_ratio_row(times, actors, target, trouble, steps))
    for name in times.seconds:
        row = Row(
            name=f"{name.replace('_', ' ')}, env steps/s",
            kind="info",
            value=times.rate(name, POPULATION * steps),
            note="fastest round",
        )
        rows.append(row)
    return rows


def _gymne_name(actors: int) -> str:
    """Name of GymNE with a number of actors among the contenders."""
    return f"gymne_{actors}"


def _ratio_row(times: Times, actors: int, target: float, trouble: str, steps: int) -> Row:
    """How many times as fast as GymNE we are.

    Args:
        times: what was measured.
        actors: number of GymNE's actors.
        target: least ratio.
        trouble: why there is no Ray for actors; empty where there is.
        steps: control steps of an episode.
    """
    name = f"ES generation vs EvoTorch GymNE, {actors} actors"
    if _gymne_name(actors) not in times.seconds:
        return Row(name, "speed", target=f">= {target:g}", note=f"not run: {trouble}")
    value, interval = times.ratio(_gymne_name(actors), "ours")
    rounds = len(times.seconds["ours"])
    note = (
        f"P = {POPULATION}, NCAP, SNES, one episode each, cut to {steps} steps on both sides; "
        f"median of {rounds} rounds"
    )
    return at_least(name, "speed", value, target, interval=interval, note=note)


def _searcher(problem: Problem, circuit: Controller) -> SNES:
    """An evolution strategy (SNES) over the weights of `circuit`, from where they are now."""
    from evotorch.algorithms import SNES

    center = torch.nn.utils.parameters_to_vector(circuit.parameters()).detach()
    return SNES(problem, popsize=POPULATION, stdev_init=STDEV, center_init=center)


def _ours(circuit: Controller, steps: int) -> SNES:
    """A search whose population swims in one batch; `steps` are those of an episode."""
    from lancelet.training.evolution.evotorch_compat import Evaluation
    from lancelet.training.rollout import make_env, rollout

    env = make_env(ID, POPULATION, max_episode_steps=steps, clock=True)

    def score(genomes: Tensor) -> Tensor:
        population = Population(circuit, POPULATION, genomes)
        seeds = [0] * POPULATION
        result, _ = rollout(env, population, seeds)
        return torch.as_tensor(result.returns, dtype=torch.float32)

    return _searcher(Evaluation(circuit.parameter_count, 0, score), circuit)


def _gymne(circuit: Controller, steps: int, actors: int) -> SNES:
    """A search whose individuals are evaluated by GymNE.

    Args:
        circuit: the controller.
        steps: control steps of an episode.
        actors: processes that share the work; 0: this process does it alone.
    """
    from evotorch.neuroevolution import GymNE

    config = {"clock": True, "max_episode_steps": steps}
    problem = GymNE(f"lancelet:{ID}", Policy(circuit), env_config=config, num_actors=actors or None)
    return _searcher(problem, circuit)


@contextlib.contextmanager
def _ray() -> Iterator[str]:
    """Ray for GymNE's actors; yields why there is none, or an empty string."""
    from lancelet.training.distributed.cluster import connected

    with contextlib.ExitStack() as stack:
        trouble = ""
        try:
            stack.enter_context(connected(max(TARGETS)))
        except LanceletError as error:
            trouble = str(error)
        _quieten_evotorch()
        yield trouble


def _quieten_evotorch() -> None:
    """Keep EvoTorch from logging what it does, which would be timed."""
    import evotorch

    logging.getLogger(evotorch.__name__).setLevel(logging.WARNING)
