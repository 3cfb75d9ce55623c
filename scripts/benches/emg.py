"""High-density EMG: how much faster than the clock signals are generated, and how long a decoder takes for a stride."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from lancelet.emg_layout import GESTURE_COUNT, STRIDE_RATE
from lancelet.envs.emg.sessions import record
from lancelet.envs.emg.settings import Settings
from lancelet.envs.emg.stream import Stream
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.training.decoding.fit import fit, observations

STRIDES = 200
"""strides of one forearm in a round: 10 s"""
STRIDES_OF_A_GESTURE = 20
"""strides after which another gesture is made"""
BATCH = 64
"""forearms side by side"""
LEAST_SIGNAL = 40.0
"""seconds of full signal in one of the clock"""
LEAST_POWER = 300.0
"""seconds of the feature level in one of the clock"""
MOST_DECODING = 2.0
"""ms that a decoder takes for a stride, in all but one of a hundred"""
SLOWEST_SHARE = 99
"""percentile of a decoder's times"""
MS = 1000
"""ms in a second"""

Level = Literal["power", "signal"]


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds and trials."""
    rounds = 3 if quick else 9
    trials = 2 if quick else 8
    rows = _generator_rows(rounds)
    for level in ("power", "signal"):
        rows.append(_decoder_row(level, trials))
    return rows


def _generator_rows(rounds: int) -> list[Row]:
    """One forearm and many, at both levels, timed in turns on one thread."""
    times = take_turns(
        rounds,
        signal=_strides("signal", 1, STRIDES),
        power=_strides("power", 1, STRIDES),
        fast_signal=_strides("signal", 1, STRIDES, Settings(rate=4000)),
        signals=_strides("signal", BATCH, STRIDES // 10),
        powers=_strides("power", BATCH, STRIDES),
    )
    seconds = STRIDES / STRIDE_RATE
    note = f"one core, 64 channels, a gesture a second, fastest of {rounds} rounds"
    share, interval = times.ratio("signal", "power")
    return [
        at_least(
            "full signal, 2 kHz, one forearm, x real time",
            "speed",
            times.rate("signal", 1) * seconds,
            LEAST_SIGNAL,
            note=note,
        ),
        at_least(
            "feature level, one forearm, x real time",
            "speed",
            times.rate("power", 1) * seconds,
            LEAST_POWER,
            note=f"{note}; {share:.1f} ({interval[0]:.1f} to {interval[1]:.1f}) times as fast as the full signal",
        ),
        Row(
            "full signal, 4 kHz, one forearm, x real time",
            "info",
            times.rate("fast_signal", 1) * seconds,
            note=note,
        ),
        Row(
            f"full signal, 2 kHz, {BATCH} forearms, x real time",
            "info",
            times.rate("signals", BATCH) * seconds / 10,
            note=note,
        ),
        Row(
            f"feature level, {BATCH} forearms, x real time",
            "info",
            times.rate("powers", BATCH) * seconds,
            note=note,
        ),
    ]


def _strides(
    level: Level, n: int, count: int, settings: Settings | None = None
) -> Callable[[], None]:
    """A round: `count` strides of `n` forearms that go through all gestures.

    Args:
        level: of the stream.
        n: forearms.
        count: strides of each.
        settings: disturbances; none: the usual ones.
    """
    stream = Stream(level=level, settings=settings or Settings(), users=tuple(range(n)))
    memory = stream.memory(n)
    ids = np.arange(n)
    stream.reset(memory, ids, [np.random.default_rng(i) for i in range(n)])
    effort = np.ones(n)

    def make() -> None:
        for stride in range(count):
            gesture = (stride // STRIDES_OF_A_GESTURE + ids) % GESTURE_COUNT
            stream.advance(memory, gesture, effort)

    return make


def _decoder_row(level: Level, trials: int) -> Row:
    """CPU time of the default decoder for one stride of one user, at a level of signals.

    Args:
        level: features, or samples that the decoder filters itself.
        trials: of each gesture, that the decoder is fitted to.
    """
    decoder = fit("emg-lda", record(0, trials=trials, level=level))
    recording = record(0, trials=1, level=level, seed=1)
    strides = observations(recording)
    times = []
    with torch.inference_mode():
        for trial in range(len(recording.labels)):
            state = decoder.initial_state(1)
            for stride in strides:
                observation = {name: values[trial : trial + 1] for name, values in stride.items()}
                begin = time.thread_time()
                _, state = decoder(observation, state)
                times.append(time.thread_time() - begin)
    slowest = float(np.percentile(times, SLOWEST_SHARE)) * MS
    note = f"median {np.median(times) * MS:.2f} ms, {len(times)} strides, one thread of torch"
    observed = "features" if level == "power" else "samples"
    name = f"emg-lda on {observed}, CPU time a stride, p99, ms"
    return at_most(name, "speed", slowest, MOST_DECODING, note=note)
