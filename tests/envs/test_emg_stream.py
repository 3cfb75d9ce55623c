"""The stream: what it writes, that its bits depend on nothing else, and that its state can be saved."""

import numpy as np
import pytest

from lancelet.emg_layout import BAND_NOISE, CHANNEL_COUNT, GESTURES, RAIL, REST
from lancelet.envs.emg.settings import Settings
from lancelet.envs.emg.stream import Stream
from lancelet.errors import LanceletError

FIST = GESTURES.index("fist")
LEVELS = ["power", "signal"]
ALL_ON = Settings(
    session=2, rotation=0.01, limb=0.5, mains=50, artefacts=300.0, dropped=3, montage="average"
)
STRIDES = 12


def started(stream, n, first_seed=0):
    """Rows of `n` simulations; simulation i was reset with seed ``first_seed + i``."""
    memory = stream.memory(n)
    rngs = [np.random.default_rng(first_seed + i) for i in range(n)]
    stream.reset(memory, np.arange(n), rngs)
    return memory


def gestures_of(n, stride, first=0):
    """Gestures that differ between simulations and change every 4 strides."""
    return (np.arange(first, first + n) + stride // 4) % len(GESTURES)


def run(stream, memory, strides=STRIDES, first=0, begin=0):
    """Outputs (stride, n, ...) of some strides."""
    n = len(memory["emg_key"])
    outputs = []
    for stride in range(begin, begin + strides):
        stream.advance(memory, gestures_of(n, stride, first), np.ones(n))
        outputs.append(memory[stream.output].copy())
    return np.array(outputs)


@pytest.mark.parametrize("level", LEVELS)
def test_a_fist_is_louder_than_rest_and_all_rows_are_of_emg(level):
    stream = Stream(level=level, users=(0,))
    memory = started(stream, 2)
    assert all(name.startswith("emg_") for name in memory)
    assert all(len(row) == 2 for row in memory.values())
    for _ in range(10):
        stream.advance(memory, np.array([REST, FIST]), np.ones(2))
    output = memory[stream.output]
    shape = (2, CHANNEL_COUNT) if level == "power" else (2, CHANNEL_COUNT, 100)
    assert output.shape == shape
    assert np.isfinite(output).all()
    assert (memory["emg_delay"] == 0).all()
    assert np.mean(np.abs(output[1])) > 2 * np.mean(np.abs(output[0]))


def test_four_kilohertz():
    memory = started(Stream(level="signal", settings=Settings(rate=4000), users=(0,)), 1)
    assert memory["emg_signal"].shape == (1, CHANNEL_COUNT, 200)


@pytest.mark.parametrize("level", LEVELS)
def test_bits_depend_neither_on_the_number_nor_on_the_place_nor_on_threads(level):
    many = Stream(level=level, settings=ALL_ON)
    together = run(many, started(many, 7))
    for place in (0, 3, 6):
        alone = run(many, started(many, 1, first_seed=place), first=place)
        assert (alone[:, 0] == together[:, place]).all()
    threaded = Stream(level=level, settings=ALL_ON, threads=3)
    assert (run(threaded, started(threaded, 7)) == together).all()


@pytest.mark.parametrize("level", LEVELS)
def test_a_saved_state_goes_on_to_the_bit(level):
    settings = Settings(propagation=4.0) if level == "signal" else ALL_ON
    stream = Stream(level=level, settings=settings)
    memory = started(stream, 2)
    run(stream, memory)
    saved = {name: row.copy() for name, row in memory.items()}
    later = run(stream, memory, begin=STRIDES)
    again = run(Stream(level=level, settings=settings), saved, begin=STRIDES)
    assert (later == again).all()


def test_one_reset_leaves_the_others_alone():
    stream = Stream()
    memory = started(stream, 3)
    other = started(stream, 3)
    run(stream, memory)
    run(stream, other)
    stream.reset(other, np.array([1]), [np.random.default_rng(9)])
    for name, row in memory.items():
        assert (row[[0, 2]] == other[name][[0, 2]]).all()
    assert other["emg_stride"].tolist() == [STRIDES + 1, 1, STRIDES + 1]


def test_users_go_round_and_are_drawn_where_none_is_given():
    assert started(Stream(users=(3, 5)), 3)["emg_user"].tolist() == [3, 5, 3]
    drawn = started(Stream(), 3)["emg_user"]
    assert len(set(drawn.tolist())) == 3
    assert (started(Stream(), 3)["emg_user"] == drawn).all()


def test_ramps_take_200_ms_up_and_150_ms_down():
    still = Settings(
        effort_spread=0.0, muscle_spread=0.0, walk=0.0, jitter=0.0, baseline=0.0, settling=0.0
    )
    stream = Stream(level="signal", settings=still, users=(0,))
    memory = started(stream, 200)
    levels = []
    for gesture in [FIST] * 6 + [REST] * 5:
        stream.advance(memory, np.full(200, gesture), np.ones(200))
        square = np.mean(memory["emg_signal"].astype(float) ** 2, axis=(0, 1)) - 0.08**2
        levels.append(np.sqrt(np.maximum(square.mean(), 0)))
    parts = np.array(levels) / levels[5]
    # Root mean squares of straight ramps over each quarter, or third; carriers remember 5 ms.
    assert np.allclose(parts[:6], [0.13, 0.37, 0.62, 0.87, 1, 1], atol=0.05)
    assert np.allclose(parts[6:], [0.84, 0.52, 0.2, 0, 0], atol=0.06)


def test_a_contraction_begins_with_a_gesture_an_effort_or_a_cue():
    stream = Stream()
    memory = started(stream, 1)
    assert memory["emg_contraction"][0] == 1
    stream.advance(memory, np.array([REST]), np.ones(1))
    assert memory["emg_contraction"][0] == 1
    stream.advance(memory, np.array([FIST]), np.ones(1))
    assert memory["emg_contraction"][0] == 2
    stream.advance(memory, np.array([FIST]), np.array([0.5]))
    assert memory["emg_contraction"][0] == 3
    memory["emg_is_cued"][:] = True
    stream.advance(memory, np.array([FIST]), np.array([0.5]))
    assert memory["emg_contraction"][0] == 4


# -- broken sensors


def broken(level, **settings):
    """Output and delay, healthy and broken, of each of 12 strides; the fault lasts from 0.2 to 0.4 s: strides 4 to 7."""
    runs = []
    for fault in ({}, settings):
        fault_settings = Settings(fault_begin=0.2, fault_seconds=0.2, **fault)
        stream = Stream(level=level, settings=fault_settings, users=(0,))
        memory = started(stream, 1)
        outputs = []
        delays = []
        for _ in range(STRIDES):
            stream.advance(memory, np.array([FIST]), np.ones(1))
            outputs.append(memory[stream.output][0].copy())
            delays.append(memory["emg_delay"][0])
        runs.append((np.array(outputs), delays))
    return runs


BROKEN = slice(4, 8)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("fault", ["nan", "flat", "saturated"])
def test_channels_break(level, fault):
    (healthy, _), (output, delays) = broken(level, fault=fault, fault_channels=5)
    differs = ~np.isclose(output, healthy, rtol=0, atol=0)
    differs = differs.reshape(STRIDES, CHANNEL_COUNT, -1).any(axis=2)
    assert differs[BROKEN].sum(axis=1).tolist() == [5] * 4
    assert not differs[:4].any() and not differs[8:].any()
    values = output[BROKEN][differs[BROKEN]]
    if fault == "nan":
        assert np.isnan(values).all()
    elif fault == "flat":
        assert (values == 0).all()
    else:
        rail = RAIL**2 if level == "power" else RAIL
        assert (np.abs(values) == rail).all()
    assert delays == [0.0] * STRIDES


@pytest.mark.parametrize("level", LEVELS)
def test_a_missing_stride_leaves_the_last_one(level):
    (healthy, _), (output, delays) = broken(level, fault="missing")
    assert (output[BROKEN] == healthy[3]).all()
    assert (output[:4] == healthy[:4]).all() and (output[8:] == healthy[8:]).all()
    assert np.isinf(delays[BROKEN]).all()
    assert delays[:4] + delays[8:] == [0.0] * 8


@pytest.mark.parametrize("level", LEVELS)
def test_a_late_stride_is_an_older_one(level):
    (healthy, _), (output, delays) = broken(level, fault="late", fault_delay=0.1)
    assert (output[BROKEN] == healthy[2:6]).all()
    assert (output[8:] == healthy[8:]).all()
    assert delays[BROKEN] == [0.1] * 4
    assert delays[:4] + delays[8:] == [0.0] * 8


@pytest.mark.parametrize("fault", ["missing", "late", "flat"])
def test_a_fault_from_the_start_spares_the_stride_of_the_reset(fault):
    stream = Stream(settings=Settings(fault=fault, fault_delay=0.15), users=(0,))
    memory = started(stream, 1)
    first = memory["emg_power"].copy()
    assert (first > 0).all()
    stream.advance(memory, np.array([FIST]), np.ones(1))
    expected = np.zeros_like(first) if fault == "flat" else first
    assert (memory["emg_power"] == expected).all()


def test_dropped_channels_give_their_own_noise():
    stream = Stream(settings=Settings(dropped=3), users=(0,))
    memory = started(stream, 1)
    dead = memory["emg_gain"][0] == 0
    assert dead.sum() == 3
    powers = []
    for _ in range(40):
        stream.advance(memory, np.array([FIST]), np.ones(1))
        powers.append(memory["emg_power"][0].copy())
    level = np.sqrt(np.mean(powers, axis=0))
    assert np.allclose(level[dead], BAND_NOISE, rtol=0.1)
    assert level[~dead].min() > 1.5 * BAND_NOISE


# -- what is refused


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"level": "loud"}, "unknown level 'loud'; known: power, signal"),
        ({"settings": {"rate": 2000}}, "settings = .*: must be Settings of EMG"),
        ({"users": ()}, "at least one user"),
        ({"users": (-1,)}, r"users = \(-1,\): must be whole numbers from 0"),
        ({"threads": -1}, "threads = -1"),
        ({"settings": Settings(propagation=4.0)}, "needs level = 'signal'"),
    ],
)
def test_a_stream_that_cannot_be(arguments, words):
    with pytest.raises(LanceletError, match=words):
        Stream(**arguments)


@pytest.mark.parametrize(
    "gesture, effort, words",
    [
        (10, 1.0, "gesture = -?[0-9]+: must be from 0 to 9"),
        (-1, 1.0, "gesture = -?[0-9]+: must be from 0 to 9"),
        (0, -0.5, "effort = (-0.5|nan): must be from 0 to 10"),
        (0, float("nan"), "effort = (-0.5|nan): must be from 0 to 10"),
    ],
)
def test_a_contraction_that_cannot_be(gesture, effort, words):
    stream = Stream()
    memory = started(stream, 1)
    with pytest.raises(LanceletError, match=words):
        stream.advance(memory, np.array([gesture]), np.array([effort]))
