"""Which neuron hears which: fully connected, or as a neural circuit policy (Lechner et al. 2020).

The rules stand in docs/systems/liquid.md, "Wiring".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...checks import finite_number, whole_number
from ...errors import LanceletError

COMMAND_SHARE = 0.4
"""part of the neurons that are no motor neurons which become command neurons"""


LARGEST_WIRING = 1_000_000
"""possible synapses of a network"""
LARGEST_SEED = 100_000
"""of a wiring; the whole numbers in a saved controller's options may not add up to much more"""


class Layer(NamedTuple):
    """Neurons of one kind; layers follow one another in the state, first to last."""

    name: str
    """``unit`` in a fully connected network; ``inter``, ``command`` or ``motor`` in a circuit policy"""
    size: int
    """number of neurons"""


class SynapseList(NamedTuple):
    """Synapses of one kind, sorted by target and then by source."""

    source: np.ndarray
    """(synapses,) number of the input, or of the neuron, that is heard"""
    target: np.ndarray
    """(synapses,) number of the neuron that hears"""
    polarity: np.ndarray
    """(synapses,) 1 where the synapse excites at first, -1 where it inhibits"""

    @property
    def size(self) -> int:
        """Number of synapses."""
        return len(self.source)


@dataclass(frozen=True, kw_only=True, eq=False)
class Wiring:
    """Neurons in layers and the synapses between them.

    Raises:
        LanceletError: a synapse from or to a neuron that does not exist, one that exists twice, or a neuron that no
            input reaches.
    """

    input_count: int
    """numbers that the network reads"""
    layers: tuple[Layer, ...]
    """the last one is what the action is read from"""
    sensory: SynapseList
    """from inputs to neurons"""
    internal: SynapseList
    """from neurons to neurons"""

    def __post_init__(self) -> None:
        _check_synapses("sensory", self.sensory, self.input_count, self.neuron_count)
        _check_synapses("internal", self.internal, self.neuron_count, self.neuron_count)
        unreached = np.flatnonzero(~self.reached())
        if len(unreached):
            names = self.neuron_names()
            raise LanceletError(
                f"wiring: no input reaches {names[unreached[0]]} "
                f"({len(unreached)} of {self.neuron_count} neurons cannot be reached)"
            )

    @property
    def neuron_count(self) -> int:
        """Number of neurons in all layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def output_count(self) -> int:
        """Number of neurons that the action is read from."""
        return self.layers[-1].size

    def slices(self) -> dict[str, slice]:
        """Where the neurons of each layer stand in the state."""
        result = {}
        first = 0
        for layer in self.layers:
            result[layer.name] = slice(first, first + layer.size)
            first += layer.size
        return result

    def neuron_names(self) -> list[str]:
        """``layer:number`` of every neuron, numbers from 1, in the order of the state."""
        names = []
        for layer in self.layers:
            names += [f"{layer.name}:{number}" for number in range(1, layer.size + 1)]
        return names

    def is_within_layer(self) -> np.ndarray:
        """Whether an internal synapse stays in its layer, (synapses,) bool: these are the recurrent ones."""
        layer_of_neuron = np.repeat(
            np.arange(len(self.layers)), [layer.size for layer in self.layers]
        )
        return layer_of_neuron[self.internal.source] == layer_of_neuron[self.internal.target]

    def reached(self) -> np.ndarray:
        """Whether some chain of synapses leads from an input to a neuron, (neurons,) bool."""
        is_reached = np.zeros(self.neuron_count, bool)
        is_reached[self.sensory.target] = True
        while True:
            from_reached = is_reached[self.internal.source]
            next_reached = is_reached.copy()
            next_reached[self.internal.target[from_reached]] = True
            if (next_reached == is_reached).all():
                return is_reached
            is_reached = next_reached


def _check_synapses(kind: str, synapses: SynapseList, source_count: int, target_count: int) -> None:
    """Refuse a list of synapses that does not fit its neurons.

    Args:
        kind: of the synapses, for the error.
        synapses: the list.
        source_count: number of inputs or neurons that can be heard.
        target_count: number of neurons that can hear.
    """
    for end, numbers, count in (
        ("source", synapses.source, source_count),
        ("target", synapses.target, target_count),
    ):
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < count):
            raise LanceletError(f"wiring: a {kind} synapse has a {end} outside 0 to {count - 1}")
    pairs = synapses.target * source_count + synapses.source
    if len(np.unique(pairs)) != len(pairs):
        raise LanceletError(f"wiring: a {kind} synapse stands twice in the list")


class PolicyCounts(NamedTuple):
    """Sizes of a neural circuit policy."""

    inter: int
    """inter neurons"""
    command: int
    """command neurons"""
    motor: int
    """motor neurons"""
    sensory_fan_out: int
    """inter neurons that an input is heard by"""
    inter_fan_out: int
    """command neurons that an inter neuron is heard by"""
    recurrent: int
    """synapses among the command neurons"""
    motor_fan_in: int
    """command neurons that a motor neuron hears"""


def policy_counts(neurons: int, motors: int, sparsity: float) -> PolicyCounts:
    """Sizes that follow from three numbers, by the rule of the authors' `AutoNCP`.

    Args:
        neurons: number of inter, command and motor neurons together.
        motors: number of motor neurons.
        sparsity: part of the possible synapses that is missing, above 0 and below 1.

    Raises:
        LanceletError: a sparsity outside that range, or too few neurons for an inter and a command neuron.
    """
    finite_number("wiring sparsity", sparsity, above=0, below=1)
    density = 1.0 - sparsity
    command = max(int(COMMAND_SHARE * (neurons - motors)), 1)
    inter = neurons - motors - command
    if inter < 1:
        raise LanceletError(
            f"wiring ncp: {neurons} neurons are too few for {motors} motor neurons, which need "
            f"an inter and a command neuron beside them: give {motors + 2} or more"
        )
    return PolicyCounts(
        inter=inter,
        command=command,
        motor=motors,
        sensory_fan_out=max(int(inter * density), 1),
        inter_fan_out=max(int(command * density), 1),
        recurrent=max(int(command * density * 2), 1),
        motor_fan_in=max(int(command * density), 1),
    )


def full(input_count: int, neurons: int, seed: int = 0) -> Wiring:
    """The wiring in which every neuron hears every input and every neuron.

    Args:
        input_count: numbers that the network reads.
        neurons: number of neurons, in one layer ``unit``.
        seed: of the polarities, half of which excite.
    """
    _check_size(input_count, neurons)
    draws = _Draws(seed)
    return Wiring(
        input_count=input_count,
        layers=(Layer("unit", neurons),),
        sensory=draws.synapses(_every_pair(range(input_count), range(neurons))),
        internal=draws.synapses(_every_pair(range(neurons), range(neurons))),
    )


def policy(input_count: int, counts: PolicyCounts, seed: int = 0) -> Wiring:
    """A neural circuit policy: inputs, then inter, command and motor neurons (Lechner et al. 2020, Methods).

    Args:
        input_count: numbers that the network reads.
        counts: sizes of its layers and fans.
        seed: of the synapses and their polarities.
    """
    whole_number("wiring: fan-out of an input", counts.sensory_fan_out, least=1, most=counts.inter)
    whole_number("wiring: fan-out of an inter neuron", counts.inter_fan_out, 1, counts.command)
    whole_number("wiring: recurrent synapses", counts.recurrent, 0, counts.command**2)
    whole_number("wiring: fan-in of a motor neuron", counts.motor_fan_in, 1, counts.command)
    _check_size(input_count, counts.inter + counts.command + counts.motor)

    draws = _Draws(seed)
    inputs = range(input_count)
    inter = range(counts.inter)
    command = range(inter.stop, inter.stop + counts.command)
    motor = range(command.stop, command.stop + counts.motor)

    to_inter = _fan_out(draws, inputs, inter, counts.sensory_fan_out)
    to_command = _fan_out(draws, inter, command, counts.inter_fan_out)
    among_command = draws.choose(_every_pair(command, command), counts.recurrent)
    to_motor = _fan_in(draws, command, motor, counts.motor_fan_in)
    # Each projection has polarities of its own, so that each is balanced.
    return Wiring(
        input_count=input_count,
        layers=(
            Layer("inter", counts.inter),
            Layer("command", counts.command),
            Layer("motor", counts.motor),
        ),
        sensory=draws.synapses(to_inter),
        internal=_sorted(
            draws.synapses(to_command),
            draws.synapses(among_command),
            draws.synapses(to_motor),
        ),
    )


def _check_size(input_count: int, neurons: int) -> None:
    """Refuse a network whose list of possible synapses would fill the memory: a stranger's file may ask for it."""
    possible = (input_count + neurons) * neurons
    if possible > LARGEST_WIRING:
        raise LanceletError(
            f"wiring: {neurons:,} neurons and {input_count:,} inputs have {possible:,} possible synapses: "
            f"at most {LARGEST_WIRING:,}"
        )


