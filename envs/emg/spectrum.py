"""The spectrum of a muscle's carrier, and what is left of it in the band that decoders look at.

It tells how the power level of a stream stands for the full signal (docs/systems/hdemg.md, "Signals").
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.signal import butter, sosfreqz

from ...emg_layout import BAND, SAMPLE_RATE, STRIDE
from .generator import HIGH_CORNER, LOW_CORNER
from .units import FATIGUE_SLOWING

FILTER_ORDER = 4
"""of the decoder's Butterworth filter"""
BINS = 2001
"""frequencies at which a spectrum is looked at"""


def spectrum(frequency: np.ndarray, fatigue: float = 0.0) -> np.ndarray:
    """Power of a carrier at frequencies (Hz), not normalised."""
    slowing = 1 - FATIGUE_SLOWING * fatigue
    low = LOW_CORNER * slowing
    high = HIGH_CORNER * slowing
    squared = frequency**2
    return squared / ((squared + low**2) * (squared + high**2) ** 2)


@functools.lru_cache(maxsize=64)
def carrier_share(fatigue: float) -> float:
    """Part of a carrier's power that lies in the decoder's band."""
    power, passed = _band_spectrum(fatigue)
    return float(np.sum(passed) / np.sum(power))


@functools.lru_cache(maxsize=64)
def independent_samples(fatigue: float) -> int:
    """Independent values of a carrier in one stride, within the decoder's band: 19 fresh, 17 at half fatigue.

    As many white samples have a mean square that varies as that of the carrier does. With the carrier's correlation r
    over k of the N samples of a stride they are N / (1 + 2 sum (1 - k / N) r^2).
    """
    _, passed = _band_spectrum(fatigue)
    lags = np.arange(1, STRIDE)
    frequency = np.linspace(0, SAMPLE_RATE / 2, BINS)
    waves = np.cos(2 * np.pi * np.outer(lags, frequency) / SAMPLE_RATE)
    correlation = waves @ passed / np.sum(passed)
    return round(STRIDE / (1 + 2 * np.sum((1 - lags / STRIDE) * correlation**2)))


def _band_spectrum(fatigue: float) -> tuple[np.ndarray, np.ndarray]:
    """Power of a carrier at `BINS` frequencies, and what a Butterworth filter of the fourth order leaves of it."""
    sos = butter(FILTER_ORDER, BAND, "bandpass", fs=SAMPLE_RATE, output="sos")
    frequency = np.linspace(0, SAMPLE_RATE / 2, BINS)
    _, response = sosfreqz(sos, worN=frequency, fs=SAMPLE_RATE)
    # The bilinear transform of the carrier's filter bends frequencies; it leaves nothing at the last one.
    bent = np.tan(np.pi * frequency[:-1] / SAMPLE_RATE) * SAMPLE_RATE / np.pi
    power = np.append(spectrum(bent, fatigue), 0.0)
    return power, power * np.abs(response) ** 2
