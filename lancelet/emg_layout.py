"""High-density EMG by name: gestures, channels, rates, and what a recording is (docs/systems/hdemg.md).

It stands here because controllers decode what tasks generate, and neither imports the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

GESTURES = (
    "rest",
    "wrist_flexion",
    "wrist_extension",
    "wrist_abduction",
    "wrist_adduction",
    "pronation",
    "supination",
    "fist",
    "finger_extension",
    "tripod",
)
"""the gestures in the order of posteriors and of gesture numbers (docs/systems/hdemg.md, "Gestures")"""
REST = GESTURES.index("rest")
"""number of the gesture that stops the robot"""
GESTURE_COUNT = len(GESTURES)

COLUMNS = 16
"""electrodes around the forearm"""
ROWS = 4
"""electrodes along the forearm"""
CHANNEL_COUNT = COLUMNS * ROWS
"""channel number = row * COLUMNS + column"""
SAMPLE_RATE = 2000
"""Hz"""
STRIDE = 100
"""samples from one decision to the next: one control step of the robot, 50 ms"""
STRIDE_RATE = SAMPLE_RATE / STRIDE
"""Hz, decisions"""
SENSOR_NOISE = 0.08
"""root mean square of a channel's own noise, in the units of the generated signal (an active channel has 0.24)"""
BAND = (20.0, 450.0)
"""Hz, what decoders look at: the power level of a stream counts only what lies in it"""
BAND_NOISE = 0.0526
"""root mean square of a channel's own noise within `BAND`, as a Butterworth filter of the fourth order leaves it"""
RAIL = 8.0
"""largest value that a channel can show, in the units of the generated signal: a channel that stands there is saturated"""
LEVEL_FLOOR = 0.01 * SENSOR_NOISE
"""added to a root mean square before its logarithm"""
FEATURE_COUNT = CHANNEL_COUNT + 1
"""one stride's features: log RMS of each channel less their median, then the median"""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Cued trials of one person, as loaders give them and decoders are fitted to (docs/systems/hdemg.md, "Recordings").

    Args:
        signal: (trial, channel, time) float32. With ``level="signal"`` voltages in any unit; with ``level="power"``
            the mean square of each channel in each stride, and `rate` is the strides' rate.
        labels: gesture of each trial, by name.
        sessions: (trial,) number of the session, from 1; donning the sleeve anew begins another one.
        rate: Hz.
        layout: rows and columns of the electrodes; rows * columns channels, number = row * columns + column.
        level: what `signal` holds.
    """

    signal: np.ndarray
    labels: tuple[str, ...]
    sessions: np.ndarray
    rate: float
    layout: tuple[int, int] = (ROWS, COLUMNS)
    level: Literal["signal", "power"] = "signal"
