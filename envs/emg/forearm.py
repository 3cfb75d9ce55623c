"""The forearm: muscles, their territories, electrodes around them, and how people differ.

Numbers are those of docs/systems/hdemg.md, "Signals". The forearm is a cylinder. A place on it is an angle around the
arm, a height along the arm from the middle of the sleeve, and a depth below the muscle's surface.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ...emg_layout import CHANNEL_COUNT, COLUMNS, GESTURES, ROWS

CIRCUMFERENCE = 0.26
"""m"""
RADIUS = CIRCUMFERENCE / (2 * np.pi)
"""m"""
ROW_DISTANCE = 0.02
"""m from one row of electrodes to the next"""
TERRITORIES_PER_MUSCLE = 6
"""groups of motor units of one muscle that have a carrier of their own"""


class Muscle(NamedTuple):
    """Where a muscle lies."""

    angle: float
    """degrees around the arm"""
    depth: float
    """mm"""
    height: float
    """mm along the arm, of the middle of its fibres; positive towards the elbow"""


MUSCLES = {
    "FCR": Muscle(angle=70, depth=8, height=0),
    "PL": Muscle(angle=95, depth=6, height=0),
    "FCU": Muscle(angle=135, depth=8, height=0),
    "FDS": Muscle(angle=105, depth=14, height=-10),
    "FDP": Muscle(angle=120, depth=22, height=0),
    "PT": Muscle(angle=45, depth=10, height=30),
    "FPL": Muscle(angle=60, depth=20, height=-30),
    "BR": Muscle(angle=10, depth=8, height=20),
    "ECRL": Muscle(angle=-15, depth=8, height=20),
    "ECRB": Muscle(angle=-30, depth=9, height=10),
    "ED": Muscle(angle=-70, depth=8, height=0),
    "EDM": Muscle(angle=-95, depth=9, height=-10),
    "ECU": Muscle(angle=-120, depth=8, height=0),
    "SUP": Muscle(angle=-45, depth=18, height=30),
    "APL": Muscle(angle=-50, depth=14, height=-30),
    "EPL": Muscle(angle=-75, depth=16, height=-35),
}
"""muscles by their usual abbreviations"""
MUSCLE_COUNT = len(MUSCLES)
TERRITORY_COUNT = MUSCLE_COUNT * TERRITORIES_PER_MUSCLE
"""territory number = muscle * TERRITORIES_PER_MUSCLE + k"""

TEMPLATES = {
    "rest": {},
    "wrist_flexion": {"FCR": 0.8, "FCU": 0.7, "PL": 0.6, "FDS": 0.2},
    "wrist_extension": {"ECRL": 0.7, "ECRB": 0.8, "ECU": 0.7, "ED": 0.3},
    "wrist_abduction": {"FCR": 0.6, "ECRL": 0.8, "ECRB": 0.5, "APL": 0.4},
    "wrist_adduction": {"FCU": 0.8, "ECU": 0.8},
    "pronation": {"PT": 0.9, "FCR": 0.2, "BR": 0.2},
    "supination": {"SUP": 0.9, "BR": 0.4, "APL": 0.2},
    "fist": {"FDS": 0.8, "FDP": 0.8, "FPL": 0.6, "ECRB": 0.4, "ED": 0.2},
    "finger_extension": {"ED": 0.9, "EDM": 0.7, "EPL": 0.6, "ECRB": 0.2},
    "tripod": {"FPL": 0.7, "FDS": 0.45, "FDP": 0.4, "APL": 0.4, "ECRB": 0.25},
}
"""gesture -> activation of the muscles that take part, of their largest one"""

# Columns of a territory, an array (TERRITORY_COUNT, 3).
ANGLE = 0
"""rad"""
HEIGHT = 1
"""m"""
DEPTH = 2
"""m"""

# How the territories of a muscle lie about its middle: standard deviations.
TERRITORY_ANGLE_SD = np.radians(7.0)
"""rad"""
TERRITORY_HEIGHT_SD = 0.006
"""m"""
TERRITORY_DEPTH_SD = 0.002
"""m"""
LEAST_DEPTH = 0.001
"""m; no territory lies nearer to the skin's underside"""

