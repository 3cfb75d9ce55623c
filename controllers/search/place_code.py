"""Harmonic place code: fractional power encoding on hexagonal triplets, one code for every kernel width.

Sources: spatial semantic pointers (Komer et al. 2019; Dumont & Eliasmith 2020); grid-cell triplets. Re-weighting the
spectrum, so that one code gives every kernel width, and decoding from coarse to fine are this project's own.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LONGEST = 64.0
"""m, wavelength of the coarsest module for a reach of 16 m; scales with the reach"""
SHORTEST = 0.25
"""m, wavelength of the finest module"""
BANDS = (0.9, 4.0, 16.0)
"""decoding bands: wave numbers below these over the reach, times pi (rad/m)"""


class HarmonicCode:
    """``phi_j(x) = exp(i k_j . x)``, j = 1 .. 3 * modules, over the plane.

    Args:
        modules: hexagonal triplets; wavelengths log-uniform (stratified) between `SHORTEST` and four times the reach.
        seed: of wavelengths and orientations, fixed for the life of the code.
        reach: greatest displacement that `decode` can tell, m.
    """

    def __init__(self, modules: int = 256, seed: int = 0, reach: float = 16.0) -> None:
        rng = np.random.default_rng([seed, 2410_01349])
        longest = LONGEST * reach / 16.0
        share = (
            np.arange(modules) + rng.uniform(0.0, 1.0, modules)
        ) / modules  # one draw in each of equal parts
        length = SHORTEST * (longest / SHORTEST) ** share
        turn = rng.uniform(0.0, np.pi / 3, modules)
        angle = turn[:, None] + np.pi / 3 * np.arange(
            3
        )  # opposite vectors are one wave: 0, 60, 120 degrees
        wave = 2 * np.pi / length[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=2)
        wave = wave.reshape(-1, 2)
        self.size = np.linalg.norm(wave, axis=1)
        order = np.argsort(self.size, kind="stable")
        self.wave, self.size, self.reach = (
            np.ascontiguousarray(wave[order]),
            self.size[order],
            reach,
        )
        """wave vectors (D, 2), coarse first, rad/m; their lengths (D,); m"""
        self.ends = np.searchsorted(self.size, np.array(BANDS) * np.pi / reach)
        """number of waves in each band"""
        if self.ends[0] < 3:
            raise ValueError(f"{modules} modules: too few to decode; needs about 16 or more")
        self.inverse = np.zeros((len(BANDS), 2, self.ends[-1]))
        for row, end in zip(self.inverse, self.ends, strict=True):
            row[:, :end] = np.linalg.pinv(self.wave[:end])
        self._spectra: dict[float, np.ndarray] = {}

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Complex code (..., D) of places (..., 2) in m."""
        return np.exp(1j * (np.asarray(x)[..., None, :] * self.wave).sum(-1))

    def spectrum(self, sigma: float) -> np.ndarray:
        """Gains (D,), summing to 1, under which the similarity is about a Gaussian of width `sigma` (m)."""
        if sigma not in self._spectra:
            power = (self.size * sigma) ** 2
            gain = power * np.exp(-power / 2)
            self._spectra[sigma] = gain / gain.sum()
        return self._spectra[sigma]

    def similarity(self, x: np.ndarray, y: np.ndarray, sigma: float) -> np.ndarray:
        """``S_sigma(x, y) = sum_j g_j cos(k_j . (x - y))``, about ``exp(-|x - y|^2 / (2 sigma^2))``; x, y (..., 2)."""
        shift = np.asarray(x) - np.asarray(y)
        phase = shift[..., :1] * self.wave[:, 0] + shift[..., 1:] * self.wave[:, 1]
        return (np.cos(phase) * self.spectrum(sigma)).sum(-1)

    def decode(self, code: np.ndarray) -> np.ndarray:
        """Displacement (n, 2) in m from bound codes ``encode(y) * conj(encode(x))``, (n, D): y - x."""
        return decode_phases(np.angle(code[:, : self.ends[-1]]), self.wave, self.inverse, self.ends)


@njit(cache=True)
def wrap(angle: float) -> float:
    """`angle` brought into [-pi, pi], rad."""
    return angle - 2 * np.pi * np.round(angle / (2 * np.pi))


@njit(cache=True)
def displacement(
    phase: np.ndarray, wave: np.ndarray, inverse: np.ndarray, ends: np.ndarray
) -> tuple[float, float]:
    """Displacement (m) that the phases (D,) of one bound code stand for, band by band from coarse to fine."""
    dx = dy = 0.0
    for band in range(len(ends)):
        right = up = 0.0
        for j in range(ends[band]):
            rest = wrap(phase[j] - (wave[j, 0] * dx + wave[j, 1] * dy))
            right += inverse[band, 0, j] * rest
            up += inverse[band, 1, j] * rest
        dx, dy = dx + right, dy + up
    return dx, dy


@njit(cache=True)
def decode_phases(
    phase: np.ndarray, wave: np.ndarray, inverse: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """`displacement` of every row of `phase` (n, D)."""
    out = np.empty((len(phase), 2))
    for i in range(len(phase)):
        out[i, 0], out[i, 1] = displacement(phase[i], wave, inverse, ends)
    return out
