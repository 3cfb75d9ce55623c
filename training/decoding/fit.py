"""Fit a decoder to recordings, and fit it anew to a second session's (docs/systems/hdemg.md, "Decoder").

The windows that a decoder is fitted to are made by its own `intake` and `next_window`, trial by trial, as they are made
when it acts: with the onset of the contraction, where a window is still short.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ... import controllers
from ...checks import seed_number
from ...controllers import Controller
from ...controllers.emg.decoder import FEATURES, SIGNAL, Decoder
from ...controllers.emg.window import Window, log_rms, pattern_and_level
from ...emg_layout import (
    CHANNEL_COUNT,
    FEATURE_COUNT,
    GESTURE_COUNT,
    REST,
    SENSOR_NOISE,
    STRIDE,
    STRIDE_RATE,
    Recording,
)
from ...errors import LanceletError
from ..threads import one_torch_thread
from .augment import check_shift, turned
from .recordings import (
    check_all_gestures,
    check_for_decoder,
    gesture_numbers,
    joined,
    strides_of,
)

REST_SHARE = 0.35
"""where the level that tells rest lies, from the highest at rest (0) to the lowest of steady gestures (1), in logarithms"""
HIGHEST_AT_REST = 0.999
"""quantile of the levels at rest that counts as the highest"""
LOWEST_OF_GESTURES = 0.01
"""quantile of the levels of steady gestures that counts as the lowest"""
RECALIBRATION_TURNS = (-10.0, 10.0)
"""mm around the arm, by which a recalibration turns windows, too"""
STEADY = 0.5
"""s after the beginning of a trial from which on a gesture is steady"""


class TrainingWindows(NamedTuple):
    """Windows of all trials that a decoder has made, as it makes them when it acts."""

    window: Window
    """(windows, strides, ...)"""
    labels: np.ndarray
    """(windows,) number of the gesture"""
    is_low: np.ndarray
    """(windows,) True where the newest stride has the level of rest"""


def fit(
    name: str,
    recordings: Recording | Sequence[Recording],
    *,
    augment_mm: Sequence[float] = (),
    seed: int = 0,
    **options: Any,
) -> Controller:
    """Fit a decoder to cued trials of one person.

    Args:
        name: of a decoder: ``emg-lda``, ``emg-cnn``, ``emg-centroid`` or ``emg-covariance``.
        recordings: one, or several that are pooled; with all ten gestures.
        augment_mm: rotations of the sleeve, mm; training windows are added as it would have measured them there.
        seed: of what is random in the fit.
        **options: of the decoder: ``window`` in s, ``smoothing``, ...

    Returns:
        The decoder; it acts on a task's observations of the kind that was recorded, and can be saved.

    Raises:
        LanceletError: a recording that a decoder cannot be fitted to, or an unknown name or option.
    """
    recording = joined(recordings)
    check_for_decoder(recording)
    check_all_gestures(recording)
    shifts = [check_shift(shift) for shift in augment_mm]
    seed = seed_number(seed)
    decoder = controllers.make(name, spaces_of(recording), **options)
    if not isinstance(decoder, Decoder):
        raise LanceletError(
            f"{name} is no decoder that is fitted: must be one of emg-lda, emg-cnn, ..."
        )
    with one_torch_thread(), torch.random.fork_rng():
        _fit(decoder, recording, shifts, seed)
    return decoder


def recalibrate(
    decoder: Controller,
    old: Recording | Sequence[Recording],
    new: Recording | Sequence[Recording],
    *,
    augment_mm: Sequence[float] = RECALIBRATION_TURNS,
    seed: int = 0,
) -> Controller:
    """Fit a decoder anew, after the sleeve was put on again, to the old trials and a few new ones together.

    Two new trials a gesture win back 80 % of what a new session costs, pooled with the old ones 91 %, and with turned
    windows of both 98 %: a mean of 6.4 points over users 100 to 119, on whom this was chosen.

    Args:
        decoder: as it was fitted to `old`; it is left as it is.
        old: what it was fitted to.
        new: of the new session; two trials a gesture do.
        augment_mm: as `fit` takes it; a sleeve that was put on twice will sit otherwise the third time.
        seed: of what is random in the fit.

    Raises:
        LanceletError: as `fit`.
    """
    options = dataclasses.asdict(decoder.options)
    options.pop("lesions")
    old_trials = joined(old)
    new_trials = joined(new)
    for recording in (old_trials, new_trials):
        check_for_decoder(recording)
    name = controllers.controllers.name_of(type(decoder))
    return fit(name, [old_trials, new_trials], augment_mm=augment_mm, seed=seed, **options)


def spaces_of(recording: Recording) -> SimpleNamespace:
    """Spaces of a gesture task that shows what was recorded: ``features`` for powers, ``emg`` for samples."""
    observed: dict[str, spaces.Space] = {}
    if recording.level == "power":
        observed[FEATURES] = _unbounded(FEATURE_COUNT)
    else:
        observed[SIGNAL] = _unbounded(CHANNEL_COUNT, STRIDE)
    return SimpleNamespace(
        observation_space=spaces.Dict(observed),
        action_space=spaces.Box(0.0, 1.0, (GESTURE_COUNT,), np.float32),
    )


def _unbounded(*shape: int) -> spaces.Box:
    """A Box without bounds."""
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def observations(recording: Recording) -> list[dict[str, Tensor]]:
    """What a task would show, stride by stride: every trial is one agent, (trials, ...) each."""
    steps = torch.as_tensor(strides_of(recording))
    if recording.level == "signal":
        return [{SIGNAL: samples} for samples in steps]
    return [{FEATURES: pattern_and_level(log_rms(power))} for power in steps]


@torch.no_grad()
def training_windows(decoder: Decoder, recording: Recording) -> TrainingWindows:
    """All windows of all trials, as `decoder` makes them."""
    labels = gesture_numbers(recording)
    state = decoder.initial_state(len(labels))
    filter_state = state.filter
    stored = state.window
    windows = []
    low = []
    for observation in observations(recording):
        stride, filter_state = decoder.intake(observation, filter_state)
        step = decoder.next_window(stride, stored)
        stored = step.stored
        windows.append(step.window)
        low.append(step.is_low > 0)
    together = Window(*[torch.cat(parts) for parts in zip(*windows, strict=True)])
    return TrainingWindows(
        window=together,
        labels=np.tile(labels, len(windows)),
        is_low=torch.cat(low).numpy(),
    )


@torch.no_grad()
def _stride_powers(decoder: Decoder, recording: Recording) -> Tensor:
    """Mean squares of every stride, (strides, trials, 64), as `decoder` measures them."""
    filter_state = decoder.initial_state(len(recording.labels)).filter
    powers = []
    for observation in observations(recording):
        stride, filter_state = decoder.intake(observation, filter_state)
        powers.append(stride.power)
    return torch.stack(powers)


def _fit(decoder: Decoder, recording: Recording, shifts: Sequence[float], seed: int) -> None:
    """Set everything that `decoder` learns, in place."""
    is_rest_trial = gesture_numbers(recording) == REST
    _fit_scale(decoder, recording, is_rest_trial)
    # From here on strides are measured in the units of generated signals.
    _fit_rest(decoder, _stride_powers(decoder, recording), is_rest_trial)
    made = training_windows(decoder, recording)
    is_rest = made.labels == REST
    # A stride of a gesture that has the level of rest lies before the onset: rest is the right answer.
    is_used = is_rest | ~made.is_low
    chosen = torch.as_tensor(np.flatnonzero(is_used))
    window = Window(*[values[chosen] for values in made.window])
    labels = made.labels[is_used]
    decoder.fit_channels(window, torch.as_tensor(is_rest[is_used]))

    features = [_features(decoder, window)]
    for shift in shifts:
        features.append(_features(decoder, turned(window, shift)))
    decoder.fit_scores(np.concatenate(features), np.tile(labels, len(features)), seed)


@torch.no_grad()
def _features(decoder: Decoder, window: Window) -> np.ndarray:
    """Features (windows, features) as `decoder` scores them."""
    return decoder.represent(window, decoder.look(window)).numpy()


def _fit_scale(decoder: Decoder, recording: Recording, is_rest_trial: np.ndarray) -> None:
    """Scale samples so that the median channel has the generator's noise at rest: recordings come in any unit."""
    if recording.level == "power":
        return
    power = _stride_powers(decoder, recording)[:, torch.as_tensor(is_rest_trial)]
    at_rest = power.mean(dim=(0, 1)).sqrt().median()
    if not at_rest > 0:
        raise LanceletError(
            "the signal is 0 at rest in half of the channels: nothing to compare with"
        )
    decoder.scale.copy_((SENSOR_NOISE / at_rest).expand_as(decoder.scale))


def _fit_rest(decoder: Decoder, powers: Tensor, is_rest_trial: np.ndarray) -> None:
    """Set the power of rest, and the level up to which a stride is one of rest, between rest and steady gestures.

    Args:
        decoder: its buffers are set.
        powers: (strides, trials, 64).
        is_rest_trial: (trials,).
    """
    is_rest = torch.as_tensor(is_rest_trial)
    decoder.rest_power.copy_(powers[:, is_rest].mean(dim=(0, 1)))
    strides, trials, channels = powers.shape
    every_stride = powers.reshape(strides * trials, channels)
    levels = decoder.level(every_stride, torch.ones_like(every_stride)).reshape(strides, trials)
    first_steady = min(round(STEADY * STRIDE_RATE), strides - 1)
    highest_at_rest = torch.quantile(levels[:, is_rest], HIGHEST_AT_REST)
    lowest_of_gestures = torch.quantile(levels[first_steady:, ~is_rest], LOWEST_OF_GESTURES)
    between = highest_at_rest + REST_SHARE * (lowest_of_gestures - highest_at_rest)
    decoder.rest_level.copy_(between.expand_as(decoder.rest_level))
