"""Imitation by evolution and by surrogate gradients: what both promise."""

import os
import signal
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from lancelet import LanceletError, controllers
from lancelet.controllers.store import describe
from lancelet.training.evolution.cmaes import CMAES
from lancelet.training.evolution.strategies import SNES
from lancelet.training.imitation.flights import Flights
from lancelet.training.imitation.imitate import Imitate, reflect
from lancelet.training.imitation.shortlist import Shortlist
from lancelet.training.imitation.surrogate import Surrogate
from lancelet.training.runs.folder import read_log

TASK, SMALL = "lancelet/BlimpAltitude-v0", {"neurons": 6}
COMMON = {"sets": 3, "validation": 2, "shortlist": 3, "test": 0, "quiet": True, "role": "i"}


def evolve(folder, generations=8, options=None, controller="snn", **rest):
    trainer = Imitate(
        generations=generations,
        population=8,
        validate_every=2,
        folder=str(folder),
        **{**COMMON, **rest},
    )
    return trainer.train(TASK, controller, controller_options=SMALL if options is None else options)


def descend(folder, updates=50, **rest):
    options = {**COMMON, "batch": 2, "validate_every": 10, **rest}
    trainer = Surrogate(updates=updates, folder=str(folder), **options)
    return trainer.train(TASK, "snn", controller_options=SMALL)


def bits(folder):
    return {
        name: value.numpy().tobytes()
        for name, value in controllers.load(folder).state_dict().items()
    }


def figures(folder):
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "rate")} for line in read_log(folder)
    ]


