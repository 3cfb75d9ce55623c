"""Our cells with weights copied from the authors' library `ncps` give its numbers, in all forms.

In float32 each step begins from their state: over many steps a network may make rounding larger. In float64 both run
free.
"""

import numpy as np
import pytest
import torch

from lancelet.controllers.liquid.cfc_cells import CfCCell, MixedMemoryCell, WiredCfCCell
from lancelet.controllers.liquid.ltc_cell import LTCCell, raw
from lancelet.controllers.liquid.wiring import Layer, SynapseList, Wiring

ncps = pytest.importorskip("ncps.torch")
from ncps.torch.lstm import LSTMCell as TheirLSTMCell  # noqa: E402
from ncps.torch.ltc_cell import LTCCell as TheirLTCCell  # noqa: E402
from ncps.torch.wired_cfc_cell import WiredCfCCell as TheirWiredCfCCell  # noqa: E402
from ncps.wirings import AutoNCP, FullyConnected  # noqa: E402

INPUTS = 5
UNITS = 19
MOTORS = 3
BATCH = 6
STEPS = 25
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-9}
FORMS = {"gate": "default", "no-gate": "no_gate", "pure": "pure"}
ACTIVATIONS = {"lecun-tanh": "lecun_tanh", "tanh": "tanh", "relu": "relu", "silu": "silu"}


def sequence():
    """Inputs (steps, batch, k) and elapsed times (steps, batch, 1)."""
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(STEPS, BATCH, INPUTS, generator=random)
    elapsed = 2 * torch.rand(STEPS, BATCH, 1, generator=random) + 0.1
    return inputs, elapsed


def checked(ours, theirs):
    """The state that our next step begins from, once both are found equal."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCES[theirs.dtype])
    return theirs if theirs.dtype == torch.float32 else ours


def stirred(module, least=-0.1):
    """A module of theirs with weights that are nowhere 0; `least` of what is added keeps positive ones positive."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.requires_grad:
                weight += least + 0.2 * torch.rand(weight.shape, generator=random)
    return module


def heads_of(theirs):
    """Their heads in our order: weights and biases."""
    if theirs.mode == "pure":
        return [theirs.ff1]
    return [theirs.ff1, theirs.ff2, theirs.time_a, theirs.time_b]


def copy_closed_form(ours, theirs):
    if theirs.mode == "pure":
        ours.decay.copy_(theirs.w_tau[0])
        ours.equilibrium.copy_(theirs.A[0])


@torch.no_grad()
def dense(theirs, form, layers=1, activation="lecun-tanh"):
    """Our dense cell with their weights."""
    units = theirs.hidden_size
    backbone = [layer for layer in theirs.backbone if isinstance(layer, torch.nn.Linear)]
    ours = CfCCell(INPUTS, units, form, backbone[0].out_features, layers, activation)
    ours.input.weight.copy_(backbone[0].weight[:, :INPUTS])
    ours.recurrent.weight.copy_(backbone[0].weight[:, INPUTS:])
    ours.input.bias.copy_(backbone[0].bias)
    for layer, their_layer in zip(ours.further, backbone[1:], strict=True):
        layer.load_state_dict(their_layer.state_dict())
    ours.heads.weight.copy_(torch.cat([head.weight for head in heads_of(theirs)]))
    ours.heads.bias.copy_(torch.cat([head.bias for head in heads_of(theirs)]))
    copy_closed_form(ours.closed_form, theirs)
    return ours


@pytest.fixture(autouse=True, params=TOLERANCES, ids=str)
def precision(request):
    torch.manual_seed(1)
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_closed_form(form, activation, layers):
    theirs = ncps.CfCCell(INPUTS, UNITS, FORMS[form], ACTIVATIONS[activation], 24, layers)
    stirred(theirs)
    ours = dense(theirs, form, layers, activation)
    state = other = torch.zeros(BATCH, UNITS)
    for inputs, elapsed in zip(*sequence(), strict=True):
        state = ours(inputs, state, elapsed).state
        _, other = theirs(inputs, other, elapsed)
        state = checked(state, other)


def ncp():
    """Their wiring, and ours with the same synapses; ours has the layers in order, theirs has the motors first."""
    theirs = AutoNCP(UNITS, MOTORS, sparsity_level=0.5, seed=7)
    theirs.build(INPUTS)
    order = [neuron for layer in range(3) for neuron in theirs.get_neurons_of_layer(layer)]
    ours = Wiring(
        input_count=INPUTS,
        layers=tuple(
            Layer(name, len(theirs.get_neurons_of_layer(number)))
            for number, name in enumerate(("inter", "command", "motor"))
        ),
        sensory=listed(theirs.sensory_adjacency_matrix[:, order]),
        internal=listed(theirs.adjacency_matrix[order][:, order]),
    )
    return theirs, ours, order


def full():
    theirs = FullyConnected(UNITS)
    theirs.build(INPUTS)
    ours = Wiring(
        input_count=INPUTS,
        layers=(Layer("unit", UNITS),),
        sensory=listed(theirs.sensory_adjacency_matrix),
        internal=listed(theirs.adjacency_matrix),
    )
    return theirs, ours, list(range(UNITS))


def listed(adjacency):
    """A matrix (sources, targets) of polarities as a list of synapses."""
    target, source = np.nonzero(adjacency.T)
    return SynapseList(source, target, adjacency[source, target].astype(np.int64))


