"""NIR files: what goes out comes back, what they say is our dynamics, and what does not map is named."""

import warnings
from dataclasses import replace

import h5py
import nir as library
import numpy as np
import pytest
import torch
from test_snn import errors, lively, make, ran

from lancelet import LanceletError, controllers
from lancelet.controllers.spiking import nir

CASES = [(hidden, form) for hidden in ("lif", "r-lif") for form in ("shared", "literal")]


def euler(graph, seen, dt):
    """The graph run by the equations of NIR's documentation, one forward Euler step a sample, but for the reset."""
    node = graph.nodes
    size = len(node["encoder"].v_threshold)
    state = {name: [np.zeros(size) for _ in range(3)] for name in ("encoder", "hidden")}
    y, out = np.zeros(1), []

    def layer(name, drive):
        neurons, (current, potential, spikes) = node[name], state[name]
        current = current + dt / neurons.tau_syn * (-current + neurons.w_in * drive)
        potential = potential + dt / neurons.tau_mem * (
            neurons.v_leak - potential + neurons.r * current
        )
        potential = potential - spikes * neurons.v_threshold
        state[name] = [current, potential, (potential > neurons.v_threshold).astype(float)]
        return state[name][2]

    for e in seen:
        spikes = layer("encoder", node["encoder_input"].weight @ [e] + node["encoder_input"].bias)
        drive = node["hidden_input"].weight @ spikes
        if "recurrent" in node:
            drive = drive + node["recurrent"].weight @ state["hidden"][2]
        spikes = layer("hidden", drive)
        decoder = node["decoder"]
        y = y + dt / decoder.tau * (
            decoder.v_leak - y + decoder.r * (node["decoder_input"].weight @ spikes)
        )
        out.append(y[0])
    return np.array(out)


@pytest.mark.parametrize(("hidden", "form"), CASES)
def test_a_round_trip_keeps_every_parameter_and_every_spike(hidden, form):
    report = nir.round_trip(lively(hidden=hidden, form=form))
    assert max(report.parameters.values()) < 1e-6 and report.outputs < 1e-4
    assert report.spikes == 0 and report.decays_of_1 == 0
    assert ("recurrent" in report.parameters) == (hidden == "r-lif")


