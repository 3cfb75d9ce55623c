import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import doubles
import outsiders
import psutil
import pytest
import torch
from conftest import SWIM
from test_evolution import COMMAND, same_run, wait_for_generation

from lancelet import LanceletError, controllers, training
from lancelet.training.distributed import ray_folders, ray_pool
from lancelet.training.distributed import stopped_workers as stopped
from lancelet.training.distributed.cluster import connected
from lancelet.training.distributed.pools import Call, Outcome, Pool
from lancelet.training.evolution import workers
from lancelet.training.evolution.workers import Arena, Crew, Here, computed, scorer
from lancelet.training.rollout import make_env

doubles.register_all()
outsiders.register_all()
SMALL = {"population": 12, "chunk": 4, "validation": 2, "validate_every": 2, "test": 0}
SHORT = {"max_episode_steps": 20, "joints": 3}


@pytest.fixture(scope="module")
def ray():
    with connected(3) as module:
        yield module


def crew_processes():
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] == [f"ray::{ray_pool.run_announced.__name__}"]:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_the_number_of_workers_changes_no_bit(tmp_path, ray):
    for number in range(4):
        training.evolve(
            SWIM,
            "ncap",
            generations=2,
            folder=tmp_path / str(number),
            workers=number,
            task_options=SHORT,
            **SMALL,
        )
    assert all(same_run(tmp_path / "0", tmp_path / str(number)) for number in (1, 2, 3))


@pytest.mark.parametrize("algorithm", ["pgpe", "cma-es", "openai-es"])
def test_every_strategy_and_a_resume_with_another_number(tmp_path, ray, algorithm):
    options = {"task_options": SHORT, "algorithm": algorithm, **SMALL}
    training.evolve(SWIM, "ncap", generations=4, folder=tmp_path / "whole", **options)
    for generations, crew, chunk in ((2, 2, 4), (4, 3, 8)):
        options["chunk"] = chunk
        training.evolve(
            SWIM,
            "ncap",
            generations=generations,
            folder=tmp_path / "parts",
            resume=True,
            workers=crew,
            **options,
        )
    assert same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("episodes", [1, 2, 3])
def test_classes_of_a_file_outside_two_bodies_and_random_buffers_reach_the_workers(ray, episodes):
    options = {"max_episode_steps": 20}
    arena = Arena(
        controllers.make("lever", make_env("doubles/Gale-v0", 1)), "doubles/Gale-v0", options
    )
    genomes, seeds = torch.randn(9, 2), list(range(episodes))
    whole, steps = arena.score(genomes, seeds)
    for chunk in (1, 4, 6):
        with scorer(arena, chunk, workers=2) as crew:
            assert isinstance(crew, Crew)
            found = crew.score(genomes, seeds)
        assert torch.equal(found[0], whole) and found[1] == steps
        with scorer(arena, chunk) as here:
            assert isinstance(here, Here) and torch.equal(here.score(genomes, seeds)[0], whole)
    assert len(set(whole.tolist())) == 9


def test_a_population_larger_than_what_is_handed_out_streams_in_order(ray, monkeypatch):
    arena = Arena(controllers.make("ncap", make_env(SWIM, 1)), SWIM, {"max_episode_steps": 3})
    genomes, out, most = torch.rand(50, 4), [0], [0]
    with scorer(arena, 1, workers=2) as crew:
        submit, outcome = crew._pool.submit, crew._pool._outcome
        monkeypatch.setattr(
            crew._pool, "submit", lambda *a: (out.append(out[-1] + 1), submit(*a))[1]
        )
        monkeypatch.setattr(
            crew._pool,
            "_outcome",
            lambda *a: (most.append(out[-1]), out.append(out[-1] - 1), outcome(*a))[2],
        )
        fitness, steps = crew.score(genomes, [5])
    assert torch.equal(fitness, arena.score(genomes, [5])[0]) and steps == 150
    assert max(most) == 4 and len(most) == 51


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(tmp_path, ray):
    options = {"generations": 3, "task_options": {"joints": 3, "max_episode_steps": 200}, **SMALL}
    training.evolve(SWIM, "ncap", folder=tmp_path / "whole", **options)
    dead = []

    def kill():
        while len(dead) < 2:
            for process in crew_processes()[:1]:
                process.send_signal(signal.SIGKILL)
                dead.append(process.pid)
                time.sleep(1)
            time.sleep(0.01)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    training.evolve(SWIM, "ncap", folder=tmp_path / "killed", workers=2, **options)
    assert len(dead) >= 1
    dead += [0, 0]
    killer.join()
    assert same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_a_worker_that_is_stopped_is_killed_and_its_candidates_computed_again(
    tmp_path, ray, monkeypatch
):
    options = {"generations": 3, "task_options": {"joints": 3, "max_episode_steps": 200}, **SMALL}
    training.evolve(SWIM, "ncap", folder=tmp_path / "whole", **options)
    monkeypatch.setattr(stopped, "PATIENCE", 1.0)
    monkeypatch.setattr(stopped, "LOOK_EVERY", 0.2)
    halted = []

    def halt():
        while not halted:
            for process in crew_processes():
                process.send_signal(signal.SIGSTOP)
                halted.append(process)
            time.sleep(0.02)

    halter = threading.Thread(target=halt, daemon=True)
    halter.start()
    training.evolve(SWIM, "ncap", folder=tmp_path / "stopped", workers=1, **options)
    assert halted and not any(process.is_running() for process in halted)
    halter.join()
    assert same_run(tmp_path / "whole", tmp_path / "stopped")


