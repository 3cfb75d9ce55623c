import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import HOMES, NEEDS, SWIM, observations
from torch.utils._pytree import tree_leaves, tree_map_only

from lancelet import LanceletError, controllers, training
from lancelet.controllers.baselines import Random, RandomOptions


def make(name, joints=3, **options):
    return controllers.make(name, gym.make(SWIM, joints=joints), **options)


def home(name, joints):
    """Id and options of a task that the controller can read."""
    return (HOMES[name], {}) if name in HOMES else (SWIM, {"joints": joints})


def forward(controller, seen, state=None):
    with torch.no_grad():
        return controller(seen, controller.initial_state(len(seen)) if state is None else state)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(controllers.controllers))
@pytest.mark.parametrize("vector", [False, True])
def test_every_controller_is_made_for_either_kind_of_environment(name, vector):
    id, options = home(name, 4)
    single = gym.make(id, **options)
    env = gym.make_vec(id, num_envs=2, **options) if vector else single
    controller = controllers.make(name, env, **NEEDS.get(name, {}))
    action, _ = controller(observations(single.observation_space, 2), controller.initial_state(2))
    assert action.shape == (2, *single.action_space.shape) and action.abs().max() <= 1
    assert controller.parameter_count == sum(p.numel() for p in controller.parameters())


@pytest.mark.parametrize("name", list(controllers.controllers))
def test_the_state_has_agents_first_and_can_be_reset_by_mask(name):
    id, options = home(name, 3)
    env, mask = gym.make(id, **options), torch.tensor([True, False, True])
    controller = controllers.make(name, env, **NEEDS.get(name, {}))
    state = controller.initial_state(3)
    _, after = controller(observations(env.observation_space, 3), state)
    after = tree_map_only(torch.Tensor, torch.clone, after)  # a plastic controller resets in place
    again = controller.reset(after, mask)
    trees = (controller.initial_state(3), after, again)
    leaves = [
        [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)] for tree in trees
    ]
    assert len({len(found) for found in leaves}) == 1 and (state != () or after == again == ())
    for fresh, old, new in zip(*leaves, strict=True):
        assert fresh.shape[0] == 3
        assert torch.equal(new[mask], fresh[mask]) and torch.equal(new[~mask], old[~mask])


def test_unknown_controllers_and_options_are_refused_with_near_names():
    env = gym.make(SWIM)
    with pytest.raises(LanceletError, match="did you mean ncap"):
        controllers.make("ncpa", env)
    with pytest.raises(LanceletError, match="did you mean hidden"):
        controllers.make("mlp", env, hiden=(3,))


def test_zero_is_zero():
    assert not forward(make("zero"), torch.randn(5, 15))[0].any()


def test_random_actions_fill_the_range_evenly():
    random = make("random")
    state, rows = random.initial_state(500), []
    for _ in range(20):
        action, state = forward(random, torch.zeros(500, 15), state)
        rows.append(action)
    rows = torch.stack(rows)
    assert rows.min() >= -1 and rows.max() <= 1 and rows.max() > 0.999 and rows.min() < -0.999
    assert rows.mean().abs() < 0.02 and (rows.var() - 1 / 3).abs() < 0.01
    flat = rows.permute(1, 2, 0).reshape(1500, 20)
    correlation = np.corrcoef(flat[:60].numpy())
    assert np.abs(correlation - np.eye(60)).max() < 0.95
    step = np.corrcoef(rows[:-1].flatten().numpy(), rows[1:].flatten().numpy())[0, 1]
    joint = np.corrcoef(rows[..., 0].flatten().numpy(), rows[..., 1].flatten().numpy())[0, 1]
    assert abs(step) < 0.03 and abs(joint) < 0.03


def test_random_streams_belong_to_an_agent_and_a_seed():
    first, second = (forward(make("random", seed=seed), torch.zeros(8, 15))[0] for seed in (0, 1))
    assert torch.equal(first, forward(make("random"), torch.zeros(8, 15))[0])
    assert torch.equal(first[:3], forward(make("random"), torch.zeros(3, 15))[0])
    assert len(torch.cat([first, second]).unique(dim=0)) == 16