@pytest.mark.parametrize(("hidden", "form"), CASES)
def test_a_file_comes_back_as_the_same_circuit(tmp_path, hidden, form):
    circuit = lively(hidden=hidden, form=form, neurons=8, decoder_decay=(0.1, 0.3))
    nir.write(circuit, tmp_path / "c.nir", dt=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = nir.read(tmp_path / "c.nir")
    assert again.options == replace(circuit.options)
    torch.testing.assert_close(
        ran(again, errors(200))[0], ran(circuit, errors(200))[0], rtol=0, atol=1e-4
    )
    assert [path.name for path in tmp_path.iterdir()] == ["c.nir"]


@pytest.mark.parametrize("hidden", ["lif", "r-lif"])
@pytest.mark.parametrize("dt", [0.1, 1e-4])
def test_the_graph_itself_says_our_dynamics(hidden, dt):
    circuit, seen = lively(hidden=hidden, neurons=8).double(), errors(500).double()
    want = ran(circuit, seen)[0][:, 0].numpy()
    np.testing.assert_allclose(
        euler(nir.export(circuit, dt), seen[:, 0, 0].tolist(), dt), want, atol=1e-6
    )
    assert np.ptp(want) > 0.1


def test_a_decay_of_1_is_written_as_the_number_below_and_counted():
    circuit = lively()
    with torch.no_grad():
        circuit.membrane[3:5] = 1.5
    report = nir.round_trip(circuit)
    assert report.decays_of_1 == 2 and 0 < report.parameters["membrane"] < 1e-7
    assert np.isfinite(nir.export(circuit).nodes["hidden"].tau_mem).all()


def test_a_neuron_that_a_lesion_silences_stays_silent():
    hurt = controllers.lesion(lively(), "pair:3")
    report = nir.round_trip(hurt)
    assert report.spikes == 0 and report.outputs < 1e-4


@pytest.mark.parametrize("hidden", ["iwta-lif", "r-iwta-lif"])
def test_adaptive_thresholds_are_refused(tmp_path, hidden):
    with pytest.raises(LanceletError, match="NIR has no adaptive threshold"):
        nir.write(make(hidden=hidden), tmp_path / "c.nir")
    assert not list(tmp_path.iterdir())


def foreign(**changes):
    """A graph as another simulator would write it: other names and gains, float32, nothing about our reset."""
    graph = nir.export(lively(neurons=4, form="literal"))
    names = dict(zip(graph.nodes, "abcdefgh", strict=True))
    nodes = {names[name]: node for name, node in graph.nodes.items()} | changes
    edges = [(names[start], names[end]) for start, end in graph.edges]
    return library.NIRGraph(nodes=nodes, edges=edges, metadata={}, type_check=False)


def test_a_foreign_graph_is_read_with_its_gains_and_a_warning_about_the_reset():
    neurons = foreign().nodes["c"]
    other = replace(
        neurons,
        r=neurons.r * 2,
        w_in=neurons.w_in * 0.25,
        tau_mem=neurons.tau_mem.astype(np.float32),
    )
    with pytest.warns(UserWarning, match="resets potentials to a value"):
        circuit, plain = nir.read(foreign(c=other)), nir.read(foreign())
    assert circuit.options.form == "literal"
    torch.testing.assert_close(
        circuit.values()["encoder_weight"], plain.values()["encoder_weight"] / 2
    )
    torch.testing.assert_close(circuit.values()["encoder_bias"], plain.values()["encoder_bias"] / 2)
    torch.testing.assert_close(circuit.values()["hidden_weight"], plain.values()["hidden_weight"])
    torch.testing.assert_close(
        circuit.values()["encoder_membrane"], plain.values()["encoder_membrane"]
    )


def bad_graphs():
    nodes = foreign().nodes
    ones = np.ones(4)
    late = nodes["e"].tau_mem.copy()
    late[2] = 0.05
    dense = nodes["d"].weight.copy()
    dense[0, 3] = 0.5
    return {
        "node 'c' of type LIF does not map": foreign(c=library.LIF(ones, ones, 0 * ones, ones)),
        "node 'e' of type IF does not map": foreign(e=library.IF(ones, ones)),
        "node 'd' of type Scale does not map": foreign(d=library.Scale(ones)),
        "node 'g' of type CubaLIF does not map as number 7": foreign(g=nodes["c"]),
        "node 'z' of type Threshold does not map": foreign(z=library.Threshold(ones)),
        "lie off the path": foreign(z=library.Linear(np.ones((4, 4)))),
        r"node 'e': tau_mem\[2\] = 0.05 s is a decay of -1 at dt = 0.1 s": foreign(
            e=replace(nodes["e"], tau_mem=late)
        ),
        r"node 'g': tau\[0\]": foreign(g=replace(nodes["g"], tau=np.array([-1.0]))),
        "node 'c': v_reset must be 0": foreign(c=replace(nodes["c"], v_reset=ones)),
        "node 'e': v_leak must be 0": foreign(e=replace(nodes["e"], v_leak=ones)),
        "node 'd': only 2 x 2 blocks": foreign(d=library.Linear(dense)),
        r"node 'b': weight is \(4, 2\)": foreign(b=library.Affine(np.ones((4, 2)), ones)),
        r"node 'f': weight is \(2, 4\)": foreign(f=library.Linear(np.ones((2, 4)))),
        r"node 'e': neurons are \(3,\)": foreign(
            e=library.CubaLIF(ones[:3], ones[:3], ones[:3], 0 * ones[:3], ones[:3])
        ),
        "encoder_threshold: holds numbers that are not finite": foreign(
            c=replace(nodes["c"], v_threshold=ones * np.nan)
        ),
    }


@pytest.mark.filterwarnings("ignore:this NIR graph resets")
@pytest.mark.parametrize("match", bad_graphs())
def test_what_does_not_map_is_named(match):
    with pytest.raises(LanceletError, match=match) as caught:
        nir.read(bad_graphs()[match])
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:this NIR graph resets")
def test_broken_edges_and_metadata_are_refused():
    graph = foreign()
    graph.edges = [*graph.edges[:-1], ("g", "nowhere")]
    with pytest.raises(LanceletError, match="'g' -> 'nowhere'"):
        nir.read(graph)
    graph = foreign()
    graph.edges = graph.edges[:-1]
    with pytest.raises(LanceletError, match="node 'g' of type LI feeds None"):
        nir.read(graph)
    for about in (
        {"dt": "soon"},
        {"dt": -1.0},
        {"form": "free"},
        {"decoder_decay": np.array([3.0, 4.0])},
    ):
        graph = foreign()
        graph.metadata = about
        with pytest.raises(LanceletError, match=r"dt|form|decoder_decay"):
            nir.read(graph)


def test_a_shared_form_refuses_weights_that_are_not_shared(tmp_path):
    nir.write(lively(form="literal", neurons=4), tmp_path / "c.nir")
    with pytest.raises(LanceletError, match="form='shared' cannot hold"):
        nir.read(tmp_path / "c.nir", form="shared")


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", "half", None])
def test_files_that_are_no_graphs_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "c.nir"
    if content == "half":
        nir.write(make(), path)
        path.write_bytes(path.read_bytes()[:3000])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(
        LanceletError, match=r"c\.nir (is not a NIR graph|does not exist)"
    ) as caught:
        nir.read(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_a_single_node_is_refused(tmp_path):
    library.write(tmp_path / "c.nir", library.Linear(np.ones((2, 2))))
    with pytest.raises(LanceletError, match="is not a NIR graph"):
        nir.read(tmp_path / "c.nir")


def _links_outside(file):
    file["node/nodes/encoder/r"] = h5py.ExternalLink("other.h5", "/r")


def _links_inside(file):
    file["node/nodes/encoder/r"] = h5py.SoftLink("/node/nodes/hidden/r")


def _keeps_numbers_outside(file):
    file.create_dataset("node/nodes/encoder/r", (4,), "f8", external=[("numbers.raw", 0, 32)])


def _is_virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.h5", "r", shape=(4,))
    file.create_virtual_dataset("node/nodes/encoder/r", layout)


def _unpacks_to_a_terabyte(file):
    file.create_dataset("node/nodes/encoder/r", (2**37,), "f8", chunks=(2**20,), compression="gzip")


def _holds_itself(file):
    file["node/nodes/again"] = file["node"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_links_outside, "is a link: links are not followed"),
        (_links_inside, "is a link: links are not followed"),
        (_keeps_numbers_outside, "in another file"),
        (_is_virtual, "in another file"),
        (_unpacks_to_a_terabyte, "take more than 256 MiB"),
        (_holds_itself, "levels deep|groups and arrays"),
    ],
)
def test_a_strangers_file_leads_nowhere_else_and_stays_small(tmp_path, spoil, says):
    path = tmp_path / "c.nir"
    nir.write(make(), path)
    with h5py.File(path, "r+") as file:
        if "encoder/r" in file["node/nodes"]:
            del file["node/nodes/encoder/r"]
        spoil(file)
    with pytest.raises(LanceletError, match=says) as caught:
        nir.read(path)
    assert "\n" not in str(caught.value)
