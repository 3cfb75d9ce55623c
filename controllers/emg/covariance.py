"""A decoder of the channels' covariance in its log-Euclidean chart (docs/systems/hdemg.md, "Decoder")."""

from __future__ import annotations

from typing import ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from ...emg_layout import CHANNEL_COUNT
from .channels import Seen
from .decoder import DecoderOptions
from .linear import LinearDecoder
from .window import TINY, Window

LOADING = 0.05
"""share of the mean variance that is added to the diagonal of a covariance before its logarithm"""
FILL_RIDGE = 0.001
"""variance that the prediction of a channel's samples adds to each channel's own, in units of the mean variance"""


class CovarianceDecoder(LinearDecoder):
    """Linear discriminants of the logarithm of the window's covariance.

    With S the covariance, the features are

        vech(logm(S + 0.05 tr(S) / 64 I))

    2,080 numbers, off-diagonal ones times sqrt(2) so that distances are those of the matrices. The logarithm is taken
    of the eigenvalues: `torch.linalg.eigh` is many times as fast as a general matrix logarithm.

    A channel that is not good is filled in: its samples are a linear prediction from those of the good ones.
    """

    uses_products: ClassVar[bool] = True
    feature_count: int = CHANNEL_COUNT * (CHANNEL_COUNT + 1) // 2

    usual: Tensor
    """(64, 64) mean of the covariances that the decoder was fitted to: what channels are predicted by"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: DecoderOptions,
    ) -> None:
        super().__init__(observation_space, action_space, options)
        self.register_buffer("usual", torch.eye(CHANNEL_COUNT))

    def fit_channels(self, window: Window, is_rest: Tensor) -> None:
        """As `Decoder.fit_channels`; sets the usual covariance too."""
        super().fit_channels(window, is_rest)
        self.usual.copy_(_pooled_product(window).double().mean(dim=0))

    def represent(self, window: Window, seen: Seen) -> Tensor:
        """The upper triangle of the covariance's logarithm, (batch, 2080)."""
        covariance = self._covariance(window, seen)
        values, vectors = torch.linalg.eigh(covariance)
        logarithms = torch.log(values.clamp_min(TINY))
        logarithm = torch.bmm(vectors * logarithms[:, None, :], vectors.mT)
        row, column = torch.triu_indices(CHANNEL_COUNT, CHANNEL_COUNT)
        unit = torch.where(row == column, 1.0, 2.0**0.5).to(logarithm.dtype)
        return logarithm[:, row, column] * unit

    def _covariance(self, window: Window, seen: Seen) -> Tensor:
        """The window's covariance, loaded, with channels that are not good filled in, (batch, 64, 64)."""
        covariance = self._filled(_pooled_product(window), seen.good)
        mean_variance = covariance.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
        loading = LOADING * mean_variance + TINY
        identity = torch.eye(CHANNEL_COUNT, dtype=covariance.dtype)
        return covariance + loading[:, None, None] * identity

    def _filled(self, measured: Tensor, good: Tensor) -> Tensor:
        """Covariances (batch, 64, 64) in which channels that are not good are predicted.

        With G the good channels and U the usual covariance, the samples of the others are taken to be

            B x[G],  B = U[:, G] (U[G, G] + ridge I)^-1

        and what this leaves of their usual variance is added to the diagonal.

        Args:
            measured: (batch, 64, 64).
            good: (batch, 64) of 1 and 0.
        """
        usual = self.usual
        ridge = FILL_RIDGE * usual.diagonal().mean()
        both_good = good[:, :, None] * good[:, None, :]
        matrix = usual * both_good + torch.diag_embed(good * ridge + (1.0 - good))
        of_good = usual * good[:, :, None]
        coefficients, _ = torch.linalg.solve_ex(matrix, of_good)
        prediction = coefficients.mT
        taken = torch.diag_embed(good)
        mixing = taken + prediction * (1.0 - good)[:, :, None]
        filled = torch.bmm(torch.bmm(mixing, measured * both_good), mixing.mT)
        left = usual.diagonal() - (prediction * of_good.mT).sum(dim=-1)
        return filled + torch.diag_embed(left.clamp_min(0.0) * (1.0 - good))


def _pooled_product(window: Window) -> Tensor:
    """Mean products of channels over the strides that count, (batch, 64, 64)."""
    # A stride counts as a whole: its channels were sampled together.
    weight = window.weight.max(dim=-1).values
    total = (window.product * weight[:, :, None, None]).sum(dim=1)
    return total / weight.sum(dim=1).clamp_min(1.0)[:, None, None]
