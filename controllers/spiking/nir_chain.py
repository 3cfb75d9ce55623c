"""Which node of a NIR graph is which part of a spiking network: nodes may have any name, their order tells."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...errors import LanceletError
from ...optional import extras

with extras():
    import nir


class NamedNode(NamedTuple):
    """A node of a NIR graph."""

    name: str
    """its name in the graph, for errors"""
    node: Any
    """one of the classes of `nir`; which one, `KINDS` says"""


class Chain(NamedTuple):
    """The nodes of a network; all but the last one in their order from input to output."""

    input: NamedNode
    encoder_input: NamedNode
    encoder: NamedNode
    hidden_input: NamedNode
    hidden: NamedNode
    decoder_input: NamedNode
    decoder: NamedNode
    output: NamedNode
    recurrent: NamedNode | None
    """Linear from the hidden layer to itself; None: there is none"""


KINDS = {
    "input": ("Input",),
    "encoder_input": ("Affine", "Linear"),
    "encoder": ("CubaLIF",),
    "hidden_input": ("Linear",),
    "hidden": ("CubaLIF",),
    "decoder_input": ("Linear",),
    "decoder": ("LI",),
    "output": ("Output",),
}
"""part of the network -> names of the classes that its node may be of, from input to output"""
LAST_PART = "output"
"""the part that feeds no other"""

_EXPECTED = (
    "needs "
    + " -> ".join(" or ".join(kinds) for kinds in KINDS.values())
    + ", the second CubaLIF with or without a Linear to itself"
)


def find_chain(graph: nir.NIRGraph) -> Chain:
    """The parts of a network in a graph, found by walking from its input to its output.

    Raises:
        LanceletError: an edge to nowhere, a node of a type that does not map, or one off the path.
    """
    successors = _successors(graph)
    _check_kinds(graph)
    name = _name_of_input(graph)
    recurrent = None
    nodes = {}
    for number, (part, kinds) in enumerate(KINDS.items(), start=1):
        node = graph.nodes[name]
        kind = type(node).__name__
        if kind not in kinds:
            raise LanceletError(
                f"NIR node {name!r} of type {kind} does not map as number {number} from the input, "
                f"which must be {' or '.join(kinds)}; {_EXPECTED}"
            )
        nodes[part] = NamedNode(name, node)
        onward = successors[name]
        if part == "hidden":
            recurrent = _loop(graph, name, successors)
            if recurrent is not None:
                onward = [other for other in onward if other != recurrent.name]
        needed = 0 if part == LAST_PART else 1
        if len(onward) != needed:
            raise LanceletError(
                f"NIR node {name!r} of type {kind} feeds {onward or None}; {_EXPECTED}"
            )
        if part != LAST_PART:
            name = onward[0]
    chain = Chain(**nodes, recurrent=recurrent)
    _check_all_used(graph, chain)
    return chain


def _successors(graph: nir.NIRGraph) -> dict[str, list[str]]:
    """Names of the nodes that each node feeds."""
    successors: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for start, end in graph.edges:
        if start not in successors or end not in successors:
            raise LanceletError(f"NIR edge {start!r} -> {end!r} joins a node that the graph lacks")
        successors[start].append(end)
    return successors


def _check_kinds(graph: nir.NIRGraph) -> None:
    """Refuse nodes of types that no part of a network has, before the walk: one of them may lie off the path."""
    known = {kind for kinds in KINDS.values() for kind in kinds}
    for name, node in graph.nodes.items():
        kind = type(node).__name__
        if kind not in known:
            raise LanceletError(f"NIR node {name!r} of type {kind} does not map; {_EXPECTED}")


def _name_of_input(graph: nir.NIRGraph) -> str:
    """Name of the one node that the walk begins at."""
    names = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(names) != 1:
        raise LanceletError(f"NIR graph has {len(names)} inputs; {_EXPECTED}")
    return names[0]


def _loop(graph: nir.NIRGraph, name: str, successors: dict[str, list[str]]) -> NamedNode | None:
    """The one Linear that a node feeds and that feeds nothing but this node; None: there is none, or more than one."""
    loops = []
    for other in successors[name]:
        if successors[other] == [name] and isinstance(graph.nodes[other], nir.Linear):
            loops.append(other)
    if len(loops) != 1:
        return None
    return NamedNode(loops[0], graph.nodes[loops[0]])


def _check_all_used(graph: nir.NIRGraph, chain: Chain) -> None:
    """Refuse nodes that the walk did not come by: what they do would be lost."""
    used = [named_node for named_node in chain if named_node is not None]
    if len(used) == len(graph.nodes):
        return
    on_path = {chain_node.name for chain_node in used if chain_node is not chain.recurrent}
    left_over = sorted(set(graph.nodes) - on_path)
    raise LanceletError(f"NIR nodes {left_over} lie off the path from input to output; {_EXPECTED}")
