"""The spiking network against its equations, neuron by neuron (docs/systems/blimp.md, "The neurons")."""

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from lancelet import LanceletError, controllers
from lancelet.controllers.spiking.snn import BOUNDS, DECAYS, SNN, SNNOptions

STRUCTURES, FORMS = ("lif", "r-lif", "iwta-lif", "r-iwta-lif"), ("shared", "literal")
ALL = list(itertools.product(STRUCTURES, FORMS))
COUNTS = {
    "literal": dict(zip(STRUCTURES, (401, 2001, 2041, 3641), strict=True)),
    "shared": dict(zip(STRUCTURES, (321, 1921, 341, 1941), strict=True)),
}


def error(size=1):
    return spaces.Box(-12, 12, (size,), np.float32)


def make(**options):
    return SNN(error(), error(), SNNOptions(**options))


def lively(**options):
    """A network that spikes all over: genes of its own, thresholds low, feed-forward weights mostly excitatory."""
    circuit, random = make(**options), torch.Generator().manual_seed(options.get("seed", 0))
    scales = {"encoder_threshold": (0.0, 0.1), "threshold": (0.0, 0.1), "hidden_weight": (0.4, 0.6),
              "decoder_decay": (0.1, 0.5)}  # fmt: skip
    with torch.no_grad():
        for name, gene in circuit.named_parameters():
            low, span = scales.get(name, (0.0, 1.0))
            gene.copy_(low + span * torch.rand(gene.shape, generator=random))
    return circuit


def errors(steps, seed=0, sets=1):
    return torch.randn(steps, sets, 1, generator=torch.Generator().manual_seed(seed)) * 2


