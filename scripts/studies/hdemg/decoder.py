"""What the decoder alone can do, user by user: within a session, with a turned sleeve, an hour later, with dead channels.

The figures are those of docs/systems/hdemg.md, "Decoder". Decoders are fitted to 8 trials of each gesture and tested on
trials that they have not seen; every recording is that of one generated user.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from lancelet.controllers import Controller
from lancelet.emg_layout import Recording
from lancelet.envs.emg.sessions import record
from lancelet.envs.emg.settings import Settings
from lancelet.training.decoding import Split, accuracy, by_trial, fit, recalibrate
from lancelet.training.decoding.following import Delays, follow

DECODER = "emg-lda"
TRAINING_TRIALS = 8
"""of each gesture"""
TEST_TRIALS = 2
"""of each gesture, within the session"""
TURN = 0.010
"""m around the arm, either way, by which the sleeve sits turned in a test"""
AUGMENTATION = (-10.0, 10.0)
"""mm around the arm, by which training windows are turned"""
RECALIBRATION_TRIALS = 2
"""of each gesture, of the second session"""
SECOND_TEST_TRIALS = 4
"""of each gesture, of the second session"""
DEAD_CHANNELS = 3
DISTURBED_SEED = 1
"""of recordings beside the one that the decoder is fitted to: other contractions, other noise"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderFigures:
    """Window accuracies of one user's decoder, shares of 1, and its delays."""

    within: float
    """trials of the same session"""
    accepted: float
    """steady strides of the same trials in which the cued gesture is accepted"""
    turned: float
    """mean over sleeves that sit turned by 10 mm either way"""
    within_augmented: float
    """as `within`, of a decoder that was fitted with turned windows too"""
    turned_augmented: float
    """as `turned`, of that decoder"""
    second: float
    """the second session"""
    recalibrated: float
    """the same trials, after a recalibration to two others of each gesture, pooled with the old ones"""
    pooled: float
    """the same, where the recalibration turns no windows"""
    whole: float
    """trials of the first session with whole channels: what `dead` is compared with"""
    dead: float
    """the same contractions with three channels that give noise"""
    delays: Delays
    """of contractions and of rest, ms"""
    confusion: np.ndarray
    """(10, 10) windows of the same session by cued gesture (row) and told gesture (column)"""


@functools.cache
def first_session(user: int, seed: int = 0) -> Split:
    """What a user records at first, in trials to fit to and trials to test on."""
    return by_trial(record(user, trials=TRAINING_TRIALS + TEST_TRIALS, seed=seed), TEST_TRIALS)


def first_decoder(user: int, name: str = DECODER, **options: Any) -> Controller:
    """The decoder of a user, fitted to the training trials of the first session; `options` are the decoder's."""
    return fit(name, first_session(user).train, **options)


def decoder_figures(user: int, name: str = DECODER, seed: int = 0) -> DecoderFigures:
    """Fit and test the decoder of one user.

    Args:
        user: number of the user.
        name: of the decoder.
        seed: of the session that the decoder is fitted to.
    """
    session = first_session(user, seed)
    usual = fit(name, session.train)
    augmented = fit(name, session.train, augment_mm=AUGMENTATION)
    other = seed + DISTURBED_SEED
    clockwise = record(user, trials=TEST_TRIALS, settings=Settings(rotation=TURN), seed=other)
    counter = record(user, trials=TEST_TRIALS, settings=Settings(rotation=-TURN), seed=other)
    second_trials = RECALIBRATION_TRIALS + SECOND_TEST_TRIALS
    second = by_trial(record(user, session=2, trials=second_trials, seed=seed), SECOND_TEST_TRIALS)
    recalibrated = recalibrate(usual, session.train, second.train)
    pooled = recalibrate(usual, session.train, second.train, augment_mm=())
    dead = record(user, trials=TEST_TRIALS, settings=Settings(dropped=DEAD_CHANNELS), seed=other)
    whole = record(user, trials=TEST_TRIALS, seed=other)
    within = accuracy(usual, session.test)
    return DecoderFigures(
        within=within.accuracy,
        accepted=within.accepted_accuracy,
        turned=_mean_accuracy(usual, clockwise, counter),
        within_augmented=_mean_accuracy(augmented, session.test),
        turned_augmented=_mean_accuracy(augmented, clockwise, counter),
        second=_mean_accuracy(usual, second.test),
        recalibrated=_mean_accuracy(recalibrated, second.test),
        pooled=_mean_accuracy(pooled, second.test),
        whole=_mean_accuracy(usual, whole),
        dead=_mean_accuracy(usual, dead),
        delays=follow(usual, user, seed=seed),
        confusion=within.confusion,
    )


def _mean_accuracy(decoder: Controller, *recordings: Recording) -> float:
    """Window accuracy, averaged over recordings."""
    return float(np.mean([accuracy(decoder, recording).accuracy for recording in recordings]))
