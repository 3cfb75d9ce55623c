"""Harmonic place code: fractional power encoding on hexagonal triplets.

One code serves every kernel width (docs/systems/search.md, "The code"). Sources: spatial semantic
pointers (Komer et al. 2019; Dumont & Eliasmith 2020); grid-cell triplets. Re-weighting the
spectrum, so that one code gives every kernel width, and decoding from coarse to fine are this
project's own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

USUAL_REACH = 16.0
"""m, greatest displacement that a code can tell unless another is asked for"""
LONGEST = 64.0
"""m, wavelength of the coarsest module for a reach of `USUAL_REACH`; it scales with the reach"""
SHORTEST = 0.25
"""m, wavelength of the finest module"""
BAND_LIMITS = (0.9, 4.0, 16.0)
"""decoding bands, from coarse to fine: a band holds the waves shorter than its limit in wave number, which is this
number times pi over the reach, rad/m"""
FEWEST_COARSE_WAVES = 3
"""waves that the coarsest band needs"""
_SEED_OF_CODES = 2410_01349
"""mixed into every seed, so that a code shares no draws with what else the seed is used for"""

WAVES_PER_MODULE = 3
"""wave vectors of a hexagonal triplet; opposite vectors are one wave, so that three directions make a hexagon"""


class Decoder(NamedTuple):
    """What turns phases of a bound code into a displacement; a compiled loop takes it as one argument.

    The phase of wave j turns by ``wave[j] . d`` over a displacement d. So within a band, where no phase wraps, d is
    the least-squares solution: the band's pseudo-inverse times the phases. The bands are nested: each holds the
    waves of the coarser ones too.
    """

    wave: np.ndarray
    """(D, 2) wave vectors, coarse first, rad/m"""
    band_ends: np.ndarray
    """(bands,) number of waves in each band, from coarse to fine: band b has the waves 0 to ``band_ends[b] - 1``"""
    inverse: np.ndarray
    """(bands, 2, ``band_ends[-1]``) of each band, the pseudo-inverse of its wave vectors, m; 0 behind its end"""


class HarmonicCode:
    """``phi_j(x) = exp(i k_j . x)``, j = 1 .. D with D = 3 * modules, over the plane.

    Args:
        modules: hexagonal triplets; their wavelengths are log-uniform, in strata, between
            `SHORTEST` and four times the reach.
        seed: of wavelengths and orientations, fixed for the life of the code.
        reach: greatest displacement that `decode` can tell, m.

    Raises:
        ValueError: too few modules to decode.
    """

    def __init__(self, modules: int = 256, seed: int = 0, reach: float = USUAL_REACH) -> None:
        wave = _hexagonal_waves(modules, seed, longest=LONGEST * reach / USUAL_REACH)
        wave_number = np.linalg.norm(wave, axis=1)
        coarse_first = np.argsort(wave_number, kind="stable")
        self.reach = reach
        """m"""
        self.wave = np.ascontiguousarray(wave[coarse_first])
        """wave vectors (D, 2), coarse first, rad/m"""
        self.wave_number = wave_number[coarse_first]
        """lengths (D,) of the wave vectors, rad/m"""
        band_ends = np.searchsorted(self.wave_number, np.array(BAND_LIMITS) * np.pi / reach)
        if band_ends[0] < FEWEST_COARSE_WAVES:
            raise ValueError(f"{modules} modules: too few to decode; needs about 16 or more")
        self.decoder = _decoder(self.wave, band_ends)
        """what `decode` works with"""
        self._gains_of_width: dict[float, np.ndarray] = {}

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Complex code (..., D) of places (..., 2) in m."""
        return np.exp(1j * (np.asarray(x)[..., None, :] * self.wave).sum(-1))

    def spectrum(self, sigma: float) -> np.ndarray:
        """Gains (D,), summing to 1, that make the similarity about a Gaussian of width `sigma` m."""
        if sigma not in self._gains_of_width:
            power = (self.wave_number * sigma) ** 2
            gain = power * np.exp(-power / 2)
            self._gains_of_width[sigma] = gain / gain.sum()
        return self._gains_of_width[sigma]

    def similarity(self, x: np.ndarray, y: np.ndarray, sigma: float) -> np.ndarray:
        """``S_sigma(x, y) = sum_j g_j cos(k_j . (x - y))``, about ``exp(-|x - y|^2 / (2 sigma^2))``.

        Args:
            x: places (..., 2), m.
            y: places (..., 2), m.
            sigma: width of the kernel, m.

        Returns:
            (...), about 1 for the same place and 0 for places far apart.
        """
        shift = np.asarray(x) - np.asarray(y)
        phase = shift[..., :1] * self.wave[:, 0] + shift[..., 1:] * self.wave[:, 1]
        return (np.cos(phase) * self.spectrum(sigma)).sum(-1)

    def decode(self, code: np.ndarray) -> np.ndarray:
        """Displacement y - x (n, 2) in m from bound codes ``encode(y) * conj(encode(x))``, (n, D)."""
        waves_read = self.decoder.band_ends[-1]
        return decode_phases(np.angle(code[:, :waves_read]), self.decoder)