Pairs = np.ndarray
"""(pairs, 2) of numbers: the source, then the target"""


class _Draws:
    """Random choices that are the same in every version of numpy: only the raw bits of a generator are read.

    Args:
        seed: of the generator.
    """

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def choose(self, items: np.ndarray, count: int) -> np.ndarray:
        """`count` distinct ones of `items` (n, ...), at random, in a random order."""
        keys = self._bits.random_raw(len(items))
        order = np.argsort(keys, kind="stable")
        return items[order[:count]]

    def synapses(self, pairs: Pairs) -> SynapseList:
        """Synapses between `pairs`, half of which excite, at random; of an odd number, one more excites."""
        alternating = 1 - 2 * (np.arange(len(pairs)) % 2)
        polarity = self.choose(alternating, len(pairs))
        return _sorted(SynapseList(pairs[:, 0], pairs[:, 1], polarity))


def _sorted(*lists: SynapseList) -> SynapseList:
    """Several lists as one, sorted by target and then by source."""
    source = np.concatenate([synapses.source for synapses in lists])
    target = np.concatenate([synapses.target for synapses in lists])
    polarity = np.concatenate([synapses.polarity for synapses in lists])
    order = np.lexsort((source, target))
    return SynapseList(source[order], target[order], polarity[order])


def _every_pair(sources: range, targets: range) -> Pairs:
    """Every source with every target."""
    source = np.tile(np.arange(sources.start, sources.stop), len(targets))
    target = np.repeat(np.arange(targets.start, targets.stop), len(sources))
    return np.stack([source, target], axis=1)


def _fan_out(draws: _Draws, sources: range, targets: range, fan_out: int) -> Pairs:
    """Each source is heard by `fan_out` random targets; a target that hears nobody gets the mean fan-in."""
    pairs = []
    for source in sources:
        heard_by = draws.choose(np.array(targets), fan_out)
        pairs += [(source, target) for target in heard_by]
    connected = {target for _, target in pairs}
    mean_fan_in = max(len(sources) * fan_out // len(targets), 1)
    for target in targets:
        if target not in connected:
            hears = draws.choose(np.array(sources), mean_fan_in)
            pairs += [(source, target) for source in hears]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _fan_in(draws: _Draws, sources: range, targets: range, fan_in: int) -> Pairs:
    """Each target hears `fan_in` random sources; a source that nobody hears gets the mean fan-out."""
    reversed_pairs = _fan_out(draws, targets, sources, fan_in)
    return reversed_pairs[:, ::-1]
