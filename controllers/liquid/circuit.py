"""What a drawing of a liquid network shows: its neurons by layer, and the synapses between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Neuron(NamedTuple):
    """A node of the drawing."""

    name: str
    """``layer:number``, numbers from 1; of an input ``input:NAME``, as in lesions"""
    layer: str
    """``input``, a layer of the wiring, ``backbone`` or ``action``"""


class Synapse(NamedTuple):
    """A line of the drawing."""

    source: str
    """name of the neuron that is heard"""
    target: str
    """name of the neuron that hears"""
    strength: float
    """conductance of an open synapse, or the norm of the weights between the two; never below 0"""
    sign: int
    """1 where it excites, -1 where it inhibits, 0 where it does both, as weights of several heads do"""


class Circuit(NamedTuple):
    """Neurons and synapses of a network."""

    neurons: list[Neuron]
    """layer after layer, inputs first and actions last"""
    synapses: list[Synapse]
    """every one that the network has"""


def dense(sources: list[str], targets: list[str], weight: Tensor, signed: bool) -> list[Synapse]:
    """Synapses of a dense layer.

    Args:
        sources: names of the columns' neurons.
        targets: names of the rows' neurons.
        weight: (targets, sources), or (heads, targets, sources) where several numbers join two neurons.
        signed: whether the weights' signs mean anything; needs a weight of two dimensions.
    """
    values = weight.detach().numpy()
    strengths = np.abs(values) if values.ndim == 2 else np.linalg.norm(values, axis=0)
    synapses = []
    for row, target in enumerate(targets):
        for column, source in enumerate(sources):
            sign = int(np.sign(values[row, column])) if signed else 0
            synapses.append(Synapse(source, target, float(strengths[row, column]), sign))
    return synapses


def listed(
    sources: list[str],
    targets: list[str],
    pairs: tuple[np.ndarray, np.ndarray],
    strengths: np.ndarray,
    signs: np.ndarray,
) -> list[Synapse]:
    """Synapses of a list.

    Args:
        sources: names of the neurons that can be heard.
        targets: names of the neurons that can hear.
        pairs: numbers of the source and of the target of each synapse.
        strengths: of each synapse.
        signs: of each synapse.
    """
    synapses = []
    for source, target, strength, sign in zip(*pairs, strengths, signs, strict=True):
        synapses.append(Synapse(sources[source], targets[target], float(strength), int(sign)))
    return synapses
