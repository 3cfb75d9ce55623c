"""How soon a decoder follows a person who begins a gesture and stops it, on generated signals.

The generator is told the gesture stride by stride, as a task tells it, and its muscles take their time; what passes
between an intention and the muscles is the operator's reaction, and is not counted here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ...checks import seed_number, whole_number
from ...controllers import Controller, Population
from ...controllers.emg.decoder import FEATURES, SIGNAL, Decoder
from ...controllers.emg.window import log_rms, pattern_and_level
from ...emg_layout import GESTURE_COUNT, REST, STRIDE_RATE
from ...envs.emg.settings import Settings
from ...envs.emg.stream import Stream
from ...errors import LanceletError
from ..threads import one_torch_thread
from .measures import MILLISECONDS, accepted, first_times

REST_STRIDES = 10
"""of rest before a gesture"""
SHORTEST_HOLD = 16
"""strides that a gesture is held, at least"""
HOLDS = 8
"""different durations of a gesture, one stride apart: rest begins at all phases of what varies slowly"""
END_STRIDES = 12
"""of rest behind a gesture"""


class Delays(NamedTuple):
    """Delays of one decoder, one a contraction, in ms; a command is there at the end of its stride."""

    onset: np.ndarray
    """from the beginning of a contraction until its gesture is accepted; NaN: it never is"""
    rest: np.ndarray
    """from the beginning of rest until no gesture is accepted; NaN: none was when rest began"""


@torch.no_grad()
def follow(
    decoder: Controller,
    user: int,
    repeats: int = 4,
    seed: int = 0,
    settings: Settings | None = None,
) -> Delays:
    """Let one user make every gesture from rest, and rest again, side by side.

    Args:
        decoder: fitted to this user.
        user: number of the user.
        repeats: contractions of each gesture.
        seed: of contractions and noise.
        settings: disturbances; None: those of a first session.

    Raises:
        LanceletError: `decoder` is no decoder.
    """
    if not isinstance(decoder, Decoder):
        raise LanceletError(f"{type(decoder).__name__} follows nobody: must be a decoder")
    repeats = whole_number("repeats", repeats, least=1)
    level = "signal" if decoder.reads_signal else "power"
    stream = Stream(level=level, settings=settings or Settings(), users=(user,))
    gestures = np.repeat(np.arange(GESTURE_COUNT)[np.arange(GESTURE_COUNT) != REST], repeats)
    count = len(gestures)
    memory = stream.memory(count)
    seeds = np.random.SeedSequence((seed_number(seed), user)).spawn(count)
    stream.reset(memory, np.arange(count), [np.random.default_rng(one) for one in seeds])

    holds = SHORTEST_HOLD + np.arange(count) % HOLDS
    rest_begins = REST_STRIDES + holds
    strides = REST_STRIDES + SHORTEST_HOLD + HOLDS + END_STRIDES
    agents = Population(decoder, count)
    answers = []
    with one_torch_thread():
        state = agents.initial_state()
        for stride in range(strides):
            is_held = (stride >= REST_STRIDES) & (stride < rest_begins)
            stream.advance(memory, np.where(is_held, gestures, REST), np.ones(count))
            answer, state = agents(_observation(stream, memory), state)
            answers.append(answer)
    commands = accepted(np.stack(answers))
    return Delays(
        onset=first_times(commands[REST_STRIDES : REST_STRIDES + SHORTEST_HOLD], gestures),
        rest=_rest_times(commands, rest_begins),
    )


def _observation(stream: Stream, memory: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """What a task would show of the stride that was just made."""
    measured = torch.as_tensor(memory[stream.output].copy())
    if stream.level == "signal":
        return {SIGNAL: measured}
    return {FEATURES: pattern_and_level(log_rms(measured))}


def _rest_times(commands: np.ndarray, rest_begins: np.ndarray) -> np.ndarray:
    """Time (contractions,) in ms from the beginning of rest to the first command of rest.

    Args:
        commands: (strides, contractions) accepted gestures.
        rest_begins: (contractions,) first stride of rest.
    """
    times = np.full(len(rest_begins), np.nan)
    for place, begin in enumerate(rest_begins):
        if commands[begin - 1, place] == REST:
            continue
        is_rest = commands[begin:, place] == REST
        strides = int(is_rest.argmax()) + 1 if is_rest.any() else len(is_rest) + 1
        times[place] = strides * MILLISECONDS / STRIDE_RATE
    return times
