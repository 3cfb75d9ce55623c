"""Cued sessions: what a recording holds, what decides it, and what is refused."""

import numpy as np
import pytest

from lancelet.emg_layout import CHANNEL_COUNT, GESTURES
from lancelet.envs.emg.sessions import record
from lancelet.envs.emg.settings import Settings
from lancelet.errors import LanceletError


def test_a_session_goes_round_the_gestures():
    recording = record(3, trials=2, seconds=0.5)
    assert recording.signal.shape == (20, CHANNEL_COUNT, 10)
    assert recording.signal.dtype == np.float32
    assert recording.labels == GESTURES * 2
    assert recording.sessions.tolist() == [1] * 20
    assert (recording.rate, recording.level, recording.layout) == (20.0, "power", (4, 16))


def test_signals_have_their_own_rate():
    recording = record(
        3, 2, 1, "signal", settings=Settings(rate=4000), gestures=("fist", "rest"), seconds=0.1
    )
    assert recording.signal.shape == (2, CHANNEL_COUNT, 400)
    assert recording.labels == ("fist", "rest")
    assert recording.sessions.tolist() == [2, 2]
    assert (recording.rate, recording.level) == (4000.0, "signal")


def test_user_session_and_seed_decide_everything():
    def powers(*arguments, **options):
        return record(*arguments, trials=1, seconds=0.2, **options).signal

    base = powers(0)
    assert (powers(0) == base).all()
    assert (powers(1) != base).any()
    assert (powers(0, 2) != base).any()
    assert (powers(0, seed=1) != base).any()
    # The session of the settings gives way.
    assert (powers(0, settings=Settings(session=5)) == base).all()


def test_a_trial_begins_with_the_onset():
    signal = record(0, trials=4, gestures=("fist",), seconds=0.5).signal
    level = np.sqrt(signal.mean(axis=(0, 1)))
    assert level[0] < 0.4 * level[-1]
    assert (np.diff(level[:4]) > 0).all()


def test_every_trial_of_rest_is_a_contraction_of_its_own():
    signal = record(0, trials=6, gestures=("rest",), seconds=1.0).signal
    means = np.sqrt(signal[:, :, 5:]).mean(axis=2)
    within = np.sqrt(signal[:, :, 5:]).std(axis=2).mean() / np.sqrt(15)
    assert means.std(axis=0).mean() > 1.5 * within


@pytest.mark.parametrize(
    "options, words",
    [
        ({"user": -1}, "user = -1"),
        ({"user": 0.5}, "user = 0.5"),
        ({"session": 0}, "session = 0"),
        ({"trials": 0}, "trials = 0: must be a whole number from 1"),
        ({"level": "loud"}, "unknown level 'loud'"),
        ({"settings": {}}, "settings = {}: must be Settings of EMG"),
        ({"seed": -1}, "seed = -1"),
        ({"gestures": ("wave",)}, "unknown gesture 'wave'"),
        ({"gestures": ()}, "must be at least one"),
        ({"seconds": 0.0}, "seconds = 0.0"),
        ({"seconds": 0.12}, "seconds = 0.12: must be a multiple of 0.05 s"),
    ],
)
def test_sessions_that_cannot_be(options, words):
    with pytest.raises(LanceletError, match=words):
        record(**{"user": 0, **options})
