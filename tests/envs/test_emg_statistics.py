"""What the generated signals are like: spectrum, correlations, levels, and both levels of a stream against each other.

Figures are those of docs/systems/hdemg.md, "Signals".
"""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt, welch

from lancelet.emg_layout import (
    BAND,
    CHANNEL_COUNT,
    COLUMNS,
    GESTURES,
    REST,
    ROWS,
    SENSOR_NOISE,
    STRIDE,
)
from lancelet.envs.emg import forearm
from lancelet.envs.emg.settings import Settings
from lancelet.envs.emg.spectrum import carrier_share, independent_samples
from lancelet.envs.emg.stream import Stream

FIST = GESTURES.index("fist")
STILL = {
    "effort_spread": 0.0,
    "muscle_spread": 0.0,
    "walk": 0.0,
    "jitter": 0.0,
    "settling": 0.0,
    "fatigue_grows": False,
}
"""settings under which a contraction is stationary"""
RAMP = 6
"""strides until a contraction is stationary"""


def held(stream, gestures, strides, effort=1.0):
    """Outputs (simulation, stride, channel, ...) of held gestures after their ramps, a simulation each."""
    gestures = np.asarray(gestures)
    n = len(gestures)
    memory = stream.memory(n)
    stream.reset(memory, np.arange(n), [np.random.default_rng(i) for i in range(n)])
    outputs = []
    for stride in range(strides + RAMP):
        stream.advance(memory, gestures, np.full(n, effort))
        if stride >= RAMP:
            outputs.append(memory[stream.output].copy())
    return np.stack(outputs, axis=1)


def signal_of(settings, gestures=(FIST,), strides=200, users=(0,)):
    """Signals (simulation, channel, time) of held gestures."""
    strides_of_signal = held(
        Stream(level="signal", settings=settings, users=users), gestures, strides
    )
    n = len(gestures)
    return strides_of_signal.transpose(0, 2, 1, 3).reshape(n, CHANNEL_COUNT, -1)


def in_band(signal, rate=2000):
    """What decoders look at."""
    return sosfilt(butter(4, BAND, "bandpass", fs=rate, output="sos"), signal, axis=-1)


