"""What the compiled generator works on: the state of simulations, what a stride is written to, and a stream's plan.

The three are tuples of arrays and numbers by name, which compiled code reads as Python does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...emg_layout import CHANNEL_COUNT
from .forearm import MUSCLE_COUNT, TERRITORY_COUNT

# Columns of a burst, an array (n, 5).
BURST_AGE = 0
"""s since it began"""
BURST_SECONDS = 1
"""s that it lasts; 0: there is none"""
BURST_FREQUENCY = 2
"""Hz"""
BURST_COLUMN = 3
"""column of electrodes in the middle of the patch"""
BURST_PHASE = 4
"""rad"""
BURST_COLUMNS = 5

# Columns of a shift, arrays (n, 2).
ROTATION = 0
"""m along the skin"""
SLIDE = 1
"""m along the arm"""

# Rows of the carriers' filters, an array (n, 4, TERRITORY_COUNT): the last values of the white noise and of each stage.
WHITE = 0
HIGH_PASS = 1
FIRST_LOW_PASS = 2
SECOND_LOW_PASS = 3
FILTER_ROWS = 4


class Rows(NamedTuple):
    """State of simulations: the arrays of the memory whose names begin with ``emg_``."""

    key: np.ndarray
    """(n,) uint64, of the random bits"""
    stride: np.ndarray
    """(n,) strides made since the reset"""
    contraction: np.ndarray
    """(n,) contractions begun since the reset"""
    is_cued: np.ndarray
    """(n,) whether the next stride begins a contraction though neither gesture nor effort changes"""
    gesture: np.ndarray
    """(n,) gesture that is being made"""
    effort: np.ndarray
    """(n,) strength that is asked for"""
    seconds: np.ndarray
    """(n,) s since the contraction began"""
    origin: np.ndarray
    """(n, muscle) activations when it began"""
    strength: np.ndarray
    """(n, muscle) factor of each muscle in this contraction"""
    rest: np.ndarray
    """(n, muscle) activation below the contraction"""
    walk: np.ndarray
    """(n, muscle) log of each muscle's random walk"""
    fatigue: np.ndarray
    """(n,) from 0 to 1"""
    territories: np.ndarray
    """(n, territory, 3) columns of `forearm`"""
    shift: np.ndarray
    """(n, 2) m, of the sleeve"""
    jitter: np.ndarray
    """(n, 2) m, of the skin in this contraction"""
    gain: np.ndarray
    """(n, channel), 0 where contact is lost"""
    burst: np.ndarray
    """(n, 5) the artefact that is going on"""


class Work(NamedTuple):
    """What a stride is written to, and what the carriers keep; arrays without rows where a level has no use for them."""

    filters: np.ndarray
    """(n, stage, territory) of the carriers"""
    past: np.ndarray
    """(n, sample, territory) what runs along the fibres; without a sample where nothing runs"""
    waiting: np.ndarray
    """(n, unit) s to each motor unit's next discharge; without a unit where carriers are noise"""
    tail: np.ndarray
    """(n, sample, territory) what is left of motor units' potentials; without a sample where carriers are noise"""
    signal: np.ndarray
    """(n, channel, sample)"""
    power: np.ndarray
    """(n, channel)"""


class Plan(NamedTuple):
    """What is the same for all simulations of a stream."""

    is_power: bool
    """whether strides are a few white samples, of which only the mean square is told"""
    samples: int
    """samples of a stride"""
    has_units: bool
    """whether carriers are motor units' potentials, not noise"""
    templates: np.ndarray
    """(gesture, muscle) activations"""
    limb: np.ndarray
    """(muscle,) factors of the limb's position"""
    electrodes: np.ndarray
    """(channel, 2) angle, rad, and height, m"""
    noise: float
    """root mean square of a sample's own noise"""
    carrier: float
    """root mean square of a carrier"""
    effort_spread: float
    """as `settings.Settings` tells it, and so are the next five"""
    muscle_spread: float
    baseline: float
    walk: float
    jitter: float
    fatigue_grows: bool
    settling: float
    """part of the amplitude that settling takes"""
    age: float
    """s for which the sleeve was worn before the reset"""
    mains: float
    """Hz, 0: none"""
    mains_level: float
    """root mean square of the hum"""
    artefacts: float
    """1/s"""
    montage: int
    """number in `generator.MONTAGES`"""
    propagation: float
    """m/s, 0: none"""


ROW_SHAPES = {
    "key": ((), np.uint64),
    "stride": ((), np.int64),
    "contraction": ((), np.int64),
    "is_cued": ((), np.bool_),
    "gesture": ((), np.int64),
    "effort": ((), np.float64),
    "seconds": ((), np.float64),
    "origin": ((MUSCLE_COUNT,), np.float64),
    "strength": ((MUSCLE_COUNT,), np.float64),
    "rest": ((MUSCLE_COUNT,), np.float64),
    "walk": ((MUSCLE_COUNT,), np.float64),
    "fatigue": ((), np.float64),
    "territories": ((TERRITORY_COUNT, 3), np.float64),
    "shift": ((2,), np.float64),
    "jitter": ((2,), np.float64),
    "gain": ((CHANNEL_COUNT,), np.float64),
    "burst": ((BURST_COLUMNS,), np.float64),
}
"""shape of one simulation's row, and type, of every field of `Rows`"""
