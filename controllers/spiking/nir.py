"""Spiking networks as NIR graphs, to and from other simulators (Pedersen et al. 2024, arXiv 2311.14641).

| ours | NIR |
|---|---|
| encoder w, b | Affine (N, 1) |
| encoder and hidden neurons | CubaLIF, v_reset 0 |
| 2 x 2 blocks; recurrent weights | Linear (N, N), block diagonal; Linear (N, N) from the hidden layer to itself |
| decoder | Linear (1, N), LI |

A decay a over a step dt is the time constant tau = dt / (1 - a) of forward Euler, and inputs enter undamped: w_in =
tau_syn / dt, r = tau_mem / dt. What NIR cannot say: its neurons reset *to a value*, ours subtract the threshold one
step later; the graph's metadata note it, for our own `read`. A decay of 1 has no time constant: the largest float32
below 1 stands for it, and `round_trip` counts those. Adaptive thresholds (IWTA) have no node at all.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...errors import LanceletError
from ...files import write_atomic
from ...optional import extras
from .nir_chain import Chain, NamedNode, find_chain
from .nir_files import open_graph
from .snn import SNN, SNNOptions

with extras():
    import nir

USUAL_STEP = 0.1
"""s, of a step where neither the caller nor the graph says it: the blimp's"""
BELOW_1 = float(np.nextafter(np.float32(1), np.float32(0)))
"""largest float32 below 1, which stands for a decay of 1"""
RESET = "subtract the threshold, one step later"
"""what the metadata say of our reset, which NIR has no word for"""
DECAYS = ("encoder_synapse", "encoder_membrane", "synapse", "membrane", "decoder_decay")
"""quantities of `SNN.values` that become time constants"""
ROUNDING = 1e-6
"""how far below 0 a decay may lie that means 0: tau in float32 may lie just under the step"""
LARGEST_ERROR = 12
"""m, end of the blimp's range of heights, for the observation space of a network that is read"""
LARGEST_COMMAND = 10
"""command units, for its action space"""
COMPARED_STEPS = 1000
"""random steps that `round_trip` compares"""


def export(circuit: SNN, dt: float = USUAL_STEP) -> nir.NIRGraph:
    """The circuit as a graph, float64 arrays; `dt` is its control step in s.

    Raises:
        LanceletError: IWTA, which NIR has no node for, or a step that is not > 0.
    """
    if circuit.adaptive:
        raise LanceletError(
            f"NIR has no adaptive threshold: a {circuit.options.hidden} network cannot be exported"
        )
    _check_step(dt)
    values = {name: value.detach().double().numpy() for name, value in circuit.values().items()}
    encoder = _neurons(
        values["encoder_synapse"], values["encoder_membrane"], values["encoder_threshold"], dt
    )
    hidden = _neurons(values["synapse"], values["membrane"], values["threshold"], dt)
    decoder = nir.LI(
        tau=_time_constant(values["decoder_decay"][None], dt), r=np.ones(1), v_leak=np.zeros(1)
    )
    nodes: dict[str, Any] = {
        "input": nir.Input({"input": np.array([1])}),
        "encoder_input": nir.Affine(values["encoder_weight"][:, None], values["encoder_bias"]),
        "encoder": encoder,
        "hidden_input": nir.Linear(_block_diagonal(values["hidden_weight"])),
        "hidden": hidden,
        "decoder_input": nir.Linear(values["decoder_weight"][None]),
        "decoder": decoder,
        "output": nir.Output({"output": np.array([1])}),
    }
    # Before the recurrent node is added: it is a loop beside the path.
    edges = list(pairwise(nodes))
    if circuit.recurrent_layer:
        nodes["recurrent"] = nir.Linear(values["recurrent"])
        edges += [("hidden", "recurrent"), ("recurrent", "hidden")]
    metadata = {
        "producer": "lancelet",
        "dt": dt,
        "reset": RESET,
        "form": circuit.options.form,
        "decoder_decay": np.array(circuit.options.decoder_decay, float),
    }
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)


def write(circuit: SNN, path: str | Path, dt: float = USUAL_STEP) -> None:
    """Write `export` of the circuit to a NIR file (HDF5), all at once.

    Args:
        circuit: to be written.
        path: of the file; an older one is replaced.
        dt: control step, s.

    Raises:
        LanceletError: as `export`; or the disk refuses.
    """
    write_atomic(path, _in_memory(circuit, dt).getvalue())