class Dying(Pool):
    """Whose calls all die of something that is not their fault."""

    slots = 2

    def __init__(self):
        self.keys = []

    def submit(self, key, call):
        self.keys.append(key)

    def outcomes(self, timeout):
        return [Outcome(self.keys.pop(), died="memory was full", blamed=False, out_of_memory=True)]

    def close(self):
        pass


def test_what_no_machine_has_the_memory_for_ends_and_says_so():
    with pytest.raises(
        LanceletError,
        match="4 workers died over the same item; the last: memory was full; fewer workers",
    ):
        list(computed(Dying(), [Call(print, "x")], "the same item"))


def test_candidates_that_kill_every_worker_and_errors_are_one_line(ray, monkeypatch):
    monkeypatch.setattr(workers, "TRIES", 2)
    for name, message in (
        ("doomed", "2 workers died over the same candidates"),
        ("broken", "upside down"),
    ):
        arena = Arena(
            controllers.make(name, make_env("doubles/Reach-v0", 1)), "doubles/Reach-v0", {}
        )
        with pytest.raises(LanceletError, match=message), scorer(arena, 4, workers=1) as crew:
            crew.score(torch.zeros(2, 2), [0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers = -1: must be 0 or more"),
        ({"address": "head"}, "address = 'head': must be host:port"),
        ({"address": "127.0.0.1:1"}, "does not answer"),
    ],
)
def test_bad_options_are_named_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(LanceletError, match=message):
        training.evolve(SWIM, "ncap", folder=tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


SCRIPT = """
from outsiders import Lever
import doubles, numpy, torch
from lancelet import controllers, register, training

class Home(doubles.Reach):
    tolerance: float = 0.2

class Own(Lever):
    pass

register("own/Home-v0", Home, max_episode_steps=30)
controllers.register("own", Own)
for number in (0, 2):
    torch.manual_seed(0)
    training.evolve("own/Home-v0", "own", generations=2, folder=str(number), workers=number, population=4, chunk=2,
                    validation=2, test=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "start", [["script.py"], ["-"]], ids=["script", "no file, as in a notebook"]
)
def test_classes_of_a_script_without_main_guard_reach_the_workers_and_nothing_stays_behind(
    tmp_path, start
):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "home").mkdir()
    tests = Path(__file__).resolve().parents[2]
    modules = (tests / "doubles.py", *tests.rglob("outsiders.py"))
    path = os.pathsep.join(str(module.parent) for module in modules)
    environment = {**os.environ, "PYTHONPATH": path, "HOME": str(tmp_path / "home")}
    environment.pop("RAY_AUTH_MODE", None)
    done = subprocess.run(
        [sys.executable, *start], input=SCRIPT, cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert same_run(tmp_path / "0", tmp_path / "2")
    found = {path.name for path in (tmp_path / "home").iterdir()}
    assert found <= {".cache", ".config"}, "matplotlib's, which stable-baselines3 imports"


def session_folders(pids):
    """Folders of the Ray sessions that these processes have started."""
    return [
        folder
        for pid in pids
        for folder in ray_folders.root().glob(f"{ray_folders.PREFIX}*/r/session_*_{pid}")
    ]


@pytest.mark.slow
def test_a_killed_an_interrupted_and_a_terminated_driver_leave_a_run_that_goes_on(tmp_path):
    """kill -9 first, then Ctrl-C as a terminal sends it, to the whole process group; then SIGTERM to the process."""
    command = [
        *COMMAND[:-1],
        "400",
        "--max-episode-steps",
        "20",
        "--folder",
        str(tmp_path / "run"),
        "--resume",
    ]
    pids = []
    for number, sent in ((1, signal.SIGKILL), (3, signal.SIGINT), (5, signal.SIGTERM)):
        process = subprocess.Popen(
            [*command, "--workers", "2", "--chunk", "3"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        pids.append(process.pid)
        wait_for_generation(tmp_path / "run", number, process)
        assert len(session_folders([process.pid])) == 1
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)
        else:
            process.send_signal(sent)
        error = process.communicate(timeout=60)[1]
        if sent != signal.SIGKILL:
            assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[sent]
            assert (
                "--resume" in error and "Traceback" not in error and "SIGTERM received" not in error
            )
    assert not session_folders(pids), (
        "each takes its own along, and the next that of one that was killed"
    )
    reached = training.runs.checkpoint.load(tmp_path / "run/checkpoint/state.safetensors")[
        "generation"
    ]
    assert reached >= 3
    options = {
        "generations": reached + 1, "population": 6, "validation": 2, "validate_every": 2, "test": 0,
        "task_options": {"joints": 3, "max_episode_steps": 20},
    }  # fmt: skip
    training.evolve(SWIM, "ncap", folder=tmp_path / "run", resume=True, **options)
    training.evolve(SWIM, "ncap", folder=tmp_path / "whole", **options)
    assert same_run(tmp_path / "whole", tmp_path / "run")
