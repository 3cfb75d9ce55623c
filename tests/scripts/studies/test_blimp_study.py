"""Pieces of the blimp study, small; the gates of its plant are in tests/envs/test_blimp_altitude.py."""

import json

import numpy as np
import pytest

from lancelet import controllers
from lancelet.controllers.store import describe
from lancelet.scripts.studies.blimp import flights, networks, plant
from lancelet.scripts.studies.blimp import study as blimp
from lancelet.scripts.study import Study


@pytest.fixture
def study(tmp_path):
    return Study("blimp", "t", "quick", tmp_path, say=lambda _: None, seeds_of=blimp.SEEDS_OF)


def test_pilots_side_by_side_fly_as_each_alone():
    pilots = [plant.pid(), plant.pid(ki=0.0), plant.pid(kp=4.0)]
    flight = {"reference": 1.5, "ballast": 3.0, "starts": 2, "max_episode_steps": 120}
    together = flights.fly(pilots, **flight)
    for k, pilot in enumerate(pilots):
        for name, rows in flights.fly(pilot, **flight).items():
            np.testing.assert_array_equal(together[name][k], rows[0], err_msg=name)
    assert together["steady_state_error"].shape == (3, 2)
    assert (together["steady_state_error"][:, 0] != together["steady_state_error"][:, 1]).all()


def test_a_flight_holds_then_steps_and_a_step_of_nothing_is_none():
    assert flights.step_flight(1.0, 1.5, 70.0) == {
        "reference": ((0.0, 1.0), (70.0, 1.5)),
        "max_episode_steps": 1400,
    }
    assert flights.step_flight(1.0, 1.0, 70.0)["reference"] == ((0.0, 1.0),)


def test_the_headline_pair_gets_most_seeds():
    todo = networks.jobs("shown")
    count = {}
    for job in todo:
        count[job.role, job.structure] = count.get((job.role, job.structure), 0) + 1
    assert count["pd", "lif"] == count["i", "iwta-lif"] == 5 and len(count) == 8
    assert len({job.folder for job in todo}) == len(todo)
    assert {(job.role, job.structure) for job in networks.jobs("quick")} == {
        ("pd", "lif"),
        ("i", "iwta-lif"),
    }


@pytest.mark.slow
def test_a_network_is_trained_once_and_told_apart_by_loss(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(networks.GENERATIONS, "quick", {"pd": 2, "i": 2})
    job = networks.Job("i", "lif", 0, "quick")
    networks.train(job)
    first = (job.folder / "best.safetensors").stat().st_mtime_ns
    networks.train(job)
    assert (job.folder / "best.safetensors").stat().st_mtime_ns == first
    notes = describe(job.folder / "best_loss.safetensors")["notes"]
    assert notes["covariance"] == "diagonal" and notes["role"] == "i"
    held = networks.held_flights("i")
    found = networks.losses("i", [networks.trained(job), networks.trained(job, "best_loss")], held)
    assert found["loss"].shape == (2,) and np.isfinite(found["loss"]).all()


@pytest.mark.slow
def test_the_logged_flight_is_told_from_a_blimp_that_is_too_weak():
    good, weak = plant.Blimp(), plant.Blimp(thrust=0.006)
    found = plant.features([good, weak])
    assert found.shape == (2, len(plant.LOGGED))
    assert plant.misfit(found)[0] < 5 < plant.misfit(found)[1]


@pytest.mark.slow
def test_circuit_and_kernel_agree_in_the_study(study):
    blimp.neurons(study)
    assert study.rows[0].holds and study.rows[0].kind == "gate"
    json.dumps(study.rows[0].note)


def test_the_committed_pair_is_a_sum_of_two_networks():
    pair = blimp.kept("full")
    if pair is None:
        pytest.skip("results/blimp is not here")
    assert [type(term).__name__ for term in pair.terms] == ["SNN", "SNN"]
    assert isinstance(pair, controllers.Controller) and pair.parameter_count == 321 + 341


def test_g5_is_told_by_training_and_structure_beside_the_pooled_gate(study, monkeypatch):
    def flown(pilots, flights_):
        sizes = [0.05] if pilots == ["law"] else [float(pilot) for pilot in pilots]
        return {"oscillation": np.array(sizes)[:, None, None] * np.ones((1, 5, 10))}

    monkeypatch.setattr(flights, "fly_all", flown)
    monkeypatch.setattr(flights, "pid", lambda **_: "law")
    flights.neutral(study, {"lif": [0.05, 0.06, 0.09], "r-lif": [0.2]})
    told = {row.name: row for row in study.rows}
    pooled = told["G5 neutral: oscillation of spiking PD over PD's"]
    assert pooled.value == pytest.approx(4 / 3) and pooled.holds is False, (
        "the interval reaches over 1.5"
    )
    assert "2 of 3 are within the target" in pooled.note and pooled.seeds == 3
    single = {name.partition("PD's, ")[2]: row for name, row in told.items() if "training" in name}
    assert {name: row.holds for name, row in single.items()} == {
        "lif, training 0": True,
        "lif, training 1": True,
        "lif, training 2": False,
        "r-lif, training 0": False,
    }
    assert single["lif, training 2"].note.endswith("pd-lif-2.safetensors")


def test_every_training_that_is_committed_is_found():
    assert (
        len(blimp.kept_trainings("pd", "lif")) == 5
        and len(blimp.kept_trainings("pd", "r-lif")) == 1
    )