def spoken(values, seen, trace):
    """Section 4.1 and 4.2 for one agent in plain Python numbers: outputs, and what each layer does at every step."""
    w = {name: value.double().tolist() for name, value in values.items()}
    n = len(w["synapse"])
    i1, v1, s1, i2, v2, s2, d = ([0.0] * n for _ in range(7))
    y, out, potentials, spikes = 0.0, [], [], []
    for e in seen:
        for j in range(n):
            i1[j] = (
                w["encoder_synapse"][j] * i1[j] + w["encoder_weight"][j] * e + w["encoder_bias"][j]
            )
            v1[j] = w["encoder_membrane"][j] * v1[j] + i1[j] - s1[j] * w["encoder_threshold"][j]
        s1 = [1.0 if v1[j] > w["encoder_threshold"][j] else 0.0 for j in range(n)]
        theta_before, before = [w["threshold"][j] + d[j] for j in range(n)], s2
        if "threshold_jump" in w:
            for j in range(n):
                if trace == "code":
                    d[j] = w["threshold_decay"][j] * d[j] + sum(
                        w["threshold_jump"][j][k] * before[k] for k in range(n)
                    )
                d[j] = w["threshold_decay"][j] * d[j] + sum(
                    w["threshold_jump"][j][k] * s1[k] for k in range(n)
                )
        s2 = [0.0] * n
        for j in range(n):
            block = w["hidden_weight"][j // 2][j % 2]
            drive = block[0] * s1[j // 2 * 2] + block[1] * s1[j // 2 * 2 + 1]
            if "recurrent" in w:
                drive += sum(w["recurrent"][j][k] * before[k] for k in range(n))
            i2[j] = w["synapse"][j] * i2[j] + drive
            v2[j] = w["membrane"][j] * v2[j] + i2[j] - before[j] * theta_before[j]
            s2[j] = 1.0 if v2[j] > w["threshold"][j] + d[j] else 0.0
        y = w["decoder_decay"] * y + (1 - w["decoder_decay"]) * sum(
            w["decoder_weight"][j] * s2[j] for j in range(n)
        )
        out.append(y)
        potentials.append(v1 + v2)
        spikes.append(s1 + s2)
    return np.array(out), np.array(potentials), np.array(spikes)


def ran(circuit, seen):
    """Outputs (steps, batch), and potentials and spikes (steps, batch, 2 N)."""
    state, out, potentials, spikes = circuit.initial_state(seen.shape[1]), [], [], []
    with torch.no_grad():
        for now in seen:
            action, state = circuit(now, state)
            out.append(action[:, 0])
            potentials.append(torch.cat([state["encoder_potential"], state["potential"]], -1))
            spikes.append(torch.cat([state["encoder"], state["hidden"]], -1))
    return torch.stack(out), torch.stack(potentials), torch.stack(spikes)


@pytest.mark.parametrize(("hidden", "form"), ALL)
def test_parameter_counts_of_the_paper(hidden, form):
    assert make(hidden=hidden, form=form).parameter_count == COUNTS[form][hidden]


@pytest.mark.parametrize(("hidden", "form", "trace"), [*itertools.product(STRUCTURES, FORMS, ("paper",)),
                         ("iwta-lif", "shared", "code"), ("r-iwta-lif", "literal", "code")])  # fmt: skip
def test_a_thousand_random_steps_follow_the_equations(hidden, form, trace):
    # double precision on both sides, so that no spike hangs on a rounding
    circuit, seen = (
        lively(hidden=hidden, form=form, trace=trace, neurons=8, seed=3).double(),
        errors(1000).double(),
    )
    out, potentials, spikes = (found[:, 0].numpy() for found in ran(circuit, seen))
    want, want_potentials, want_spikes = spoken(circuit.values(), seen[:, 0, 0].tolist(), trace)
    np.testing.assert_array_equal(spikes, want_spikes)
    np.testing.assert_allclose(potentials, want_potentials, atol=1e-6)
    np.testing.assert_allclose(out, want, atol=1e-6)
    assert (
        0.05 < spikes[:, :8].mean() < 0.95 and spikes[:, 8:].mean() > 0.01
    )  # it lives, else nothing was compared


@pytest.mark.parametrize("decays", ["drawn", "none"])
def test_both_layers_spike_as_those_of_snntorch(decays):
    snn = pytest.importorskip("snntorch")
    circuit, seen = lively(neurons=40, seed=1), errors(1000)
    if decays == "none":
        with torch.no_grad():
            for gene in (circuit.encoder_synapse, circuit.synapse):
                gene.zero_()
    w = {name: value.detach() for name, value in circuit.values().items()}
    first = snn.Synaptic(
        w["encoder_synapse"], w["encoder_membrane"], w["encoder_threshold"], reset_delay=True
    )
    second = snn.Synaptic(w["synapse"], w["membrane"], w["threshold"], reset_delay=True)
    (i1, v1), (i2, v2) = first.reset_mem(), second.reset_mem()
    spikes = []
    with torch.no_grad():
        for now in seen:
            s1, i1, v1 = first(w["encoder_weight"] * now + w["encoder_bias"], i1, v1)
            drive = torch.einsum(
                "kij,bkj->bki", w["hidden_weight"], s1.unflatten(-1, (-1, 2))
            ).flatten(1)
            s2, i2, v2 = second(drive, i2, v2)
            spikes.append(torch.cat([s1, s2], -1))
    ours = ran(circuit, seen)[2]
    assert torch.equal(ours, torch.stack(spikes))
    assert 0.05 < ours[..., :40].mean() < 0.95 and ours[..., 40:].mean() > 0.01


def test_shared_pairs_mirror_each_other():
    w = make(hidden="iwta-lif").values()
    for name in ("encoder_weight", "decoder_weight"):
        assert torch.equal(w[name][0::2], -w[name][1::2])
    for name in ("encoder_bias", "encoder_synapse", "encoder_membrane", "encoder_threshold", "threshold",
                 "threshold_decay"):  # fmt: skip
        assert torch.equal(w[name][0::2], w[name][1::2])
    jump = w["threshold_jump"]
    block = jump[2:4, 2:4]
    assert block[0, 0] == block[1, 1] == -block[0, 1] == -block[1, 0] != 0
    assert jump.count_nonzero() == 4 * 20


@pytest.mark.parametrize(("hidden", "form"), ALL)
def test_genes_of_0_and_1_are_the_bounds_and_decays_stay_within(hidden, form):
    circuit = make(hidden=hidden, form=form, decoder_decay=(0.1, 0.3))
    for gene, end in ((0.0, 0), (1.0, 1), (-1.0, 0), (2.0, 1)):
        values = circuit.values(
            {name: torch.full_like(p, gene) for name, p in circuit.named_parameters()}
        )
        for name, value in values.items():
            low, high = BOUNDS[name] if name != "decoder_decay" else (0.1, 0.3)
            if name == "encoder_synapse" and form == "literal":
                low = high = 0.0
            if name in DECAYS or gene in (0.0, 1.0):
                want = (low, high)[end]
                assert torch.allclose(value.abs().amax(), torch.tensor(max(abs(want), 0.0)))
            if name in DECAYS:
                assert value.min() >= low and value.max() <= high + 1e-7


def test_values_of_many_genomes_are_those_of_each():
    circuits = [make(hidden="r-iwta-lif", seed=seed) for seed in range(3)]
    stacked = {name: torch.stack([dict(c.named_parameters())[name].detach() for c in circuits])
               for name in dict(circuits[0].named_parameters())}  # fmt: skip
    many = circuits[0].values(stacked)
    for k, circuit in enumerate(circuits):
        for name, value in circuit.values().items():
            assert torch.equal(many[name][k], value), name


@pytest.mark.parametrize(("hidden", "form"), ALL)
def test_assign_gives_back_the_same_circuit(hidden, form):
    old, new = lively(hidden=hidden, form=form, seed=1), make(hidden=hidden, form=form, seed=2)
    new.assign({name: value.detach() for name, value in old.values().items()})
    for name, value in old.values().items():
        torch.testing.assert_close(new.values()[name], value, rtol=1e-6, atol=1e-6)


def test_assign_refuses_what_does_not_fit_and_changes_nothing():
    circuit, literal = make(hidden="iwta-lif"), make(hidden="iwta-lif", form="literal", seed=4)
    good = {name: value.detach() for name, value in circuit.values().items()}
    before = {name: gene.clone() for name, gene in circuit.state_dict().items()}
    steep = good["synapse"].clone()
    steep[3] = 1.2
    broken = good["encoder_bias"].clone()
    broken[2:4] = float("nan")
    for values, match in (
        (
            {name: value.detach() for name, value in literal.values().items()},
            "form='shared' cannot hold",
        ),
        (good | {"synapse": steep}, r"synapse = 1\.2: must be within \[0, 1\]"),
        (good | {"synapse": good["synapse"][:4]}, r"synapse is \(4,\)"),
        (good | {"recurrent": torch.zeros(40, 40)}, "recurrent"),
        (
            {name: value for name, value in good.items() if name != "membrane"},
            "membrane is missing",
        ),
        (good | {"encoder_bias": broken}, "encoder_bias"),
    ):
        with pytest.raises(LanceletError, match=match) as caught:
            circuit.assign(values)
        assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], gene) for name, gene in circuit.state_dict().items())


