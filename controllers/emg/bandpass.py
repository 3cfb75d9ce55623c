"""A causal band-pass filter as one matrix a block (docs/systems/hdemg.md, "Decoder").

A linear filter that carries its state z from one block to the next is one linear map of a block's samples x and that
state:

    [y; z'] = M [x; z]

The product with M equals `scipy.signal.sosfilt` sample by sample to 1.5e-13 of the signal, has no loop over samples, and
maps over a population of agents.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import signal
from torch import Tensor
from torch.nn.functional import linear

from ...errors import LanceletError

STATES_PER_SECTION = 2
"""delayed numbers that a second-order section carries (direct form II transposed)"""
NOTCH_QUALITY = 30.0
"""centre frequency of the mains notch over its width"""


def band_pass(
    *,
    low: float,
    high: float,
    order: int,
    rate: float,
    notch: float | None = None,
) -> np.ndarray:
    """Second-order sections (sections, 6) of a Butterworth band-pass, and of a mains notch behind it.

    Args:
        low: lower edge, Hz.
        high: upper edge, Hz.
        order: of the Butterworth prototype; the band-pass has twice as many poles.
        rate: samples per second.
        notch: mains frequency that is taken out, Hz; None: none is.

    Raises:
        LanceletError: edges that are not in order, or not below half the rate.
    """
    if not 0 < low < high < rate / 2:
        raise LanceletError(
            f"band = {low:g} to {high:g} Hz: must rise, between 0 and half the rate of {rate:g} Hz"
        )
    sections = np.asarray(signal.butter(order, [low, high], "bandpass", fs=rate, output="sos"))
    if notch is None:
        return sections
    numerator, denominator = signal.iirnotch(notch, NOTCH_QUALITY, fs=rate)
    notch_section = np.asarray(signal.tf2sos(numerator, denominator))
    return np.concatenate([sections, notch_section])


def block_matrix(sections: np.ndarray, samples: int) -> np.ndarray:
    """The matrix M (samples + states, samples + states) of the map in this module's docstring.

    Column k is what the filter makes of an input that is 1 at place k of [x; z] and 0 elsewhere.

    Args:
        sections: (sections, 6) second-order sections.
        samples: in a block.
    """
    section_count = len(sections)
    state_count = STATES_PER_SECTION * section_count
    size = samples + state_count
    unit_inputs = np.eye(size)
    blocks = unit_inputs[:, :samples]
    # sosfilt wants the state as (sections, inputs, 2).
    states = unit_inputs[:, samples:].reshape(size, section_count, STATES_PER_SECTION)
    filtered, after = signal.sosfilt(sections, blocks, axis=1, zi=states.transpose(1, 0, 2))
    next_states = np.asarray(after).transpose(1, 0, 2).reshape(size, state_count)
    return np.concatenate([np.asarray(filtered), next_states], axis=1).T


def filter_block(matrix: Tensor, block: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Filter one block of every channel.

    Args:
        matrix: M of `block_matrix`, (samples + states, samples + states).
        block: (batch, channels, samples).
        state: (batch, channels, states) after the block before.

    Returns:
        The filtered block and the next state, of the same shapes.
    """
    batch, channels, samples = block.shape
    size = matrix.shape[0]
    joined = torch.cat([block.to(state.dtype), state], dim=-1)
    # One row a channel: a product of rows with one matrix rounds alike for any number of agents.
    rows = joined.reshape(batch * channels, size)
    product = linear(rows, matrix).reshape(batch, channels, size)
    return product[..., :samples], product[..., samples:]
