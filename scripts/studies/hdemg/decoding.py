"""Decoders on cued trials, D1 to D13: what they lose by shifts, sessions and dead channels, and how soon they decide.

Codes: docs/systems/hdemg.md, "Row codes". A sample is a synthetic user; conditions are compared on the same users.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lancelet.envs.emg.sessions import record
from lancelet.scripts.rows import Row, at_least, at_most, between
from lancelet.scripts.studies.hdemg import people
from lancelet.scripts.studies.hdemg.decoder import (
    DEAD_CHANNELS,
    DECODER,
    RECALIBRATION_TRIALS,
    TEST_TRIALS,
    TRAINING_TRIALS,
    DecoderFigures,
    decoder_figures,
    first_decoder,
    first_session,
)
from lancelet.scripts.study import Study
from lancelet.training.decoding import accuracy, fit
from lancelet.training.statistics import interval

POINTS = 100.0
"""points of a share of 1"""
OTHER_DECODERS = ("emg-centroid", "emg-cnn")
OTHER_USERS = {"quick": 2, "shown": 20, "full": 20}
"""users for whom the other decoders are fitted"""
SINGLE_SEED = 2
"""of the sessions of one trial a gesture: other contractions than those of the test"""


def decoder_rows(study: Study) -> list[DecoderFigures]:
    """D1 to D13; the figures of every user."""
    users = people.users()
    figures = [decoder_figures(user) for user in users]
    accuracy_rows(study, figures)
    rotation_rows(study, figures)
    session_rows(study, figures)
    dead_channel_row(study, users, figures)
    delay_rows(study, figures)
    other_rows(study, users, figures)
    return figures


def points(figures: Sequence[DecoderFigures], name: str) -> np.ndarray:
    """A figure (users,) in points of 100."""
    return POINTS * np.array([getattr(figure, name) for figure in figures])


def ratio_of_means(pairs: np.ndarray) -> float:
    """Mean of the first column (users, 2) over that of the second; 1 where the second is 0, as in a draw of equal users."""
    numerator, denominator = pairs.mean(axis=0)
    if denominator == 0:
        return 1.0
    return float(numerator / denominator)


def interval_over_users(
    rows: np.ndarray, statistic: Callable[[np.ndarray], float]
) -> tuple[float, float]:
    """95 % interval of a statistic of rows (users, ...), by resampling users."""

    def of_users(index: np.ndarray) -> float:
        return statistic(rows[index.astype(int)])

    return interval(np.arange(len(rows)), of_users)


def accuracy_rows(study: Study, figures: Sequence[DecoderFigures]) -> None:
    """D1 to D3: how often a window tells the cued gesture, and how much people differ."""
    within = points(figures, "within")
    study.add(
        at_least(
            f"D1 accuracy within a session, {TRAINING_TRIALS} training trials (%)",
            "gate",
            float(within.mean()),
            98.0,
            interval=interval(within),
            seeds=len(within),
            reference="99.6 (as a later review quotes the paper)",
            note=f"{within.min():.1f} to {within.max():.1f}; {TEST_TRIALS} test trials a gesture",
        )
    )
    study.add(
        at_most(
            "D2 the same: standard deviation over users (points)",
            "gate",
            deviation(within),
            2.5,
            interval=interval_over_users(within, deviation),
            seeds=len(within),
            reference=0.8,
        )
    )
    of_one_trial = []
    for user in people.users():
        single = fit(DECODER, record(user, trials=1, seed=SINGLE_SEED))
        of_one_trial.append(POINTS * accuracy(single, first_session(user).test).accuracy)
    study.add(
        Row(
            "D3 accuracy within a session, 1 training trial (%)",
            "info",
            float(np.mean(of_one_trial)),
            interval=interval(of_one_trial),
            seeds=len(of_one_trial),
        )
    )


def deviation(values: np.ndarray) -> float:
    """Standard deviation of a sample."""
    return float(np.std(values, ddof=1))


def rotation_rows(study: Study, figures: Sequence[DecoderFigures]) -> None:
    """D4 and D5: what a turned sleeve costs, and how much of it training windows of a turned sleeve save."""
    within = points(figures, "within")
    drop = within - points(figures, "turned")
    # Against the same decoder's own accuracy: augmentation costs a little where the sleeve is not turned.
    within_augmented = points(figures, "within_augmented")
    drop_augmented = within_augmented - points(figures, "turned_augmented")
    study.add(
        between(
            "D4 sleeve turned by 10 mm: accuracy lost (points)",
            "gate",
            float(drop.mean()),
            2.0,
            10.0,
            interval=interval(drop),
            seeds=len(drop),
        )
    )
    pairs = np.stack([drop_augmented, drop], axis=1)
    study.add(
        at_most(
            "D5 the same after training with windows turned by 10 mm: part of the loss that is left",
            "gate",
            ratio_of_means(pairs),
            0.5,
            interval=interval_over_users(pairs, ratio_of_means),
            seeds=len(pairs),
            note=f"{drop_augmented.mean():.2f} points are lost; within the session "
            f"{within_augmented.mean():.1f} % against {within.mean():.1f} %",
        )
    )


def session_rows(study: Study, figures: Sequence[DecoderFigures]) -> None:
    """D6 and D7: what the next session costs, and what two new trials a gesture bring back."""
    second = points(figures, "second")
    drop = points(figures, "within") - second
    gain = points(figures, "recalibrated") - second
    study.add(
        between(
            "D6 second session, sleeve donned anew: accuracy lost (points)",
            "gate",
            float(drop.mean()),
            1.0,
            8.0,
            interval=interval(drop),
            seeds=len(drop),
        )
    )
    pairs = np.stack([gain, drop], axis=1)
    pooled = np.stack([points(figures, "pooled") - second, drop], axis=1)
    pooled_low, pooled_high = interval_over_users(pooled, ratio_of_means)
    study.add(
        at_least(
            "D7 the same after a recalibration: part of the loss that came back",
            "gate",
            ratio_of_means(pairs),
            0.7,
            interval=interval_over_users(pairs, ratio_of_means),
            seeds=len(pairs),
            note=f"{RECALIBRATION_TRIALS} new trials a gesture, pooled with the old ones, and windows turned by 10 mm either "
            f"way; without these {ratio_of_means(pooled):.2f} [{pooled_low:.2f}, {pooled_high:.2f}]",
        )
    )


def dead_channel_row(study: Study, users: Sequence[int], figures: Sequence[DecoderFigures]) -> None:
    """D8: what channels without contact cost."""
    loss = points(figures, "whole") - points(figures, "dead")
    study.add(
        at_most(
            f"D8 {DEAD_CHANNELS} dead channels: accuracy lost (points)",
            "gate",
            float(loss.mean()),
            2.0,
            interval=interval(loss),
            seeds=len(users),
            note=f"the same contractions with and without; {loss.max():.1f} points at most",
        )
    )


def delay_rows(study: Study, figures: Sequence[DecoderFigures]) -> None:
    """D9 to D12: from the onset of a contraction to its acceptance, and from its end to a command of zero."""
    onsets = np.array([figure.delays.onset for figure in figures])
    # A contraction that is never decided is later than all others.
    onsets = np.where(np.isnan(onsets), np.inf, onsets)
    rests = np.array([figure.delays.rest for figure in figures])
    rows = {
        "D9 onset to decision, 95th percentile (ms)": (onsets, 0.95, 250.0),
        "D10 rest to a command of zero, median (ms)": (rests, 0.5, 100.0),
        "D11 rest to a command of zero, 95th percentile (ms)": (rests, 0.95, 200.0),
        "D12 rest to a command of zero, worst (ms)": (rests, 1.0, 250.0),
    }
    for name, (delays, share, most) in rows.items():
        undecided = int((~np.isfinite(delays)).sum())
        study.add(
            at_most(
                name,
                "gate",
                quantile(delays, share),
                most,
                interval=interval_over_users(
                    delays, lambda chosen, share=share: quantile(chosen, share)
                ),
                seeds=len(delays),
                note=f"{delays.size} contractions, {undecided} without a decision",
            )
        )


def quantile(delays: np.ndarray, share: float) -> float:
    """A quantile of the delays that there are, ms."""
    return float(np.nanquantile(delays, share, method="higher"))


def other_rows(study: Study, users: Sequence[int], figures: Sequence[DecoderFigures]) -> None:
    """D13 and D14: other decoders on the same trials."""
    count = OTHER_USERS[study.size]
    default = points(figures, "within")[:count].mean()
    for number, name in enumerate(OTHER_DECODERS, start=13):
        values = []
        for user in users[:count]:
            decoder = first_decoder(user, name)
            values.append(POINTS * accuracy(decoder, first_session(user).test).accuracy)
        study.add(
            Row(
                f"D{number} {name}: accuracy within a session (%)",
                "info",
                float(np.mean(values)),
                interval=interval(values),
                seeds=count,
                note=f"{DECODER} on the same users: {default:.1f}",
            )
        )
