"""Recordings of EMG as decoders are fitted to them: checks, joining, and trials as strides.

A `Recording` (`lancelet/emg_layout.py`) is what the generator, loaders of files and users' own code give. All that is
done with one goes trial by trial: windows are made within trials only, so that two recordings without a common trial
have no common window (docs/systems/hdemg.md, "Recordings").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ...emg_layout import CHANNEL_COUNT, GESTURES, SAMPLE_RATE, STRIDE, STRIDE_RATE, Recording
from ...errors import LanceletError, unknown

RATE_OF_LEVEL = {"signal": float(SAMPLE_RATE), "power": STRIDE_RATE}
"""Hz that decoders take a recording at"""
SAMPLES_PER_STRIDE = {"signal": STRIDE, "power": 1}
"""numbers of a channel in one stride"""


def check_recording(recording: Recording) -> None:
    """Refuse a recording that contradicts itself, or whose labels are no gestures.

    Raises:
        LanceletError: it names what is wrong and what would be right.
    """
    signal = recording.signal
    if recording.level not in RATE_OF_LEVEL:
        raise unknown("level of a recording", recording.level, RATE_OF_LEVEL)
    if signal.ndim != 3 or signal.shape[0] == 0:
        raise LanceletError(
            f"signal has shape {signal.shape}: must be (trials, channels, time), one trial or more"
        )
    trials, channels, _ = signal.shape
    rows, columns = recording.layout
    if rows * columns != channels:
        raise LanceletError(
            f"layout = {rows} x {columns}: the signal has {channels} channels, not {rows * columns}"
        )
    if len(recording.labels) != trials or np.shape(recording.sessions) != (trials,):
        raise LanceletError(
            f"{len(recording.labels)} labels and {np.size(recording.sessions)} sessions: "
            f"must be one of each for {trials} trials"
        )
    for label in recording.labels:
        if label not in GESTURES:
            raise unknown("gesture", label, GESTURES)
    if not recording.rate > 0:
        raise LanceletError(f"rate = {recording.rate}: must be a number of Hz above 0")
    _check_numbers(recording)


def _check_numbers(recording: Recording) -> None:
    """Refuse numbers that are not finite, and negative powers."""
    is_wrong = ~np.isfinite(recording.signal)
    if recording.level == "power":
        is_wrong |= recording.signal < 0
    if is_wrong.any():
        trial, channel, place = np.argwhere(is_wrong)[0]
        value = recording.signal[trial, channel, place]
        raise LanceletError(
            f"signal = {value} in trial {trial}, channel {channel}: must be finite, and a power 0 or more; "
            "leave the trial out"
        )


def check_for_decoder(recording: Recording) -> None:
    """Refuse a recording that decoders cannot be fitted to or measured on.

    Raises:
        LanceletError: as `check_recording`; or another number of channels, another rate, or trials shorter than a stride.
    """
    check_recording(recording)
    channels, times = recording.signal.shape[1:]
    if channels != CHANNEL_COUNT:
        raise LanceletError(
            f"signal has {channels} channels: decoders need {CHANNEL_COUNT}, row by row around the arm"
        )
    rate = RATE_OF_LEVEL[recording.level]
    if abs(recording.rate - rate) > 1e-6 * rate:
        raise LanceletError(
            f"rate = {recording.rate:g} Hz: decoders need {rate:g} Hz; training.decoding.load resamples"
        )
    if times < SAMPLES_PER_STRIDE[recording.level]:
        raise LanceletError(
            f"trials of {times} samples: must be a stride of {1 / STRIDE_RATE:g} s or more"
        )


def check_all_gestures(recording: Recording) -> None:
    """Refuse a recording that lacks a gesture: a decoder needs all of them.

    Raises:
        LanceletError: it lists those that are missing.
    """
    missing = [gesture for gesture in GESTURES if gesture not in recording.labels]
    if missing:
        raise LanceletError(
            f"the recording lacks {', '.join(missing)}: a decoder needs trials of all {len(GESTURES)} gestures"
        )


def gesture_numbers(recording: Recording) -> np.ndarray:
    """Number of each trial's gesture in `GESTURES`, (trials,): by its name, whatever the order of the recording."""
    return np.array([GESTURES.index(label) for label in recording.labels])


def take(recording: Recording, trials: Sequence[int] | np.ndarray) -> Recording:
    """Some trials of a recording, whole, in the order given."""
    indices = np.asarray(trials, int)
    return dataclasses.replace(
        recording,
        signal=recording.signal[indices],
        labels=tuple(recording.labels[index] for index in indices),
        sessions=np.asarray(recording.sessions)[indices],
    )


def joined(recordings: Recording | Sequence[Recording]) -> Recording:
    """The trials of several recordings one after the other; trials are cut to the shortest one's length.

    Raises:
        LanceletError: none is given, or they differ in channels, layout, rate or level.
    """
    if isinstance(recordings, Recording):
        return recordings
    if not recordings:
        raise LanceletError("no recording: give one or more")
    first = recordings[0]
    for recording in recordings[1:]:
        for name in ("layout", "rate", "level"):
            ours = getattr(first, name)
            theirs = getattr(recording, name)
            if ours != theirs:
                raise LanceletError(
                    f"{name} = {theirs} of one recording and {ours} of another: must be the same"
                )
    times = min(recording.signal.shape[2] for recording in recordings)
    labels: list[str] = []
    for recording in recordings:
        labels += recording.labels
    return dataclasses.replace(
        first,
        signal=np.concatenate([recording.signal[:, :, :times] for recording in recordings]),
        labels=tuple(labels),
        sessions=np.concatenate([np.asarray(recording.sessions) for recording in recordings]),
    )


def strides_of(recording: Recording) -> np.ndarray:
    """The trials in whole strides: (strides, trials, 64, 100) samples, or (strides, trials, 64) powers."""
    per_stride = SAMPLES_PER_STRIDE[recording.level]
    trials, channels, times = recording.signal.shape
    count = times // per_stride
    whole = recording.signal[:, :, : count * per_stride].astype(np.float32)
    cut = whole.reshape(trials, channels, count, per_stride).transpose(2, 0, 1, 3)
    if recording.level == "power":
        return cut[..., 0]
    return cut
