"""Pieces of the EMG study, small: signals, decoders' rows, the safe stop, steering, and pictures."""

import numpy as np
import pytest

from lancelet.scripts.studies.hdemg import decoding, people, pictures, signals, steering, stop
from lancelet.scripts.studies.hdemg import study as hdemg
from lancelet.scripts.studies.hdemg.decoder import first_decoder
from lancelet.scripts.study import Study


@pytest.fixture
def study(tmp_path):
    return Study(
        "hdemg",
        hdemg.TITLE,
        "quick",
        tmp_path,
        say=lambda _: None,
        parts=hdemg.PARTS,
        seeds_of=hdemg.SEEDS_OF,
    )


@pytest.fixture(scope="module")
def two_people():
    users = people.users(2)
    return people.People(users=users, decoders=[first_decoder(user) for user in users])


def steered(success, seconds):
    """Episodes without metrics."""
    shape = np.shape(success)
    return steering.Steered(
        success=np.array(success, float),
        seconds=np.array(seconds, float),
        metrics={"online_accuracy": np.full(shape, 0.95)},
    )


def test_signals_have_the_spectrum_and_the_correlations_of_muscles(study, monkeypatch):
    monkeypatch.setattr(signals, "USER_COUNT", {"quick": 2})
    monkeypatch.setattr(signals, "LEVEL_CONTRACTIONS", 2)
    signals.signal_rows(study)
    assert [row.name[:2] for row in study.rows] == [f"S{number}" for number in range(1, 9)]
    assert all(row.holds for row in study.rows[:6])


def test_a_part_of_a_loss_is_that_of_all_users_together():
    pairs = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert decoding.ratio_of_means(pairs) == pytest.approx(4 / 6)
    low, high = decoding.interval_over_users(pairs, decoding.ratio_of_means)
    assert low == pytest.approx(0.5)
    assert high == pytest.approx(0.75)


def test_a_contraction_without_a_decision_is_later_than_all_others():
    delays = np.array([[100.0, 150.0], [200.0, np.inf]])
    assert decoding.quantile(delays, 0.5) == 200.0
    assert decoding.quantile(delays, 1.0) == np.inf


@pytest.mark.slow
def test_rows_of_decoders_stand_on_every_user(study, monkeypatch):
    monkeypatch.setattr(people, "USER_COUNT", 2)
    monkeypatch.setattr(decoding, "OTHER_DECODERS", ("emg-centroid",))
    monkeypatch.setattr(people, "users", lambda count=2: (1000, 1001)[:count])
    figures = decoding.decoder_rows(study)
    assert len(figures) == 2
    assert [row.name.split()[0] for row in study.rows] == [f"D{number}" for number in range(1, 14)]
    pictures.draw_confusion(study, figures)
    assert (study.folder / "confusion.png").stat().st_size > 10_000


def test_a_fault_stops_a_controller_that_never_rests(two_people):
    env_controllers = stop.controllers_of("feed", two_people, learned=two_people.decoders[1])
    done = stop.stopped("feed", env_controllers["never rests"], "flat", two_people.users[0])
    assert done.largest_command == 0.0
    assert done.motion < stop.LARGEST_MOTION
    assert done.speed_before > 10.0


@pytest.mark.slow
def test_a_user_with_a_decoder_feeds_nearly_as_fast_as_with_perfect_labels(two_people):
    by_decoder = steering.steer("feed", two_people, 1, two_people.decoders)
    by_labels = steering.steer("feed", two_people, 1, None)
    assert by_labels.success.shape == (2, 1)
    assert by_labels.success.all()
    assert by_decoder.success.all()
    assert (by_decoder.mean("online_accuracy") > 0.8).all()
    ratio = steering.time_row("feed", by_decoder, by_labels)
    assert 0.9 < ratio.value < 1.6


def test_an_episode_without_success_counts_with_the_time_limit(study):
    whole = steered([[1, 1], [1, 0]], [[10, 12], [20, 180]])
    fast = steered([[1, 1], [1, 1]], [[8, 10], [15, 30]])
    row = steering.ratio_row("feed", whole, fast)
    assert row.value == 0.75
    assert not row.holds
    (difference,) = steering.difference_rows("O7", "less", {"feed": (whole, fast)})
    assert difference.value == pytest.approx((2 + 77.5) / 2)
    assert "Holm" in difference.note
    pictures.draw_times(study, {"feed": {"decoder": whole, "labels": fast}})
    assert (study.folder / "times.png").stat().st_size > 5_000


def test_equal_times_are_no_difference():
    same = steered([[1, 1], [1, 1]], [[8, 10], [15, 30]])
    assert steering.paired_p(same, same) == 1.0
