"""The last strides of every channel, pooled where they are valid (docs/systems/hdemg.md, "Decoder").

A stride is 50 ms. What a decoder keeps of it is each channel's mean square, so that the mean square of a window is the
mean over its strides.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...emg_layout import LEVEL_FLOOR

LARGEST_POWER = 1e30
"""a mean square is cut off there: beyond it float32 ends"""
TINY = 1e-12
"""added where a logarithm or a quotient could meet 0"""


class Stride(NamedTuple):
    """What was measured in one stride."""

    power: Tensor
    """(batch, 64) mean square; 0 where it is not valid"""
    valid: Tensor
    """(batch, 64) 1 where the channel gave finite numbers alone, else 0"""
    product: Tensor
    """(batch, 64, 64) mean products of channels; (batch, 0, 0) for decoders that do not use them"""


class Window(NamedTuple):
    """The last strides, the newest at the end."""

    power: Tensor
    """(batch, strides, 64) mean squares"""
    weight: Tensor
    """(batch, strides, 64) 1 where a stride of a channel counts, else 0"""
    product: Tensor
    """(batch, strides, 64, 64) mean products of channels; (batch, strides, 0, 0) where they are not used"""


def pushed(window: Window, stride: Stride, keeps: Tensor) -> Window:
    """The window one stride later.

    Args:
        window: before.
        stride: the new one; it counts in any case where it is valid.
        keeps: (batch,) 1 where the strides before it still count, 0 where the window begins anew.
    """
    older_weight = window.weight[:, 1:] * keeps[:, None, None]
    return Window(
        power=torch.cat([window.power[:, 1:], stride.power[:, None]], dim=1),
        weight=torch.cat([older_weight, stride.valid[:, None]], dim=1),
        product=torch.cat([window.product[:, 1:], stride.product[:, None]], dim=1),
    )


def emptied(window: Window, keeps: Tensor) -> Window:
    """The window in which nothing counts where `keeps` (batch,) is 0."""
    return window._replace(weight=window.weight * keeps[:, None, None])


def pooled_power(window: Window) -> Tensor:
    """Mean square of each channel over its valid strides, (batch, 64); 0 where there is none."""
    total = (window.power * window.weight).sum(dim=1)
    count = window.weight.sum(dim=1)
    return total / count.clamp_min(1.0)


def log_rms(power: Tensor) -> Tensor:
    """Logarithm of the root mean square of a mean square, as `emg_layout.FEATURE_COUNT` tells."""
    return torch.log(torch.sqrt(power) + LEVEL_FLOOR)


def power_of_log_rms(log_root: Tensor) -> Tensor:
    """The mean square whose `log_rms` is given."""
    root = torch.exp(log_root) - LEVEL_FLOOR
    return root.clamp_min(0.0).square()


def pattern_and_level(channel_log_rms: Tensor) -> Tensor:
    """Features (batch, 65): log RMS (batch, 64) of each channel less their median, then the median."""
    level = channel_log_rms.median(dim=-1, keepdim=True).values
    return torch.cat([channel_log_rms - level, level], dim=-1)
