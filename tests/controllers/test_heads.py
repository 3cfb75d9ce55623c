"""Networks reach over the whole action box, and read Dict observations; files from before act as they did."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors import safe_open
from safetensors.torch import save_file

from lancelet import controllers, training
from lancelet.controllers.boxes import Span, half_ranges
from lancelet.controllers.sum import Sum

NETWORKS = ("mlp", "gru", "lstm")
INFINITE = float("inf")


def box(low, high):
    return spaces.Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)


def extremes(controller):
    """Least and largest action over wildly scaled weights and observations."""
    observation = torch.linspace(-12, 12, 501)[:, None].expand(
        -1, controller.observation_space.shape[0]
    )
    with torch.no_grad():
        for weight in controller.parameters():
            weight.mul_(1000)
        action, state = controller(observation, controller.initial_state(len(observation)))
        for _ in range(20):
            action, state = controller(observation, state)
    return float(action.min()), float(action.max())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "id", ["lancelet/BlimpAltitude-v0", "lancelet/ArmReach-v0", "lancelet/Swim-v0"]
)
def test_a_network_reaches_both_bounds_and_not_beyond(name, id):
    env = gym.make(id)
    least, largest = extremes(controllers.make(name, env))
    assert least == pytest.approx(env.action_space.low.min())
    assert largest == pytest.approx(env.action_space.high.max())
    assert least >= env.action_space.low.min() and largest <= env.action_space.high.max()


def test_the_unit_box_changes_no_bit():
    numbers = torch.tanh(torch.randn(1000, 2, generator=torch.Generator().manual_seed(0)))
    assert Span(box([-1, -1], [1, 1]))(numbers) is numbers
    assert torch.equal(numbers * 1.0 + 0.0, numbers)


def test_a_side_without_a_bound_spans_two_units():
    span = Span(box([-INFINITE, 0, -INFINITE, 2], [INFINITE, INFINITE, 5, 4]))
    assert span(-torch.ones(4)).tolist() == [-1, 0, 3, 2]
    assert span(torch.ones(4)).tolist() == [1, 2, 5, 4]


def test_rounding_never_leaves_the_box():
    rng = np.random.default_rng(0)
    low = rng.normal(size=500).astype(np.float32)
    space = box(low, low + rng.uniform(0.001, 3, 500).astype(np.float32))
    for side in (-1.0, 1.0):
        action = Span(space)(torch.full((500,), side)).numpy()
        assert (action >= space.low).all() and (action <= space.high).all()


def test_exploration_is_a_share_of_half_the_range():
    assert half_ranges(box([0, -10, -INFINITE], [1, 10, 3])).tolist() == [0.5, 10, 1]
    ppo = training.algorithms.get("ppo")
    blimp = controllers.make("mlp", gym.make("lancelet/BlimpAltitude-v0"))
    assert ppo().noise(blimp)[0].tolist() == pytest.approx([6.93])
    assert ppo(std=0.2).noise(blimp)[0].tolist() == [0.2]
    swimmer = controllers.make("mlp", gym.make("lancelet/Swim-v0"))
    assert ppo().noise(swimmer)[0].tolist() == [0.693] * 5


def as_format_1(path):
    """Rewrite a saved controller as versions before wrote it: format 1, no option `span`."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["lancelet"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    about["format"] = 1
    about["options"].pop("span", None)
    save_file(tensors, path, {"lancelet": json.dumps(about)})


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_from_before_acts_as_it_did(name, tmp_path):
    env = gym.make("lancelet/BlimpAltitude-v0")
    controllers.save(controllers.make(name, env, span=False), tmp_path / "old.safetensors")
    as_format_1(tmp_path / "old.safetensors")
    old = controllers.load(tmp_path / "old.safetensors")
    assert old.options.span is False
    assert extremes(old) == pytest.approx((-1, 1))


def test_a_file_from_before_of_a_unit_box_is_as_one_of_today(tmp_path):
    controllers.save(
        controllers.make("mlp", gym.make("lancelet/Swim-v0")), tmp_path / "old.safetensors"
    )
    as_format_1(tmp_path / "old.safetensors")
    assert controllers.load(tmp_path / "old.safetensors").options.span is True


def test_the_terms_of_a_sum_from_before_act_as_they_did(tmp_path):
    env = gym.make("lancelet/BlimpAltitude-v0")
    total = controllers.make("sum", env, terms=("mlp hidden=[8]", "pid"))
    controllers.save(total, tmp_path / "old.safetensors")
    as_format_1(tmp_path / "old.safetensors")
    old = controllers.load(tmp_path / "old.safetensors")
    assert isinstance(old, Sum)
    assert old.options.terms == ("mlp hidden=[8] span=false", "pid")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_reads_a_dict_in_the_order_of_its_keys(name):
    env = gym.make("lancelet/PointMaze-v0")
    controller = controllers.make(name, env, hidden=(8,) if name == "mlp" else 8)
    parts = [part for part in controller.parts() if part.startswith("input")]
    assert parts[0] == "input:achieved_goal:1" and parts[2] == "input:desired_goal:1"
    assert parts[-1] == "input:observation:4" and len(parts) == 8

    observation = {
        key: torch.randn(3, *space.shape) for key, space in env.observation_space.items()
    }
    flat = torch.cat(
        [observation["achieved_goal"], observation["desired_goal"], observation["observation"]],
        dim=1,
    )
    same = controllers.make(name, Flat(env), hidden=(8,) if name == "mlp" else 8)
    action, _ = controller(observation, controller.initial_state(3))
    want, _ = same(flat, same.initial_state(3))
    assert torch.equal(action, want)

    blind = controllers.lesion(controller, "input:desired_goal:1", "input:desired_goal:2")
    moved = {**observation, "desired_goal": observation["desired_goal"] + 5}
    assert torch.equal(
        blind(observation, blind.initial_state(3))[0], blind(moved, blind.initial_state(3))[0]
    )


class Flat:
    """The spaces of PointMaze with its observation as one vector."""

    def __init__(self, env):
        self.observation_space = spaces.Box(-np.inf, np.inf, (8,), np.float32)
        self.action_space = env.action_space