def of_synapses(matrix, synapses):
    """Their numbers (sources, targets) of the synapses in our list."""
    return matrix[torch.as_tensor(synapses.source), torch.as_tensor(synapses.target)]


@torch.no_grad()
def liquid(theirs, wiring, order):
    """Our LTC cell with their weights, which are positive there and of any sign before the softplus here."""
    ours = LTCCell(wiring, unfoldings=6)
    ours.input_weight.copy_(theirs.input_w)
    ours.input_bias.copy_(theirs.input_b)
    ours.raw_leak.copy_(raw(theirs.gleak)[order])
    ours.leak_potential.copy_(theirs.vleak[order])
    ours.raw_capacitance.copy_(raw(theirs.cm)[order])
    for synapses, prefix in ((ours.sensory, "sensory_"), (ours.internal, "")):
        matrices = {}
        for name in ("w", "sigma", "mu", "erev"):
            matrix = getattr(theirs, prefix + name)[:, order]
            matrices[name] = matrix if prefix else matrix[order]
        synapses.raw_weight.copy_(raw(of_synapses(matrices["w"], synapses.synapses)))
        synapses.slope.copy_(of_synapses(matrices["sigma"], synapses.synapses))
        synapses.centre.copy_(of_synapses(matrices["mu"], synapses.synapses))
        synapses.reversal.copy_(of_synapses(matrices["erev"], synapses.synapses))
    return ours


@pytest.mark.parametrize("wired", [full, ncp])
def test_time_constants(wired):
    their_wiring, wiring, order = wired()
    theirs = stirred(TheirLTCCell(their_wiring), least=0)
    ours = liquid(theirs, wiring, order)
    state = torch.zeros(BATCH, UNITS)
    other = torch.zeros(BATCH, UNITS)
    for inputs, elapsed in zip(*sequence(), strict=True):
        state = ours(inputs, state, elapsed).state
        _, other = theirs(inputs, other, elapsed)
        state = checked(state, other[:, order])
    assert state.abs().max() > 0.3


@torch.no_grad()
def wired_closed_form(theirs, wiring, form):
    """Our wired cell with their weights; their time heads are dense, so what no synapse carries is set to 0 first."""
    ours = WiredCfCCell(wiring, form)
    for layer, their_layer in zip(ours.layers, theirs._layers, strict=True):
        mask = their_layer.sparsity_mask
        for head in heads_of(their_layer):
            head.weight *= mask
        weights = [of_synapses(head.weight.T, layer.synapses) for head in heads_of(their_layer)]
        layer.weight.copy_(torch.stack(weights))
        layer.bias.copy_(torch.stack([head.bias for head in heads_of(their_layer)]))
        copy_closed_form(layer.closed_form, their_layer)
    return ours


@pytest.mark.parametrize("form", FORMS)
def test_wired_closed_form(form):
    their_wiring, wiring, _ = ncp()
    theirs = stirred(TheirWiredCfCCell(None, their_wiring, FORMS[form]))
    ours = wired_closed_form(theirs, wiring, form)
    state = other = torch.zeros(BATCH, UNITS)
    for inputs, elapsed in zip(*sequence(), strict=True):
        state = ours(inputs, state, elapsed).state
        _, other = theirs(inputs, other, elapsed)
        state = checked(state, other)


@torch.no_grad()
def mixed(cell, their_memory):
    """Our cell behind a memory with their weights: other blocks in another order, and an offset of the forget gate."""
    ours = MixedMemoryCell(cell, INPUTS, UNITS)
    candidate, input_gate, forget_gate, output_gate = torch.arange(4 * UNITS).split(UNITS)
    rows = torch.cat([input_gate, forget_gate, candidate, output_gate])
    ours.memory_input.weight.copy_(their_memory.input_map.weight[rows])
    ours.memory_input.bias.copy_(their_memory.input_map.bias[rows])
    ours.memory_input.bias[UNITS : 2 * UNITS] += 1.0
    ours.memory_recurrent.weight.copy_(their_memory.recurrent_map.weight[rows])
    return ours


@pytest.mark.parametrize("is_wired", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_mixed_memory(form, is_wired):
    their_memory = TheirLSTMCell(INPUTS, UNITS)
    if is_wired:
        their_wiring, wiring, _ = ncp()
        theirs = stirred(TheirWiredCfCCell(None, their_wiring, FORMS[form]))
        cell = wired_closed_form(theirs, wiring, form)
    else:
        theirs = stirred(ncps.CfCCell(INPUTS, UNITS, FORMS[form], backbone_units=24))
        cell = dense(theirs, form)
    ours = mixed(cell, their_memory)
    state = (torch.zeros(BATCH, UNITS), torch.zeros(BATCH, UNITS))
    activity, memory = state
    for inputs, elapsed in zip(*sequence(), strict=True):
        state = ours(inputs, state, elapsed).state
        activity, memory = their_memory(inputs, (activity, memory))
        _, activity = theirs(inputs, activity, elapsed)
        state = (checked(state[0], activity), checked(state[1], memory))


def test_parameters_of_an_ncp_are_those_of_its_synapses():
    their_wiring, wiring, _ = ncp()
    theirs = TheirLTCCell(their_wiring)
    dense_count = sum(weight.numel() for weight in theirs.parameters() if weight.requires_grad)
    ours = sum(weight.numel() for weight in LTCCell(wiring).parameters())
    synapses = wiring.sensory.size + wiring.internal.size
    assert ours == 4 * synapses + 3 * UNITS + 2 * INPUTS
    assert ours < dense_count / 2
