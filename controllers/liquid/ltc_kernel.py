"""Liquid time-constant neurons through time and back, compiled: loops over synapses, and over agents inside.

Autograd would keep every synapse of every solver step; this keeps the activities, and computes the synapses a second
time on the way back. The numbers equal those of `LTCCell` to rounding; the equations stand in
docs/systems/liquid.md, "Time constants that are liquid". Arrays have the agents last, so that the innermost loops run
over memory without gaps. A name ``grad_x`` is the derivative of the loss by x, and has the shape of x.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from .compiled_tanh import logistic
from .ltc_cell import LEAST_LEAK

LEAST = np.float32(LEAST_LEAK)
"""of the kernel's type"""


class SynapseArrays(NamedTuple):
    """Synapses of one kind, (synapses,) each."""

    source: Any
    """int64"""
    target: Any
    """int64"""
    weight: Any
    """conductance when open"""
    slope: Any
    """of the opening"""
    centre: Any
    """activity of the source at which it is half open"""
    reversal: Any
    """activity that it pulls its target towards"""


class NeuronArrays(NamedTuple):
    """Neurons, (neurons,) each."""

    leak: Any
    """conductance of the leak"""
    potential: Any
    """activity that the leak pulls towards"""
    capacitance: Any
    """in units of a conductance times a period"""


class Trace(NamedTuple):
    """What the way back needs, agents last."""

    activity: Any
    """(steps * unfoldings + 1, neurons, batch), before every solver step and after the last one"""
    total: Any
    """(steps * unfoldings, neurons, batch) what a solver step divides by"""


@njit(cache=True, nogil=True, error_model="numpy")
def _add_synapses(synapses, source_activity, current, conductance):
    """Add what the synapses do to `current` and `conductance` (neurons, batch), in place."""
    for number in range(len(synapses.source)):
        heard = source_activity[synapses.source[number]]
        target = synapses.target[number]
        weight = synapses.weight[number]
        slope = synapses.slope[number]
        centre = synapses.centre[number]
        reversal = synapses.reversal[number]
        target_current = current[target]
        target_conductance = conductance[target]
        for agent in range(len(heard)):
            open_now = weight * logistic(slope * (heard[agent] - centre))
            target_current[agent] += open_now * reversal
            target_conductance[agent] += open_now


@njit(cache=True, nogil=True, error_model="numpy")
def run(felt, interval, sensory, internal, neurons, unfoldings, trace):
    """All steps forward; fills `trace`, whose first activity is the state before them.

    Args:
        felt: input (steps, k, batch) as the sensory synapses read it.
        interval: of a solver step in periods, (steps, batch).
        sensory: `SynapseArrays` from the inputs.
        internal: `SynapseArrays` between neurons.
        neurons: `NeuronArrays`.
        unfoldings: solver steps in a control step.
        trace: `Trace`, changed in place.
    """
    neuron_count = trace.activity.shape[1]
    batch = trace.activity.shape[2]
    sensory_current = np.zeros((neuron_count, batch), np.float32)
    sensory_conductance = np.zeros((neuron_count, batch), np.float32)
    current = np.zeros((neuron_count, batch), np.float32)
    conductance = np.zeros((neuron_count, batch), np.float32)
    for step in range(len(felt)):
        sensory_current[:] = 0
        sensory_conductance[:] = 0
        _add_synapses(sensory, felt[step], sensory_current, sensory_conductance)
        for unfolding in range(unfoldings):
            place = step * unfoldings + unfolding
            activity = trace.activity[place]
            current[:] = sensory_current
            conductance[:] = sensory_conductance
            _add_synapses(internal, activity, current, conductance)
            for neuron in range(neuron_count):
                capacitance = neurons.capacitance[neuron]
                leak = neurons.leak[neuron]
                leak_current = leak * neurons.potential[neuron]
                next_activity = trace.activity[place + 1, neuron]
                total = trace.total[place, neuron]
                for agent in range(batch):
                    dt = interval[step, agent]
                    numerator = capacitance * activity[neuron, agent]
                    numerator += dt * (leak_current + current[neuron, agent])
                    total_leak = leak + conductance[neuron, agent] + LEAST
                    total[agent] = capacitance + dt * total_leak
                    next_activity[agent] = numerator / total[agent]


