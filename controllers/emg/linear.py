"""Decoders that score the 65 log-RMS features: linear discriminants (the default), and nearest centroids."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn.functional import linear

from ...emg_layout import FEATURE_COUNT, GESTURE_COUNT
from ...optional import extras
from .channels import Seen
from .decoder import Decoder, DecoderOptions
from .window import Window, pattern_and_level

SHRINKAGE = 0.05
"""share of the identity in the covariance that the discriminants are computed with"""
LEAST_SPREAD = 1e-3
"""standard deviation of a feature within a gesture, at least"""


class LinearDecoder(Decoder):
    """Linear discriminants of log-RMS features, fitted by scikit-learn and stored as one linear layer."""

    feature_count: int = FEATURE_COUNT

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: DecoderOptions,
    ) -> None:
        super().__init__(observation_space, action_space, options)
        # Zeros, so that every gesture is as likely until the decoder is fitted.
        self.weight = nn.Parameter(torch.zeros(GESTURE_COUNT, self.feature_count))
        self.bias = nn.Parameter(torch.zeros(GESTURE_COUNT))

    def represent(self, window: Window, seen: Seen) -> Tensor:
        """Log RMS of each channel less their median, and the median, (batch, 65)."""
        return pattern_and_level(seen.log_rms)

    def score(self, features: Tensor) -> Tensor:
        """Linear discriminant functions, (batch, 10)."""
        return linear(features, self.weight, self.bias)

    def fit_scores(self, features: np.ndarray, labels: np.ndarray, seed: int) -> None:
        """Fit the discriminants with shrinkage, every gesture as likely as the others; nothing is random."""
        with extras():
            from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        discriminants = LinearDiscriminantAnalysis(
            solver="lsqr",
            shrinkage=SHRINKAGE,
            priors=np.full(GESTURE_COUNT, 1.0 / GESTURE_COUNT),
        )
        discriminants.fit(features.astype(np.float64), labels)
        with torch.no_grad():
            self.weight.copy_(torch.as_tensor(discriminants.coef_))
            self.bias.copy_(torch.as_tensor(discriminants.intercept_))


class CentroidDecoder(Decoder):
    """The nearest mean of a gesture's features, each in units of its spread within gestures: a floor for the others."""

    spread: Tensor
    """(65,) standard deviation of each feature within a gesture"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: DecoderOptions,
    ) -> None:
        super().__init__(observation_space, action_space, options)
        self.centroids = nn.Parameter(torch.zeros(GESTURE_COUNT, FEATURE_COUNT))
        self.register_buffer("spread", torch.ones(FEATURE_COUNT))

    def represent(self, window: Window, seen: Seen) -> Tensor:
        """Log RMS of each channel less their median, and the median, (batch, 65)."""
        return pattern_and_level(seen.log_rms)

    def score(self, features: Tensor) -> Tensor:
        """Minus half the squared distance to every centroid, (batch, 10)."""
        difference = (features[:, None, :] - self.centroids) / self.spread
        return -0.5 * difference.square().sum(dim=-1)

    def fit_scores(self, features: np.ndarray, labels: np.ndarray, seed: int) -> None:
        """Set the centroids, and the spread within gestures; nothing is random."""
        centroids = np.stack([features[labels == g].mean(axis=0) for g in range(GESTURE_COUNT)])
        spread = (features - centroids[labels]).std(axis=0)
        with torch.no_grad():
            self.centroids.copy_(torch.as_tensor(centroids))
            self.spread.copy_(torch.as_tensor(np.maximum(spread, LEAST_SPREAD)))