def _in_memory(circuit: SNN, dt: float) -> io.BytesIO:
    """`export` of the circuit as a file in memory."""
    file = io.BytesIO()
    nir.write(file, export(circuit, dt))  # pyright: ignore[reportArgumentType]
    return file


def read(
    source: str | Path | nir.NIRGraph, dt: float | None = None, form: str | None = None
) -> SNN:
    """The circuit that a NIR file or graph describes: arrays are read, nothing is run.

    Nodes may have any name. Gains w_in and r other than ours are taken into the weights before them.

    Args:
        source: path or graph.
        dt: s, of a step; None: what the graph says, else 0.1.
        form: of `SNN`; None: what the graph says, else "literal".

    Raises:
        LanceletError: not a NIR file; a node that does not map, by name and type; a decay outside [0, 1]; weights
            that `SNN` has no place for.
    """
    graph = source if isinstance(source, nir.NIRGraph) else open_graph(source)
    return _circuit(graph, dt, form)


def _circuit(graph: nir.NIRGraph, dt: float | None, form: str | None) -> SNN:
    """The circuit of a graph, as `read` says."""
    chain = find_chain(graph)
    metadata = _metadata(graph, dt, form)
    if metadata.reset != RESET:
        warnings.warn(
            "this NIR graph resets potentials to a value; the network read from it subtracts the threshold",
            stacklevel=3,
        )
    neurons = _count_neurons(chain)
    _check_weight_shapes(chain, neurons)
    values = _values(chain, metadata.dt, neurons)
    hidden: Literal["lif", "r-lif"] = "lif"
    if chain.recurrent is not None:
        hidden = "r-lif"
    options = SNNOptions(
        hidden=hidden,
        neurons=neurons,
        form=cast(Any, metadata.form),  # the options refuse what is none of theirs
        decoder_decay=cast(Any, metadata.decoder_decay),
    )
    observation_space = spaces.Box(-LARGEST_ERROR, LARGEST_ERROR, (1,), np.float32)
    action_space = spaces.Box(-LARGEST_COMMAND, LARGEST_COMMAND, (1,), np.float32)
    circuit = SNN(observation_space, action_space, options)
    circuit.assign({name: np.asarray(value, np.float32) for name, value in values.items()})
    return circuit


class _Metadata(NamedTuple):
    """What a graph says of itself, or what stands for it where it does not."""

    dt: float
    """s, of a step"""
    form: str
    """of `SNN`"""
    reset: str | None
    """how potentials are reset; None: it does not say"""
    decoder_decay: tuple[float, ...]
    """range of the decoder's decay"""


def _metadata(graph: nir.NIRGraph, dt: float | None, form: str | None) -> _Metadata:
    """The metadata of a graph; `dt` (s) and `form` go before what it says."""
    given = graph.metadata if isinstance(graph.metadata, dict) else {}
    try:
        if dt is None:
            dt = float(given.get("dt", USUAL_STEP))
        ends = np.ravel(given.get("decoder_decay", (0.0, 1.0)))
        decoder_decay = tuple(float(end) for end in ends)
    except (TypeError, ValueError) as error:
        raise LanceletError(
            f"NIR metadata dt and decoder_decay must be numbers: {error}"
        ) from error
    _check_step(dt)
    return _Metadata(
        dt=dt,
        form=form or given.get("form", "literal"),
        reset=given.get("reset"),
        decoder_decay=decoder_decay,
    )


def _check_step(dt: float) -> None:
    """Refuse a step that no time constant can be counted in."""
    if not 0 < dt < math.inf:
        raise LanceletError(f"NIR dt = {dt}: must be finite and > 0")


def _count_neurons(chain: Chain) -> int:
    """Number of neurons N of a layer; both layers must have as many, in pairs."""
    neurons = chain.encoder.node.v_threshold.size
    for name, node in (chain.encoder, chain.hidden):
        shape = node.v_threshold.shape
        if neurons % 2 == 1 or shape != (neurons,):
            raise LanceletError(
                f"NIR node {name!r}: neurons are {shape}, needs (N,) with N even, in both layers"
            )
    return neurons


