import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from lancelet import LanceletError, controllers, training
from lancelet.training.evolution import workers
from lancelet.training.evolution.evotorch_compat import Evaluation
from lancelet.training.evolution.lockstep import Lockstep
from lancelet.training.evolution.strategies import FAILED, SNES, generation_figures
from lancelet.training.runs import checkpoint
from lancelet.training.runs.folder import read_config, read_log

TASK = "lancelet/Swim-v0"
SMALL = {
    "population": 6,
    "validation": 2,
    "validate_every": 2,
    "test": 2,
    "task_options": {"max_episode_steps": 20},
}
COMMAND = [sys.executable, "-m", "lancelet.scripts.main", "train", "swim", "ncap", "--joints", "3", "--test", "0",
           "--population", "6", "--validation", "2", "--validate-every", "2", "--max-episode-steps", "100",
           "--generations", "30"]  # fmt: skip


def same_run(one, other):
    states = [
        checkpoint.load(folder / "checkpoint" / "state.safetensors") for folder in (one, other)
    ]
    for state in states:
        state.pop("seconds")
    flat = [
        json.dumps(state, default=lambda tensor: tensor.tolist(), sort_keys=True)
        for state in states
    ]
    logs = [[{**line, "seconds": 0} for line in read_log(folder)] for folder in (one, other)]
    weights = [(folder / "best.safetensors").read_bytes() for folder in (one, other)]
    return flat[0] == flat[1] and logs[0] == logs[1] and weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["snes", "pgpe", "cma-es", "openai-es"])
def test_n_and_resume_n_equals_2n_to_the_bit(tmp_path, algorithm):
    run = {**SMALL, "algorithm": algorithm, "seed": 3}
    whole = training.evolve(TASK, "ncap", generations=6, folder=tmp_path / "whole", **run)
    training.evolve(TASK, "ncap", generations=3, folder=tmp_path / "parts", **run)
    parts = training.evolve(
        TASK, "ncap", generations=6, folder=tmp_path / "parts", resume=True, **run
    )
    assert same_run(whole.folder, parts.folder)
    assert parts.summary == whole.summary


@pytest.mark.slow
def test_a_run_improves_and_its_folder_rebuilds_the_controller(tmp_path):
    options = {
        "task_options": {"max_episode_steps": 200, "joints": 3},
        "population": 12,
        "validation": 4,
    }
    run = training.evolve(TASK, "ncap", generations=8, folder=tmp_path / "run", test=4, **options)
    assert np.mean(run.summary["trained"]["return"]) > 1.2 * np.mean(
        run.summary["untrained"]["return"]
    )
    again = controllers.load(run.folder)
    kept = [p.tolist() for p in run.controller.parameters()]
    assert [p.tolist() for p in again.parameters()] == kept
    found = training.evaluate(again, TASK, episodes=4, joints=3, max_episode_steps=200)
    assert found.returns.tolist() == run.summary["trained"]["return"]
    names = {path.name for path in run.folder.iterdir()}
    assert {
        "config.yaml",
        "metrics.jsonl",
        "best.safetensors",
        "episode.npz",
        "report.html",
        "checkpoint",
    } <= names
    config = read_config(run.folder)
    assert (
        config["task_options"]["joints"] == 3
        and len(config["model_hash"]) == 16
        and config["versions"]["mujoco"]
    )


def test_large_populations_stream_with_the_same_result(tmp_path, monkeypatch):
    whole = training.evolve(TASK, "ncap", generations=2, folder=tmp_path / "a", **SMALL)
    monkeypatch.setattr(workers, "BATCH", 4)
    pieces = training.evolve(TASK, "ncap", generations=2, folder=tmp_path / "b", chunk=4, **SMALL)
    assert (whole.folder / "best.safetensors").read_bytes() == (
        pieces.folder / "best.safetensors"
    ).read_bytes()


def test_candidates_that_give_nan_lose_and_the_run_goes_on():
    controller = controllers.make("mlp", training.rollout.make_env(TASK, 1))
    genomes = torch.stack(
        [torch.zeros(n := controller.parameter_count), torch.full((n,), float("nan"))]
    )
    arena = workers.Arena(controller, TASK, {"max_episode_steps": 5})
    assert arena.score(genomes, [1, 2])[0].tolist() == [0.0, FAILED]


