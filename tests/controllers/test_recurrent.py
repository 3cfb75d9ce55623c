"""GRU and LSTM are torch's own cells; they run as populations, through time, lesioned, and from disk."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM
from torch.utils._pytree import tree_leaves, tree_map

from lancelet import LanceletError, controllers
from lancelet.controllers import Population

INPUTS, UNITS, ACTIONS = 15, 7, 3
CELLS = {"gru": torch.nn.GRUCell, "lstm": torch.nn.LSTMCell}
both = pytest.mark.parametrize("name", ["gru", "lstm"])


def make(name, **options):
    return controllers.make(name, gym.make(SWIM, joints=3), **{"hidden": UNITS, **options})


def seen(*shape, seed=0):
    return torch.randn(*shape, INPUTS, generator=torch.Generator().manual_seed(seed))


def alike(one, two, **tolerance):
    for a, b in zip(tree_leaves(one), tree_leaves(two), strict=True):
        torch.testing.assert_close(a, b, **{"rtol": 0, "atol": 1e-6, **tolerance})


@both
def test_it_is_torchs_cell_behind_a_normaliser(name):
    torch.manual_seed(3)
    controller, cell = make(name, seed=3), CELLS[name](INPUTS, UNITS)
    with torch.no_grad():
        controller.mean += 0.5
        controller.std *= 2
        for theirs, ours in (("ih", controller.input), ("hh", controller.recurrent)):
            ours.weight.copy_(getattr(cell, f"weight_{theirs}"))
            ours.bias.copy_(getattr(cell, f"bias_{theirs}"))
    state = other = controller.initial_state(4)
    for now in seen(20, 4):
        action, state = controller(now, state)
        other = cell((now - 0.5) / 2, other)
        hidden = other if name == "gru" else other[0]
        alike(state, other)
        alike(action, torch.tanh(controller.output(hidden)))
    assert hidden.abs().max() > 0.3


@both
def test_the_output_is_bounded_or_linear(name):
    bounded, linear = make(name), make(name, output="linear")
    with torch.no_grad():
        for controller in (bounded, linear):
            controller.output.bias += 2
    one, two = (c(seen(4), c.initial_state(4))[0] for c in (bounded, linear))
    assert two.abs().max() > 1
    alike(one, torch.tanh(two))


@both
@pytest.mark.parametrize("lesions", [(), ("unit:2", "unit:5", "input:1")])
def test_through_time_is_step_by_step_with_its_gradients(name, lesions):
    controller = make(name, lesions=lesions)
    rows, start = seen(12, 5), tree_map(lambda x: x + 0.0, controller.initial_state(5))
    for now in seen(3, 5, seed=1):  # begin in the middle of an episode
        _, start = controller(now, start)
    start = tree_map(torch.Tensor.detach, start)
    gradients, results = [], []
    for through in (
        controller.unroll,
        lambda *arguments: controllers.Controller.unroll(controller, *arguments),
    ):
        actions, state = through(rows, start)
        gradients.append(torch.autograd.grad(actions.square().sum(), list(controller.parameters())))
        results.append((actions, state))
    alike(*results)
    alike(*gradients, atol=1e-5)
    assert min(g.abs().max() for g in gradients[0]) > 0


@pytest.mark.parametrize(
    "name, options, task",
    [
        ("mlp", {"hidden": (4,)}, {}),
        ("ncap", {"period": 5}, {}),
        ("ncap", {"period": 5, "speed": True}, {"clock": True}),
        ("zero", {}, {}),
    ],
)
def test_every_controller_goes_through_time(name, options, task):
    env = gym.make(SWIM, joints=3, **task)
    controller = controllers.make(name, env, **options)
    rows = torch.randn(
        6, 2, env.observation_space.shape[0], generator=torch.Generator().manual_seed(0)
    )
    if task:
        rows[..., -1] = -1 + 2 * torch.arange(6)[:, None] / 1000
    _, start = controller(rows[0], controller.initial_state(2))
    actions, state = controller.unroll(rows, start)
    wanted, other = controllers.Controller.unroll(controller, rows, start)
    alike(actions, wanted)
    alike(state, other, atol=0)
    for t in range(6):
        action, start = controller(rows[t], start)
        alike(action, wanted[t])
    alike(start, other, atol=0)


def test_a_class_with_a_forward_of_its_own_does_not_inherit_a_short_cut():
    class Bolder(controllers.controllers.get("gru")):
        def forward(self, observation, state):
            action, state = super().forward(observation, state)
            return 2 * action, state

    env = gym.make(SWIM, joints=3)
    plain, bolder = (kind(env.observation_space, env.action_space, kind.Options(hidden=4))
                     for kind in (controllers.controllers.get("gru"), Bolder))  # fmt: skip
    rows = seen(5, 2)
    alike(
        bolder.unroll(rows, bolder.initial_state(2))[0],
        2 * plain.unroll(rows, plain.initial_state(2))[0],
    )


@both
@pytest.mark.filterwarnings("error")
def test_a_population_is_its_members_one_by_one(name):
    controller, members = make(name, lesions=("unit:3",)), 6
    genomes = (
        torch.randn(members, controller.parameter_count, generator=torch.Generator().manual_seed(1))
        / 2
    )
    population = Population(controller, members, genomes)
    state, states = (
        population.initial_state(),
        [controller.initial_state(1) for _ in range(members)],
    )
    for now in seen(5, members):
        action, state = population(now.numpy(), state)
        for k in range(members):
            torch.nn.utils.vector_to_parameters(genomes[k], controller.parameters())
            with torch.no_grad():
                alone, states[k] = controller(now[k : k + 1], states[k])
            np.testing.assert_allclose(action[k], alone[0], atol=1e-6)


@both
@pytest.mark.parametrize("units", [7, 16, 33])
def test_an_agent_acts_the_same_to_the_bit_among_any_number(name, units):
    controller, rows = make(name, hidden=units), seen(20, 64).numpy()
    many = Population(controller, 64)
    for few in (Population(controller, n) for n in (1, 2, 7)):
        state, own = many.initial_state(), few.initial_state()
        for now in rows:
            action, state = many(now, state)
            alone, own = few(now[: few.n], own)
            np.testing.assert_array_equal(alone, action[: few.n])


@both
def test_what_is_saved_comes_back(tmp_path, name):
    old = make(name, seed=5, output="linear", lesions=("unit:2",))
    with torch.no_grad():
        for value in old.state_dict().values():
            value += 0.1
    controllers.save(old, tmp_path)
    new = controllers.load(tmp_path)
    assert type(new) is type(old) and new.options == old.options
    assert old.state_dict().keys() == new.state_dict().keys() >= {"mean", "std"}
    state = old.initial_state(3)
    for now in seen(3, 3):
        alike(new(now, state), old(now, state), atol=0)
        _, state = old(now, state)


@both
def test_a_silent_unit_sends_nothing_and_a_silent_input_reads_its_mean(name):
    whole = make(name)
    whole.mean += 0.3
    cut, zero = controllers.lesion(whole, "unit:4"), make(name)
    zero.load_state_dict(whole.state_dict())
    with torch.no_grad():
        zero.output.weight[:, 3] = 0
        zero.recurrent.weight[:, 3] = 0
    rows, states = seen(6, 2), [whole.initial_state(2)] * 3
    for now in rows:
        actions = []
        for k, controller in enumerate((whole, cut, zero)):
            action, states[k] = controller(now, states[k])
            actions.append(action)
        alike(actions[1], actions[2])
        assert not cut.signals(states[1])["hidden"][:, 3].any()
    assert (actions[0] - actions[1]).abs().max() > 1e-3
    blind, mean = controllers.lesion(whole, "input:5"), rows[0].clone()
    mean[:, 4] = whole.mean[4]
    alike(blind(rows[0], whole.initial_state(2)), whole(mean, whole.initial_state(2)), atol=0)
    assert whole.parts() == [f"input:{i}" for i in range(1, 16)] + [
        f"unit:{i}" for i in range(1, 8)
    ]


@both
def test_state_signals_and_reset(name):
    controller = make(name)
    _, state = controller(seen(3), controller.initial_state(3))
    signals = controller.signals(state)
    assert set(signals) == ({"hidden"} if name == "gru" else {"hidden", "cells"})
    assert all(rows.shape == (3, UNITS) and rows.abs().max() > 0 for rows in signals.values())
    again = controller.reset(state, torch.tensor([False, True, False]))
    for old, new in zip(tree_leaves(state), tree_leaves(again), strict=True):
        assert not new[1].any() and torch.equal(new[[0, 2]], old[[0, 2]])


@both
def test_the_seed_decides_the_weights_and_the_callers_generator_stays(name):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, b, c = (make(name, seed=seed).recurrent.weight for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a, b) and not torch.equal(a, c) and a.abs().max() <= UNITS**-0.5


@both
def test_options_and_spaces_that_make_no_sense_are_refused(name):
    for hidden in (0, 1.5, True):
        with pytest.raises(LanceletError, match=r"hidden = .*: must be a whole number, 1 or more"):
            make(name, hidden=hidden)
    with pytest.raises(LanceletError, match="output"):
        make(name, output="relu")
    box = gym.spaces.Box(-1, 1, (2,))
    observation = gym.spaces.Dict(a=gym.spaces.Discrete(4))
    network = controllers.controllers.get(name)
    with pytest.raises(LanceletError, match=f"{name.upper()} cannot read"):
        network(observation, box, network.Options())
