"""Training and test parts of a recording, by whole trials (docs/systems/hdemg.md, "Recordings").

Windows of one trial share most of their samples (a window of 250 ms every 50 ms: four fifths) and all of its slow
variation. A split that drew windows would test a decoder on what it was fitted to. Here a split only ever hands out
whole trials, and windows are made afterwards, within each part.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...checks import whole_number
from ...emg_layout import Recording
from ...errors import LanceletError
from .recordings import check_recording, take


class Split(NamedTuple):
    """Two recordings without a common trial."""

    train: Recording
    test: Recording


def by_trial(recording: Recording, test_trials: int = 2) -> Split:
    """The last trials of every gesture in every session for the test, the others for training.

    Args:
        recording: of one person.
        test_trials: of each gesture and session.

    Raises:
        LanceletError: a gesture has too few trials to leave one for training.
    """
    test_trials = whole_number("test_trials", test_trials, least=1)
    check_recording(recording)
    labels = np.array(recording.labels)
    sessions = np.asarray(recording.sessions)
    is_test = np.zeros(len(labels), bool)
    for session in np.unique(sessions):
        for gesture in np.unique(labels[sessions == session]):
            trials = np.flatnonzero((labels == gesture) & (sessions == session))
            if len(trials) <= test_trials:
                raise LanceletError(
                    f"{gesture} has {len(trials)} trial(s) in session {session}: must be more than "
                    f"test_trials = {test_trials}, since a trial is never divided between training and test"
                )
            is_test[trials[-test_trials:]] = True
    return Split(
        train=take(recording, np.flatnonzero(~is_test)),
        test=take(recording, np.flatnonzero(is_test)),
    )


def by_session(recording: Recording, test_session: int) -> Split:
    """One session for the test, the others for training.

    Args:
        recording: of one person.
        test_session: number of a session.

    Raises:
        LanceletError: there is no such session, or no other.
    """
    check_recording(recording)
    is_test = np.asarray(recording.sessions) == test_session
    if not is_test.any() or is_test.all():
        there = ", ".join(str(session) for session in np.unique(recording.sessions))
        raise LanceletError(
            f"test_session = {test_session}: the recording has {there}; must be one of two or more"
        )
    return Split(
        train=take(recording, np.flatnonzero(~is_test)),
        test=take(recording, np.flatnonzero(is_test)),
    )