def test_a_folder_in_use_or_of_another_run_is_refused(tmp_path):
    training.evolve(TASK, "ncap", generations=1, folder=tmp_path / "a", **SMALL)
    with pytest.raises(LanceletError, match="already holds a run"):
        training.evolve(TASK, "ncap", generations=1, folder=tmp_path / "a", **SMALL)
    with pytest.raises(LanceletError, match="seed = 0, not 1"):
        training.evolve(
            TASK, "ncap", generations=1, folder=tmp_path / "a", resume=True, seed=1, **SMALL
        )
    held = training.runs.folder.RunFolder(read_config(tmp_path / "a"), tmp_path / "a", resume=True)
    with pytest.raises(LanceletError, match="trained by another process"):
        training.evolve(TASK, "ncap", generations=1, folder=tmp_path / "a", resume=True, **SMALL)
    held.close()


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_stops_a_resume_in_one_line(tmp_path, damage):
    training.evolve(TASK, "ncap", generations=2, folder=tmp_path / "a", **SMALL)
    path = tmp_path / "a" / "checkpoint" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    with pytest.raises(LanceletError, match="cut short"):
        training.evolve(TASK, "ncap", generations=3, folder=tmp_path / "a", resume=True, **SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 0}, "population = 0: must be 2 or more"),
        ({"populaton": 8}, "did you mean population"),
        ({"algorithm": "snees"}, "did you mean snes"),
        ({"algorithm": "pgpe", "population": 7}, "must be even"),
    ],
)
def test_bad_options_are_named(tmp_path, options, message):
    with pytest.raises(LanceletError, match=message):
        training.evolve(TASK, "ncap", folder=tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_a_controller_without_weights_is_refused(tmp_path):
    with pytest.raises(LanceletError, match="no weights to train"):
        training.evolve(TASK, "zero", folder=tmp_path / "a", **SMALL)


def wait_for_generation(folder, number, process):
    while process.poll() is None:
        if (folder / "metrics.jsonl").exists() and len(
            (folder / "metrics.jsonl").read_text().splitlines()
        ) >= number:
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_kill_9_anywhere_and_resume_gives_the_undisturbed_result(tmp_path):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*COMMAND, "--folder", str(tmp_path / "whole")], check=True, **quiet)
    rng, kills = random.Random(0), 0
    for target in (0, 2, 5):
        process = subprocess.Popen(
            [*COMMAND, "--folder", str(tmp_path / "killed"), "--resume"], **quiet
        )
        wait_for_generation(tmp_path / "killed", target + 1, process)
        time.sleep(rng.uniform(0, 0.3))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    subprocess.run(
        [*COMMAND, "--folder", str(tmp_path / "killed"), "--resume"], check=True, **quiet
    )
    assert kills >= 1
    assert same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_ctrl_c_leaves_a_valid_checkpoint_and_status_130(tmp_path):
    command = [*COMMAND[:-1], "1000", "--folder", str(tmp_path / "run")]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for_generation(tmp_path / "run", 2, process)
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"--folder {tmp_path / 'run'} --resume" in error and "Traceback" not in error
    assert checkpoint.load(tmp_path / "run" / "checkpoint" / "state.safetensors")["generation"] >= 2


def test_searches_in_lockstep_equal_searches_alone():
    def quadratic(values):
        return -((values - 1) ** 2).sum(1)

    def searcher(i, score):
        return SNES(population=8).searcher(Evaluation(3, i, score), torch.zeros(3))

    alone = [searcher(i, quadratic) for i in range(3)]
    meet = Lockstep(3, lambda batches: [quadratic(batch) for batch in batches])
    together = [searcher(i, lambda values, i=i: meet.submit(i, values)) for i in range(3)]
    for _ in range(5):
        meet.step(together)
        for one in alone:
            one.step()
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.status["center"], other.status["center"])


def test_an_error_in_the_scoring_ends_the_lockstep():
    def broken(_batches):
        raise RuntimeError("no score")

    meet = Lockstep(2, broken)
    score = [lambda values, i=i: meet.submit(i, values) for i in range(2)]
    searchers = [
        SNES(population=4).searcher(Evaluation(2, i, score[i]), torch.zeros(2)) for i in range(2)
    ]
    with pytest.raises(RuntimeError, match="no score"):
        meet.step(searchers)


def test_the_log_counts_the_steps_that_were_taken(tmp_path, monkeypatch):
    """Also where episodes end early, and on after a resume."""
    lengths = iter([[1, 2, 3, 4], [5, 6, 7, 8], [2, 2, 2, 2]])
    honest = workers.rollout

    def cut_short(env, agents, seeds):
        score, state = honest(env, agents, seeds)
        if env.num_envs == 4:  # training; validation has other numbers
            score.lengths = np.array(next(lengths))
        return score, state

    monkeypatch.setattr(workers, "rollout", cut_short)
    options = {**SMALL, "population": 4, "validation": 3, "test": 0}
    training.evolve(TASK, "ncap", generations=2, folder=tmp_path / "a", **options)
    training.evolve(TASK, "ncap", generations=3, folder=tmp_path / "a", resume=True, **options)
    assert [line["steps"] for line in read_log(tmp_path / "a")] == [10, 36, 44]


def test_a_candidate_of_whom_one_episode_failed_is_not_in_the_logged_mean():
    half_failed = (FAILED + 900.0) / 2
    figures = generation_figures(torch.tensor([half_failed, 10.0, 30.0]), episodes=2)
    assert figures == {"mean": 20.0, "best": 30.0, "failed": 1}
    assert generation_figures(torch.tensor([FAILED, FAILED]), episodes=1) == {"failed": 2}