def _check_weight_shapes(chain: Chain, neurons: int) -> None:
    """Refuse weights that do not fit layers of `neurons`, one input and one output."""
    needed = [
        (chain.encoder_input, (neurons, 1)),
        (chain.hidden_input, (neurons, neurons)),
        (chain.decoder_input, (1, neurons)),
    ]
    if chain.recurrent is not None:
        needed.append((chain.recurrent, (neurons, neurons)))
    for (name, node), shape in needed:
        if node.weight.shape != shape:
            raise LanceletError(f"NIR node {name!r}: weight is {node.weight.shape}, needs {shape}")


def _values(chain: Chain, dt: float, neurons: int) -> dict[str, np.ndarray]:
    """Values of the circuit as `SNN.assign` takes them, from nodes of the right shapes, for steps of `dt` s."""
    encoder = _layer(chain.encoder, dt)
    hidden = _layer(chain.hidden, dt)
    encoder_input = chain.encoder_input.node
    # A Linear has no bias.
    encoder_bias = getattr(encoder_input, "bias", np.zeros(neurons))
    values = {
        "encoder_synapse": encoder.synapse,
        "encoder_membrane": encoder.membrane,
        "encoder_threshold": encoder.threshold,
        "encoder_weight": encoder_input.weight[:, 0] * encoder.gain,
        "encoder_bias": encoder_bias * encoder.gain,
        "synapse": hidden.synapse,
        "membrane": hidden.membrane,
        "threshold": hidden.threshold,
        "hidden_weight": _blocks(chain.hidden_input, hidden.gain),
    }
    if chain.recurrent is not None:
        values["recurrent"] = chain.recurrent.node.weight * hidden.gain[:, None]
    _require_zero(chain.decoder, "v_leak")
    decoder = chain.decoder.node
    values["decoder_weight"] = chain.decoder_input.node.weight[0] * decoder.r
    values["decoder_decay"] = _decay(chain.decoder, "tau", dt)[0]
    return values


def _block_diagonal(blocks: np.ndarray) -> np.ndarray:
    """Blocks (N / 2, 2, 2) [pair, post, pre] as a matrix (N, N) [post, pre] that is 0 beside them."""
    pairs = len(blocks)
    pair = np.arange(pairs)
    matrix = np.zeros((pairs, 2, pairs, 2))
    matrix[pair, :, pair, :] = blocks
    return matrix.reshape(2 * pairs, 2 * pairs)


def _blocks(hidden_input: NamedNode, gain: np.ndarray) -> np.ndarray:
    """Blocks (N / 2, 2, 2) [pair, post, pre] of a Linear (N, N), times the gain (N,) of the neurons behind it."""
    pairs = len(gain) // 2
    pair = np.arange(pairs)
    matrix = (hidden_input.node.weight * gain[:, None]).reshape(pairs, 2, pairs, 2)
    blocks = matrix[pair, :, pair, :]
    # What is left without the blocks has no place in `SNN`.
    matrix[pair, :, pair, :] = 0
    if matrix.any():
        raise LanceletError(
            f"NIR node {hidden_input.name!r}: only 2 x 2 blocks on the diagonal map (pair to pair)"
        )
    return blocks


@dataclass(frozen=True)
class RoundTrip:
    """What export and import changed."""

    parameters: dict[str, float]
    """largest error of each quantity of `SNN.values`, natural units"""
    outputs: float
    """largest difference of outputs over 1,000 random steps, command units"""
    spikes: int
    """spikes of these steps that differ, both layers"""
    decays_of_1: int
    """decays that NIR cannot hold, written as the largest float32 below 1"""


def round_trip(circuit: SNN, dt: float = USUAL_STEP, seed: int = 0) -> RoundTrip:
    """Export the circuit to a file in memory, read it again, and compare.

    Args:
        circuit: to be written and read.
        dt: control step, s.
        seed: of the random errors, normal with a standard deviation of 1, that both networks are fed.

    Raises:
        LanceletError: as `export` and `read`.
    """
    circuit_again = _circuit(open_graph(_in_memory(circuit, dt)), dt=None, form=None)
    random = torch.Generator().manual_seed(seed)
    errors = torch.randn(COMPARED_STEPS, 1, 1, generator=random)
    with torch.no_grad():
        outputs, spikes = _recorded(circuit, errors)
        outputs_again, spikes_again = _recorded(circuit_again, errors)
        values = circuit.values()
        values_again = circuit_again.values()
    largest_error = {
        name: float((value - values_again[name]).abs().max()) for name, value in values.items()
    }
    decays = torch.cat([values[name].flatten() for name in DECAYS])
    return RoundTrip(
        parameters=largest_error,
        outputs=float((outputs - outputs_again).abs().max()),
        spikes=int((spikes != spikes_again).sum()),
        decays_of_1=int((decays >= 1).sum()),
    )


