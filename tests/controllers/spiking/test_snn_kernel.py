"""The compiled population against the torch network, spike for spike; the cost of imitation."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from test_snn import ALL, errors, lively, make, spoken

from lancelet.controllers import Population, lesion
from lancelet.controllers.spiking.kernel import costs, run

CASES = [(hidden, form, trace) for (hidden, form), trace in itertools.product(ALL, ("paper", "code"))
         if trace == "paper" or "iwta" in hidden]  # fmt: skip


def genomes(circuit, count, seed=0):
    """Genes around those of `circuit`, some beyond their range."""
    center = torch.nn.utils.parameters_to_vector(circuit.parameters()).detach()
    rows = center + 0.2 * torch.randn(
        count, len(center), generator=torch.Generator().manual_seed(seed)
    )
    rows[:, -1] = rows[:, -1].clamp(0.1, 0.6)  # a decoder that decays by 1 would show nothing
    return rows


def by_torch(circuit, rows, seen):
    """Outputs (P, T) and spikes (P, T, 2 layers) of the batched torch network on errors (T,)."""
    population = Population(circuit, len(rows), rows)
    state, out, spikes = population.initial_state(), [], []
    for now in seen:
        action, state = population(now.expand(len(rows), 1), state)
        out.append(action[:, 0])
        spikes.append(torch.stack([state["encoder"].sum(-1), state["hidden"].sum(-1)], -1))
    return np.stack(out, 1), torch.stack(spikes, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "form", "trace"), CASES)
def test_a_thousand_steps_spike_for_spike(hidden, form, trace):
    circuit, seen = lively(hidden=hidden, form=form, trace=trace, neurons=40), errors(1000)[:, 0, 0]
    rows = genomes(circuit, 6)
    want, spikes = by_torch(circuit, rows, seen)
    out, counts = run(circuit, rows, seen)
    assert out.dtype == torch.float32 and counts.dtype == torch.int64
    running = spikes.cumsum(1).long()
    assert torch.equal(counts, running[:, -1])
    for steps in range(1, 1000, 37):
        assert torch.equal(run(circuit, rows, seen[:steps], threads=1)[1], running[:, steps - 1]), (
            steps
        )
    # the output weighs every hidden neuron's spikes by a weight of its own
    np.testing.assert_allclose(out.numpy(), want, rtol=0, atol=1e-5)
    assert counts[:, 1].min() > 50 and np.ptp(want, axis=1).min() > 0.01


@pytest.mark.parametrize(("hidden", "form"), ALL)
def test_it_follows_the_equations_of_the_specification(hidden, form):
    circuit, seen = (
        lively(hidden=hidden, form=form, neurons=8, seed=2),
        errors(1000, seed=1)[:, 0, 0],
    )
    row = torch.nn.utils.parameters_to_vector(circuit.parameters()).detach()[None]
    out, counts = run(circuit, row, seen)
    want, _, spikes = spoken(circuit.values(), seen.tolist(), "paper")
    np.testing.assert_allclose(out[0].numpy(), want, rtol=1e-6, atol=1e-6)  # float32 beside float64
    assert counts[0].tolist() == [spikes[:, :8].sum(), spikes[:, 8:].sum()]


def test_sets_threads_and_company_change_no_bit():
    circuit, seen = lively(hidden="r-iwta-lif"), errors(300, sets=3)[:, :, 0].T
    rows = genomes(circuit, 5)
    out, counts = run(circuit, rows, seen, threads=1)
    assert out.shape == (5, 3, 300) and counts.shape == (5, 3, 2)
    for threads in (2, 3, 64):
        again = run(circuit, rows, seen, threads=threads)
        assert torch.equal(out, again[0]) and torch.equal(counts, again[1])
    for who, which in ((0, 0), (4, 2), (2, 1)):
        alone = run(circuit, rows[who : who + 1], seen[which])
        assert alone[0].shape == (1, 300) and torch.equal(alone[0][0], out[who, which])
        assert torch.equal(alone[1][0], counts[who, which])


@pytest.mark.parametrize("parts", [("recurrent",), ("threshold",), ("pair:1", "pair:7")])
def test_lesions_hold_in_the_kernel_too(parts):
    circuit, seen = lively(hidden="r-iwta-lif"), errors(200)[:, 0, 0]
    rows = genomes(circuit, 3)
    hurt = lesion(circuit, *parts)
    out = run(hurt, rows, seen)[0].numpy()
    np.testing.assert_allclose(out, by_torch(hurt, rows, seen)[0], rtol=0, atol=1e-5)
    assert not np.array_equal(out, run(circuit, rows, seen)[0].numpy())


def test_costs_are_mae_and_pearson():
    random = np.random.default_rng(0)
    outputs, targets = (
        random.normal(size=(4, 2, 50)).astype(np.float32),
        random.normal(size=(2, 50)),
    )
    found = costs(outputs, targets)
    for p, s in itertools.product(range(4), range(2)):
        mae = np.abs(outputs[p, s] - targets[s]).mean()
        rho = stats.pearsonr(outputs[p, s].astype(float), targets[s])[0]
        assert found["mae"][p, s] == pytest.approx(mae, abs=1e-12)
        assert found["correlation"][p, s] == pytest.approx(rho, abs=1e-12)
        assert found["loss"][p, s] == pytest.approx(mae + 1 - rho, abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, -7.7e5, 1e-30])
def test_a_constant_has_correlation_0(constant):
    flat, wavy = torch.full((1, 37), constant), torch.randn(37)
    for found in (costs(flat, wavy), costs(wavy[None], flat[0])):
        assert found["correlation"].tolist() == [0.0] and found["loss"].isfinite().all()
        assert torch.equal(found["loss"], found["mae"] + 1)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf"), 3e38, 1e-45])
def test_no_cost_is_ever_nan(broken):
    outputs = torch.randn(2, 20)
    outputs[1, 3:5] = broken
    found = costs(outputs, torch.randn(20))
    assert all(value.isfinite().all() for value in found.values())
    outputs[1] = broken
    assert all(value.isfinite().all() for value in costs(outputs, torch.randn(20)).values())


def test_the_gradient_of_a_cost_is_finite_even_for_a_silent_network():
    for outputs in (torch.zeros(1, 20), torch.randn(1, 20)):
        outputs.requires_grad_()
        costs(outputs, torch.randn(20))["loss"].sum().backward()
        assert outputs.grad.isfinite().all()


def test_a_silent_network_is_no_exception():
    circuit = make()
    out, counts = run(circuit, torch.full((2, circuit.parameter_count), 0.5), torch.zeros(50))
    assert not out.any() and not counts.any()
