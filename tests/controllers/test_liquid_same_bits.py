"""A liquid network acts to the bit alike alone and at every place of any population, at any width."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn.utils import parameters_to_vector

from lancelet import controllers
from lancelet.controllers import Population

INPUTS = 17
ACTIONS = 4
WIDTHS = (19, *(pytest.param(width, marks=pytest.mark.slow) for width in (32, 45, 53, 59)))
SIZES = (2, 7, 64, 256)
AGENTS = 24
"""that act alone, to be compared with"""
STEPS = 3
KINDS = {
    "cfc": ("cfc", {}),
    "cfc no-gate": ("cfc", {"form": "no-gate"}),
    "cfc pure": ("cfc", {"form": "pure", "activation": "silu", "backbone_layers": 2}),
    "cfc mixed": ("cfc", {"mixed": True}),
    "cfc ncp": ("cfc", {"wiring": "ncp"}),
    "cfc ncp elapsed": ("cfc", {"wiring": "ncp", "mixed": True, "elapsed": "2"}),
    "ltc": ("ltc", {}),
    "ltc ncp": ("ltc", {"wiring": "ncp", "elapsed": "2"}),
    "window-mlp": ("window-mlp", {}),
}
ENV = SimpleNamespace(
    observation_space=spaces.Box(-np.inf, np.inf, (INPUTS,)),
    action_space=spaces.Box(-1, 1, (ACTIONS,)),
)


def actions(controller, genomes, observations, agents):
    """Actions (agents, steps, m) of some agents side by side."""
    population = Population(controller, len(agents), genomes[agents])
    state = population.initial_state()
    result = []
    for observation in observations:
        action, state = population(observation[agents], state)
        result.append(action)
    return np.stack(result, axis=1)


def shared(controller, observations):
    """Actions (agents, steps, m) of agents that share their weights, as in an evaluation."""
    population = Population(controller, observations.shape[1])
    state = population.initial_state()
    result = []
    for observation in observations:
        action, state = population(observation, state)
        result.append(action)
    return np.stack(result, axis=1)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_acts_alike_alone_and_at_every_place(kind, width):
    name, options = KINDS[kind]
    hidden = (width, width) if name == "window-mlp" else width
    controller = controllers.make(name, ENV, hidden=hidden, **options)
    random = torch.Generator().manual_seed(1)
    start = parameters_to_vector(controller.parameters()).detach()
    genomes = start + 0.3 * torch.randn(max(SIZES), len(start), generator=random)
    observations = np.random.default_rng(2).normal(size=(STEPS, max(SIZES), INPUTS))
    observations = np.abs(observations).astype(np.float32)
    alone = np.concatenate(
        [actions(controller, genomes, observations, [agent]) for agent in range(AGENTS)]
    )
    assert np.isfinite(alone).all()
    for size in SIZES:
        # Some agent that has acted alone stands at every place once.
        for first in range(0, size, AGENTS):
            agents = [(place - first) % max(SIZES) for place in range(size)]
            together = actions(controller, genomes, observations, agents)
            for row, agent in enumerate(agents):
                if agent < AGENTS:
                    np.testing.assert_array_equal(together[row], alone[agent])


@pytest.mark.parametrize("kind", ["cfc", "cfc ncp", "ltc", "ltc ncp"])
def test_lesions_keep_the_bits(kind):
    name, options = KINDS[kind]
    neuron = "motor:1" if "ncp" in kind else "unit:3"
    for lesions in ((neuron, "input:4"), ("gate",), ("recurrence",), ("state",)):
        controller = controllers.make(name, ENV, hidden=19, lesions=lesions, **options)
        observations = np.random.default_rng(2).normal(size=(STEPS, 64, INPUTS))
        observations = np.abs(observations).astype(np.float32)
        together = shared(controller, observations)
        for agent in (0, 1, 5, 63):
            alone = shared(controller, observations[:, [agent]])
            np.testing.assert_array_equal(together[agent], alone[0])
