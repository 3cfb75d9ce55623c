"""Neural circuit policies have the authors' sizes; every neuron is reached; wirings that cannot be are refused."""

import numpy as np
import pytest

from lancelet import LanceletError
from lancelet.controllers.liquid import wiring
from lancelet.controllers.liquid.wiring import Layer, SynapseList, Wiring

NOTHING = SynapseList(*(np.zeros(0, np.int64) for _ in range(3)))


def synapses(*pairs):
    sources = np.array([source for source, _ in pairs], np.int64)
    targets = np.array([target for _, target in pairs], np.int64)
    return SynapseList(sources, targets, np.ones(len(pairs), np.int64))


def test_sizes_are_those_of_the_authors_rule():
    counts = wiring.policy_counts(neurons=19, motors=1, sparsity=0.5)
    assert counts._asdict() == {
        "inter": 11,
        "command": 7,
        "motor": 1,
        "sensory_fan_out": 5,
        "inter_fan_out": 3,
        "recurrent": 7,
        "motor_fan_in": 3,
    }


@pytest.mark.parametrize(("neurons", "motors", "sparsity"), [(32, 4, 0.5), (20, 2, 0.9)])
def test_sizes_and_fans_are_those_of_ncps(neurons, motors, sparsity):
    wirings = pytest.importorskip("ncps.wirings")
    theirs = wirings.AutoNCP(neurons, motors, sparsity_level=sparsity)
    counts = wiring.policy_counts(neurons, motors, sparsity)
    sizes = [len(theirs.get_neurons_of_layer(layer)) for layer in range(3)]
    assert sizes == [counts.inter, counts.command, counts.motor]
    assert theirs._sensory_fanout == counts.sensory_fan_out
    assert theirs._inter_fanout == counts.inter_fan_out
    assert theirs._recurrent_command_synapses == counts.recurrent
    assert theirs._motor_fanin == counts.motor_fan_in


def count(circuit, sources, targets):
    """Number of internal synapses from one layer to another."""
    places = circuit.slices()
    from_source = np.isin(circuit.internal.source, np.arange(64)[places[sources]])
    to_target = np.isin(circuit.internal.target, np.arange(64)[places[targets]])
    return int((from_source & to_target).sum())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("inputs", "neurons", "motors", "sparsity"),
    [(32, 19, 1, 0.5), (17, 32, 4, 0.5), (3, 40, 6, 0.9), (1, 8, 2, 0.2), (5, 3, 1, 0.99)],
)
def test_every_neuron_is_reached_and_polarities_are_balanced(
    inputs, neurons, motors, sparsity, seed
):
    counts = wiring.policy_counts(neurons, motors, sparsity)
    circuit = wiring.policy(inputs, counts, seed)
    assert circuit.reached().all()
    assert circuit.neuron_count == neurons and circuit.output_count == motors
    assert abs(circuit.sensory.polarity.sum()) <= 1
    # Three projections between neurons, each balanced but for one synapse.
    assert abs(circuit.internal.polarity.sum()) <= 3
    assert count(circuit, "command", "command") == counts.recurrent
    assert count(circuit, "inter", "command") >= counts.inter * counts.inter_fan_out
    assert count(circuit, "command", "motor") >= motors * counts.motor_fan_in
    assert count(circuit, "inter", "motor") == count(circuit, "motor", "command") == 0
    assert len(np.unique(circuit.sensory.source)) == inputs
    # Every neuron but the motor neurons is heard.
    assert set(range(neurons - motors)) <= set(circuit.internal.source.tolist())


def test_the_seed_decides_the_wiring():
    counts = wiring.policy_counts(32, 4, 0.5)
    one, two, other = (wiring.policy(17, counts, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.internal.source, two.internal.source)
    assert np.array_equal(one.sensory.polarity, two.sensory.polarity)
    assert not np.array_equal(one.internal.source[:20], other.internal.source[:20])
    # What a seed means must never change: saved weights belong to these synapses.
    assert one.sensory.source[:12].tolist() == [1, 5, 11, 16, 1, 3, 9, 10, 13, 14, 15, 0]


def test_full_wiring_has_every_pair_once():
    circuit = wiring.full(3, 5)
    assert circuit.sensory.size == 15 and circuit.internal.size == 25
    assert abs(circuit.internal.polarity.sum()) == 1
    assert circuit.is_within_layer().all()


@pytest.mark.parametrize("sparsity", [0, 1, 0.0, 1.0, -0.5, 2, float("nan"), "half"])
def test_a_sparsity_at_or_beyond_its_ends_is_refused(sparsity):
    with pytest.raises(LanceletError, match=r"wiring sparsity = .*above 0 and below 1"):
        wiring.policy_counts(32, 4, sparsity)


def test_too_few_neurons_are_refused():
    with pytest.raises(
        LanceletError, match=r"5 neurons are too few for 4 motor neurons.*6 or more"
    ):
        wiring.policy_counts(5, 4, 0.5)
    assert wiring.policy_counts(6, 4, 0.5).inter == 1


def test_fans_larger_than_their_layer_are_refused():
    counts = wiring.policy_counts(32, 4, 0.5)
    with pytest.raises(LanceletError, match="fan-in of a motor neuron = 12"):
        wiring.policy(17, counts._replace(motor_fan_in=12))


LAYERS = (Layer("inter", 2), Layer("motor", 1))


def test_an_unreachable_motor_neuron_is_refused():
    Wiring(
        input_count=1, layers=LAYERS, sensory=synapses((0, 0), (0, 1)), internal=synapses((0, 2))
    )
    with pytest.raises(LanceletError, match=r"no input reaches motor:1 \(1 of 3 neurons"):
        Wiring(
            input_count=1,
            layers=LAYERS,
            sensory=synapses((0, 0), (0, 1)),
            internal=synapses((2, 2), (2, 0)),
        )


@pytest.mark.parametrize(
    ("sensory", "internal", "message"),
    [
        (synapses((1, 0)), NOTHING, "sensory synapse has a source outside 0 to 0"),
        (synapses((0, 3)), NOTHING, "sensory synapse has a target outside 0 to 2"),
        (synapses((0, 0)), synapses((-1, 0)), "internal synapse has a source outside 0 to 2"),
        (synapses((0, 0)), synapses((0, 2), (0, 2)), "internal synapse stands twice"),
    ],
)
def test_synapses_that_cannot_be_are_refused(sensory, internal, message):
    with pytest.raises(LanceletError, match=message):
        Wiring(input_count=1, layers=LAYERS, sensory=sensory, internal=internal)


def test_a_wiring_that_would_fill_the_memory_is_refused_at_once():
    with pytest.raises(LanceletError, match="at most 1,000,000"):
        wiring.full(10, 1_000_000)