def _recorded(circuit: SNN, errors: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (T, 1, 1) and spikes (T, 1, 2 N), encoder first, of a circuit over errors (T, 1, 1)."""
    state = circuit.initial_state(1)
    outputs = []
    spikes = []
    for error in errors:
        output, state = circuit(error, state)
        outputs.append(output)
        spikes.append(torch.cat([state["encoder"], state["hidden"]], -1))
    return torch.stack(outputs), torch.stack(spikes)


def _neurons(
    synapse: np.ndarray, membrane: np.ndarray, threshold: np.ndarray, dt: float
) -> nir.CubaLIF:
    """A layer as NIR's neurons.

    Args:
        synapse: decays (N,) of the currents.
        membrane: decays (N,) of the potentials.
        threshold: (N,).
        dt: control step, s.
    """
    tau_synapse = _time_constant(synapse, dt)
    tau_membrane = _time_constant(membrane, dt)
    return nir.CubaLIF(
        tau_syn=tau_synapse,
        tau_mem=tau_membrane,
        r=tau_membrane / dt,
        v_leak=np.zeros_like(tau_membrane),
        v_threshold=threshold,
        w_in=tau_synapse / dt,
        metadata={"reset": RESET},
    )


class _Layer(NamedTuple):
    """Values of a layer of N neurons, (N,) each."""

    synapse: np.ndarray
    """decays of the currents"""
    membrane: np.ndarray
    """decays of the potentials"""
    threshold: np.ndarray
    gain: np.ndarray
    """by which NIR multiplies the input current; `SNN` does not, so that the weights before it take this in"""


def _layer(layer: NamedNode, dt: float) -> _Layer:
    """Values of a CubaLIF layer for steps of `dt` s."""
    _require_zero(layer, "v_leak")
    _require_zero(layer, "v_reset")
    node = layer.node
    return _Layer(
        synapse=_decay(layer, "tau_syn", dt),
        membrane=_decay(layer, "tau_mem", dt),
        threshold=node.v_threshold,
        gain=node.w_in * node.r * (dt / node.tau_syn) * (dt / node.tau_mem),
    )


def _require_zero(named_node: NamedNode, field: str) -> None:
    """Refuse a node with a quantity that `SNN` does not have, unless it is 0."""
    name, node = named_node
    if np.any(getattr(node, field) != 0):
        raise LanceletError(
            f"NIR node {name!r}: {field} must be 0 to map, {type(node).__name__} has others"
        )


def _time_constant(decay: np.ndarray, dt: float) -> np.ndarray:
    """Time constants in s of decays over steps of `dt` s, by forward Euler."""
    return dt / (1 - np.minimum(decay, BELOW_1))


def _decay(named_node: NamedNode, field: str, dt: float) -> np.ndarray:
    """Decays over steps of `dt` s of the time constants (s) in a field of a node: `_time_constant` backwards."""
    name, node = named_node
    time_constant = getattr(node, field)
    with np.errstate(divide="ignore", invalid="ignore"):
        decay = 1 - dt / np.asarray(time_constant, float)
    is_rounded = (decay < 0) & (decay > -ROUNDING)
    decay = np.where(is_rounded, 0.0, decay)
    # Asked this way round, NaN is wrong too.
    is_right = (decay >= 0) & (decay <= 1)
    wrong = np.flatnonzero(~is_right)
    if len(wrong) > 0:
        first = wrong[0]
        raise LanceletError(
            f"NIR node {name!r}: {field}[{first}] = {time_constant[first]:g} s is a decay of {decay[first]:g} "
            f"at dt = {dt:g} s: must be within [0, 1]"
        )
    return decay