# Sums over agents may be taken lane by lane: that is what `reassoc` allows, and all that it allows.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def _back_synapses(
    synapses, source_activity, grad_current, grad_conductance, grad_source, grad_synapses
):
    """Back through `_add_synapses`: adds to `grad_source` (sources, batch) and to `grad_synapses`, in place."""
    for number in range(len(synapses.source)):
        heard = source_activity[synapses.source[number]]
        grad_heard = grad_source[synapses.source[number]]
        target = synapses.target[number]
        of_current = grad_current[target]
        of_conductance = grad_conductance[target]
        weight = synapses.weight[number]
        slope = synapses.slope[number]
        centre = synapses.centre[number]
        reversal = synapses.reversal[number]
        sum_weight = np.float32(0)
        sum_slope = np.float32(0)
        sum_centre = np.float32(0)
        sum_reversal = np.float32(0)
        for agent in range(len(heard)):
            distance = heard[agent] - centre
            opening = logistic(slope * distance)
            grad_open_now = of_current[agent] * reversal + of_conductance[agent]
            sum_reversal += of_current[agent] * weight * opening
            sum_weight += grad_open_now * opening
            grad_argument = grad_open_now * weight * opening * (np.float32(1) - opening)
            sum_slope += grad_argument * distance
            sum_centre -= grad_argument * slope
            grad_heard[agent] += grad_argument * slope
        # float64, since these are sums over all steps.
        grad_synapses.weight[number] += sum_weight
        grad_synapses.slope[number] += sum_slope
        grad_synapses.centre[number] += sum_centre
        grad_synapses.reversal[number] += sum_reversal


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def run_back(
    felt,
    interval,
    sensory,
    internal,
    neurons,
    unfoldings,
    trace,
    grad_hidden,
    grad_felt,
    grad_sensory,
    grad_internal,
    grad_neurons,
):
    """Back through `run`, last solver step first.

    Args:
        felt: as in `run`, and so are `interval`, `sensory`, `internal`, `neurons`, `unfoldings` and `trace`.
        interval: as above.
        sensory: as above.
        internal: as above.
        neurons: as above.
        unfoldings: as above.
        trace: as `run` has filled it.
        grad_hidden: of the activity after every control step, (steps, neurons, batch).
        grad_felt: changed in place.
        grad_sensory: `SynapseArrays` of float64, changed in place.
        grad_internal: the same for the synapses between neurons.
        grad_neurons: `NeuronArrays` of float64, changed in place.

    Returns:
        The gradient of the activity before the first step, (neurons, batch).
    """
    neuron_count = trace.activity.shape[1]
    batch = trace.activity.shape[2]
    grad_activity = np.zeros((neuron_count, batch), np.float32)
    grad_before = np.zeros((neuron_count, batch), np.float32)
    grad_current = np.zeros((neuron_count, batch), np.float32)
    grad_conductance = np.zeros((neuron_count, batch), np.float32)
    # The sensory synapses act in every solver step of a control step: their gradients are summed over these.
    sensory_grad_current = np.zeros((neuron_count, batch), np.float32)
    sensory_grad_conductance = np.zeros((neuron_count, batch), np.float32)
    for step in range(len(felt) - 1, -1, -1):
        grad_activity += grad_hidden[step]
        sensory_grad_current[:] = 0
        sensory_grad_conductance[:] = 0
        for unfolding in range(unfoldings - 1, -1, -1):
            place = step * unfoldings + unfolding
            activity = trace.activity[place]
            for neuron in range(neuron_count):
                capacitance = neurons.capacitance[neuron]
                leak = neurons.leak[neuron]
                potential = neurons.potential[neuron]
                sum_leak = np.float32(0)
                sum_potential = np.float32(0)
                sum_capacitance = np.float32(0)
                for agent in range(batch):
                    dt = interval[step, agent]
                    next_activity = trace.activity[place + 1, neuron, agent]
                    grad_numerator = (
                        grad_activity[neuron, agent] / trace.total[place, neuron, agent]
                    )
                    grad_total = -grad_numerator * next_activity
                    of_current = dt * grad_numerator
                    of_conductance = dt * grad_total
                    grad_current[neuron, agent] = of_current
                    grad_conductance[neuron, agent] = of_conductance
                    sensory_grad_current[neuron, agent] += of_current
                    sensory_grad_conductance[neuron, agent] += of_conductance
                    grad_before[neuron, agent] = grad_numerator * capacitance
                    sum_capacitance += grad_numerator * activity[neuron, agent] + grad_total
                    sum_leak += of_current * potential + of_conductance
                    sum_potential += of_current * leak
                grad_neurons.leak[neuron] += sum_leak
                grad_neurons.potential[neuron] += sum_potential
                grad_neurons.capacitance[neuron] += sum_capacitance
            _back_synapses(
                internal, activity, grad_current, grad_conductance, grad_before, grad_internal
            )
            grad_activity[:] = grad_before
        _back_synapses(
            sensory,
            felt[step],
            sensory_grad_current,
            sensory_grad_conductance,
            grad_felt[step],
            grad_sensory,
        )
    return grad_activity