def median_frequency(signal, rate=2000):
    """Hz that halve the power in the band, the mean over channels."""
    frequency, power = welch(in_band(signal, rate), fs=rate, nperseg=rate // 2, axis=-1)
    share = np.cumsum(power, axis=-1) / np.sum(power, axis=-1, keepdims=True)
    return frequency[np.argmax(share >= 0.5, axis=-1)].mean()


# -- spectrum


def test_the_spectrum_has_its_median_where_muscles_have_it_and_fatigue_lowers_it():
    fresh = median_frequency(signal_of(Settings(**STILL, fatigue=0.0), strides=600))
    tired = median_frequency(signal_of(Settings(**STILL, fatigue=0.5), strides=600))
    assert 80 <= fresh <= 120
    assert 0.08 <= 1 - tired / fresh <= 0.15


def test_the_spectrum_is_the_same_at_four_kilohertz():
    slow = median_frequency(signal_of(Settings(**STILL), strides=300))
    fast = median_frequency(signal_of(Settings(**STILL, rate=4000), strides=300), rate=4000)
    assert fast == pytest.approx(slow, rel=0.05)


def test_carriers_have_power_1_whatever_the_fatigue():
    for fatigue in (0.0, 0.5, 1.0):
        settings = Settings(**STILL, fatigue=fatigue, baseline=0.0)
        level = in_band(signal_of(settings, strides=400)).std()
        # Fatigue raises the amplitude by 0.3 of itself; the noise adds its square.
        expected = (1 + 0.3 * fatigue) * np.sqrt(carrier_share(fatigue))
        scale = level / expected
        if fatigue == 0.0:
            reference = scale
        assert scale == pytest.approx(reference, rel=0.04)


# -- levels and correlations


def test_an_active_channel_is_three_times_as_loud_as_its_noise():
    gestures = np.arange(1, len(GESTURES))
    active = signal_of(Settings(), np.repeat(gestures, 4), strides=20, users=(0, 1, 2, 3, 4))
    assert 0.2 <= active.std(axis=-1).mean() <= 0.3
    still = signal_of(Settings(**STILL, baseline=0.0), (REST,))
    assert still.std(axis=-1) == pytest.approx(SENSOR_NOISE, rel=0.03)


def correlations(montage="monopolar", users=6):
    """Mean correlation of channels by their distance around the arm, (9,), and of neighbours along it, at equal activity.

    No gesture makes all muscles equally active: the weights are looked at.
    """
    around = []
    along = []
    for user in range(users):
        weights = weights_of(user)
        if montage == "average":
            weights = weights - weights.mean(axis=1, keepdims=True)
        covariance = weights.T @ weights
        deviation = np.sqrt(np.diag(covariance))
        table = (covariance / deviation / deviation[:, None]).reshape(ROWS, COLUMNS, ROWS, COLUMNS)
        rows = np.arange(ROWS)[:, None]
        columns = np.arange(COLUMNS)[None]
        around.append(
            [table[rows, columns, rows, (columns + k) % COLUMNS].mean() for k in range(9)]
        )
        upper = np.arange(ROWS - 1)[:, None]
        along.append(table[upper, columns, upper + 1, columns].mean())
    return np.mean(around, axis=0), np.mean(along)


def weights_of(user):
    """What each channel hears of each territory, (territory, channel)."""
    stream = Stream(settings=Settings(**STILL), users=(user,))
    memory = stream.memory(1)
    stream.reset(memory, np.array([0]), [np.random.default_rng(0)])
    return stream.weights(memory, 0).astype(float)


def test_correlations_fall_with_the_distance_around_the_arm():
    around, along = correlations()
    assert (np.diff(around) < 0).all()
    assert around[1] > 0.85
    assert along > 0.85
    assert 0.3 <= around[8] <= 0.7
    referred, _ = correlations("average")
    assert (referred[1:] < around[1:]).all()


def test_weights_are_those_of_the_formula():
    weights = weights_of(3)
    territory = forearm.territories(3)[50]
    angle, height = forearm.electrodes()[37]
    turn = (angle - territory[forearm.ANGLE] + np.pi) % (2 * np.pi) - np.pi
    around = turn * 0.26 / (2 * np.pi)
    along = max(abs(height - territory[forearm.HEIGHT]) - 0.03, 0)
    squared = around**2 + along**2 + (territory[forearm.DEPTH] + 0.01) ** 2
    assert weights[50, 37] == pytest.approx(np.sqrt(0.01**2 / squared / 6), rel=1e-5)


# -- the two levels


def roots_of_both_levels(settings, gestures, strides):
    """Root mean squares (simulation, stride, channel) of the same contractions at the levels power and signal."""
    n = len(gestures)
    power = held(Stream(level="power", settings=settings, users=(0,)), gestures, strides)
    parts = held(Stream(level="signal", settings=settings, users=(0,)), gestures, strides)
    signal = in_band(parts.transpose(0, 2, 1, 3).reshape(n, CHANNEL_COUNT, -1))
    squares = np.mean(signal.reshape(n, CHANNEL_COUNT, strides, STRIDE) ** 2, axis=-1)
    # The filter starts from nothing.
    return np.sqrt(power[:, 4:]), np.sqrt(squares.transpose(0, 2, 1)[:, 4:])


def test_both_levels_have_the_same_mean_and_variance_in_every_channel():
    gestures = np.arange(100) % len(GESTURES)
    power, signal = roots_of_both_levels(Settings(), gestures, 40)
    assert np.allclose(power.mean((0, 1)) / signal.mean((0, 1)), 1, atol=0.05)
    assert np.allclose(power.var((0, 1)) / signal.var((0, 1)), 1, atol=0.05)


@pytest.mark.parametrize("montage", ["average", "longitudinal"])
def test_both_levels_are_as_loud_under_every_montage(montage):
    gestures = np.arange(40) % len(GESTURES)
    power, signal = roots_of_both_levels(Settings(montage=montage), gestures, 30)
    assert np.allclose(power.mean((0, 1)) / signal.mean((0, 1)), 1, atol=0.03)


@pytest.mark.parametrize("gesture", ["rest", "fist", "wrist_abduction"])
@pytest.mark.parametrize("fatigue", [0.0, 0.5])
def test_both_levels_flicker_alike_within_a_contraction(gesture, fatigue):
    settings = Settings(**STILL, fatigue=fatigue)
    gestures = np.full(40, GESTURES.index(gesture))
    power, signal = roots_of_both_levels(settings, gestures, 80)
    assert np.allclose(power.mean((0, 1)) / signal.mean((0, 1)), 1, atol=0.02)
    variance_ratio = power.var(axis=1).mean(axis=0) / signal.var(axis=1).mean(axis=0)
    # One channel's variance is known to 4 % only: the channels' mean is looked at.
    assert variance_ratio.mean() == pytest.approx(1, abs=0.05)


def test_white_samples_are_as_many_as_a_stride_holds():
    assert [independent_samples(fatigue) for fatigue in (0.0, 0.5, 1.0)] == [19, 17, 15]
