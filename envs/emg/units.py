"""Motor units in place of the noise carrier: each discharges by itself and gives a potential of two phases, compiled.

See docs/systems/hdemg.md, "Signals". Thresholds and rates follow the shape of Fuglevand, Winter, Patla 1993
(J Neurophysiol 70: 2470-88).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .forearm import MUSCLE_COUNT, TERRITORIES_PER_MUSCLE, TERRITORY_COUNT

UNITS_PER_TERRITORY = 16
UNITS_PER_MUSCLE = UNITS_PER_TERRITORY * TERRITORIES_PER_MUSCLE
"""96 units, numbered by their threshold; neighbours in number lie in different territories"""
UNIT_COUNT = UNITS_PER_MUSCLE * MUSCLE_COUNT
THRESHOLD_RANGE = 30.0
"""highest threshold, in lowest ones"""
HIGHEST_THRESHOLD = 0.6
"""activation at which the last unit is recruited"""
SLOWEST_RATE = 8.0
"""Hz, of a unit that has just been recruited"""
FASTEST_RATE = 35.0
"""Hz, at full activation"""
INTERVAL_VARIATION = 0.15
"""standard deviation of the time between two discharges, in its mean"""
SHORTEST_INTERVAL = 0.01
"""s, longer than a potential: those of one unit never overlap"""
MOST_DISCHARGES = 4
"""discharges of one unit in a stride, at most"""
SHORTEST_POTENTIAL = 0.005
"""s"""
LONGEST_POTENTIAL = 0.010
"""s"""
FATIGUE_SLOWING = 0.25
"""part by which full fatigue lowers frequencies, as it does those of the noise carrier"""
TAIL_SECONDS = LONGEST_POTENTIAL / (1.0 - FATIGUE_SLOWING)
"""s for which a potential goes on after the stride in which it began, at most"""
POTENTIAL_ENERGY = 1.0 / 2.0
"""integral of a squared potential of height 1 and length 1: one period of a sine

With ends that are rounded off the median frequency would be 151 Hz, too high for surface EMG.
"""
GOLDEN_RATIO = 0.6180339887498949
"""fractions of its multiples spread the potentials' lengths evenly"""


def thresholds() -> np.ndarray:
    """Activation at which each unit of a muscle is recruited (UNITS_PER_MUSCLE,): many low ones, few high ones."""
    rank = np.arange(1, UNITS_PER_MUSCLE + 1) / UNITS_PER_MUSCLE
    return HIGHEST_THRESHOLD * np.exp(np.log(THRESHOLD_RANGE) * (rank - 1))


def potential_lengths() -> np.ndarray:
    """Length of each unit's potential (UNITS_PER_MUSCLE,), s."""
    share = (np.arange(UNITS_PER_MUSCLE) * GOLDEN_RATIO) % 1.0
    return SHORTEST_POTENTIAL + (LONGEST_POTENTIAL - SHORTEST_POTENTIAL) * share


THRESHOLDS = thresholds()
POTENTIAL_LENGTHS = potential_lengths()


@njit(cache=True, nogil=True, error_model="numpy")
def discharge_rate(activation, threshold):
    """Discharges a second of a unit; 0 where it is not recruited."""
    if activation < threshold:
        return 0.0
    part = min((activation - threshold) / (1.0 - threshold), 1.0)
    return SLOWEST_RATE + (FASTEST_RATE - SLOWEST_RATE) * part


@njit(cache=True, nogil=True, error_model="numpy")
def territory_power(activation, slowing, out):
    """Fill `out` (TERRITORIES_PER_MUSCLE,) with the mean square of what the units of each territory give together."""
    for k in range(TERRITORIES_PER_MUSCLE):
        out[k] = 0.0
    for unit in range(UNITS_PER_MUSCLE):
        # The height of a potential grows with the root of the threshold: its power with the threshold.
        energy = THRESHOLDS[unit] * POTENTIAL_ENERGY * POTENTIAL_LENGTHS[unit] / slowing
        rate = discharge_rate(activation, THRESHOLDS[unit])
        out[unit % TERRITORIES_PER_MUSCLE] += rate * energy


@njit(cache=True, nogil=True, error_model="numpy")
def add_potential(begin, length, height, rate, column, line):
    """Add one potential to a column of `line` (sample, territory).

    Args:
        begin: s from the first sample to its onset.
        length: s.
        height: of either phase.
        rate: Hz, samples.
        column: the territory.
        line: written.
    """
    first = math.ceil(begin * rate)
    last = min(math.floor((begin + length) * rate), line.shape[0] - 1)
    for sample in range(first, last + 1):
        phase = (sample / rate - begin) / length
        line[sample, column] += height * math.sin(2.0 * math.pi * phase)


@njit(cache=True, nogil=True, error_model="numpy")
def discharge(activations, fatigue, stride_seconds, uniforms, normals, waiting, tail, out):
    """Fill `out` with carriers of power 1: discharges of one stride, and what is left of earlier potentials.

    Args:
        activations: (muscle,) in the middle of the stride.
        fatigue: from 0 to 1.
        stride_seconds: s.
        uniforms: (UNIT_COUNT,) from 0 to 1, where in its first interval a unit begins.
        normals: (UNIT_COUNT, MOST_DISCHARGES) by which intervals vary.
        waiting: (UNIT_COUNT,) s from the stride's start to each unit's next discharge, negative where it is not
            recruited; moves on.
        tail: (sample, territory) of earlier potentials; moves on.
        out: (sample, territory).
    """
    samples = out.shape[0]
    rate = samples / stride_seconds
    slowing = 1.0 - FATIGUE_SLOWING * fatigue
    line = np.zeros((samples + tail.shape[0], TERRITORY_COUNT), np.float32)
    for sample in range(tail.shape[0]):
        for territory in range(TERRITORY_COUNT):
            line[sample, territory] = tail[sample, territory]
    power = np.empty(TERRITORIES_PER_MUSCLE)
    for muscle in range(MUSCLE_COUNT):
        territory_power(activations[muscle], slowing, power)
        for number in range(UNITS_PER_MUSCLE):
            unit = muscle * UNITS_PER_MUSCLE + number
            discharges = discharge_rate(activations[muscle], THRESHOLDS[number])
            if discharges == 0.0:
                waiting[unit] = -1.0
                continue
            if waiting[unit] < 0.0:
                waiting[unit] = uniforms[unit] / discharges
            k = number % TERRITORIES_PER_MUSCLE
            height = math.sqrt(THRESHOLDS[number] / power[k])
            length = POTENTIAL_LENGTHS[number] / slowing
            column = muscle * TERRITORIES_PER_MUSCLE + k
            for count in range(MOST_DISCHARGES):
                if waiting[unit] >= stride_seconds:
                    break
                add_potential(waiting[unit], length, height, rate, column, line)
                interval = (1.0 + INTERVAL_VARIATION * normals[unit, count]) / discharges
                waiting[unit] += max(interval, SHORTEST_INTERVAL)
            waiting[unit] = max(waiting[unit] - stride_seconds, 0.0)
    for sample in range(samples):
        for territory in range(TERRITORY_COUNT):
            out[sample, territory] = line[sample, territory]
    for sample in range(tail.shape[0]):
        for territory in range(TERRITORY_COUNT):
            tail[sample, territory] = line[samples + sample, territory]
