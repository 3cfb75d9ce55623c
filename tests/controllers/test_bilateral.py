"""The bilateral network: sizes, callosum by hand, lesions, first weights, columns apart."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.nn.utils import parameters_to_vector

from lancelet import LanceletError, controllers
from lancelet.controllers import Population
from lancelet.controllers.bilateral import Bilateral, BilateralOptions, apart, crossed, joined

SEEN = spaces.Box(-np.inf, np.inf, (16,), np.float32)
ACTION = spaces.Box(0.0, 1.0, (6,), np.float32)


def make(action=ACTION, **options):
    return Bilateral(SEEN, action, BilateralOptions(**options))


def observations(batch=7):
    return torch.randn(batch, 16, generator=torch.Generator().manual_seed(3))


def act(controller, seen=None, steps=1):
    seen = observations() if seen is None else seen
    state = controller.initial_state(len(seen))
    with torch.no_grad():
        for _ in range(steps):
            action, state = controller(seen, state)
    return action, state


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"columns": 1}, 346),
        ({"columns": 1, "units": 8}, 262),
        ({}, 268),
        ({"callosum": True}, 268),
        ({"join": "action"}, 302),
    ],
)
def test_the_networks_have_the_sizes_of_the_paper(options, count):
    assert make(**options).parameter_count == count


def test_the_callosum_brings_maxima_of_pairs_to_the_last_units():
    x = torch.arange(1.0, 6.0)[:, None]
    assert crossed(x, x)[:, 0].tolist() == [1, 2, 3, 4 + 2, 5 + 4]
    assert crossed(torch.zeros(4, 1), torch.tensor([[1.0], [-2], [3], [7]]))[:, 0].tolist() == [
        0,
        0,
        1,
        7,
    ]


def by_hand(one, seen):
    """The bilateral network with callosum, written out."""
    weights = {name: value.numpy() for name, value in one.state_dict().items()}

    def layer(side, k, x):
        return np.tanh(
            x @ weights[f"{side}.layers.{k}.weight"].T + weights[f"{side}.layers.{k}.bias"]
        )

    left, right = (layer(side, 0, seen) for side in ("left", "right"))

    def pooled(y):
        return np.stack(
            [0 * y[:, 0]] * 3 + [np.maximum(y[:, 0], y[:, 1]), np.maximum(y[:, 2], y[:, 3])], 1
        )

    left, right = layer("left", 1, left + pooled(right)), layer("right", 1, right + pooled(left))
    z = weights["w1"] * left + weights["w2"] * right
    return 1 / (1 + np.exp(-(z @ weights["output.weight"].T + weights["output.bias"])))


def test_the_network_is_what_the_paper_writes():
    one = make(callosum=True, seed=4)
    with torch.no_grad():
        for weight in one.parameters():
            weight += 0.1 * torch.randn(
                weight.shape, generator=torch.Generator().manual_seed(len(weight))
            )
    torch.testing.assert_close(
        act(one)[0].numpy(), by_hand(one, observations().numpy()), rtol=1e-5, atol=1e-6
    )


def test_the_callosum_does_nothing_under_one_hidden_layer():
    assert torch.equal(act(make(layers=1, callosum=True))[0], act(make(layers=1))[0])
    assert not torch.equal(act(make(callosum=True))[0], act(make())[0])


def test_a_seed_gives_the_same_first_weights_with_and_without_callosum():
    one, other, third = (
        make(seed=5).state_dict(),
        make(seed=5, callosum=True).state_dict(),
        make(seed=6).state_dict(),
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["left.layers.0.weight"], third["left.layers.0.weight"])
    assert not torch.equal(one["left.layers.0.weight"], one["right.layers.0.weight"])
    bound = (6 / (16 + 5)) ** 0.5
    assert (
        one["left.layers.0.weight"].abs().max() <= bound and one["left.layers.0.bias"].eq(0).all()
    )
    assert one["w1"].item() == one["w2"].item() == 0.5


def test_a_silent_column_sends_nothing_and_a_blind_one_still_has_biases():
    one = make(seed=1)
    with torch.no_grad():
        one.right["layers"][0].bias += 0.7
        zero = make(seed=1)
        zero.load_state_dict(one.state_dict())
        zero.w2.zero_()
    assert torch.equal(act(controllers.lesion(one, "low:right"))[0], act(zero)[0])
    blind, state = act(controllers.lesion(one, "high:right"))
    assert (blind - act(zero)[0]).abs().max() > 1e-3 and state["right"].std(0).max() == 0
    both = controllers.lesion(one, "low:left", "low:right")
    assert act(both)[0].std(0).max() == 0


def test_a_cut_callosum_leaves_the_columns_alone():
    one = make(callosum=True, seed=2)
    plain = make(seed=2)
    assert torch.equal(act(controllers.lesion(one, "callosum"))[0], act(plain)[0])
    cut = controllers.lesion(one, "callosum", "high:left")
    assert torch.equal(act(cut)[0], act(controllers.lesion(plain, "high:left"))[0])
    assert "callosum" not in plain.parts() and make(columns=1).parts() == [
        "high:column",
        "low:column",
    ]


def test_activity_of_the_columns_is_a_signal():
    one = make()
    action, state = act(one)
    signals = one.signals(state)
    assert {name: tuple(value.shape) for name, value in signals.items()} == {
        "left": (7, 2, 5),
        "right": (7, 2, 5),
    }
    z = 0.5 * signals["left"][:, 1] + 0.5 * signals["right"][:, 1]
    torch.testing.assert_close(torch.sigmoid(one.output(z)), action)


def test_gated_columns_remember():
    dense, gated = make(), make(cell="gru")
    assert torch.equal(act(dense, steps=1)[0], act(dense, steps=3)[0])
    assert not torch.equal(act(gated, steps=1)[0], act(gated, steps=3)[0])
    assert dense.memoryless and not gated.memoryless
    assert torch.equal(dense(observations(), ())[0], act(dense)[0])


def test_actions_fill_the_action_space_and_an_unbounded_one_is_refused():
    wide = spaces.Box(np.array([-1, 2], np.float32), np.array([1, 6], np.float32))
    one = make(wide)
    with torch.no_grad():
        one.output.bias += torch.tensor([20.0, -20.0])
    torch.testing.assert_close(
        act(one)[0], torch.tensor([[1.0, 2.0]]).expand(7, 2), atol=1e-5, rtol=0
    )
    with pytest.raises(LanceletError, match="needs bounds"):
        make(spaces.Box(-np.inf, np.inf, (2,)))


@pytest.mark.parametrize(
    "options", [{}, {"callosum": True}, {"columns": 1}, {"cell": "gru"}, {"join": "action"}]
)
def test_a_population_is_its_members_one_by_one(options):
    one, members, per = make(**options), 6, 3
    genomes = torch.randn(members, one.parameter_count, generator=torch.Generator().manual_seed(1))
    population = Population(one, members * per, genomes)
    state, seen = (
        population.initial_state(),
        np.random.default_rng(0).standard_normal((18, 16)).astype(np.float32),
    )
    for _ in range(2):
        action, state = population(seen, state)
    for k in range(members):
        torch.nn.utils.vector_to_parameters(genomes[k], one.parameters())
        alone = act(one, torch.from_numpy(seen[k * per : (k + 1) * per]), 2)[0]
        np.testing.assert_allclose(
            action[k * per : (k + 1) * per], alone.numpy(), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("p", [1, 7])
def test_a_genome_acts_the_same_in_any_population(p):
    one = make(callosum=True)
    genomes = torch.randn(64, one.parameter_count, generator=torch.Generator().manual_seed(0))
    seen = np.random.default_rng(0).standard_normal((64, 16)).astype(np.float32)
    whole, part = Population(one, 64, genomes), Population(one, p, genomes[:p])
    want, got = whole(seen, whole.initial_state())[0], part(seen[:p], part.initial_state())[0]
    np.testing.assert_array_equal(got, want[:p])


def test_an_ensemble_is_the_mean_of_two_networks():
    left, right = make(columns=1, units=5, seed=1), make(columns=1, units=5, seed=2)
    pair = joined(left, right, join="action")
    torch.testing.assert_close(act(pair)[0], (act(left)[0] + act(right)[0]) / 2)
    assert pair.parameter_count == left.parameter_count + right.parameter_count


def test_columns_can_be_taken_apart_and_joined_again():
    whole = make(callosum=True, seed=3)
    halves = apart(whole)
    assert all(
        torch.equal(half.state_dict()["output.weight"], whole.output.weight) for half in halves
    )
    again = joined(*halves, callosum=True, seed=3)
    assert torch.equal(
        parameters_to_vector(again.parameters()), parameters_to_vector(whole.parameters())
    )


def test_halves_that_do_not_fit_are_not_joined_in_part():
    halves = make(columns=1, units=5, layers=2), make(columns=1, units=5, layers=2)
    for layers in (1, 3):
        with pytest.raises(LanceletError, match=r"the left half and .* 'left\.layers"):
            joined(*halves, layers=layers)


def test_it_comes_back_from_disk(tmp_path):
    one = make(callosum=True, seed=8, lesions=("low:left",))
    controllers.save(one, tmp_path / "a.safetensors")
    again = controllers.load(tmp_path / "a.safetensors")
    assert again.options == one.options and torch.equal(act(again)[0], act(one)[0])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"units": 9}, "units = 9: must divide by the 2 columns"),
        ({"units": 0}, "units = 0"),
        ({"layers": 1.5}, "layers = 1.5"),
        ({"columns": 3}, "columns"),
        ({"columns": 1, "callosum": True}, "needs columns = 2"),
        ({"cell": "lstm"}, "cell"),
        ({"lesions": ("high:middle",)}, "did you mean high:"),
    ],
)
def test_what_makes_no_network_is_refused(options, says):
    with pytest.raises(LanceletError, match=says):
        make(**options)