def _decoder(wave: np.ndarray, band_ends: np.ndarray) -> Decoder:
    """The decoder of wave vectors (D, 2) rad/m, coarse first, for bands that end at `band_ends`."""
    inverse = np.zeros((len(band_ends), 2, band_ends[-1]))
    for band, end in enumerate(band_ends):
        inverse[band, :, :end] = np.linalg.pinv(wave[:end])
    return Decoder(wave=wave, band_ends=band_ends, inverse=inverse)


def _hexagonal_waves(modules: int, seed: int, longest: float) -> np.ndarray:
    """Wave vectors (3 * modules, 2) of hexagonal triplets, rad/m.

    Args:
        modules: number of triplets.
        seed: of wavelengths and orientations.
        longest: greatest wavelength, m.
    """
    rng = np.random.default_rng([seed, _SEED_OF_CODES])
    # One draw in each of equal parts of the (logarithmic) range.
    stratum = np.arange(modules)
    share = (stratum + rng.uniform(0.0, 1.0, modules)) / modules
    wavelength = SHORTEST * (longest / SHORTEST) ** share
    orientation = rng.uniform(0.0, np.pi / 3, modules)
    # 0, 60 and 120 degrees from the orientation.
    angle = orientation[:, None] + np.pi / 3 * np.arange(WAVES_PER_MODULE)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=2)
    wave = 2 * np.pi / wavelength[:, None, None] * direction
    return wave.reshape(-1, 2)


@njit(cache=True)
def wrap(angle: float) -> float:
    """`angle` brought into [-pi, pi], rad."""
    return angle - 2 * np.pi * np.round(angle / (2 * np.pi))


@njit(cache=True)
def displacement(phase: np.ndarray, decoder: Decoder) -> tuple[float, float]:
    """Displacement (m) that the phases of one bound code stand for, from coarse to fine.

    The coarsest band has no wave that wraps within the reach, and so gives a first value. What each finer band adds
    is small enough not to wrap once the value so far is taken off its phases.

    Args:
        phase: phases (``band_ends[-1]`` or more,), rad.
        decoder: of the code.
    """
    wave = decoder.wave
    dx = 0.0
    dy = 0.0
    for band in range(len(decoder.band_ends)):
        to_x = decoder.inverse[band, 0]
        to_y = decoder.inverse[band, 1]
        correction_x = 0.0
        correction_y = 0.0
        for j in range(decoder.band_ends[band]):
            residual = wrap(phase[j] - (wave[j, 0] * dx + wave[j, 1] * dy))
            correction_x += to_x[j] * residual
            correction_y += to_y[j] * residual
        # After the whole band, since all of its phases are compared with the same displacement.
        dx += correction_x
        dy += correction_y
    return dx, dy


@njit(cache=True)
def decode_phases(phase: np.ndarray, decoder: Decoder) -> np.ndarray:
    """Displacements (n, 2) in m, as `displacement` gives them, of every row of phases (n, D) in rad."""
    displacements = np.empty((len(phase), 2))
    for row in range(len(phase)):
        dx, dy = displacement(phase[row], decoder)
        displacements[row, 0] = dx
        displacements[row, 1] = dy
    return displacements
