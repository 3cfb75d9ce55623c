"""Motor units as carriers: power, spectrum, thresholds and discharges; their state and bits."""

import numpy as np
import pytest
from test_emg_statistics import STILL, held, median_frequency, signal_of
from test_emg_stream import run, started

from lancelet.emg_layout import GESTURES
from lancelet.envs.emg import units
from lancelet.envs.emg.settings import Settings
from lancelet.envs.emg.stream import Stream
from lancelet.errors import LanceletError

FIST = GESTURES.index("fist")


@pytest.mark.parametrize("effort", [0.1, 0.3, 1.0])
def test_units_have_the_power_of_the_noise(effort):
    levels = []
    for carrier in ("noise", "units"):
        stream = Stream(level="signal", settings=Settings(**STILL, carrier=carrier), users=(0,))
        levels.append(held(stream, [FIST], 100, effort).std())
    assert levels[1] == pytest.approx(levels[0], rel=0.05)


def test_their_spectrum_lies_where_that_of_muscles_lies():
    fresh = median_frequency(signal_of(Settings(**STILL, carrier="units")))
    tired = median_frequency(signal_of(Settings(**STILL, carrier="units", fatigue=0.5)))
    assert 80 <= fresh <= 120
    assert 0.08 <= 1 - tired / fresh <= 0.17


def test_thresholds_and_rates():
    assert len(units.THRESHOLDS) == 96
    assert units.THRESHOLDS[-1] / units.THRESHOLDS[0] == pytest.approx(30, rel=0.05)
    assert np.median(units.THRESHOLDS) < 0.2 * units.THRESHOLDS[-1]
    lengths = units.POTENTIAL_LENGTHS
    assert 0.005 <= lengths.min() < lengths.max() <= 0.01
    assert units.discharge_rate(0.09, 0.1) == 0
    assert units.discharge_rate(0.1, 0.1) == 8
    assert units.discharge_rate(1.5, 0.1) == 35


def test_a_unit_discharges_at_its_rate_with_the_variation_that_is_meant():
    activation = 0.05
    activations = np.zeros(16)
    activations[3] = activation
    generator = np.random.default_rng(0)
    waiting = np.full(units.UNIT_COUNT, -1.0)
    tail = np.zeros((28, 96), np.float32)
    out = np.zeros((100, 96), np.float32)
    first_unit = 3 * units.UNITS_PER_MUSCLE
    times = []
    for stride in range(3000):
        normals = generator.standard_normal((units.UNIT_COUNT, 4)).astype(np.float32)
        uniforms = generator.uniform(size=units.UNIT_COUNT)
        units.discharge(activations, 0.0, 0.05, uniforms, normals, waiting, tail, out)
        # At this low rate a unit discharges once in two strides: the next time is the last one's interval away.
        times.append((stride + 1) * 0.05 + waiting[first_unit])
    intervals = np.diff(np.unique(np.round(times, 9)))
    rate = units.discharge_rate(activation, units.THRESHOLDS[0])
    assert intervals.mean() == pytest.approx(1 / rate, rel=0.03)
    assert intervals.std() / intervals.mean() == pytest.approx(0.15, rel=0.1)
    is_recruited = waiting.reshape(16, 96) >= 0
    assert (is_recruited[3] == (activation >= units.THRESHOLDS)).all()
    assert not is_recruited[[0, 1, 2, 4]].any()
    height = np.abs(out).reshape(100, 16, 6).max(axis=(0, 2))
    assert height[3] > 0 and height[[0, 1, 2, 4]].max() == 0


def test_bits_and_state():
    settings = Settings(carrier="units", propagation=4.0)
    stream = Stream(level="signal", settings=settings)
    together = run(stream, started(stream, 3))
    memory = started(stream, 1, first_seed=2)
    alone = run(stream, memory, strides=6, first=2)
    assert (alone[:, 0] == together[:6, 2]).all()
    saved = {name: row.copy() for name, row in memory.items()}
    later = run(stream, saved, strides=6, first=2, begin=6)
    assert (later[:, 0] == together[6:, 2]).all()


def test_white_samples_have_no_potentials():
    with pytest.raises(LanceletError, match="carrier = 'units': needs level = 'signal'"):
        Stream(settings=Settings(carrier="units"))
