"""Liquid controllers: through time, lesioned, drawn, from disk, by elapsed time, and of a given size."""

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM
from gymnasium import spaces
from torch.nn.utils import parameters_to_vector
from torch.utils._pytree import tree_leaves, tree_map

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Controller, Population

INPUTS = 17
ACTIONS = 4
UNITS = 12
STEPS = 14
BATCH = 5
ENV = SimpleNamespace(
    observation_space=spaces.Box(-np.inf, np.inf, (INPUTS,), np.float32),
    action_space=spaces.Box(-1, 1, (ACTIONS,), np.float32),
)
KINDS = {
    "cfc": ("cfc", {}),
    "cfc no-gate": ("cfc", {"form": "no-gate"}),
    "cfc pure": ("cfc", {"form": "pure"}),
    "cfc deep tanh": ("cfc", {"backbone_layers": 3, "activation": "tanh"}),
    "cfc deep relu": ("cfc", {"backbone_layers": 2, "activation": "relu"}),
    "cfc deep silu": ("cfc", {"backbone_layers": 2, "activation": "silu"}),
    "cfc elapsed": ("cfc", {"elapsed": "3", "interval": 0.05}),
    "cfc mixed": ("cfc", {"mixed": True}),
    "cfc ncp": ("cfc", {"wiring": "ncp"}),
    "cfc ncp mixed": ("cfc", {"wiring": "ncp", "mixed": True, "form": "no-gate"}),
    "ltc": ("ltc", {}),
    "ltc ncp": ("ltc", {"wiring": "ncp", "unfoldings": 3}),
    "ltc elapsed": ("ltc", {"elapsed": "3", "interval": 0.05}),
    "window-mlp": ("window-mlp", {"hidden": (9, 9), "window": 4}),
}
LIQUID = [kind for kind in KINDS if kind != "window-mlp"]
every = pytest.mark.parametrize("kind", KINDS)
liquid = pytest.mark.parametrize("kind", LIQUID)


def make(kind, **further):
    name, options = KINDS[kind]
    return controllers.make(name, ENV, **{"hidden": UNITS, "seed": 3, **options, **further})


def observations(kind, steps=STEPS, batch=BATCH, seed=0):
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(steps, batch, INPUTS, generator=random)
    if "elapsed" in kind:
        rows[..., 2] = 0.1 * torch.rand(steps, batch, generator=random)
    return rows


def started(controller, kind):
    """A state in the middle of an episode."""
    state = controller.initial_state(BATCH)
    for observation in observations(kind, steps=3, seed=1):
        _, state = controller(observation, state)
    return tree_map(torch.Tensor.detach, state)


def alike(one, two, **tolerance):
    for left, right in zip(tree_leaves(one), tree_leaves(two), strict=True):
        torch.testing.assert_close(left, right, **{"rtol": 0, "atol": 2e-6, **tolerance})


def through(unroll, controller, rows, state):
    """Actions and last state, then gradients of a loss of both by weights, observations and first state."""
    rows = rows.clone().requires_grad_(rows.requires_grad)
    start = tree_map(lambda values: values.clone().requires_grad_(), state)
    actions, last = unroll(rows, start)
    loss = actions.square().sum() + sum(leaf.sum() for leaf in tree_leaves(last))
    asked = [*controller.parameters(), *tree_leaves(start)]
    gradients = torch.autograd.grad(loss, asked, materialize_grads=True, allow_unused=True)
    return (actions.detach(), tree_map(torch.Tensor.detach, last)), gradients


LESIONS = [(), ("input:5",), ("recurrence",), ("gate",), ("state",)]


@every
@pytest.mark.parametrize("lesions", LESIONS, ids=str)
def test_through_time_is_step_by_step_with_its_gradients(kind, lesions):
    if kind == "window-mlp" and lesions and not lesions[0].startswith("input"):
        pytest.skip("has no such part")
    controller = make(kind, lesions=lesions)
    with torch.no_grad():
        controller.mean += 0.3
        controller.std *= 1.5
    rows = observations(kind)
    state = started(controller, kind)
    fast, fast_gradients = through(controller.unroll, controller, rows, state)
    slow, slow_gradients = through(
        lambda *arguments: Controller.unroll(controller, *arguments), controller, rows, state
    )
    alike(fast, slow)
    for one, two in zip(fast_gradients, slow_gradients, strict=True):
        alike(one, two, atol=1e-5 * max(1.0, float(two.abs().max())))
    if not lesions:
        reached = [float(gradient.abs().max()) > 0 for gradient in slow_gradients]
        assert all(reached[: len(list(controller.parameters()))])