def test_lesions_silence_what_they_name():
    circuit, seen = lively(hidden="r-iwta-lif", neurons=8), errors(200)
    assert circuit.parts() == ["recurrent", "threshold", "pair:1", "pair:2", "pair:3", "pair:4"]
    assert make().parts()[0] == "pair:1"
    whole = ran(circuit, seen)[2][:, 0, 8:]
    cut = ran(controllers.lesion(circuit, "pair:2"), seen)[2][:, 0, 8:]
    assert whole[:, 2:4].any() and not cut[:, 2:4].any() and cut.any()
    w = controllers.lesion(circuit, "recurrent", "threshold").values()
    assert not w["recurrent"].any() and not w["threshold_jump"].any()


def test_the_surrogate_gradient_reaches_every_gene_and_changes_no_number():
    circuit, seen = lively(hidden="r-iwta-lif", neurons=8), errors(60, sets=3)
    out, state = circuit.unroll(seen, circuit.initial_state(3))
    assert set(state["hidden"].unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(out[..., 0].detach(), ran(circuit, seen)[0])
    out.square().mean().backward()
    for name, gene in circuit.named_parameters():
        assert gene.grad is not None and gene.grad.isfinite().all() and gene.grad.any(), name


def test_signals_count_spikes_and_operations():
    circuit, seen = lively(hidden="r-lif", neurons=8), errors(30, sets=2)
    state = circuit.initial_state(2)
    for now in seen:
        before = state["hidden"].sum(-1)
        _, state = circuit(now, state)
        found = circuit.signals(state)
        assert found["encoder"].shape == found["hidden"].shape == (2, 8)
        want = 2 * found["encoder"].sum(-1) + found["hidden"].sum(-1) + 8 * before
        assert torch.equal(found["operations"], want.detach())
    assert not any(
        value.requires_grad
        for value in circuit.signals(state).values()
        if value is found["operations"]
    )


def test_a_reset_puts_back_only_the_masked():
    circuit, seen = lively(hidden="iwta-lif", neurons=8), errors(20, sets=2)
    _, state = circuit.unroll(seen, circuit.initial_state(2))
    after = circuit.reset(state, torch.tensor([True, False]))
    assert list(after) == list(state) == list(circuit.initial_state(2))
    assert not any(value[0].any() for value in after.values())
    assert all(torch.equal(after[name][1], state[name][1]) for name in state)


def test_equal_seeds_give_equal_genes_and_recurrent_weights_begin_small():
    assert torch.equal(make(seed=7).synapse, make(seed=7).synapse)
    assert not torch.equal(make(seed=7).synapse, make(seed=8).synapse)
    weights = make(hidden="r-lif").values()["recurrent"].abs()
    assert 0.001 < weights.mean() < 0.01 and weights.max() <= 0.0101


@pytest.mark.parametrize(("options", "match"), [
    ({"neurons": 7}, "neurons = 7"), ({"neurons": 0}, "neurons = 0"), ({"neurons": 4.0}, "neurons = 4.0"),
    ({"decoder_decay": (0.5, 0.2)}, r"decoder_decay = \(0.5, 0.2\)"),
    ({"decoder_decay": (0.0, 1.2)}, r"decoder_decay = \(0.0, 1.2\)"),
    ({"decoder_decay": (0.5,)}, "decoder_decay"), ({"hidden": "alif"}, "unknown hidden 'alif'"),
    ({"form": "free"}, "unknown form"), ({"trace": "none"}, "unknown trace"),
])  # fmt: skip
def test_bad_options_are_refused_in_one_line(options, match):
    with pytest.raises(LanceletError, match=match) as caught:
        make(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("seen", "done"), [(4, 1), (1, 2)])
def test_other_sizes_than_one_error_and_one_command_are_refused(seen, done):
    with pytest.raises(LanceletError, match='track="snn"'):
        SNN(error(seen), error(done), SNNOptions())


def test_weights_of_another_structure_are_refused(tmp_path):
    controllers.save(make(hidden="r-lif"), tmp_path / "r.safetensors")
    again = controllers.load(tmp_path / "r.safetensors")
    assert again.options.hidden == "r-lif" and again.parameter_count == 1921
    with pytest.raises(RuntimeError):
        make().load_state_dict(again.state_dict())
