"""A generation of an evolution strategy: our batched rollout against EvoTorch's GymNE on our own single environment."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from lancelet import LanceletError, controllers
from lancelet.controllers import Controller, Population
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least

ID, POPULATION = "lancelet/Swim-v0", 256
TARGETS = {0: 3.0, 2: 1.5}
"""GymNE's actors -> how many times its wall time ours must be better"""


class Policy(nn.Module):
    """NCAP as GymNE wants a network: observation -> action. Stateless, since ``clock=True`` observes the phase."""

    def __init__(self, circuit: Controller) -> None:
        super().__init__()
        self.circuit = circuit

    def forward(self, observation: Tensor) -> Tensor:
        """Action (m,) of an observation (k,)."""
        return self.circuit(observation[None], ())[0][0]


def run(quick: bool) -> list[Row]:
    """All rows; `quick` shortens the episodes further."""
    steps, rounds = (50, 3) if quick else (100, 5)
    circuit = controllers.make("ncap", gym.make(ID, clock=True))
    note = f"P = {POPULATION}, NCAP, SNES, one episode each, cut to {steps} steps on both sides; median of {rounds} rounds"
    with _ray() as trouble:
        peers = {
            actors: _gymne(circuit, steps, actors) for actors in TARGETS if not (actors and trouble)
        }
        names = {f"gymne_{actors}": peer.step for actors, peer in peers.items()}
        ours, rows = _ours(circuit, steps), []
        times = take_turns(rounds, ours=ours.step, **names)
        for actors, target in TARGETS.items():
            name = f"ES generation vs EvoTorch GymNE, {actors} actors"
            if actors not in peers:
                rows.append(Row(name, "speed", target=f">= {target:g}", note=f"not run: {trouble}"))
                continue
            value, interval = times.ratio(f"gymne_{actors}", "ours")
            rows.append(at_least(name, "speed", value, target, interval=interval, note=note))
        for name in times.seconds:
            rate = times.rate(name, POPULATION * steps)
            rows.append(
                Row(f"{name.replace('_', ' ')}, env steps/s", "info", rate, note="fastest round")
            )
    return rows


def _searcher(problem: Any, circuit: Controller) -> Any:
    from evotorch.algorithms import SNES

    center = torch.nn.utils.parameters_to_vector(circuit.parameters()).detach()
    return SNES(problem, popsize=POPULATION, stdev_init=0.1, center_init=center)


def _ours(circuit: Controller, steps: int) -> Any:
    from lancelet.training.evolution.evotorch_compat import Evaluation
    from lancelet.training.rollout import make_env, rollout

    env = make_env(ID, POPULATION, max_episode_steps=steps, clock=True)

    def score(genomes: Tensor) -> Tensor:
        returns = rollout(env, Population(circuit, POPULATION, genomes), [0] * POPULATION)[
            0
        ].returns
        return torch.as_tensor(returns, dtype=torch.float32)

    return _searcher(Evaluation(circuit.parameter_count, 0, score), circuit)


def _gymne(circuit: Controller, steps: int, actors: int) -> Any:
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
    import evotorch

    logging.getLogger(evotorch.__name__).setLevel(logging.WARNING)
