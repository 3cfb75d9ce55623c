"""Dead channels, found and predicted from the good ones (docs/systems/hdemg.md, "Dead channels")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...emg_layout import CHANNEL_COUNT

LEAST_GOOD = CHANNEL_COUNT // 2
"""good channels below which nothing is predicted: at rest every channel lies at the noise floor"""
FLOOR_MARGIN = 0.12
"""log RMS above its level at rest up to which a channel may be a dead one"""
CEILING_MARGIN = 1.5
"""log RMS above its highest one in the fitted windows from which a channel counts as saturated"""
RIDGE = 0.01
"""variance that the ridge regression adds to each channel's own, in units of the channels' mean variance"""


class Seen(NamedTuple):
    """What was made of a window's channels."""

    log_rms: Tensor
    """(batch, 64) of each channel, predicted where it is not good"""
    good: Tensor
    """(batch, 64) 1 where the channel was taken as it is, 0 where it was predicted"""
    repaired: Tensor
    """(batch,) number of channels that were predicted"""


class Channels(nn.Module):
    """What is known of each channel's log RMS, and how one is predicted from others.

    Buffers, set by `fit` and saved: the mean and the covariance of log RMS over training windows, its level at rest and
    its highest one.
    """

    mean: Tensor
    """(64,) of log RMS over all training windows"""
    covariance: Tensor
    """(64, 64) of log RMS over all training windows"""
    floor: Tensor
    """(64,) mean log RMS at rest"""
    ceiling: Tensor
    """(64,) highest log RMS of the training windows"""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNEL_COUNT))
        self.register_buffer("covariance", torch.eye(CHANNEL_COUNT))
        # Before it is fitted, no channel is dead and none is saturated.
        self.register_buffer("floor", torch.full((CHANNEL_COUNT,), -1e3))
        self.register_buffer("ceiling", torch.full((CHANNEL_COUNT,), 1e3))

    def fit(self, channel_log_rms: Tensor, is_rest: Tensor) -> None:
        """Set the buffers from training windows.

        Args:
            channel_log_rms: (windows, 64).
            is_rest: (windows,) True for windows of rest.
        """
        values = channel_log_rms.double()
        self.mean.copy_(values.mean(dim=0))
        self.covariance.copy_(torch.cov(values.T))
        self.floor.copy_(values[is_rest].mean(dim=0))
        self.ceiling.copy_(values.max(dim=0).values)

    def good(self, channel_log_rms: Tensor, has_data: Tensor) -> Tensor:
        """Which channels are neither at the noise floor nor saturated, (batch, 64) of 1 and 0.

        A channel that the muscles at work do not reach lies at the floor too. That does no harm: its prediction lies
        there as well.

        Args:
            channel_log_rms: (batch, 64).
            has_data: (batch, 64) 1 where the channel was valid at all, else 0.
        """
        is_above = channel_log_rms > self.floor + FLOOR_MARGIN
        is_below = channel_log_rms < self.ceiling + CEILING_MARGIN
        return has_data * (is_above & is_below).to(channel_log_rms.dtype)

    def repaired(self, channel_log_rms: Tensor, good: Tensor) -> Seen:
        """Predict every channel that is not good from those that are, where these are enough.

        Ridge regression, with G the good channels and S the covariance:

            prediction = mean + S[:, G] (S[G, G] + ridge I)^-1 (log RMS - mean)[G]

        The matrix is kept at 64 x 64, with 1 on the diagonal of the other channels, so that agents with different dead
        channels are solved side by side.

        Args:
            channel_log_rms: (batch, 64), finite.
            good: (batch, 64) of 1 and 0.
        """
        both_good = good[:, :, None] * good[:, None, :]
        ridge = RIDGE * self.covariance.diagonal().mean()
        diagonal = torch.diag_embed(good * ridge + (1.0 - good))
        deviation = good * (channel_log_rms - self.mean)
        matrix = self.covariance * both_good + diagonal
        solved, _ = torch.linalg.solve_ex(matrix, deviation[..., None])
        weights = solved[..., 0]
        prediction = self.mean + (self.covariance * weights[:, None, :]).sum(dim=-1)
        enough_are_good = good.sum(dim=-1, keepdim=True) >= LEAST_GOOD
        is_taken = (good > 0) | ~enough_are_good
        taken = is_taken.to(good.dtype)
        return Seen(
            log_rms=torch.where(is_taken, channel_log_rms, prediction),
            good=taken,
            repaired=(1.0 - taken).sum(dim=-1),
        )
