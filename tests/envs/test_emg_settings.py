"""Settings of EMG: JSON, bad values, and that each disturbance does what it says."""

import json

import numpy as np
import pytest
from scipy.signal import welch

from lancelet.emg_layout import CHANNEL_COUNT, COLUMNS, GESTURES, REST
from lancelet.envs.emg import forearm
from lancelet.envs.emg.settings import Settings
from lancelet.envs.emg.stream import Stream, limb_factors
from lancelet.errors import LanceletError

FIST = GESTURES.index("fist")


def made(gesture=FIST, strides=20, level="power", users=(0,), n=1, **settings):
    """Memory after some strides of a gesture, and all outputs (stride, n, channel, ...)."""
    stream = Stream(level=level, settings=Settings(**settings), users=users)
    memory = stream.memory(n)
    stream.reset(memory, np.arange(n), [np.random.default_rng(i) for i in range(n)])
    outputs = []
    for _ in range(strides):
        stream.advance(memory, np.full(n, gesture), np.ones(n))
        outputs.append(memory[stream.output].copy())
    return memory, np.array(outputs)


# -- JSON and bad values


def test_settings_go_through_json():
    settings = Settings(session=2, fatigue=0.25, montage="average", fault="late", dropped=3)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert Settings.from_json({}) == Settings()
    assert Settings.from_json(settings) is settings


@pytest.mark.parametrize(
    "values, words",
    [
        ({"jiter": 0.1}, "unknown setting of EMG 'jiter'; did you mean jitter"),
        ({"rate": 1000}, "unknown rate 1000; did you mean 4000 or 2000"),
        ({"montage": "bipolar"}, "unknown montage 'bipolar'"),
        ({"propagation": 0.5}, "propagation = 0.5: must be 0 or from 1 to 20"),
        ({"propagation": -1.0}, "propagation = -1.0"),
        ({"session": 0}, "session = 0: must be a whole number from 1"),
        ({"rotation": 0.5}, "rotation = 0.5"),
        ({"slide": float("nan")}, "slide = nan"),
        ({"donning_rotation": -0.1}, "donning_rotation = -0.1"),
        ({"jitter": -0.1}, "jitter = -0.1"),
        ({"gain_drift": 3.0}, "gain_drift = 3.0"),
        ({"settling": 1.5}, "settling = 1.5"),
        ({"fatigue": 2.0}, "fatigue = 2.0"),
        ({"fatigue_grows": 1}, "fatigue_grows = 1"),
        ({"walk": "much"}, "walk = 'much'"),
        ({"limb": 2.0}, "limb = 2.0"),
        ({"mains": 55}, "unknown mains 55"),
        ({"mains_level": -1.0}, "mains_level = -1.0"),
        ({"artefacts": -1.0}, "artefacts = -1.0"),
        ({"dropped": 65}, "dropped = 65: must be a whole number from 0 to 64"),
        ({"fault": "fire"}, "unknown fault 'fire'"),
        ({"fault_channels": 0}, "fault_channels = 0: must be a whole number from 1 to 64"),
        ({"fault_delay": 2.0}, "fault_delay = 2.0"),
        ({"fault_delay": 0.0}, "fault_delay = 0.0: must be a finite number above 0"),
        ({"carrier": "music"}, "unknown carrier 'music'"),
        ({"fault_begin": -1.0}, "fault_begin = -1.0"),
        (["rest"], r"settings of EMG = \['rest'\]: must be a table"),
    ],
)
def test_settings_that_cannot_be(values, words):
    with pytest.raises(LanceletError, match=words) as error:
        Settings.from_json(values)
    assert "\n" not in str(error.value)


# -- where the sleeve lies


def test_rotation_by_a_column_gives_each_channel_what_its_neighbour_had():
    still = {"jitter": 0.0, "level": "signal", "strides": 40}
    _, straight = made(**still)
    _, turned = made(**still, rotation=0.26 / COLUMNS)
    level = straight[10:, 0].std(axis=(0, 2)).reshape(-1, COLUMNS)
    turned_level = turned[10:, 0].std(axis=(0, 2)).reshape(-1, COLUMNS)
    # The channel at column 0 now lies where column 1 lay.
    assert np.allclose(turned_level, np.roll(level, -1, axis=1), rtol=0.06)
    assert not np.allclose(turned_level, level, rtol=0.06)


