"""The cells solve their equations: errors, bounds, limits of the gate, elapsed time."""

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from lancelet.controllers.liquid import wiring
from lancelet.controllers.liquid.cfc_cells import CfCCell, MixedMemoryCell, WiredCfCCell
from lancelet.controllers.liquid.closed_form import ClosedForm
from lancelet.controllers.liquid.ltc_cell import LTCCell, raw

INPUTS = 4
UNITS = 8
BATCH = 64
SUBSTEPS = 4000


def ltc(seed=0, unfoldings=6):
    """Random neurons whose time constants are 1 to 5 periods, and whose synapses together are open to 1 at most."""
    torch.manual_seed(seed)
    cell = LTCCell(wiring.full(INPUTS, UNITS, seed), unfoldings).double()
    with torch.no_grad():
        cell.raw_capacitance.copy_(raw(torch.ones(UNITS)))
        cell.raw_leak.copy_(raw(1 / (1 + 4 * torch.rand(UNITS))))
        for synapses in (cell.sensory, cell.internal):
            weight = 2 * torch.rand(synapses.synapses.size) / (INPUTS + UNITS)
            synapses.raw_weight.copy_(raw(weight))
    return cell


def slope(cell, inputs, state):
    """Derivative of the activity by the time in periods: the equation itself, synapse by synapse in a matrix."""
    current = softplus(cell.raw_leak) * (cell.leak_potential - state)
    for synapses, activity in ((cell.sensory, cell.felt(inputs)), (cell.internal, state)):
        source = torch.as_tensor(synapses.synapses.source)
        target = torch.as_tensor(synapses.synapses.target)
        opening = torch.sigmoid(synapses.slope * (activity[:, source] - synapses.centre))
        conductance = softplus(synapses.raw_weight) * opening
        pull = conductance * (synapses.reversal - state[:, target])
        current = current.index_add(1, target, pull)
    return current / cell.capacitance()


@torch.no_grad()
def solver_errors(unfoldings):
    """Relative errors of one control step beside an explicit solution of small substeps."""
    errors = []
    for seed in range(6):
        cell = ltc(seed, unfoldings)
        inputs = torch.randn(BATCH, INPUTS).double()
        start = torch.rand(BATCH, UNITS).double() * 2 - 1
        exact = start
        for _ in range(SUBSTEPS):
            exact = exact + slope(cell, inputs, exact) / SUBSTEPS
        solved = cell(inputs, start, torch.ones(BATCH, 1).double()).hidden
        errors.append(((solved - exact).abs() / exact.abs()).flatten())
    return float(torch.cat(errors).median())


@pytest.mark.slow
def test_the_solver_errs_as_one_over_its_steps():
    errors = {unfoldings: solver_errors(unfoldings) for unfoldings in (1, 6, 24)}
    assert errors[6] < 0.07
    assert errors[24] < 0.02
    assert 2.5 < errors[6] / errors[24] < 6


@torch.no_grad()
def test_the_activity_stays_within_the_potentials_whatever_the_input():
    for seed in range(5):
        torch.manual_seed(seed)
        cell = LTCCell(wiring.full(INPUTS, UNITS, seed))
        # As a trainer may leave them: of any sign and size.
        for weight in cell.parameters():
            weight.add_(torch.randn_like(weight) * 3)
        potentials = torch.cat(
            [cell.leak_potential, cell.sensory.reversal, cell.internal.reversal, torch.zeros(1)]
        )
        state = torch.zeros(BATCH, UNITS)
        for _ in range(30):
            inputs = torch.randn(BATCH, INPUTS) * 1e6
            state = cell(inputs, state, 100 * torch.rand(BATCH, 1)).hidden
            assert (state >= potentials.min() - 1e-5).all()
            assert (state <= potentials.max() + 1e-5).all()


@torch.no_grad()
def test_time_constants_stay_within_their_bounds():
    cell = ltc()
    step = cell(
        torch.randn(BATCH, INPUTS).double() * 1e3,
        torch.rand(BATCH, UNITS).double(),
        torch.ones(BATCH, 1).double(),
    )
    conductance_when_open = 2 * cell.half_open()
    now = cell.time_constant(step.gate)
    assert (now <= cell.time_constant(torch.zeros(UNITS))).all()
    assert (now >= cell.time_constant(conductance_when_open)).all()


@pytest.mark.parametrize("far", [-100.0, 100.0])
def test_a_trainer_cannot_make_a_conductance_negative(far):
    cell = LTCCell(wiring.full(INPUTS, UNITS))
    with torch.no_grad():
        for weight in (cell.sensory.raw_weight, cell.internal.raw_weight, cell.raw_leak):
            weight.fill_(far)
        cell.raw_capacitance.fill_(-200)
    for elapsed in (0.0, 1.0):
        state = torch.full((BATCH, UNITS), 0.5)
        hidden = cell(torch.randn(BATCH, INPUTS), state, torch.full((BATCH, 1), elapsed)).hidden
        assert torch.isfinite(hidden).all() and hidden.abs().max() <= 1.001