class Structure(NamedTuple):
    """What is not trained: who hears whom, and how often the solver steps."""

    sensory_source: np.ndarray
    """(sensory synapses,)"""
    sensory_target: np.ndarray
    """(sensory synapses,)"""
    internal_source: np.ndarray
    """(internal synapses,)"""
    internal_target: np.ndarray
    """(internal synapses,)"""
    unfoldings: int
    """solver steps in a control step"""


SYNAPSE_NUMBERS = 4
"""weight, slope, centre and reversal"""


class ThroughTime(torch.autograd.Function):
    """`run` as one node of torch's graph."""

    @staticmethod
    def forward(
        ctx: Any,
        structure: Structure,
        interval: Tensor,
        felt: Tensor,
        start: Tensor,
        *numbers: Tensor,
    ) -> Tensor:
        """Activity after every control step, (steps, batch, neurons), float32.

        Args:
            ctx: torch's store for the way back.
            structure: of the network.
            interval: of a solver step in periods, (steps, batch); no gradient flows to it.
            felt: input as the sensory synapses read it, (steps, batch, k).
            start: activity before the first step, (batch, neurons).
            numbers: weight, slope, centre and reversal of the sensory synapses, the same of the internal ones, then
                leak, leak potential and capacitance of the neurons.
        """
        agents_last = np.ascontiguousarray(felt.detach().numpy().transpose(0, 2, 1))
        solver_steps = len(agents_last) * structure.unfoldings
        batch, neuron_count = start.shape
        trace = Trace(
            activity=np.empty((solver_steps + 1, neuron_count, batch), np.float32),
            total=np.empty((solver_steps, neuron_count, batch), np.float32),
        )
        trace.activity[0] = start.detach().numpy().T
        intervals = np.ascontiguousarray(interval.detach().numpy())
        sensory, internal, neurons = _arrays(structure, numbers)
        run(agents_last, intervals, sensory, internal, neurons, structure.unfoldings, trace)
        ctx.save_for_backward(*numbers)
        ctx.structure = structure
        ctx.felt = agents_last
        ctx.interval = intervals
        ctx.trace = trace
        after_steps = trace.activity[structure.unfoldings :: structure.unfoldings]
        return torch.from_numpy(np.ascontiguousarray(after_steps.transpose(0, 2, 1)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of `forward`'s arguments; None for `structure` and `interval`."""
        structure: Structure = ctx.structure
        sensory, internal, neurons = _arrays(structure, ctx.saved_tensors)
        grad_hidden = np.ascontiguousarray(grad_output.numpy().transpose(0, 2, 1))
        grad_felt = np.zeros_like(ctx.felt)
        grad_sensory = _zeros(sensory)
        grad_internal = _zeros(internal)
        grad_neurons = NeuronArrays(*(np.zeros(len(array)) for array in neurons))
        grad_start = run_back(
            ctx.felt,
            ctx.interval,
            sensory,
            internal,
            neurons,
            structure.unfoldings,
            ctx.trace,
            grad_hidden,
            grad_felt,
            grad_sensory,
            grad_internal,
            grad_neurons,
        )
        sums = [*_numbers(grad_sensory), *_numbers(grad_internal), *grad_neurons]
        return (
            None,
            None,
            torch.from_numpy(np.ascontiguousarray(grad_felt.transpose(0, 2, 1))),
            torch.from_numpy(np.ascontiguousarray(grad_start.T)),
            *(torch.from_numpy(array.astype(np.float32)) for array in sums),
        )


def _arrays(
    structure: Structure, numbers: tuple[Tensor, ...]
) -> tuple[SynapseArrays, SynapseArrays, NeuronArrays]:
    """The numbers of `ThroughTime.forward` as arrays of sensory synapses, internal synapses and neurons."""
    arrays = [np.ascontiguousarray(values.detach().numpy()) for values in numbers]
    sensory = SynapseArrays(
        structure.sensory_source, structure.sensory_target, *arrays[:SYNAPSE_NUMBERS]
    )
    internal_end = 2 * SYNAPSE_NUMBERS
    internal = SynapseArrays(
        structure.internal_source,
        structure.internal_target,
        *arrays[SYNAPSE_NUMBERS:internal_end],
    )
    return sensory, internal, NeuronArrays(*arrays[internal_end:])


def _zeros(synapses: SynapseArrays) -> SynapseArrays:
    """Sums of gradients, at 0, in float64."""
    numbers = [np.zeros(len(array)) for array in _numbers(synapses)]
    return SynapseArrays(synapses.source, synapses.target, *numbers)


def _numbers(synapses: SynapseArrays) -> tuple[np.ndarray, ...]:
    """Weight, slope, centre and reversal, which are trained."""
    return synapses.weight, synapses.slope, synapses.centre, synapses.reversal