def test_only_later_sessions_don_the_sleeve_anew():
    first, _ = made(strides=1)
    second, _ = made(strides=1, session=2)
    third, _ = made(strides=1, session=3)
    assert (first["emg_shift"] == 0).all() and (first["emg_gain"] == 1).all()
    assert (second["emg_shift"] != third["emg_shift"]).all()
    assert (second["emg_shift"] == made(strides=1, session=2)[0]["emg_shift"]).all()
    off = {"donning_rotation": 0.0, "donning_slide": 0.0, "gain_drift": 0.0}
    healed, _ = made(strides=1, session=2, **off)
    assert (healed["emg_shift"] == 0).all() and (healed["emg_gain"] == 1).all()


def test_donning_and_gains_vary_as_they_should():
    shifts = []
    gains = []
    for user in range(300):
        sleeve = forearm.sleeve(user, 2)
        shifts.append(sleeve.shift)
        gains.append(sleeve.log_gain)
    assert np.std(shifts, axis=0) == pytest.approx([1, 1], rel=0.15)
    assert np.std(gains) == pytest.approx(1, rel=0.05)
    settings = {"session": 2, "strides": 1, "users": tuple(range(300)), "n": 300}
    memory, _ = made(**settings)
    assert memory["emg_shift"].std(axis=0) == pytest.approx([0.005, 0.004], rel=0.15)
    assert np.log(memory["emg_gain"]).std() == pytest.approx(0.15, rel=0.05)


def test_users_differ_and_variation_can_be_switched_off():
    usual = forearm.territories(0).reshape(16, 6, 3)
    assert (forearm.territories(0) == usual.reshape(-1, 3)).all()
    assert not np.allclose(forearm.territories(1), forearm.territories(0))
    angles = []
    for user in range(200):
        places = forearm.territories(user, is_varied=False).reshape(16, 6, 3)
        angles.append(np.degrees(places[:, :, forearm.ANGLE].mean(axis=1)))
    meant = [muscle.angle for muscle in forearm.MUSCLES.values()]
    assert np.allclose(np.mean(angles, axis=0), meant, atol=1)
    assert np.std(angles, axis=0).mean() == pytest.approx(7 / np.sqrt(6), rel=0.1)
    memory, _ = made(strides=1, user_variation=False)
    assert (memory["emg_territories"][0] == forearm.territories(0, is_varied=False)).all()


# -- contractions


def test_contractions_vary_as_they_should():
    settings = {"n": 400, "strides": 1, "gesture": FIST}
    memory, _ = made(**settings)
    log_strength = np.log(memory["emg_strength"])
    overall = log_strength.mean(axis=1)
    assert overall.std() == pytest.approx(np.hypot(0.2, 0.2 / 4), rel=0.1)
    assert (log_strength - overall[:, None]).std() == pytest.approx(
        0.2 * np.sqrt(15 / 16), rel=0.05
    )
    assert memory["emg_rest"].mean() == pytest.approx(0.03 * np.sqrt(2 / np.pi), rel=0.05)
    assert memory["emg_jitter"].std(axis=0) == pytest.approx([0.004, 0.004], rel=0.1)
    off = {"effort_spread": 0.0, "muscle_spread": 0.0, "baseline": 0.0, "jitter": 0.0, "walk": 0.0}
    plain, _ = made(**settings, **off)
    assert (plain["emg_strength"] == 1).all()
    for name in ("emg_rest", "emg_jitter", "emg_walk"):
        assert (plain[name] == 0).all()


def test_the_walk_grows_with_time_and_stays_within_bounds():
    memory, _ = made(n=100, strides=25)
    assert memory["emg_walk"].std() == pytest.approx(0.03 * 5, rel=0.1)
    wild, _ = made(n=10, strides=40, walk=0.5)
    assert np.abs(wild["emg_walk"]).max() == 0.6


def test_effort_tires_and_rest_recovers():
    strides = 200
    seconds = strides * 0.05
    tired, _ = made(strides=strides)
    assert tired["emg_fatigue"][0] == pytest.approx(seconds / 1200, rel=0.02)
    rested, _ = made(gesture=REST, strides=strides, fatigue=0.5)
    assert rested["emg_fatigue"][0] == pytest.approx(0.5 * np.exp(-seconds / 600), rel=0.01)
    same, _ = made(strides=10, fatigue=0.5, fatigue_grows=False)
    assert same["emg_fatigue"][0] == 0.5
    assert made(strides=0, session=2)[0]["emg_fatigue"][0] == pytest.approx(0.5, rel=1e-3)


def test_electrodes_settle():
    loud = {"gesture": FIST, "strides": 200, "fatigue": 0.0, "fatigue_grows": False}
    _, fresh = made(**loud, settling=0.0)
    _, settled = made(**loud, session=2, gain_drift=0.0, donning_rotation=0.0, donning_slide=0.0)
    ratio = np.sqrt(settled[20:].mean() / fresh[20:].mean())
    assert ratio == pytest.approx(0.87, abs=0.02)


