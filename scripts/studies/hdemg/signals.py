"""The generated signals, S1 to S8: spectrum, fatigue, how channels go together, and the short cut of powers.

Codes: docs/systems/hdemg.md, "Row codes".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, sosfilt, welch

from lancelet.emg_layout import BAND, CHANNEL_COUNT, COLUMNS, GESTURES, ROWS, SAMPLE_RATE, STRIDE
from lancelet.envs.emg.settings import Settings
from lancelet.envs.emg.stream import Stream
from lancelet.scripts.rows import at_least, at_most, between
from lancelet.scripts.studies.hdemg import people
from lancelet.scripts.study import Study
from lancelet.training.statistics import interval

USER_COUNT = {"quick": 3, "shown": 20, "full": 20}
"""users whose signals are made"""
SPECTRUM_STRIDES = {"quick": 200, "shown": 600, "full": 600}
"""strides of a held fist whose spectrum is measured"""
FATIGUE = 0.5
STILL = {
    "effort_spread": 0.0,
    "muscle_spread": 0.0,
    "walk": 0.0,
    "jitter": 0.0,
    "settling": 0.0,
    "fatigue_grows": False,
}
"""settings under which a contraction is stationary"""
SEED = 0
"""of contractions and noise"""
RAMP_STRIDES = 6
"""strides until a contraction is stationary"""
FILTER_STRIDES = 4
"""strides until the band-pass has settled"""
PERCENT = 100.0
LEVEL_CONTRACTIONS = 10
"""contractions of every gesture and user, from which levels are measured"""
LEVEL_STRIDES = 40
"""strides of each"""


def signal_rows(study: Study) -> None:
    """S1 to S8."""
    users = people.users(USER_COUNT[study.size])
    spectrum_rows(study, users)
    correlation_rows(study, users)
    level_rows(study, users)


def held(stream: Stream, gestures: np.ndarray, strides: int, seed: int) -> np.ndarray:
    """Outputs (simulation, stride, channel, ...) of held gestures after their ramps, a simulation each."""
    count = len(gestures)
    memory = stream.memory(count)
    rngs = [np.random.default_rng((seed, number)) for number in range(count)]
    stream.reset(memory, np.arange(count), rngs)
    outputs = []
    for stride in range(RAMP_STRIDES + strides):
        stream.advance(memory, gestures, np.ones(count))
        if stride >= RAMP_STRIDES:
            outputs.append(memory[stream.output].copy())
    return np.stack(outputs, axis=1)


def samples(strides: np.ndarray) -> np.ndarray:
    """Band-passed samples (simulation, channel, time) of strides (simulation, stride, channel, samples)."""
    count = len(strides)
    signal = strides.transpose(0, 2, 1, 3).reshape(count, CHANNEL_COUNT, -1)
    sections = butter(4, BAND, "bandpass", fs=SAMPLE_RATE, output="sos")
    return np.asarray(sosfilt(sections, signal, axis=-1))


def median_frequencies(users: Sequence[int], fatigue: float, strides: int) -> np.ndarray:
    """Frequency (users,) that halves the power in the band, Hz: the mean over channels of a held fist."""
    settings = Settings(**STILL, fatigue=fatigue)
    stream = Stream(level="signal", settings=settings, users=tuple(users))
    fists = np.full(len(users), GESTURES.index("fist"))
    signal = samples(held(stream, fists, strides, SEED))
    frequency, power = welch(signal, fs=SAMPLE_RATE, nperseg=SAMPLE_RATE // 2, axis=-1)
    share = np.cumsum(power, axis=-1) / np.sum(power, axis=-1, keepdims=True)
    return frequency[np.argmax(share >= 0.5, axis=-1)].mean(axis=1)


def spectrum_rows(study: Study, users: Sequence[int]) -> None:
    """S1 and S2: where the spectrum has its median, and how far fatigue lowers it."""
    strides = SPECTRUM_STRIDES[study.size]
    fresh = median_frequencies(users, 0.0, strides)
    tired = median_frequencies(users, FATIGUE, strides)
    change = PERCENT * (tired / fresh - 1)
    study.add(
        between(
            "S1 median frequency of a channel (Hz)",
            "gate",
            float(fresh.mean()),
            80.0,
            120.0,
            interval=interval(fresh),
            seeds=len(fresh),
            note=f"band-passed {BAND[0]} to {BAND[1]} Hz, a held fist",
        )
    )
    study.add(
        between(
            f"S2 the same at a fatigue of {FATIGUE:g}: change (%)",
            "gate",
            float(change.mean()),
            -15.0,
            -8.0,
            interval=interval(change),
            seeds=len(change),
        )
    )


def correlations(user: int, is_referred: bool) -> np.ndarray:
    """Correlation of channels by their distance around the arm in columns, (9,), where all territories are equally active.

    Args:
        user: number of the user.
        is_referred: whether the mean of all channels is subtracted.
    """
    stream = Stream(settings=Settings(**STILL), users=(user,))
    memory = stream.memory(1)
    stream.reset(memory, np.array([0]), [np.random.default_rng(SEED)])
    weights = stream.weights(memory, 0).astype(float)
    if is_referred:
        weights = weights - weights.mean(axis=1, keepdims=True)
    covariance = weights.T @ weights
    deviation = np.sqrt(np.diag(covariance))
    table = (covariance / deviation / deviation[:, None]).reshape(ROWS, COLUMNS, ROWS, COLUMNS)
    rows = np.arange(ROWS)[:, None]
    columns = np.arange(COLUMNS)[None]
    by_distance = []
    for distance in range(COLUMNS // 2 + 1):
        pairs = table[rows, columns, rows, (columns + distance) % COLUMNS]
        by_distance.append(pairs.mean())
    return np.array(by_distance)


def correlation_rows(study: Study, users: Sequence[int]) -> None:
    """S3 to S6: how channels go together, and what the common average takes away."""
    monopolar = np.array([correlations(user, is_referred=False) for user in users])
    referred = np.array([correlations(user, is_referred=True) for user in users])
    neighbours = monopolar[:, 1]
    opposite = monopolar[:, -1]
    falls = -np.diff(monopolar.mean(axis=0))
    lowered = (monopolar - referred)[:, 1:].mean(axis=0)
    count = len(users)
    study.add(
        at_least(
            "S3 correlation of neighbours around the arm",
            "gate",
            float(neighbours.mean()),
            0.85,
            interval=interval(neighbours),
            seeds=count,
        )
    )
    study.add(
        between(
            "S4 correlation of opposite channels",
            "gate",
            float(opposite.mean()),
            0.3,
            0.7,
            interval=interval(opposite),
            seeds=count,
        )
    )
    study.add(
        at_least(
            "S5 smallest fall of the correlation from one distance to the next",
            "gate",
            float(falls.min()),
            0.0,
            seeds=count,
            note="1 to 8 columns apart, mean over users",
        )
    )
    study.add(
        at_least(
            "S6 smallest loss of correlation by the common average, over distances",
            "gate",
            float(lowered.min()),
            0.0,
            seeds=count,
        )
    )


def level_rows(study: Study, users: Sequence[int]) -> None:
    """S7 and S8: is the short cut of powers like the full signal, channel by channel?"""
    gestures = np.repeat(np.arange(len(GESTURES)), LEVEL_CONTRACTIONS)
    user = (users[0],)
    power = held(Stream(level="power", users=user), gestures, LEVEL_STRIDES, SEED)
    strides = held(Stream(level="signal", users=user), gestures, LEVEL_STRIDES, SEED)
    blocks = samples(strides).reshape(len(gestures), CHANNEL_COUNT, LEVEL_STRIDES, STRIDE)
    of_signal = np.sqrt(np.square(blocks).mean(axis=-1)).transpose(0, 2, 1)[:, FILTER_STRIDES:]
    of_power = np.sqrt(power)[:, FILTER_STRIDES:]
    ratios = {
        "S7 powers against the signal: largest difference of a channel's mean (%)": (
            of_power.mean((0, 1)) / of_signal.mean((0, 1))
        ),
        "S8 powers against the signal: largest difference of a channel's variance (%)": (
            of_power.var((0, 1)) / of_signal.var((0, 1))
        ),
    }
    for name, ratio in ratios.items():
        study.add(
            at_most(
                name,
                "gate",
                float(PERCENT * np.abs(ratio - 1).max()),
                5.0,
                seeds=len(gestures),
                seeds_of="contractions",
                note="root mean square of a stride, all gestures, one user",
            )
        )
