import numpy as np
import pytest

from lancelet.envs import steps


def measure(reference, values, start=0.0, period=0.1):
    """Figures of one response: a step at time 0 from `start`, then samples of `values`."""
    memory = steps.memory(1, period)
    steps.step(memory, np.array([True]), np.array([start]))
    for value in values:
        steps.respond(memory, np.array([reference]), np.array([value]), period)
    return {name: rows[0] for name, rows in steps.figures(memory, period).items()}


def test_rise_time_is_from_ten_to_ninety_percent():
    assert measure(1.0, np.arange(1, 201) * 0.01)["rise_time"] == pytest.approx(8.0)
    assert measure(-1.0, -np.arange(1, 201) * 0.01)["rise_time"] == pytest.approx(8.0)


def test_a_response_that_never_rises_tells_how_long_it_had():
    assert measure(1.0, np.zeros(50))["rise_time"] == pytest.approx(5.0)


def test_overshoot_is_the_largest_error_of_opposite_sign_within_thirty_seconds():
    values = np.concatenate([[0.5, 1.2, 1.1], np.ones(400)])
    assert measure(1.0, values)["overshoot"] == pytest.approx(0.2)
    assert measure(-1.0, -values)["overshoot"] == pytest.approx(0.2)
    assert measure(1.0, np.full(400, 0.9))["overshoot"] == 0.0
    assert (
        measure(1.0, np.concatenate([np.ones(301), [1.5]]))["overshoot"] == 0.0
    )  # after the thirty seconds


def test_steady_state_error_and_oscillation_look_at_the_last_ten_and_twenty_seconds():
    wave = 1 + 0.06 * np.sin(2 * np.pi * np.arange(1, 601) * 0.1 / 5)
    figures = measure(1.0, np.concatenate([np.full(100, 3.0), wave]))
    assert figures["steady_state_error"] == pytest.approx(0.06 * 2 / np.pi, rel=0.02)
    assert figures["oscillation"] == pytest.approx(0.06, rel=0.01)
    droop = measure(1.0, np.concatenate([np.zeros(100), np.full(100, 0.7)]))
    assert droop["steady_state_error"] == pytest.approx(0.3) and droop[
        "oscillation"
    ] == pytest.approx(0.35)


def test_nothing_measured_gives_zeros():
    figures = steps.figures(steps.memory(2, 0.1), 0.1)
    assert all((rows == 0).all() for rows in figures.values())


def test_recording_flights_keep_to_levels_sizes_and_holds():
    for seed in range(20):
        times, levels = steps.recording(np.random.default_rng(seed))
        sizes, holds = np.abs(np.diff(levels)), np.diff(times)
        assert times[0] == 0 and times[-1] > 1200
        assert levels.min() >= 0.4 and levels.max() <= 1.8
        assert sizes.min() >= 0.3 and sizes.max() <= 1.0
        assert holds.min() >= 20 and holds.max() <= 35