@pytest.mark.slow
def test_evolution_brings_the_loss_down_and_says_how_bounds_are_handled(tmp_path):
    run = evolve(tmp_path / "run", 60, test=2)
    assert (run.folder / "report.html").exists() and len(run.summary["trained"]["return"]) == 2
    log = read_log(run.folder)
    assert log[-1]["best"] < log[0]["best"] - 0.02
    notes = describe(run.folder)["notes"]
    assert notes["bounds"] == "reflected, per coordinate" and notes["covariance"] == "full"
    assert describe(tmp_path / "run" / "best_loss.safetensors")["notes"][
        "validation"
    ] == pytest.approx(log[-1]["best"])
    assert notes["closed_loop"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("train", [evolve, descend])
def test_what_is_kept_has_the_loss_that_is_told(tmp_path, train):
    train(tmp_path / "run")
    best = controllers.load(tmp_path / "run" / "best_loss.safetensors")
    trainer = Imitate(**COMMON)
    held = trainer.flights(TASK, 2**33, 2)
    genes = parameters_to_vector(best.parameters()).detach()[None]
    told = describe(tmp_path / "run" / "best_loss.safetensors")["notes"]["validation"]
    assert trainer.losses(best, genes, held)["loss"].item() == pytest.approx(told, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("train", "half", "whole"), [(evolve, 4, 8), (descend, 20, 40)])
def test_stopping_half_way_changes_no_bit(tmp_path, train, half, whole):
    train(tmp_path / "whole", whole)
    train(tmp_path / "parts", half)
    train(tmp_path / "parts", whole, resume=True)
    assert bits(tmp_path / "parts") == bits(tmp_path / "whole")
    assert figures(tmp_path / "parts") == figures(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_alike(tmp_path):
    evolve(tmp_path / "whole", 24)
    code = (
        "import sys; sys.path.insert(0, {here!r}); import test_imitation as t; t.evolve({folder!r}, 24)"
    ).format(here=os.path.dirname(__file__), folder=str(tmp_path / "killed"))
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while len(read_log(tmp_path / "killed")) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    evolve(tmp_path / "killed", 24, resume=True)
    assert bits(tmp_path / "killed") == bits(tmp_path / "whole")
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")


def test_the_matrix_form_of_the_update_is_evotorchs():
    from evotorch.algorithms import CMAES as Theirs

    from lancelet.training.evolution.evotorch_compat import Evaluation

    def search(kind):
        problem = Evaluation(
            12, 3, lambda genomes: -(genomes * torch.arange(1.0, 13.0)).square().sum(1)
        )
        searcher = kind(problem, stdev_init=0.5, center_init=torch.ones(12), popsize=14)
        for _ in range(40):
            searcher.step()
        return searcher.C

    torch.testing.assert_close(search(CMAES), search(Theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_mean_loss_after_a_resume_is_that_of_the_updates_since(tmp_path):
    """A run that ends between two choices logs there, so that the next line has fewer updates to tell of."""
    descend(tmp_path / "each", 10, validate_every=1)
    losses = [line["mean"] for line in read_log(tmp_path / "each")]
    assert len(losses) == 10
    descend(tmp_path / "parts", 7, validate_every=5)
    descend(tmp_path / "parts", 10, validate_every=5, resume=True)
    lines = read_log(tmp_path / "parts")
    assert [line["step"] for line in lines] == [5, 7, 10]
    expected = [np.mean(losses[:5]), np.mean(losses[5:7]), np.mean(losses[7:])]
    assert [line["mean"] for line in lines] == pytest.approx(expected)


def test_genes_are_reflected_into_their_range():
    genes = torch.tensor([-0.25, 0.0, 0.4, 1.0, 1.25, 2.0, 2.5, -1.5])
    torch.testing.assert_close(
        reflect(genes), torch.tensor([0.25, 0.0, 0.4, 1.0, 0.75, 0.0, 0.5, 0.5])
    )


def test_the_shortlist_keeps_the_best_in_order():
    shortlist = Shortlist(2)
    is_best_yet = [
        shortlist.offer(torch.tensor([loss]), loss, update)
        for update, loss in enumerate((3.0, 1.0, 2.0, 0.5))
    ]
    assert is_best_yet == [True, True, False, True]
    assert [candidate.loss for candidate in shortlist.candidates] == [0.5, 1.0]
    assert [candidate.found_at for candidate in shortlist.candidates] == [3, 1]
    assert [candidate.genes.item() for candidate in shortlist.candidates] == [0.5, 1.0]


@pytest.mark.slow
def test_a_wall_clock_budget_ends_the_descent(tmp_path):
    run = descend(tmp_path / "run", 10**9, seconds=1.0)
    assert 0 < read_log(run.folder)[-1]["step"] < 10**6


@pytest.mark.slow
def test_closed_loop_flights_tell_a_good_pilot_from_a_silent_one():
    circuit = controllers.make("snn", gym.make(TASK), **SMALL)
    silent = torch.zeros(1, circuit.parameter_count)
    silent[:, -1] = 1.0  # a decoder that never takes anything in
    cost = Imitate(role="i").fly(circuit, silent, TASK)
    assert cost.shape == (1,) and 0.05 < cost[0] < 0.5  # PD alone droops by a ninth of the ballast


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stdev": 0.0}, "stdev = 0.0: must be above 0"),
        ({"kp": np.nan}, "kp = nan .*: must be a finite number"),
        ({"population": 1}, "population = 1"),
        ({"covariance": "round"}, "covariance 'round'"),
        ({"controller": "pid", "options": {}}, "PID, which is no spiking network"),
    ],
)
def test_what_cannot_be_imitated_is_refused_before_anything_is_written(tmp_path, change, says):
    options = {"folder": tmp_path / "run", **change} if "population" not in change else None
    with pytest.raises(LanceletError, match=says):
        if options is None:
            Imitate(folder=str(tmp_path / "run"), **COMMON, **change).train(TASK, "snn")
        else:
            evolve(**options)
    assert not (tmp_path / "run").exists()


def test_tasks_without_flights_are_refused(tmp_path):
    with pytest.raises(LanceletError, match="SNN cannot use"):
        Imitate(folder=str(tmp_path / "run"), **COMMON).train("swim", "snn")


@pytest.mark.parametrize("change", [{"rate": -1.0}, {"seconds": 0.0}, {"batch": 0}])
def test_the_descents_options_are_checked(tmp_path, change):
    with pytest.raises(LanceletError, match=next(iter(change))):
        Surrogate(folder=str(tmp_path / "run"), **COMMON, **change).train(
            TASK, "snn", controller_options=SMALL
        )


@pytest.mark.slow
def test_any_trainer_begins_with_given_weights_of_the_same_structure(tmp_path):
    first = evolve(tmp_path / "first", 4)
    other = {
        "population": 2,
        "episodes": 1,
        "validation": 1,
        "generations": 0,
        "test": 0,
        "quiet": True,
    }
    settings = {"max_episode_steps": 5}
    run = SNES(start=str(first.folder), folder=str(tmp_path / "snes"), **other).train(
        TASK, "snn", settings, SMALL
    )
    assert bits(run.folder) == bits(first.folder)
    assert f"start: {first.folder}" in (run.folder / "config.yaml").read_text()
    for options, controller, says in (
        ({**SMALL, "hidden": "r-lif"}, "snn", "was made with hidden = 'lif', not 'r-lif'"),
        ({"neurons": 8}, "snn", "was made with neurons = 6, not 8"),
        ({}, "pid", "holds a SNN, not a PID"),
    ):
        with pytest.raises(LanceletError, match=says):
            SNES(start=str(first.folder), folder=str(tmp_path / "no"), **other).train(
                TASK, controller, settings, options
            )
    assert not (tmp_path / "no").exists()


def test_flights_hold_float32():
    data = Imitate(role="i").recorded(TASK, [0])
    assert isinstance(data, Flights) and data.errors.dtype == data.targets.dtype == np.float32