def test_the_limbs_position_changes_strengths_and_shifts_the_skin():
    factors = limb_factors(1.0)
    assert 0.8 <= factors.min() < factors.max() <= 1.2
    assert (limb_factors(0.0) == 1).all()
    memory, _ = made(limb=1.0, strides=1)
    assert memory["emg_shift"][0].tolist() == [0.005, 0.0]


# -- what else reaches a channel


def test_the_mains_hum_in_every_channel_and_a_common_average_removes_them():
    def hum(level="signal", **settings):
        _, outputs = made(gesture=REST, strides=40, level=level, mains_level=0.3, **settings)
        signal = outputs[:, 0].transpose(1, 0, 2).reshape(CHANNEL_COUNT, -1)
        frequency, power = welch(signal, fs=2000, nperseg=2000)
        return frequency, power

    for mains in (50, 60):
        frequency, power = hum(mains=mains)
        assert (frequency[power[:, :200].argmax(axis=1)] == mains).all()
    frequency, power = hum(mains=50, montage="average")
    assert not (frequency[power.argmax(axis=1)] == 50).all()
    _, loud = made(gesture=REST, strides=40, mains=50, mains_level=0.3)
    _, quiet = made(gesture=REST, strides=40)
    assert loud.mean() - quiet.mean() == pytest.approx(0.3**2, rel=0.05)


def test_artefacts_are_slow_bursts_on_a_patch():
    calm = {"gesture": REST, "level": "signal", "strides": 200}
    _, quiet = made(**calm)
    _, loud = made(**calm, artefacts=60.0)
    difference = (loud - quiet)[:, 0]
    height = np.abs(difference).max(axis=(0, 2))
    assert 0.3 < height.max() <= 1.0001
    is_moving = np.abs(difference).max(axis=(1, 2)) > 0
    assert 0.1 < is_moving.mean() < 0.9
    signal = difference.transpose(1, 0, 2).reshape(CHANNEL_COUNT, -1)[height.argmax()]
    power = np.abs(np.fft.rfft(signal)) ** 2
    frequency = np.fft.rfftfreq(len(signal), 1 / 2000)
    assert power[frequency <= 20].sum() > 0.99 * power.sum()
    # Most of it lies below the decoder's band.
    _, quiet_power = made(gesture=REST, strides=200)
    _, loud_power = made(gesture=REST, strides=200, artefacts=60.0)
    assert (loud_power - quiet_power).sum() < 0.1 * np.mean(difference**2, axis=2).sum()


def test_longitudinal_differences_remove_what_neighbours_share():
    _, monopolar = made(level="signal", strides=30)
    _, difference = made(level="signal", strides=30, montage="longitudinal")
    rows = monopolar[:, 0].reshape(30, 4, COLUMNS, -1)
    expected = rows[:, :3] - rows[:, 1:]
    found = difference[:, 0].reshape(30, 4, COLUMNS, -1)
    assert np.allclose(found[:, :3], expected, atol=1e-5)
    assert (found[:, 3] == found[:, 2]).all()


def test_a_common_average_leaves_no_mean():
    _, outputs = made(level="signal", montage="average", strides=10)
    assert np.abs(outputs.mean(axis=2)).max() < 1e-5


def test_potentials_that_run_reach_the_rows_one_after_the_other():
    still = {"gesture": GESTURES.index("wrist_adduction"), "level": "signal", "strides": 60}
    _, outputs = made(**still, propagation=4.0)
    _, at_once = made(**still)
    signal = outputs[10:, 0].transpose(1, 0, 2).reshape(4, COLUMNS, -1)
    together = at_once[10:, 0].transpose(1, 0, 2).reshape(4, COLUMNS, -1)
    # FCU lies at height 0 near column 6: potentials run from the middle of the sleeve to both ends, 20 mm in 10 samples.
    column = 6
    lags = np.arange(-20, 21)

    def best_lag(rows):
        inner = rows[2, column, 100:-100]
        outer = rows[3, column]
        products = [np.dot(inner, outer[100 + lag : len(outer) - 100 + lag]) for lag in lags]
        return lags[np.argmax(products)]

    assert abs(best_lag(signal) - 10) <= 2
    assert best_lag(together) == 0
    axial = np.corrcoef(signal[0, column], signal[1, column])[0, 1]
    assert axial < np.corrcoef(together[0, column], together[1, column])[0, 1] - 0.1