def test_the_gate_chooses_a_candidate():
    form = ClosedForm("gate", UNITS)
    first, second, slope_of_gate = torch.randn(3, BATCH, UNITS).unbind()
    offset = torch.zeros(BATCH, UNITS)
    for sign, candidate in ((1e3, second), (-1e3, first)):
        heads = torch.cat([first, second, slope_of_gate.abs() * sign + sign, offset], dim=1)
        hidden = form(heads, torch.ones(BATCH, 1)).hidden
        torch.testing.assert_close(hidden, torch.tanh(candidate), rtol=0, atol=1e-6)
    heads = torch.cat([first, second, slope_of_gate, offset], dim=1)
    one, two = (form(heads, torch.full((BATCH, 1), elapsed)).hidden for elapsed in (1.0, 2.0))
    assert (one - two).abs().max() > 0.01


def test_the_closed_form_is_within_its_bound_of_the_symmetric_equation():
    """Zero violations in 20,000 random cases: dx/dt = (w + f) (A - x) from 0, input constant."""
    random = np.random.default_rng(0)
    cases = 20_000
    decay, drive, elapsed = random.uniform(0, [[3], [1], [4]], (3, cases))
    equilibrium = random.normal(size=cases)
    form = ClosedForm("pure", cases).double()
    with torch.no_grad():
        form.decay.copy_(torch.as_tensor(decay))
        form.equilibrium.copy_(torch.as_tensor(equilibrium))
        # Cases stand beside one another as neurons, so that the elapsed time is a factor of both rates.
        form.decay.mul_(torch.as_tensor(elapsed))
        heads = torch.as_tensor(drive)[None]
        hidden = form(heads, torch.ones(1, 1).double()).hidden[0].numpy()
    rate = decay * elapsed + drive
    exact = equilibrium * (1 - np.exp(-rate))
    bound = np.abs(equilibrium) * np.exp(-decay * elapsed)
    assert (np.abs(hidden - exact) <= bound).all()


CELLS = {
    "cfc": lambda: CfCCell(INPUTS, UNITS),
    "no-gate": lambda: CfCCell(INPUTS, UNITS, form="no-gate"),
    "pure": lambda: CfCCell(INPUTS, UNITS, form="pure"),
    "wired": lambda: WiredCfCCell(wiring.policy(INPUTS, wiring.policy_counts(UNITS, 2, 0.5))),
    "mixed": lambda: MixedMemoryCell(CfCCell(INPUTS, UNITS), INPUTS, UNITS),
    "ltc": lambda: LTCCell(wiring.full(INPUTS, UNITS)),
}


@pytest.mark.parametrize("kind", CELLS)
def test_elapsed_time_is_one_number_a_row(kind):
    """Also where the batch is as large as the number of units, where a wrong axis would go unseen."""
    torch.manual_seed(0)
    cell = CELLS[kind]()
    inputs = torch.randn(UNITS, INPUTS)
    elapsed = torch.rand(UNITS, 1) * 3
    start = torch.randn(UNITS, UNITS) * 0.3
    state = (start, start.clone()) if kind == "mixed" else start
    together = cell(inputs, state, elapsed).hidden
    for row in range(UNITS):
        place = slice(row, row + 1)
        own_state = (start[place], start[place]) if kind == "mixed" else start[place]
        alone = cell(inputs[place], own_state, elapsed[place]).hidden
        torch.testing.assert_close(alone, together[place], rtol=0, atol=1e-6)
    later = cell(inputs, state, elapsed + 1).hidden
    assert (later - together).abs().max() > 1e-4


@pytest.mark.parametrize(("units", "backbone", "parameters"), [(32, 64, 11_520), (64, 256, 86_784)])
def test_parameters_are_those_of_the_table(units, backbone, parameters):
    cell = CfCCell(17, units, backbone_units=backbone)
    assert sum(weight.numel() for weight in cell.parameters()) == parameters


def test_first_weights_of_the_ltc_are_in_the_authors_ranges():
    cell = LTCCell(wiring.full(17, 32))
    conductance = cell.internal.weight()
    assert conductance.min() >= 0.0009 and conductance.max() <= 1.001
    assert cell.capacitance().min() >= 0.399 and cell.capacitance().max() <= 0.601
    assert set(cell.internal.reversal.tolist()) == {-1.0, 1.0}