@liquid
def test_gradients_flow_to_the_observations(kind):
    controller = make(kind)
    rows = observations(kind).requires_grad_()
    state = started(controller, kind)
    results = []
    for unroll in (
        controller.unroll,
        lambda *arguments: Controller.unroll(controller, *arguments),
    ):
        actions, _ = unroll(rows, state)
        results.append(torch.autograd.grad(actions.square().sum(), rows)[0])
    alike(*results, atol=1e-5)
    assert results[0][0].abs().max() > 0


def test_the_compiled_ways_are_taken(monkeypatch):
    """The tests above compare them with steps: here no step may be taken."""

    def refuse(*_):
        raise AssertionError("a step was taken")

    for kind in ("cfc", "cfc pure", "cfc elapsed", "ltc", "ltc ncp", "ltc elapsed"):
        controller = make(kind)
        monkeypatch.setattr(controller.cell, "forward", refuse)
        controller.unroll(observations(kind), controller.initial_state(BATCH))


def test_a_second_derivative_is_refused_and_not_wrong():
    controller = make("cfc")
    actions, _ = controller.unroll(observations("cfc"), controller.initial_state(BATCH))
    weight = controller.cell.recurrent.weight
    (first,) = torch.autograd.grad(actions.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.square().sum().backward()


@every
def test_weights_can_be_stacked_and_unrolled_under_a_map(kind):
    """As models that are trained side by side are: gradients of each are those that it has alone."""
    controller = make(kind)
    weights = {name: weight.detach() for name, weight in controller.named_parameters()}
    stacked = {name: torch.stack([weight, 0.5 * weight]) for name, weight in weights.items()}
    rows = observations(kind)
    state = controller.initial_state(BATCH)

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.controller = controller

        def forward(self, rows):
            return self.controller.unroll(rows, state)[0].square().mean()

    def loss(own):
        named = {f"controller.{name}": weight for name, weight in own.items()}
        return torch.func.functional_call(Loss(), named, (rows,))

    together = torch.func.vmap(torch.func.grad(loss))(stacked)
    for number in range(2):
        own = {name: weight[number] for name, weight in stacked.items()}
        alone = torch.func.grad(loss)(own)
        for name, gradient in alone.items():
            alike(together[name][number], gradient, atol=1e-5)


@every
@pytest.mark.filterwarnings("error")
def test_a_population_is_its_members_one_by_one(kind):
    controller = make(kind)
    members = 4
    random = torch.Generator().manual_seed(1)
    genomes = torch.randn(members, controller.parameter_count, generator=random) / 2
    population = Population(controller, members, genomes)
    state = population.initial_state()
    states = [controller.initial_state(1) for _ in range(members)]
    for rows in observations(kind, batch=members):
        action, state = population(rows.numpy(), state)
        for member in range(members):
            torch.nn.utils.vector_to_parameters(genomes[member], controller.parameters())
            with torch.no_grad():
                own, states[member] = controller(rows[member : member + 1], states[member])
            np.testing.assert_allclose(action[member], own[0], atol=1e-4)


@every
def test_what_is_saved_comes_back(tmp_path, kind):
    old = make(kind, lesions=("input:2",))
    with torch.no_grad():
        for value in old.state_dict().values():
            value += 0.1
    controllers.save(old, tmp_path)
    new = controllers.load(tmp_path)
    assert type(new) is type(old) and new.options == old.options
    state = started(old, kind)
    for rows in observations(kind):
        alike(new(rows, state), old(rows, state), atol=0)
        _, state = old(rows, state)


def test_a_file_cannot_ask_for_a_wiring_that_fills_the_memory(tmp_path):
    for hidden in (2_000, 900_000):
        with pytest.raises(LanceletError, match="possible synapses"):
            controllers.make("ltc", ENV, hidden=hidden)
    with pytest.raises(LanceletError, match="wiring_seed"):
        controllers.make("ltc", ENV, wiring_seed=10_000_000)


@every
def test_the_seed_decides_the_weights_and_the_callers_generator_stays(kind):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, two, other = (
        parameters_to_vector(make(kind, seed=seed).parameters()) for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two) and not torch.equal(one, other)


@liquid
def test_state_signals_and_reset(kind):
    controller = make(kind)
    state = started(controller, kind)
    signals = controller.signals(state)
    layers = {"inter", "command", "motor"} if "ncp" in kind else {"hidden"}
    assert set(signals) == layers | ({"memory"} if "mixed" in kind else set())
    assert sum(signals[name].shape[1] for name in layers) == UNITS
    again = controller.reset(state, torch.tensor([False, True, False, False, True]))
    for old, new in zip(tree_leaves(state), tree_leaves(again), strict=True):
        assert not new[[1, 4]].any() and torch.equal(new[[0, 2, 3]], old[[0, 2, 3]])


# Lesions.


@liquid
def test_a_reset_state_forgets(kind):
    controller = controllers.lesion(make(kind), "state")
    rows = observations(kind)[0]
    action, _ = controller(rows, started(controller, kind))
    fresh, _ = make(kind)(rows, controller.initial_state(BATCH))
    alike(action, fresh, atol=0)


@pytest.mark.parametrize("kind", ["cfc", "cfc no-gate", "cfc pure", "cfc ncp", "ltc", "ltc ncp"])
def test_a_held_gate_is_its_mean_and_moves_no_more(kind):
    whole = make(kind)
    rows = observations(kind)
    mean = whole.measure_gate(rows, whole.initial_state(BATCH))
    state = whole.initial_state(BATCH)
    gates = []
    for now in rows:
        gates.append(whole.gate(now, state))
        _, state = whole(now, state)
    alike(mean, torch.stack(gates).mean((0, 1)))
    held = controllers.lesion(whole, "gate")
    assert torch.equal(held.gate_mean, mean)
    alike(held._lesions().gate, mean)
    # Were the gate free but constant at this mean, the actions would be these.
    action, _ = held(rows[0], started(whole, kind))
    free, _ = whole(rows[0], started(whole, kind))
    assert (action - free).abs().max() > 1e-5
    with pytest.raises(LanceletError, match="held gate"):
        held.measure_gate(rows, held.initial_state(BATCH))


def test_a_held_gate_of_the_closed_form_is_a_fixed_mixture():
    whole = make("cfc")
    whole.gate_mean.fill_(0.25)
    held = controllers.lesion(whole, "gate")
    rows = observations("cfc")[0]
    state = started(whole, "cfc")
    cell = whole.cell
    backbone = 1.7159 * torch.tanh(0.666 * (cell.input(rows) + cell.recurrent(state)))
    first, second, _, _ = cell.heads(backbone).split(UNITS, 1)
    _, next_state = held(rows, state)
    alike(next_state, 0.75 * torch.tanh(first) + 0.25 * torch.tanh(second))


def test_cut_recurrence_is_synapses_of_no_weight():
    whole = make("ltc ncp")
    cut = controllers.lesion(whole, "recurrence")
    zero = make("ltc ncp")
    with torch.no_grad():
        is_within = torch.as_tensor(zero._wiring.is_within_layer())
        assert 0 < is_within.sum() < len(is_within)
        zero.cell.internal.raw_weight[is_within] = -100
    rows = observations("ltc ncp")
    alike(cut.unroll(rows, cut.initial_state(BATCH)), zero.unroll(rows, zero.initial_state(BATCH)))
    dense = make("cfc")
    with torch.no_grad():
        zero = make("cfc")
        zero.cell.recurrent.weight.zero_()
    cut = controllers.lesion(dense, "recurrence")
    rows = observations("cfc")
    alike(cut.unroll(rows, cut.initial_state(BATCH)), zero.unroll(rows, zero.initial_state(BATCH)))


@pytest.mark.parametrize(
    ("kind", "neuron"), [("cfc", "unit:4"), ("cfc ncp", "inter:2"), ("ltc", "unit:4")]
)
def test_a_silent_neuron_is_heard_by_nobody(kind, neuron):
    whole = make(kind)
    cut = controllers.lesion(whole, neuron)
    place = whole._wiring.neuron_names().index(neuron)
    state = started(whole, kind)
    moved = state.clone()
    moved[:, place] += 5
    rows = observations(kind)[0]
    action, next_state = cut(rows, state)
    if kind == "ltc":
        alike(cut(rows, moved), (action, next_state), atol=1e-6)
    assert not next_state[:, place].any()
    assert (action - whole(rows, state)[0]).abs().max() > 1e-5


# Elapsed time.


@pytest.mark.parametrize("name", ["cfc", "ltc"])
def test_the_elapsed_time_is_read_in_periods_and_not_normalised(name):
    timed = controllers.make(name, ENV, hidden=UNITS, elapsed="3", interval=0.05)
    assert timed.counted_interval() == 0.05
    assert controllers.make(name, ENV, hidden=UNITS).counted_interval() is None
    shorter = SimpleNamespace(
        observation_space=spaces.Box(-np.inf, np.inf, (INPUTS - 1,)), action_space=ENV.action_space
    )
    plain = controllers.make(name, shorter, hidden=UNITS)
    rows = observations("elapsed")[0]
    rows[:, 2] = 0.05
    others = torch.cat([rows[:, :2], rows[:, 3:]], dim=1)
    timed.mean[2] = 7.0
    state = torch.rand(BATCH, UNITS)
    alike(timed(rows, state), plain(others, state), atol=1e-6)
    rows[:, 2] = 0.2
    slower, _ = timed(rows, state)
    assert (slower - plain(others, state)[0]).abs().max() > 1e-4
    blind = controllers.lesion(timed, "input:3")
    alike(blind(rows, state), plain(others, state), atol=1e-6)


@pytest.mark.parametrize("kind", ["cfc elapsed", "ltc elapsed"])
@pytest.mark.parametrize("bad", [-0.01, float("nan")])
def test_a_negative_elapsed_time_is_refused(kind, bad):
    controller = make(kind)
    rows = observations(kind)
    rows[3, 1, 2] = bad
    with pytest.raises(LanceletError, match=r"elapsed time .* in input 3: must be 0 or more"):
        controller.unroll(rows, controller.initial_state(BATCH))
    with pytest.raises(LanceletError, match="elapsed time"):
        controller(rows[3], controller.initial_state(BATCH))
    population = Population(controller, BATCH)
    action, _ = population(rows[3].numpy(), population.initial_state())
    assert np.isnan(action[1]).all() and np.isfinite(action[[0, 2, 3, 4]]).all()


def test_no_elapsed_time_changes_no_activity_of_the_ltc():
    controller = make("ltc elapsed")
    rows = observations("elapsed")[0]
    rows[:, 2] = 0
    state = started(controller, "ltc elapsed")
    alike(controller(rows, state)[1], state, atol=1e-6)


def test_an_elapsed_time_that_no_input_tells_is_refused():
    with pytest.raises(LanceletError, match="input that tells the elapsed time '18'"):
        controllers.make("cfc", ENV, elapsed="18")
    alone = SimpleNamespace(observation_space=spaces.Box(0, 1, (1,)), action_space=ENV.action_space)
    with pytest.raises(LanceletError, match="no other input"):
        controllers.make("cfc", alone, elapsed="1")


# Drawings.


@pytest.mark.parametrize("kind", ["cfc", "cfc ncp", "cfc mixed", "ltc", "ltc ncp", "ltc elapsed"])
def test_the_circuit_has_a_line_for_every_synapse(kind):
    controller = make(kind)
    circuit = controller.circuit()
    names = [neuron.name for neuron in circuit.neurons]
    assert len(set(names)) == len(names)
    layers = dict.fromkeys(neuron.layer for neuron in circuit.neurons)
    middle = ["inter", "command", "motor"] if "ncp" in kind else ["unit"]
    if kind in ("cfc", "cfc mixed"):
        middle = ["backbone", *middle]
    assert list(layers) == ["input", *middle, "action"]
    pairs = [(synapse.source, synapse.target) for synapse in circuit.synapses]
    assert len(set(pairs)) == len(pairs)
    assert {name for pair in pairs for name in pair} == set(names)
    assert all(synapse.strength >= 0 for synapse in circuit.synapses)
    if kind.startswith("ltc"):
        head = controller.output.weight.numel()
        wiring = controller._wiring
        assert len(pairs) == wiring.sensory.size + wiring.internal.size + head
        of_cell = controller.parameter_count - head - ACTIONS
        numbers = 4 * (wiring.sensory.size + wiring.internal.size)
        assert of_cell == numbers + 3 * UNITS + 2 * wiring.input_count


# The window.


def test_the_window_is_the_last_observations():
    controller = make("window-mlp")
    rows = observations("window-mlp", steps=6)
    state = controller.initial_state(BATCH)
    for now in rows:
        action, state = controller(now, state)
    assert torch.equal(state.frames, rows[-4:].transpose(0, 1))
    flat = rows[-4:].transpose(0, 1).flatten(1)
    hidden = torch.tanh(controller.layers[1](torch.tanh(controller.layers[0](flat))))
    alike(action, torch.tanh(controller.layers[2](hidden)))


def test_at_the_start_the_window_holds_the_first_observation():
    controller = make("window-mlp")
    now = observations("window-mlp")[0]
    _, state = controller(now, controller.initial_state(BATCH))
    assert torch.equal(state.frames, now[:, None].expand(-1, 4, -1))
    short, _ = controller.unroll(now[None], controller.initial_state(BATCH))
    alike(short[0], controller(now, controller.initial_state(BATCH))[0])


# Sizes.

SIZED = [
    ("cfc", {}),
    ("cfc", {"wiring": "ncp"}),
    ("ltc", {}),
    ("ltc", {"wiring": "ncp"}),
    ("gru", {}),
    ("lstm", {}),
    ("mlp", {}),
    ("window-mlp", {}),
]


@pytest.mark.parametrize(("name", "options"), SIZED)
@pytest.mark.parametrize("parameters", [5_000, 11_700])
def test_sizes_come_within_three_percent(name, options, parameters):
    sized = controllers.size_for(name, ENV, parameters=parameters, **options)
    assert sized.items() >= options.items()
    controller = controllers.make(name, ENV, **sized)
    assert controller.parameter_count == pytest.approx(parameters, rel=0.03)


@pytest.mark.parametrize(
    ("name", "hidden", "of_cell"),
    [
        ("cfc", 32, 11_520),
        ("lstm", 45, 11_520),
        ("gru", 53, 11_448),
        ("mlp", (98, 98), 11_466),
        ("window-mlp", (59, 59), 11_623),
    ],
)
def test_equal_sizes_are_those_of_the_table(name, hidden, of_cell):
    """The parameters of the table leave the layer that gives the action out."""
    controller = controllers.make(name, ENV, hidden=hidden)
    width = hidden[-1] if isinstance(hidden, tuple) else hidden
    assert controller.parameter_count - ACTIONS * (width + 1) == of_cell
    assert controllers.size_for(name, ENV, parameters=controller.parameter_count) == {
        "hidden": hidden
    }


def test_budgets_that_no_network_meets_are_refused():
    with pytest.raises(LanceletError, match=r"parameters = 20: cfc has \d+ at least"):
        controllers.size_for("cfc", ENV, parameters=20)
    with pytest.raises(LanceletError, match=r"parameters = 20: ltc has \d+ at least.*hidden = 6"):
        controllers.size_for("ltc", ENV, parameters=20, wiring="ncp")
    with pytest.raises(LanceletError, match="parameters = 0"):
        controllers.size_for("cfc", ENV, parameters=0)
    with pytest.raises(LanceletError, match="pid has no width"):
        controllers.size_for("pid", ENV, parameters=100)
    with pytest.raises(LanceletError, match="unknown option"):
        controllers.size_for("cfc", ENV, parameters=1000, gates=3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cfc", {"hidden": 0}, "liquid hidden"),
        ("cfc", {"backbone_layers": 0}, "backbone_layers"),
        ("cfc", {"backbone_units": 0}, "backbone_units"),
        ("cfc", {"form": "open"}, "form"),
        ("ltc", {"unfoldings": 0}, "unfoldings"),
        ("ltc", {"sparsity": 1.0, "wiring": "ncp"}, "sparsity"),
        ("ltc", {"sparsity": 0, "wiring": "ncp"}, "sparsity"),
        ("ltc", {"hidden": 5, "wiring": "ncp"}, "too few"),
        ("ltc", {"interval": 0.0}, "interval"),
        ("window-mlp", {"window": 0}, "window"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, message):
    with pytest.raises(LanceletError, match=message):
        controllers.make(name, ENV, **options)


def test_recordings_of_another_width_are_refused():
    with pytest.raises(LanceletError, match="CfC cannot read"):
        controllers.make(
            "cfc",
            SimpleNamespace(
                observation_space=spaces.Box(0, 1, (3, 3)), action_space=ENV.action_space
            ),
        )


# In a task.


@pytest.mark.parametrize("name", ["cfc", "ltc", "window-mlp"])
def test_an_evaluation_changes_no_weight_and_repeats_to_the_bit(name):
    controller = controllers.make(name, gym.make(SWIM))
    before = {key: value.clone() for key, value in controller.state_dict().items()}
    scores = [
        training.evaluate(controller, SWIM, episodes=count, max_episode_steps=15)
        for count in (5, 5, 2)
    ]
    assert np.array_equal(scores[0].returns, scores[1].returns)
    assert np.array_equal(scores[0].returns[:2], scores[2].returns)
    assert all(torch.equal(value, before[key]) for key, value in controller.state_dict().items())
