"""An agent acts to the bit alike in a population of any size, at any place of it."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import ASSIST, GESTURES, HOMES
from gymnasium import spaces
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lancelet import controllers, training
from lancelet.controllers import Controller, Population

SIZES = (1, 2, 8, 17, 64, 256)
STEPS = 3
TASKS = {
    "ncap": "lancelet/Swim-v0",
    "mlp": "lancelet/Swim-v0",
    "gru": "lancelet/PointMaze-v0",
    "lstm": "lancelet/Swim-v0",
    "ltc": "lancelet/Swim-v0",
    "cfc": "lancelet/Swim-v0",
    "window-mlp": "lancelet/PointMaze-v0",
    "reflex": "lancelet/Swim-v0",
    "pid": "lancelet/BlimpAltitude-v0",
    "bilateral": "lancelet/ArmReach-v0",
    "braitenberg": "lancelet/Phototaxis-v0",
    "snn": "lancelet/BlimpAltitude-v0",
    "sum": "lancelet/BlimpAltitude-v0",
    "zero": "lancelet/Swim-v0",
    "oscillator": "lancelet/Crawl-v0",
    **{f"{name}-expert": id for name, id in ASSIST.items()},
    **{name: id for name, id in HOMES.items() if id in [home for home, _ in GESTURES.values()]},
}
# Agents of these differ by their number in the batch, or are plastic: they share no weights that could be mapped.
BY_NUMBER = {"random", "random-held", "random-edge", "search", "search-momentum", "lrta", "oracle"}
ODD = [
    ("mlp", {"hidden": (59, 59)}),
    ("mlp", {"hidden": (98, 98)}),
    ("gru", {"hidden": 53}),
    ("lstm", {"hidden": 53}),
    ("bilateral", {"units": 54}),
    ("bilateral", {"units": 14, "cell": "gru", "callosum": True}),
]


def observations(space, agents, seed):
    """Random observations (agents, ...) of a space."""
    if isinstance(space, spaces.Dict):
        return {name: observations(space[name], agents, seed + i) for i, name in enumerate(space)}
    return np.random.default_rng(seed).normal(size=(agents, *space.shape)).astype(space.dtype)


def some(observation, ids):
    if isinstance(observation, dict):
        return {name: some(rows, ids) for name, rows in observation.items()}
    return observation[ids]


def mismatches(controller):
    """Agents whose actions in a population differ from those that they give alone, over sizes and places."""
    agents = max(SIZES)
    genomes = None
    if controller.parameter_count:
        start = parameters_to_vector(controller.parameters()).detach()
        noise = torch.randn(agents, len(start), generator=torch.Generator().manual_seed(1))
        genomes = start + 0.3 * noise
    inputs = [
        observations(controller.observation_space, agents, 100 * step) for step in range(STEPS)
    ]

    def actions(ids):
        population = Population(controller, len(ids), None if genomes is None else genomes[ids])
        state = population.initial_state()
        result = []
        for observation in inputs:
            action, state = population(some(observation, ids), state)
            result.append(action)
        return np.stack(result, axis=1)

    alone = np.concatenate([actions([agent]) for agent in range(24)])
    count = 0
    for size in SIZES:
        for first in (0, 5):
            ids = [(first + 3 * k) % agents for k in range(size)]
            together = actions(ids)
            for row, agent in enumerate(ids):
                if agent < len(alone):
                    count += not np.array_equal(together[row], alone[agent])
    return count


@pytest.mark.slow
def test_every_registered_controller_is_named_here(python):
    # In a process of its own: other tests of this one have registered controllers of theirs.
    code = "from lancelet import controllers; print(*controllers.controllers)"
    names = set(python(code).stdout.split())
    assert set(TASKS) | BY_NUMBER >= names


NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name == "emg-covariance" else name
    for name in TASKS
]
"""64 x 64 eigenvalue problems take their time"""


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_in_any_population(name):
    assert mismatches(controllers.make(name, gym.make(TASKS[name]))) == 0


@pytest.mark.parametrize(("name", "options"), ODD)
def test_same_bits_with_layers_of_any_width(name, options):
    assert mismatches(controllers.make(name, gym.make("lancelet/Swim-v0"), **options)) == 0


class Reservoir(Controller):
    """A fixed random matrix, which is a buffer, and the same product written in several ways."""

    form = "right"

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        random = torch.Generator().manual_seed(0)
        self.register_buffer("fixed", torch.randn(37, observation_space.shape[0], generator=random))
        self.readout = torch.nn.Linear(37, action_space.shape[0])

    def forward(self, observation, state):
        if self.form == "right":
            hidden = observation @ self.fixed.T
        elif self.form == "left":
            hidden = torch.matmul(self.fixed, observation.mT).mT
        else:
            hidden = (self.fixed @ observation[0])[None]
        return torch.tanh(self.readout(torch.tanh(hidden))), state


@pytest.mark.parametrize("form", ["right", "left", "vector"])
def test_same_bits_with_a_fixed_matrix(form, monkeypatch):
    monkeypatch.setattr(Reservoir, "form", form)
    env = gym.make("lancelet/Swim-v0")
    assert (
        mismatches(Reservoir(env.observation_space, env.action_space, controllers.Options())) == 0
    )


def test_weights_that_are_views_anywhere_in_memory_act_alike():
    env = gym.make("lancelet/Swim-v0")
    controller = controllers.make("mlp", env, hidden=(59, 59))
    observation = observations(env.observation_space, 4, 0)
    before, _ = Population(controller, 4)(observation, ())
    flat = parameters_to_vector(controller.parameters()).detach()
    vector_to_parameters(torch.cat([torch.zeros(3), flat])[3:], controller.parameters())
    after, _ = Population(controller, 4)(observation, ())
    assert np.array_equal(before, after)


def test_scores_do_not_depend_on_the_number_of_episodes():
    task = {"max_episode_steps": 40}
    controller = controllers.make("oscillator", gym.make("lancelet/Crawl-v0"))
    few = training.evaluate(controller, "lancelet/Crawl-v0", episodes=3, **task)
    many = training.evaluate(controller, "lancelet/Crawl-v0", episodes=17, **task)
    assert np.array_equal(few.returns, many.returns[:3])
