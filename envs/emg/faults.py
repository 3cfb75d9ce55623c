"""Broken sensors: values that are no numbers, flat or at the rail, strides that are missing or late.

The fault of `Settings` is put into the stride that was just made. Which rows of the memory this takes, `memory` tells.
"""

from __future__ import annotations

import numpy as np

from ...emg_layout import CHANNEL_COUNT, RAIL, STRIDE_RATE
from .forearm import FAULT_SEED
from .settings import Settings

Memory = dict[str, np.ndarray]


def memory(settings: Settings, output: np.ndarray) -> Memory:
    """Rows that the fault needs: the last strides, where strides arrive late or not at all.

    Args:
        settings: of the stream.
        output: (n, ...) row that a stride writes.
    """
    if settings.fault == "late":
        n, *shape = output.shape
        return {"emg_queue": np.zeros((n, _late_strides(settings), *shape), np.float32)}
    if settings.fault == "missing":
        return {"emg_arrived": np.zeros_like(output)}
    return {}


def reset(memory: Memory, ids: np.ndarray, output: str) -> None:
    """Begin with a stride that arrived in time: the one that simulations `ids` have just made.

    Args:
        memory: rows of the stream; those of `ids` are written.
        ids: (k,) simulations.
        output: name of the row that a stride writes.
    """
    memory["emg_delay"][ids] = 0.0
    first = memory[output][ids]
    if "emg_queue" in memory:
        memory["emg_queue"][ids] = first[:, None]
    if "emg_arrived" in memory:
        memory["emg_arrived"][ids] = first


def inject(settings: Settings, memory: Memory, ids: np.ndarray, output: str) -> None:
    """Break the stride that simulations `ids` have just made, where the fault asks for it.

    Args:
        settings: of the stream.
        memory: rows of the stream; the output and ``emg_delay`` of `ids` are written.
        ids: (k,) simulations.
        output: name of the row that a stride writes.
    """
    if settings.fault == "none":
        return
    # The stride of the reset is number 1 and ends at 0 s.
    seconds = (memory["emg_stride"][ids] - 2) / STRIDE_RATE
    end = settings.fault_begin + settings.fault_seconds
    is_broken = (seconds >= settings.fault_begin) & (seconds < end)
    broken = ids[is_broken]
    if settings.fault == "late":
        _delay(settings, memory, ids, broken, output)
    elif settings.fault == "missing":
        _withhold(memory, ids, broken, output)
    else:
        _spoil(settings, memory, broken, output)


def _late_strides(settings: Settings) -> int:
    """Strides that a late one is behind: whole ones, at least 1."""
    return max(1, int(np.ceil(settings.fault_delay * STRIDE_RATE - 1e-9)))


def _delay(
    settings: Settings, memory: Memory, ids: np.ndarray, broken: np.ndarray, output: str
) -> None:
    """Give the stride that was made some strides ago in place of the present one."""
    queue = memory["emg_queue"]
    present = memory[output][ids].copy()
    memory[output][broken] = queue[broken, 0]
    queue[ids, :-1] = queue[ids, 1:]
    queue[ids, -1] = present
    memory["emg_delay"][ids] = 0.0
    memory["emg_delay"][broken] = settings.fault_delay


def _withhold(memory: Memory, ids: np.ndarray, broken: np.ndarray, output: str) -> None:
    """Leave what arrived last where the present stride would be."""
    memory[output][broken] = memory["emg_arrived"][broken]
    memory["emg_arrived"][ids] = memory[output][ids]
    memory["emg_delay"][ids] = 0.0
    memory["emg_delay"][broken] = np.inf


def _spoil(settings: Settings, memory: Memory, broken: np.ndarray, output: str) -> None:
    """Overwrite the channels that break."""
    for i in broken.tolist():
        key = int(memory["emg_key"][i])
        order = np.random.default_rng((FAULT_SEED, key)).permutation(CHANNEL_COUNT)
        channels = order[: settings.fault_channels]
        values = memory[output][i, channels]
        if settings.fault == "nan":
            memory[output][i, channels] = np.nan
        elif settings.fault == "flat":
            memory[output][i, channels] = 0.0
        elif output == "emg_power":
            memory[output][i, channels] = RAIL * RAIL
        else:
            # An overdriven amplifier swings between its rails.
            memory[output][i, channels] = np.where(values < 0, -RAIL, RAIL)
