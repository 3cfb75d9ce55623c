import numpy as np
import pytest
import torch

from lancelet import LanceletError
from lancelet.training.imitation import flights
from lancelet.training.rollout import make_env

TASK = "lancelet/BlimpAltitude-v0"


@pytest.fixture(scope="module")
def recorded():
    return flights.proportional_derivative(TASK, range(6), 9.0, 14.0, length=400)


@pytest.mark.slow
def test_targets_are_the_pd_law_but_for_the_jumps_of_the_reference(recorded):
    change = np.diff(recorded.errors, axis=1)
    law = 9 * recorded.errors[:, 1:] + 140 * change
    jumps = np.abs(change) > 0.25  # the least step is 0.3 m, and no blimp climbs 0.25 m in 0.1 s
    assert 4 <= jumps.sum() <= 12
    law[jumps] = 9 * recorded.errors[:, 1:][jumps]
    np.testing.assert_allclose(recorded.targets[:, 1:], np.clip(law, -10, 10), atol=1e-4)
    free, kept = (
        flights.proportional_derivative(TASK, range(6), 40.0, 0.0, clip, 400)
        for clip in (False, True)
    )
    np.testing.assert_array_equal(free.errors, recorded.errors)
    assert np.abs(free.targets).max() > 10
    np.testing.assert_array_equal(np.clip(free.targets, -10, 10), kept.targets)


def test_every_flight_has_gains_of_its_own_and_they_are_independent(monkeypatch):
    seen = []
    real = flights.Population

    def look(controller, n, genomes):
        seen.append(genomes)
        return real(controller, n, genomes)

    monkeypatch.setattr(flights, "Population", look)
    flights.proportional_derivative(TASK, range(40), 9.0, 14.0, length=2)
    gains = seen[0].numpy()
    for column, (low, high) in zip(gains.T, flights.GAINS, strict=True):
        assert (
            low <= column.min() < low + 0.2 * (high - low)
            and high - 0.2 * (high - low) < column.max() <= high
        )
    assert np.abs(np.corrcoef(gains.T) - np.eye(3)).max() < 0.5
    env = make_env(TASK, 40, max_episode_steps=2, reference="recording")
    env.reset(seed=list(range(40)))
    assert np.abs(np.corrcoef(gains[:, 0], env.memory["times"][:, 1])[0, 1]) < 0.5


@pytest.mark.slow
def test_flights_are_the_same_for_the_same_seed_whatever_stands_beside(recorded):
    alone = flights.proportional_derivative(TASK, [3], 9.0, 14.0, length=400)
    np.testing.assert_array_equal(alone.errors[0], recorded.errors[3])


def test_the_integral_holds_against_the_bias():
    data = flights.integral(range(8), 9.0, 0.75, 14.0)
    assert data.errors.shape == (8, 2500)
    np.testing.assert_allclose(data.targets, 0.075 * np.cumsum(data.errors, axis=1), atol=1e-3)
    ends = data.targets[:, 499::500]
    assert np.abs(ends).max() <= 4.2 and np.abs(ends).max() > 2
    assert np.abs(data.errors[:, 490:500]).max() < 0.05
    assert len(set(np.round(ends.ravel(), 3))) == 40


def test_gains_that_make_the_loop_unstable_are_refused():
    with pytest.raises(LanceletError, match="gains make the loop unstable"):
        flights.integral(range(2), 9.0, 0.75, 400.0, clip=False)


def test_the_best_static_gain_is_found():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(3, 500)).astype(np.float32)
    gain, loss = flights.static_gain(flights.Flights(errors, 4 * errors), clip=False)
    assert gain == pytest.approx(4, abs=0.01) and loss == pytest.approx(0, abs=0.01)
    assert torch.isfinite(torch.tensor(flights.static_gain(flights.Flights(errors, 0 * errors))[1]))
