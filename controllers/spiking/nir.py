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
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from ... import foreign
from ...errors import LanceletError
from ...files import write_atomic
from ...optional import extras
from .snn import SNN, SNNOptions

with extras():
    import h5py
    import nir

BELOW_1 = float(np.nextafter(np.float32(1), np.float32(0)))
LARGEST_FILE = 256 * foreign.MIB
"""bytes of a file, and of all its arrays unpacked"""
MOST_OBJECTS = 10_000
"""groups and arrays in a file"""
DEEPEST = 16
"""levels of groups in one another"""
RESET = "subtract the threshold, one step later"
CHAIN = ("Input", "Affine or Linear", "CubaLIF", "Linear", "CubaLIF", "Linear", "LI", "Output")
"""node types from input to output; the second CubaLIF may feed itself through one more Linear"""


def export(circuit: SNN, dt: float = 0.1) -> nir.NIRGraph:
    """The circuit as a graph, float64 arrays; `dt` is its control step in s.

    Raises:
        LanceletError: IWTA, which NIR has no node for, or a step that is not > 0.
    """
    if circuit.adaptive:
        raise LanceletError(
            f"NIR has no adaptive threshold: a {circuit.options.hidden} network cannot be exported"
        )
    if not 0 < dt < np.inf:
        raise LanceletError(f"NIR dt = {dt}: must be finite and > 0")
    w = {name: value.detach().double().numpy() for name, value in circuit.values().items()}
    n = circuit.options.neurons
    blocks = np.zeros((n // 2, 2, n // 2, 2))
    blocks[np.arange(n // 2), :, np.arange(n // 2), :] = w["hidden_weight"]
    nodes: dict[str, Any] = {
        "input": nir.Input({"input": np.array([1])}),
        "encoder_input": nir.Affine(w["encoder_weight"][:, None], w["encoder_bias"]),
        "encoder": _neurons(
            w["encoder_synapse"], w["encoder_membrane"], w["encoder_threshold"], dt
        ),
        "hidden_input": nir.Linear(blocks.reshape(n, n)),
        "hidden": _neurons(w["synapse"], w["membrane"], w["threshold"], dt),
        "decoder_input": nir.Linear(w["decoder_weight"][None]),
        "decoder": nir.LI(tau=_tau(w["decoder_decay"][None], dt), r=np.ones(1), v_leak=np.zeros(1)),
        "output": nir.Output({"output": np.array([1])}),
    }
    names = list(nodes)
    edges = list(pairwise(names))
    if circuit.recurrent_layer:
        nodes["recurrent"] = nir.Linear(w["recurrent"])
        edges += [("hidden", "recurrent"), ("recurrent", "hidden")]
    about = {"producer": "lancelet", "dt": dt, "reset": RESET, "form": circuit.options.form}
    about["decoder_decay"] = np.array(circuit.options.decoder_decay, float)
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=about)


def write(circuit: SNN, path: str | Path, dt: float = 0.1) -> None:
    """Write `export` of the circuit to a NIR file (HDF5), all at once.

    Raises:
        LanceletError: as `export`; or the disk refuses.
    """
    file = io.BytesIO()
    nir.write(file, export(circuit, dt))  # pyright: ignore[reportArgumentType]
    write_atomic(path, file.getvalue())


def read(
    source: str | Path | nir.NIRGraph, dt: float | None = None, form: str | None = None
) -> SNN:
    """The circuit that a NIR file or graph describes: arrays are read, nothing is run.

    Nodes may have any name. Gains w_in and r other than ours are taken into the weights before them.

    Args:
        source: path or graph.
        dt: s, of a step; none: what the graph says, else 0.1.
        form: of `SNN`; none: what the graph says, else "literal".

    Raises:
        LanceletError: not a NIR file; a node that does not map, by name and type; a decay outside [0, 1]; weights
            that `SNN` has no place for.
    """
    graph = source if isinstance(source, nir.NIRGraph) else _open(source)
    chain, recurrent = _chain(graph)
    about = graph.metadata if isinstance(graph.metadata, dict) else {}
    try:
        dt = float(about.get("dt", 0.1)) if dt is None else dt
        ends: Any = tuple(float(end) for end in np.ravel(about.get("decoder_decay", (0.0, 1.0))))
    except (TypeError, ValueError) as error:
        raise LanceletError(
            f"NIR metadata dt and decoder_decay must be numbers: {error}"
        ) from error
    if not 0 < dt < np.inf:
        raise LanceletError(f"NIR dt = {dt}: must be finite and > 0")
    if about.get("reset") != RESET:
        warnings.warn(
            "this NIR graph resets potentials to a value; the network read from it subtracts the threshold",
            stacklevel=2,
        )
    nodes = [node for _, node in chain]
    n = nodes[2].v_threshold.size
    for name, node in (chain[2], chain[4]):
        if n % 2 or node.v_threshold.shape != (n,):
            have = node.v_threshold.shape
            raise LanceletError(
                f"NIR node {name!r}: neurons are {have}, needs (N,) with N even, in both layers"
            )
    shapes = {1: (n, 1), 3: (n, n), 5: (1, n)}
    weights = [(*chain[place], shape) for place, shape in shapes.items()]
    weights += [(recurrent[0], recurrent[1], (n, n))] if recurrent else []
    for name, node, shape in weights:
        if node.weight.shape != shape:
            raise LanceletError(f"NIR node {name!r}: weight is {node.weight.shape}, needs {shape}")
    values, gain = _layer(*chain[2], dt, "encoder_")
    bias = getattr(nodes[1], "bias", np.zeros(n))
    values |= {"encoder_weight": nodes[1].weight[:, 0] * gain, "encoder_bias": bias * gain}
    own, gain = _layer(*chain[4], dt, "")
    values |= own
    pairs = np.arange(n // 2)
    square = (nodes[3].weight * gain[:, None]).reshape(n // 2, 2, n // 2, 2)
    values["hidden_weight"] = square[pairs, :, pairs, :]
    square[pairs, :, pairs, :] = 0
    if square.any():
        raise LanceletError(
            f"NIR node {chain[3][0]!r}: only 2 x 2 blocks on the diagonal map (pair to pair)"
        )
    if recurrent:
        values["recurrent"] = recurrent[1].weight * gain[:, None]
    _zero(*chain[6], "v_leak")
    values["decoder_weight"] = nodes[5].weight[0] * nodes[6].r
    values["decoder_decay"] = _decay(chain[6][0], "tau", nodes[6].tau, dt)[0]
    kind: Any = form or about.get("form", "literal")
    options = SNNOptions(
        hidden="r-lif" if recurrent else "lif", neurons=n, form=kind, decoder_decay=ends
    )  # fmt: skip
    # the blimp's spaces: an error in m, a command in command units
    circuit = SNN(
        spaces.Box(-12, 12, (1,), np.float32), spaces.Box(-10, 10, (1,), np.float32), options
    )
    circuit.assign({name: np.asarray(value, np.float32) for name, value in values.items()})
    return circuit


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


def round_trip(circuit: SNN, dt: float = 0.1, seed: int = 0) -> RoundTrip:
    """Export the circuit to a file in memory, read it again, and compare.

    Raises:
        LanceletError: as `export` and `read`.
    """
    file = io.BytesIO()
    nir.write(file, export(circuit, dt))  # pyright: ignore[reportArgumentType]
    again = read(_open(file))
    seen = torch.randn(1000, 1, 1, generator=torch.Generator().manual_seed(seed))
    found = []
    with torch.no_grad():
        for network in (circuit, again):
            state, out, spikes = network.initial_state(1), [], []
            for now in seen:
                action, state = network(now, state)
                out.append(action)
                spikes.append(torch.cat([state["encoder"], state["hidden"]], -1))
            found.append((torch.stack(out), torch.stack(spikes)))
        old, new = circuit.values(), again.values()
    decays = torch.cat([old[name].flatten() for name in _DECAYS])
    return RoundTrip(
        parameters={name: float((value - new[name]).abs().max()) for name, value in old.items()},
        outputs=float((found[0][0] - found[1][0]).abs().max()),
        spikes=int((found[0][1] != found[1][1]).sum()),
        decays_of_1=int((decays >= 1).sum()),
    )


_DECAYS = ("encoder_synapse", "encoder_membrane", "synapse", "membrane", "decoder_decay")


def _tau(decay: np.ndarray, dt: float) -> np.ndarray:
    return dt / (1 - np.minimum(decay, BELOW_1))


def _neurons(
    synapse: np.ndarray, membrane: np.ndarray, threshold: np.ndarray, dt: float
) -> nir.CubaLIF:
    syn, mem = _tau(synapse, dt), _tau(membrane, dt)
    return nir.CubaLIF(
        tau_syn=syn, tau_mem=mem, r=mem / dt, v_leak=np.zeros_like(mem), v_threshold=threshold, w_in=syn / dt,
        metadata={"reset": RESET},
    )  # fmt: skip


def _layer(
    name: str, node: Any, dt: float, prefix: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Values of a CubaLIF layer, and the gain of its input current that ours does not have."""
    for field in ("v_leak", "v_reset"):
        _zero(name, node, field)
    synapse, membrane = (
        _decay(name, field, getattr(node, field), dt) for field in ("tau_syn", "tau_mem")
    )
    values = {
        f"{prefix}synapse": synapse,
        f"{prefix}membrane": membrane,
        f"{prefix}threshold": node.v_threshold,
    }
    return values, node.w_in * node.r * (dt / node.tau_syn) * (dt / node.tau_mem)


def _zero(name: str, node: Any, field: str) -> None:
    if np.any(getattr(node, field) != 0):
        raise LanceletError(
            f"NIR node {name!r}: {field} must be 0 to map, {type(node).__name__} has others"
        )


def _decay(name: str, field: str, tau: np.ndarray, dt: float) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        decay = 1 - dt / np.asarray(tau, float)
    decay = np.where(
        (decay < 0) & (decay > -1e-6), 0.0, decay
    )  # tau in float32 may lie just under dt
    wrong = np.flatnonzero(~((decay >= 0) & (decay <= 1)))
    if len(wrong):
        k = wrong[0]
        raise LanceletError(
            f"NIR node {name!r}: {field}[{k}] = {tau[k]:g} s is a decay of {decay[k]:g} at dt = {dt:g} s: "
            "must be within [0, 1]"
        )
    return decay


def _chain(graph: nir.NIRGraph) -> tuple[list[tuple[str, Any]], tuple[str, Any] | None]:
    """Nodes from input to output in order, and the hidden layer's recurrent Linear, by name and node."""
    after: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for start, end in graph.edges:
        if start not in after or end not in after:
            raise LanceletError(f"NIR edge {start!r} -> {end!r} joins a node that the graph lacks")
        after[start].append(end)
    for name, node in graph.nodes.items():
        if not any(type(node).__name__ in kinds.split(" or ") for kinds in CHAIN):
            raise LanceletError(
                f"NIR node {name!r} of type {type(node).__name__} does not map; {_EXPECTED}"
            )
    starts = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(starts) != 1:
        raise LanceletError(f"NIR graph has {len(starts)} inputs; {_EXPECTED}")
    chain, recurrent, name = [], None, starts[0]
    for place, kinds in enumerate(CHAIN):
        node = graph.nodes[name]
        if type(node).__name__ not in kinds.split(" or "):
            raise LanceletError(
                f"NIR node {name!r} of type {type(node).__name__} does not map as number {place + 1} from the input, "
                f"which must be {kinds}; {_EXPECTED}"
            )
        chain.append((name, node))
        onward = after[name]
        if place == 4:
            loops = [
                other
                for other in onward
                if after[other] == [name] and isinstance(graph.nodes[other], nir.Linear)
            ]
            if len(loops) == 1:
                recurrent = (loops[0], graph.nodes[loops[0]])
                onward = [other for other in onward if other != loops[0]]
        if len(onward) != (0 if place == len(CHAIN) - 1 else 1):
            raise LanceletError(
                f"NIR node {name!r} of type {type(node).__name__} feeds {onward or None}; {_EXPECTED}"
            )
        name = onward[0] if onward else name
    used = len(chain) + (recurrent is not None)
    if used != len(graph.nodes):
        left = sorted(set(graph.nodes) - {name for name, _ in chain})
        raise LanceletError(f"NIR nodes {left} lie off the path from input to output; {_EXPECTED}")
    return chain, recurrent


_EXPECTED = f"needs {' -> '.join(CHAIN)}, the second CubaLIF with or without a Linear to itself"


def _open(source: Any) -> nir.NIRGraph:
    """The graph in a file; HDF5 holds arrays and text only, once no link leads out of it."""
    try:
        file = source
        if isinstance(source, str | Path):
            file = io.BytesIO(foreign.read_bytes(source, LARGEST_FILE))
        with h5py.File(file, "r") as opened:
            _check_group(opened, "/", _Budget(LARGEST_FILE, MOST_OBJECTS), 0)
        return nir.read(file)  # pyright: ignore[reportArgumentType] - h5py takes files too
    except LanceletError:
        raise
    except (
        Exception
    ) as error:  # h5py and nir raise what they like on a broken file, or on a node that is no graph
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LanceletError(f"{source} is not a NIR graph, or is cut short: {why}") from error


@dataclass
class _Budget:
    """What is left of the limits of a file."""

    array_bytes: int
    objects: int


def _check_group(group: Any, name: str, left: _Budget, depth: int) -> None:
    """Refuse what leads out of an HDF5 file or into a circle, and arrays that are larger than the limit unpacked."""
    if depth > DEEPEST:
        raise LanceletError(f"NIR group {name!r} lies more than {DEEPEST} levels deep")
    for key in group:
        left.objects -= 1
        if left.objects < 0:
            raise LanceletError(f"NIR file has more than {MOST_OBJECTS:,} groups and arrays")
        inner = f"{name}{key}/"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise LanceletError(f"NIR {inner!r} is a link: links are not followed")
        item = group[key]
        if isinstance(item, h5py.Group):
            _check_group(item, inner, left, depth + 1)
            continue
        if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
            raise LanceletError(
                f"NIR {inner!r} keeps its numbers in another file: they are not read"
            )
        # An empty dataspace has no size at all.
        left.array_bytes -= (item.size or 0) * item.dtype.itemsize
        if left.array_bytes < 0:
            raise LanceletError(f"NIR arrays take more than {LARGEST_FILE // foreign.MIB} MiB")
