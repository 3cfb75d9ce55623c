"""A population runs as its members one by one, and nobody's bits depend on who else is there."""

import hashlib
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM

from lancelet import controllers, training
from lancelet.controllers import Population
from lancelet.errors import LanceletError

NAMES = ("ncap", "mlp", "random", "zero")
STEPS = 30


def make(name, **options):
    return controllers.make(name, gym.make(SWIM, joints=3), **options)


def digest(name, episodes, nthread=0):
    score = training.evaluate(
        make(name),
        SWIM,
        episodes=episodes,
        seed=4,
        nthread=nthread,
        joints=3,
        max_episode_steps=STEPS,
    )
    rows = [
        score.returns[:1],
        score.lengths[:1],
        *(values[:1] for values in score.metrics.values()),
    ]
    return hashlib.sha256(b"".join(row.tobytes() for row in rows)).hexdigest()


CODE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r}), sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from test_population import digest
for name, episodes, nthread in (("ncap", 1, 1), ("mlp", 7, 2), ("random", 7, 1)):
    print(digest(name, episodes, nthread))
"""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("episodes", [7, 256])
def test_an_episode_is_the_same_among_any_number_and_threads(name, episodes):
    assert digest(name, 1, 1) == digest(name, episodes, 1) == digest(name, episodes, 2)


@pytest.mark.slow
def test_an_episode_is_the_same_in_another_process(python):
    assert python(CODE).stdout.split() == [digest(name, 1) for name in ("ncap", "mlp", "random")]


@pytest.mark.parametrize("name", ["ncap", "mlp"])
@pytest.mark.parametrize("p", [1, 2, 7, 64])
def test_a_genome_acts_the_same_in_any_population(name, p):
    controller = make(name)
    genomes = torch.randn(
        64, controller.parameter_count, generator=torch.Generator().manual_seed(0)
    )
    seen = np.random.default_rng(0).standard_normal((64, 15)).astype(np.float32)
    whole, part = Population(controller, 64, genomes), Population(controller, p, genomes[:p])
    want, _ = whole(seen, whole.initial_state())
    got, _ = part(seen[:p], part.initial_state())
    np.testing.assert_array_equal(got, want[:p])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ncap", {}),
        ("ncap", {"sharing": False, "speed": True, "turn": True, "command": (0.5, 0.3, 0.0)}),
        ("ncap", {"sign": False, "lesions": ("sensor:2",)}),
        ("mlp", {"hidden": (16, 8)}),
        ("mlp", {"hidden": (), "output": "linear"}),
        ("mlp", {"activation": "relu", "lesions": ("layer1:3", "input:2")}),
    ],
)
def test_a_population_is_its_members_one_by_one(name, options):
    controller, members, per = make(name, **options), 6, 3
    genomes = torch.randn(
        members, controller.parameter_count, generator=torch.Generator().manual_seed(1)
    )
    population = Population(controller, members * per, genomes)
    state = population.initial_state()
    seen = np.random.default_rng(0).standard_normal((5, members * per, 15)).astype(np.float32)
    states = [controller.initial_state(per) for _ in range(members)]
    for now in seen:
        action, state = population(now, state)
        assert action.shape == (members * per, 3) and action.dtype == np.float32
        for k in range(members):
            torch.nn.utils.vector_to_parameters(genomes[k], controller.parameters())
            rows = slice(k * per, (k + 1) * per)
            with torch.no_grad():
                alone, states[k] = controller(torch.as_tensor(now[rows]), states[k])
            np.testing.assert_allclose(action[rows], alone.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_without_genomes_everyone_has_the_controllers_weights(name):
    controller = make(name)
    population = Population(controller, 9)
    seen = np.random.default_rng(0).standard_normal((9, 15)).astype(np.float32)
    action, _ = population(seen, population.initial_state())
    with torch.no_grad():
        alone, _ = controller(torch.as_tensor(seen), controller.initial_state(9))
    np.testing.assert_allclose(action, alone.numpy(), rtol=1e-5, atol=1e-6)


def test_running_a_population_leaves_the_controllers_weights_alone():
    controller = make("mlp")
    before = torch.nn.utils.parameters_to_vector(controller.parameters()).clone()
    population = Population(controller, 4, torch.randn(4, controller.parameter_count))
    population(np.zeros((4, 15), np.float32), ())
    assert torch.equal(torch.nn.utils.parameters_to_vector(controller.parameters()), before)
    assert all(p.requires_grad for p in controller.parameters())


def test_a_dictionary_of_observations_reaches_every_member():
    class Reader(controllers.Controller):
        def __init__(self, *args):
            super().__init__(*args)
            self.gain = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, observation, state):
            return self.gain * (observation["a"] - observation["b"]), state

    box = gym.spaces.Box(-1, 1, (1,))
    reader = Reader(gym.spaces.Dict(a=box, b=box), box, controllers.Options())
    population = Population(reader, 3, torch.tensor([[1.0], [2.0], [3.0]]))
    seen = {"a": np.ones((3, 1), np.float32), "b": np.zeros((3, 1), np.float32)}
    np.testing.assert_array_equal(population(seen, ())[0], [[1], [2], [3]])


@pytest.mark.parametrize(
    ("name", "options"), [("ncap", {"sharing": False}), ("mlp", {}), ("mlp", {"hidden": (256,)})]
)
def test_a_genome_acts_to_the_bit_as_the_controller_that_carries_it(name, options):
    controller = make(name, **options)
    genomes = (
        torch.randn(5, controller.parameter_count, generator=torch.Generator().manual_seed(2)) / 4
    )
    seen = np.random.default_rng(0).standard_normal((5, 15)).astype(np.float32)
    together = Population(controller, 5, genomes)
    want, _ = together(seen, together.initial_state())
    for k in range(5):
        torch.nn.utils.vector_to_parameters(genomes[k].clone(), controller.parameters())
        alone = Population(controller, 3)
        got, _ = alone(seen[[k] * 3], alone.initial_state())
        np.testing.assert_array_equal(got, want[[k] * 3])


@pytest.mark.parametrize("name", ["ncap", "mlp", "gru"])
def test_several_controllers_act_each_to_the_bit_as_alone(name):
    several = [make(name) for _ in range(3)]
    weights = torch.Generator().manual_seed(0)
    for controller in several:
        genome = torch.randn(controller.parameter_count, generator=weights)
        torch.nn.utils.vector_to_parameters(genome, controller.parameters())
    agents_per_controller = 2
    count = len(several) * agents_per_controller
    team = Population.of_several(several, count)
    alone = [Population(controller, agents_per_controller) for controller in several]
    team_state = team.initial_state()
    states = [population.initial_state() for population in alone]
    generator = np.random.default_rng(0)
    for _ in range(4):
        observation = generator.standard_normal((count, 15)).astype(np.float32)
        action, team_state = team(observation, team_state)
        for number, population in enumerate(alone):
            rows = slice(number * agents_per_controller, (number + 1) * agents_per_controller)
            want, states[number] = population(observation[rows], states[number])
            np.testing.assert_array_equal(action[rows], want)


def test_several_controllers_keep_their_own_buffers():
    class Offset(controllers.Controller):
        def __init__(self, offset):
            box = gym.spaces.Box(-1, 1, (1,))
            super().__init__(box, box, controllers.Controller.Options())
            self.gain = torch.nn.Parameter(torch.tensor(1.0))
            self.register_buffer("offset", torch.tensor([float(offset)]))

        def forward(self, observation, state):
            return self.gain * observation + self.offset, state

    team = Population.of_several([Offset(1), Offset(2)], 4)
    action, _ = team(np.zeros((4, 1), np.float32), ())
    assert action.ravel().tolist() == [1, 1, 2, 2]


def test_several_controllers_must_be_alike():
    with pytest.raises(LanceletError, match=r"n = 3: must be a multiple of the 2 controllers"):
        Population.of_several([make("mlp"), make("mlp")], 3)
    with pytest.raises(LanceletError, match=r"must be as the first, MLP with"):
        Population.of_several([make("mlp"), make("mlp", hidden=(8,))], 2)
    with pytest.raises(LanceletError, match=r"must be as the first"):
        Population.of_several([make("mlp"), make("ncap")], 2)
