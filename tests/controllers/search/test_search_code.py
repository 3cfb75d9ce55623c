"""The harmonic code measures places, near and far, and its winner is the lattice cell."""

import numpy as np
import pytest

from lancelet.controllers.search.place_code import HarmonicCode, decode_phases


@pytest.mark.parametrize("seed", range(3))
def test_a_displacement_decodes_to_less_than_a_millimetre_whatever_the_phases_wrap_to(seed):
    code = HarmonicCode(seed=seed)
    rng = np.random.default_rng(seed)
    x = rng.uniform(-500, 500, (200, 2))
    shift = rng.uniform(-11, 11, (200, 2))
    bound_code = code.encode(x + shift) * np.conj(code.encode(x))
    assert np.abs(code.decode(bound_code) - shift).max() < 1e-3


def test_phase_noise_costs_millimetres_because_the_coarse_band_is_read_first():
    code = HarmonicCode()
    rng = np.random.default_rng(0)
    x = rng.uniform(-8, 8, (300, 2))
    shift = rng.uniform(-8, 8, (300, 2))
    noise = np.exp(1j * rng.normal(0, 0.3, (300, len(code.wave))))
    bound_code = code.encode(x + shift) * np.conj(code.encode(x))
    error = np.linalg.norm(code.decode(bound_code * noise) - shift, axis=1)
    assert np.median(error) < 0.04 and error.max() < 0.2


@pytest.mark.parametrize("sigma", [0.35, 0.175, 0.7])
def test_one_code_gives_kernels_of_every_width(sigma):
    for seed in range(3):
        code = HarmonicCode(seed=seed)
        rng = np.random.default_rng(seed)
        distance = rng.uniform(0, 3, 1000)
        angle = rng.uniform(0, 2 * np.pi, 1000)
        shift = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        gaussian = np.exp(-(distance**2) / (2 * sigma**2))
        error = code.similarity(shift, np.zeros(2), sigma) - gaussian
        assert np.sqrt((error**2).mean()) <= 0.05


def test_the_winning_place_is_the_rounded_cell_away_from_borders():
    code = HarmonicCode()
    rng = np.random.default_rng(0)
    line = np.arange(-5, 6)
    places = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    x = rng.uniform(-4.5, 4.5, (400, 2))
    is_off_borders = (np.abs(x - np.round(x)) < 0.4).all(1)
    x = x[is_off_borders]
    winners = [code.similarity(position, places, 0.35).argmax() for position in x]
    assert (places[winners] == np.round(x)).all(1).mean() >= 0.99


def test_a_row_decodes_to_the_same_bits_in_any_batch():
    decoder = HarmonicCode().decoder
    random = np.random.default_rng(0)
    phase = random.uniform(-3, 3, (64, decoder.band_ends[-1]))
    together = decode_phases(phase, decoder)
    for row in (0, 63):
        alone = decode_phases(phase[row : row + 1], decoder)
        np.testing.assert_array_equal(alone[0], together[row])
