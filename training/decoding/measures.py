"""How well a decoder decodes: figures of a recording, and how soon it follows a person who begins and stops.

The figures are those of docs/systems/hdemg.md, "Decoder". The unit of all of them is the trial or the window of one
person; over people they are averaged by whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ...controllers import Controller, Population
from ...controllers.emg.decoder import Decoder
from ...emg_layout import GESTURE_COUNT, REST, STRIDE_RATE, Recording
from ...envs.assist.commands import CommandLayer
from ...errors import LanceletError
from ..threads import one_torch_thread
from .fit import observations
from .recordings import check_for_decoder, gesture_numbers

SETTLED = 0.4
"""s after the beginning of a contraction from which on it is steady"""
SECONDS_PER_MINUTE = 60.0
MILLISECONDS = 1000.0
"""in a second"""


class Decoded(NamedTuple):
    """What a decoder made of every stride of a recording."""

    posteriors: np.ndarray
    """(strides, trials, 10) its answers"""
    windows: np.ndarray
    """(strides, trials, 10) posteriors of the single windows, before they are averaged"""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures of one decoder on one recording."""

    accuracy: float
    """share of whole windows (none reaches beyond its trial) whose most likely gesture is the cued one"""
    balanced_accuracy: float
    """mean over gestures of the same share"""
    macro_f1: float
    """mean over gestures of the harmonic mean of precision and recall"""
    confusion: np.ndarray
    """(10, 10) windows by cued gesture (row) and most likely gesture (column)"""
    accepted_accuracy: float
    """share of strides of steady contractions (later than 0.4 s) in which the cued gesture is accepted"""
    rejection_rate: float
    """share of strides of steady contractions in which no gesture but rest is accepted"""
    onset_to_decision: np.ndarray
    """(trials,) ms from the beginning of each trial of a gesture until it is accepted; NaN: it never is"""
    false_activations: float
    """accepted gestures that begin during rest, a minute"""

    @property
    def onset_median(self) -> float:
        """ms; a trial that is never decided counts as infinite."""
        return _quantile(self.onset_to_decision, 0.5)

    @property
    def onset_p95(self) -> float:
        """ms; a trial that is never decided counts as infinite."""
        return _quantile(self.onset_to_decision, 0.95)


def _quantile(delays: np.ndarray, share: float) -> float:
    """A quantile of delays in which NaN counts as infinite."""
    counted = np.where(np.isnan(delays), np.inf, delays)
    return float(np.quantile(counted, share, method="higher"))


@torch.no_grad()
def decode(decoder: Controller, recording: Recording) -> Decoded:
    """Let a decoder act on every trial of a recording, each from a fresh state.

    Raises:
        LanceletError: a recording that a decoder cannot read, or one of another level than the decoder's.
    """
    check_for_decoder(recording)
    if not isinstance(decoder, Decoder):
        raise LanceletError(f"{type(decoder).__name__} decodes no recording: must be a decoder")
    if decoder.reads_signal != (recording.level == "signal"):
        wanted = "signal" if decoder.reads_signal else "power"
        raise LanceletError(
            f"level = {recording.level} of the recording: this decoder was fitted to level {wanted}"
        )
    agents = Population(decoder, len(recording.labels))
    posteriors = []
    windows = []
    with one_torch_thread():
        state = agents.initial_state()
        for observation in observations(recording):
            answer, state = agents(observation, state)
            posteriors.append(answer)
            windows.append(agents.signals(state)["posterior"].numpy())
    return Decoded(posteriors=np.stack(posteriors), windows=np.stack(windows))


def accepted(posteriors: np.ndarray) -> np.ndarray:
    """The gesture that the robot's command layer accepts in every stride, (strides, trials).

    It averages nothing: decoders do.

    Args:
        posteriors: (strides, trials, 10).
    """
    layer = CommandLayer(smoothing=1)
    memory = layer.memory(posteriors.shape[1])
    result = []
    for scores in posteriors:
        layer.decide(memory, scores)
        result.append(memory["accepted"].copy())
    return np.stack(result)


def accuracy(decoder: Controller, recording: Recording) -> Figures:
    """Figures of a decoder on trials that it was not fitted to.

    Args:
        decoder: fitted.
        recording: of the same person.

    Raises:
        LanceletError: as `decode`.
    """
    decoded = decode(decoder, recording)
    assert isinstance(decoder, Decoder)
    labels = gesture_numbers(recording)
    whole = decoded.windows[decoder.options.strides - 1 :].argmax(axis=-1)
    confusion = _confusion(np.broadcast_to(labels, whole.shape), whole)

    commands = accepted(decoded.posteriors)
    is_rest = labels == REST
    settled = commands[round(SETTLED * STRIDE_RATE) :, ~is_rest]
    is_right = settled == labels[~is_rest]
    is_rejected = settled == REST
    return Figures(
        accuracy=float(np.trace(confusion) / max(confusion.sum(), 1)),
        balanced_accuracy=float(np.nanmean(_recall(confusion))),
        macro_f1=float(np.nanmean(_f1(confusion))),
        confusion=confusion,
        accepted_accuracy=float(is_right.mean()) if settled.size else float("nan"),
        rejection_rate=float(is_rejected.mean()) if settled.size else float("nan"),
        onset_to_decision=first_times(commands[:, ~is_rest], labels[~is_rest]),
        false_activations=_false_activations(commands[:, is_rest]),
    )


def first_times(commands: np.ndarray, gestures: np.ndarray) -> np.ndarray:
    """Time (trials,) in ms until each trial's gesture is the accepted one, NaN where it never is.

    Args:
        commands: (strides, trials) accepted gestures; a stride's command is there at its end.
        gestures: (trials,).
    """
    is_there = commands == gestures
    first = is_there.argmax(axis=0)
    times = (first + 1) * MILLISECONDS / STRIDE_RATE
    return np.where(is_there.any(axis=0), times, np.nan)


def _confusion(cued: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Counts (10, 10) of cued gestures (rows) and told ones (columns)."""
    table = np.zeros((GESTURE_COUNT, GESTURE_COUNT), int)
    np.add.at(table, (cued.ravel(), told.ravel()), 1)
    return table


def _recall(confusion: np.ndarray) -> np.ndarray:
    """Share of each gesture's windows that are told, (10,); NaN where there is none."""
    cued = confusion.sum(axis=1)
    return np.where(cued > 0, confusion.diagonal() / np.maximum(cued, 1), np.nan)


def _f1(confusion: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall of each gesture, (10,); NaN where it was not cued."""
    cued = confusion.sum(axis=1)
    told = confusion.sum(axis=0)
    f1 = 2.0 * confusion.diagonal() / np.maximum(cued + told, 1)
    return np.where(cued > 0, f1, np.nan)


def _false_activations(commands: np.ndarray) -> float:
    """Gestures that begin to be accepted in trials (strides, trials) of rest, a minute; NaN without such trials."""
    if commands.size == 0:
        return float("nan")
    is_active = commands != REST
    begins = is_active[1:] & ~is_active[:-1]
    count = int(begins.sum() + is_active[0].sum())
    minutes = commands.size / STRIDE_RATE / SECONDS_PER_MINUTE
    return count / minutes