def test_random_actions_keep_to_the_bounds_of_the_space():
    space = gym.spaces.Box(np.float32([0, -3]), np.float32([1, -2]))
    random = Random(gym.spaces.Box(-1, 1, (4,)), space, RandomOptions())
    action = forward(random, torch.zeros(100, 4))[0].numpy()
    assert all(row in space for row in action)


def test_random_needs_bounds():
    with pytest.raises(LanceletError, match="bounded"):
        Random(gym.spaces.Box(-1, 1, (4,)), gym.spaces.Box(-np.inf, np.inf, (2,)), RandomOptions())


def test_floors():
    returns = training.evaluate(make("random", 5), SWIM, episodes=8, joints=5).returns
    assert 60 < returns.mean() < 125


def test_a_perceptron_counts_its_parameters():
    env = gym.make(SWIM)
    assert controllers.make("mlp", env).parameter_count == 6021
    assert controllers.make("mlp", env, hidden=(256, 256)).parameter_count == 73221
    assert controllers.make("mlp", env, hidden=()).parameter_count == 24 * 5


def test_a_perceptrons_seed_decides_its_weights_and_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    one, same, other = make("mlp", seed=1), make("mlp", seed=1), make("mlp", seed=2)
    assert torch.equal(torch.rand(3), want)
    assert torch.equal(one.layers[0].weight, same.layers[0].weight)
    assert not torch.equal(one.layers[0].weight, other.layers[0].weight)


def test_a_perceptron_normalises_with_its_buffers():
    mlp, seen = make("mlp"), torch.randn(4, 15)
    plain = forward(mlp, seen)[0]
    mlp.mean += 1.5
    mlp.std *= 2
    torch.testing.assert_close(forward(mlp, seen * 2 + 1.5)[0], plain)


def test_a_perceptrons_output_may_be_linear():
    mlp, linear = make("mlp", seed=3), make("mlp", seed=3, output="linear")
    seen = torch.randn(4, 15)
    torch.testing.assert_close(forward(linear, seen)[0].tanh(), forward(mlp, seen)[0])


def test_every_weight_of_a_perceptron_gets_a_gradient():
    mlp = make("mlp")
    mlp(torch.randn(32, 15), ())[0].square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in mlp.parameters())


@pytest.mark.parametrize(
    "bad",
    [
        {"hidden": (0,)},
        {"hidden": (2.5,)},
        {"hidden": 64},
        {"activation": "sine"},
        {"output": "softmax"},
    ],
)
def test_bad_options_of_a_perceptron_are_refused_in_one_line(bad):
    with pytest.raises(LanceletError) as error:
        make("mlp", **bad)
    assert "\n" not in str(error.value)


def test_a_perceptron_refuses_a_dictionary_of_what_are_no_boxes():
    box = gym.spaces.Box(-1, 1, (3,))
    observation = gym.spaces.Dict(a=gym.spaces.Discrete(4))
    network = controllers.controllers.get("mlp")
    with pytest.raises(LanceletError, match="MLP cannot read"):
        network(observation, box, network.Options())


def test_options_may_be_numbers_of_numpy_and_seeds_are_checked():
    env = gym.make(SWIM)
    hidden = tuple(np.array([8, 4]))
    mlp = controllers.make("mlp", env, hidden=hidden, seed=np.uint64(3))
    assert mlp.options == controllers.make("mlp", env, hidden=(8, 4), seed=3).options
    assert [type(units) for units in mlp.options.hidden] == [int, int]
    assert controllers.make("mlp", env, hidden=np.array([8, 4]), seed=3).options == mlp.options
    for seed in (-1, 2**64, 1.5):
        with pytest.raises(LanceletError, match=r"seed = .*: must be a whole number from 0"):
            controllers.make("mlp", env, seed=seed)
