"""Training windows of a sleeve that sits turned around the forearm (docs/systems/hdemg.md, "Decoder")."""

from __future__ import annotations

import numpy as np
import torch

from ...checks import finite_number
from ...controllers.emg.window import LARGEST_POWER, TINY, Window
from ...emg_layout import CHANNEL_COUNT, COLUMNS, ROWS
from ...envs.emg.forearm import CIRCUMFERENCE

MILLIMETRES = 1000.0
"""in a metre"""
AROUND = MILLIMETRES * CIRCUMFERENCE
"""mm around the forearm; 16 electrodes stand 16.25 mm apart"""
LARGEST_SHIFT = AROUND / 2
"""mm"""


def check_shift(millimetres: float) -> float:
    """Refuse a rotation beyond half the forearm.

    Raises:
        LanceletError: it is no such number.
    """
    return finite_number(
        "augment_mm", millimetres, least=-LARGEST_SHIFT, most=LARGEST_SHIFT, unit="mm"
    )


def turning(millimetres: float) -> np.ndarray:
    """The matrix (16, 16) that reads a ring of electrodes at places turned by `millimetres`.

    Between electrodes the numbers are those of the trigonometric polynomial through them: muscles lie so deep that the
    map of log RMS is smooth (a neighbour correlates with 0.96).
    """
    spacing = AROUND / COLUMNS
    frequencies = np.fft.fftfreq(COLUMNS, 1 / COLUMNS)
    phases = np.exp(2j * np.pi * frequencies * (millimetres / spacing) / COLUMNS)
    columns = np.eye(COLUMNS)
    turned = np.fft.ifft(np.fft.fft(columns, axis=0) * phases[:, None], axis=0)
    return turned.real


def turned(window: Window, millimetres: float) -> Window:
    """Windows (windows, strides, ...) as a sleeve would have measured them that sits turned around the arm.

    Args:
        window: as measured.
        millimetres: around the arm, either way.
    """
    ring = torch.as_tensor(turning(millimetres), dtype=window.power.dtype)
    shape = (*window.power.shape[:-1], ROWS, COLUMNS)
    # The logarithm is smoother than the power, and stays positive.
    logarithm = torch.log(window.power.reshape(shape) + TINY)
    power = torch.exp(logarithm @ ring.T).clamp_max(LARGEST_POWER).reshape(window.power.shape)
    product = window.product
    if product.shape[-1] == CHANNEL_COUNT:
        sleeve = torch.kron(torch.eye(ROWS, dtype=ring.dtype), ring)
        product = sleeve @ product @ sleeve.T
    return window._replace(power=power, product=product)
