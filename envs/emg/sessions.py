"""Cued sessions: what a user gives to fit a decoder with (docs/systems/hdemg.md, "Recordings")."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ...checks import finite_number, seed_number, whole_number
from ...emg_layout import GESTURES, REST, STRIDE_RATE, Recording
from ...errors import LanceletError, check_names
from .settings import Settings
from .stream import LARGEST_USER, Stream

BREAK_STRIDES = 10
"""strides of rest between two trials: the muscles fall silent in 3 of them"""
SETTINGS = Settings()
"""an undisturbed arm: what is usual within and between sessions, nothing broken"""


def record(
    user: int,
    session: int = 1,
    trials: int = 8,
    level: Literal["power", "signal"] = "power",
    settings: Settings = SETTINGS,
    seed: int = 0,
    gestures: Sequence[str] = GESTURES,
    seconds: float = 2.0,
) -> Recording:
    """Record a session: in each round every gesture is made once, from rest, and held until the trial ends.

    A trial begins with the contraction's onset: the user's reaction to the cue is cut away.

    Args:
        user: number of the user.
        session: number of the session, in place of that of `settings`.
        trials: rounds, which are the trials of each gesture.
        level: what is recorded: mean squares of strides, or every sample.
        settings: disturbances.
        seed: of contractions and noise; together with user and session it decides everything.
        gestures: names, in the order of a round.
        seconds: length of a trial, a whole number of strides of 50 ms.

    Raises:
        LanceletError: an argument that is not right.
    """
    whole_number("user", user, 0, LARGEST_USER)
    whole_number("trials", trials, 1, 10_000)
    seed_number(seed)
    check_names("gesture", gestures, GESTURES)
    if len(gestures) == 0:
        raise LanceletError("gestures = (): must be at least one")
    finite_number("seconds", seconds, least=1 / STRIDE_RATE, most=3600, unit="s")
    stride_count = round(seconds * STRIDE_RATE)
    if abs(stride_count - seconds * STRIDE_RATE) > 1e-6:
        raise LanceletError(f"seconds = {seconds}: must be a multiple of {1 / STRIDE_RATE:g} s")

    if not isinstance(settings, Settings):
        raise LanceletError(f"settings = {settings!r}: must be Settings of EMG")
    settings = dataclasses.replace(settings, session=session)
    stream = Stream(level=level, settings=settings, users=(user,))
    memory = stream.memory(1)
    generator = np.random.default_rng((seed, user, session))
    stream.reset(memory, np.array([0]), [generator])
    signals = []
    labels = []
    for _ in range(trials):
        for gesture in gestures:
            for _ in range(BREAK_STRIDES):
                stream.advance(memory, np.array([REST]), np.ones(1))
            signals.append(_trial(stream, memory, GESTURES.index(gesture), stride_count))
            labels.append(gesture)
    rate = STRIDE_RATE if level == "power" else float(settings.rate)
    return Recording(
        signal=np.stack(signals),
        labels=tuple(labels),
        sessions=np.full(len(labels), session),
        rate=rate,
        level=level,
    )


def _trial(
    stream: Stream, memory: dict[str, np.ndarray], gesture: int, stride_count: int
) -> np.ndarray:
    """Make one contraction of `stride_count` strides: (channel, time)."""
    # Rest after rest is a contraction of its own, too.
    memory["emg_is_cued"][:] = True
    parts = []
    for _ in range(stride_count):
        stream.advance(memory, np.array([gesture]), np.ones(1))
        parts.append(memory[stream.output][0].copy())
    if stream.level == "power":
        return np.stack(parts, axis=-1)
    return np.concatenate(parts, axis=-1)