# How people differ: standard deviations over users.
USER_ANGLE_SD = np.radians(6.0)
"""rad, of each muscle"""
USER_LOG_DEPTH_SD = 0.12
"""of each muscle"""

# First words of the seeds of what is drawn once a user or a session, so that no two draws share a generator.
USER_SEED = 1
SESSION_SEED = 2
DROPPED_SEED = 3
FAULT_SEED = 4


def activations() -> np.ndarray:
    """`TEMPLATES` as an array (gesture, muscle), in the order of `GESTURES` and of `MUSCLES`."""
    names = list(MUSCLES)
    table = np.zeros((len(GESTURES), MUSCLE_COUNT))
    for row, gesture in enumerate(GESTURES):
        for muscle, activation in TEMPLATES[gesture].items():
            table[row, names.index(muscle)] = activation
    return table


def electrodes() -> np.ndarray:
    """Place of every channel (CHANNEL_COUNT, 2): angle, rad, and height, m."""
    angles = 2 * np.pi * np.arange(COLUMNS) / COLUMNS
    heights = (np.arange(ROWS) - (ROWS - 1) / 2) * ROW_DISTANCE
    places = np.zeros((ROWS, COLUMNS, 2))
    places[:, :, ANGLE] = angles
    places[:, :, HEIGHT] = heights[:, None]
    return places.reshape(-1, 2)


@functools.lru_cache(maxsize=1024)
def territories(user: int, is_varied: bool = True) -> np.ndarray:
    """Places of one person's territories (TERRITORY_COUNT, 3): angle, rad; height, m; depth, m. Not to be written to.

    Args:
        user: number of the person; the same number is the same forearm, always.
        is_varied: whether muscles lie elsewhere in each person; territories always lie elsewhere.
    """
    generator = np.random.default_rng((USER_SEED, user))
    # All is drawn whether it is used or not, so that territories lie about their muscles alike.
    muscle_angle = USER_ANGLE_SD * generator.standard_normal(MUSCLE_COUNT)
    muscle_log_depth = USER_LOG_DEPTH_SD * generator.standard_normal(MUSCLE_COUNT)
    spread = generator.standard_normal((MUSCLE_COUNT, TERRITORIES_PER_MUSCLE, 3))
    if not is_varied:
        muscle_angle[:] = 0.0
        muscle_log_depth[:] = 0.0

    places = np.zeros((MUSCLE_COUNT, TERRITORIES_PER_MUSCLE, 3))
    for number, muscle in enumerate(MUSCLES.values()):
        places[number, :, ANGLE] = np.radians(muscle.angle) + muscle_angle[number]
        places[number, :, HEIGHT] = muscle.height / 1000
        places[number, :, DEPTH] = muscle.depth / 1000 * np.exp(muscle_log_depth[number])
    places += spread * (TERRITORY_ANGLE_SD, TERRITORY_HEIGHT_SD, TERRITORY_DEPTH_SD)
    places[:, :, DEPTH] = np.maximum(places[:, :, DEPTH], LEAST_DEPTH)
    places = places.reshape(TERRITORY_COUNT, 3)
    places.flags.writeable = False
    return places


class Sleeve(NamedTuple):
    """How a sleeve lies on an arm, in standard deviations."""

    shift: np.ndarray
    """(2,) turn and slide since the first session"""
    log_gain: np.ndarray
    """(CHANNEL_COUNT,) change of each channel's log gain since the first session"""


@functools.lru_cache(maxsize=1024)
def sleeve(user: int, session: int) -> Sleeve:
    """The sleeve of a user in a session: that of the first is where it is meant to be. Arrays are not to be written to."""
    generator = np.random.default_rng((SESSION_SEED, user, session))
    shift = generator.standard_normal(2)
    log_gain = generator.standard_normal(CHANNEL_COUNT)
    if session == 1:
        shift[:] = 0.0
        log_gain[:] = 0.0
    for values in (shift, log_gain):
        values.flags.writeable = False
    return Sleeve(shift=shift, log_gain=log_gain)
