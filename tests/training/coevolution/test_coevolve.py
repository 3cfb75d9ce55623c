"""Co-evolution survives: processes killed, poisoned genomes, drivers killed and doubled, nodes and heads lost."""

import json
import os
import random
import shutil
import signal
import threading
import time
from typing import Any

import psutil
import pytest
from faults import Driver, count, kills, whole

from lancelet import LanceletError
from lancelet.morphology.genome import Genome
from lancelet.training.coevolution import driver as coevolve
from lancelet.training.coevolution.champions import ancestors, champions
from lancelet.training.coevolution.driver import Coevolve
from lancelet.training.coevolution.individuals import read
from lancelet.training.coevolution.lifetimes import Group, Lifetime, classes_of, life_of, live
from lancelet.training.distributed.pools import Outcome, Pool

QUICK: dict[str, Any] = {
    "steps": 4,
    "episodes": 1,
    "population": 6,
    "quiet": True,
    "workers": "2",
    "deadline": 300.0,
}


def evolve(folder, evaluations, task="swim", **options):
    return Coevolve(evaluations=evaluations, folder=str(folder), **{**QUICK, **options}).run(task)


@pytest.mark.slow
def test_a_run_ends_with_exact_counts_and_the_family_is_whole(tmp_path):
    run = evolve(tmp_path / "run", 40)
    people = whole(tmp_path / "run", 40)
    assert run.evaluated == 40 and not run.stopped and run.best is not None
    assert all(one.operator == "random" and not one.parents for one in people[:6])
    assert any(one.parents for one in people[6:])
    for one in people:
        assert all(
            people[parent].done <= one.born for parent in one.parents
        )  # bred from results only
        assert Genome.from_json(one.genome).to_json() == one.genome
    line = ancestors(people, champions(people)[-1])
    assert line[-1].id == run.best.id and line[0].parents == []
    kept = json.loads((tmp_path / "run" / "champions" / f"{run.best.id}.json").read_text())
    assert (
        kept["kind"] == "swimmer"
        and (tmp_path / "run" / "champions" / f"{run.best.id}.xml").exists()
    )
    assert (tmp_path / "run" / "best" / "episode.npz").exists()


@pytest.mark.slow
def test_an_evaluation_depends_on_its_genome_alone(tmp_path):
    evolve(tmp_path / "run", 12)
    people, life = read(tmp_path / "run"), life_of(tmp_path / "run")
    from lancelet.morphology.genome import kinds

    classes = classes_of(life, Genome.from_json(people[0].genome))
    order = random.Random(0).sample(people, len(people))
    again = live(
        Group(life, [(one.id, one.genome) for one in order], classes, kinds.known("swimmer"))
    )
    assert {one.id: one.fitness for one in people} == {
        k: lived.fitness for k, lived in again.items()
    }


@pytest.mark.slow
def test_resuming_goes_on_and_a_spent_budget_ends_at_once(tmp_path):
    evolve(tmp_path / "run", 10, resume=True)  # begins there
    with pytest.raises(LanceletError, match="already holds a run: give --resume"):
        evolve(tmp_path / "run", 20)
    evolve(tmp_path / "run", 20, resume=True)
    whole(tmp_path / "run", 20)
    begun = time.monotonic()
    assert evolve(tmp_path / "run", 20, resume=True).evaluated == 20
    assert time.monotonic() - begun < 60
    with pytest.raises(LanceletError, match="was run with steps = 4, not 5"):
        evolve(tmp_path / "run", 30, resume=True, steps=5)


@pytest.mark.slow
def test_kill_9_at_ten_instants_loses_nothing(tmp_path):
    killed = kills(tmp_path / "run", 10)
    assert killed["driver"] + killed["worker"] == 10


@pytest.mark.slow
def test_kill_9_under_ray_loses_nothing_and_blames_nobody(tmp_path):
    killed = kills(tmp_path / "run", 4, seed=3, workers="ray")
    assert killed["driver"] + killed["worker"] + killed["raylet"] == 4


@pytest.mark.slow
def test_a_best_that_a_kill_left_out_is_made_when_the_run_is_resumed(tmp_path):
    folder = tmp_path / "run"
    evolve(folder, 10)
    made = (folder / "best" / "episode.npz").stat().st_mtime_ns
    evolve(folder, 10, resume=True)
    assert (
        folder / "best" / "episode.npz"
    ).stat().st_mtime_ns == made  # the same one is not made twice
    shutil.rmtree(folder / "best")
    (folder / ".best.new").mkdir()  # half made
    evolve(folder, 10, resume=True)
    assert (folder / "best" / "episode.npz").exists()
    assert not list(folder.glob(".best.*"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "moved", "deleted and made again"])
def test_a_folder_that_goes_under_a_run_is_an_error(tmp_path, how):
    folder = tmp_path / "run"
    with Driver(folder, ("--evaluations", "100000")) as driver:
        driver.wait_for(5)
        folder.rename(tmp_path / "moved")
        if how != "moved":
            shutil.rmtree(tmp_path / "moved")
        if how == "deleted and made again":
            # The run itself may have made it again: a champion is written between two looks at the database.
            folder.mkdir(exist_ok=True)
        status, err = driver.end()
    assert status == 2
    assert "was deleted, moved or replaced while the run went on" in err.splitlines()[-1]


@pytest.mark.slow
def test_characters_of_web_addresses_in_a_path_are_characters(tmp_path):
    folder = tmp_path / "50% #1?mode=memory %41"
    evolve(folder, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name]
    assert (folder / "individuals.sqlite").exists()
    assert evolve(folder, 9, resume=True).evaluated == 9


@pytest.mark.slow
def test_a_refused_run_lets_its_folder_go_while_its_exception_is_kept(tmp_path):
    evolve(tmp_path / "run", 6)
    kept = []
    for change in ({}, {"resume": True, "steps": 5}):
        with pytest.raises(LanceletError) as caught:
            evolve(tmp_path / "run", 8, **change)
        kept.append(caught.value)
    assert evolve(tmp_path / "run", 8, resume=True).evaluated == 8


@pytest.mark.slow
def test_killed_workers_cost_a_try_and_nobody_is_lost(tmp_path):
    with Driver(tmp_path / "run", ("--evaluations", "120", "--tries", "50")) as driver:
        driver.wait_for(10)
        for _ in range(4):
            workers = psutil.Process(driver.process.pid).children()
            victims = [worker for worker in workers if "spawn_main" in " ".join(worker.cmdline())]
            if not victims:
                break
            random.choice(victims).kill()
            time.sleep(0.3)
        status, err = driver.end()
    assert status == 0, err
    whole(tmp_path / "run", 120)


@pytest.mark.slow
def test_sigterm_stops_in_time_and_the_run_goes_on(tmp_path):
    with Driver(tmp_path / "run", ("--evaluations", "4000")) as driver:
        driver.wait_for(10)
        driver.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        status, err = driver.end(20)
    assert status == 143 and "stopped by SIGTERM: continue" in err
    assert time.monotonic() - begun < 60
    assert (tmp_path / "run" / "best" / "episode.npz").exists()
    evaluated = count(tmp_path / "run")
    evolve(tmp_path / "run", evaluated + 5, resume=True)
    assert count(tmp_path / "run") >= evaluated + 5


@pytest.mark.slow
def test_sigterm_under_ray_ends_cleanly_too(tmp_path):
    with Driver(tmp_path / "run", ("--evaluations", "100000"), workers="ray") as driver:
        driver.wait_for(5)
        driver.process.send_signal(signal.SIGTERM)
        status, err = driver.end()
    assert status == 143 and "stopped by SIGTERM: continue" in err
    assert (tmp_path / "run" / "best" / "episode.npz").exists()


@pytest.mark.slow
def test_a_second_driver_is_refused(tmp_path):
    with Driver(tmp_path / "run", ("--evaluations", "4000")) as first:
        first.wait_for(3)
        with Driver(tmp_path / "run", ("--evaluations", "4000", "--resume")) as second:
            status, err = second.end()
        assert status == 2 and err.count("\n") == 1 and "another process" in err
        assert first.process.poll() is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"evaluations": 0}, "evaluations = 0: must be 1 or more"),
        ({"evaluations": None}, "needs an end"),
        ({"evaluations": None, "budget": "0m"}, "budget = '0m': must be a time above 0"),
        ({"evaluations": None, "budget": "soon"}, "budget = 'soon'"),
        ({"population": 0}, "population = 0"),
        ({"deadline": 0.0}, "deadline = 0.0"),
        ({"crossover": 1.5}, "crossover = 1.5"),
        ({"selection": "lottery"}, "selection 'lottery'"),
        ({"workers": "all"}, "workers = 'all'"),
        ({"address": "127.0.0.1:1", "workers": "ray"}, "does not answer"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path, change, says):
    options = {"evaluations": 10, **change}
    with pytest.raises(LanceletError, match=says) as caught:
        evolve(tmp_path / "run", options.pop("evaluations"), **options)
    assert "\n" not in str(caught.value)
    assert count(tmp_path / "run") == 0


def test_tasks_without_a_kind_of_genome_are_refused(tmp_path):
    with pytest.raises(LanceletError, match="genome"):
        evolve(tmp_path / "run", 5, "blimp-altitude")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("selection", ["map-elites", "nsga2"])
def test_every_selection_breeds(tmp_path, selection):
    evolve(tmp_path / "run", 24, selection=selection)
    people = whole(tmp_path / "run", 24)
    assert any(one.parents for one in people)


@pytest.mark.slow
def test_what_is_learned_in_a_life_is_inherited(tmp_path):
    evolve(tmp_path / "run", 9, learning=1, population=4, crossover=0.0)
    people = whole(tmp_path / "run", 9)
    assert all(one.learned for one in people)
    child = next(one for one in people if one.parents and one.operator != "weights")
    given = Genome.from_json(child.genome).weights
    assert given == people[child.parents[0]].learned
    assert os.listdir(tmp_path / "run" / "learning") == []  # kept while it is unfinished only


@pytest.mark.slow
def test_poison_is_quarantined_after_three_tries_and_the_innocent_of_its_group_get_away(tmp_path):
    import poison  # registers the kind

    assert poison.KIND
    run = evolve(tmp_path / "run", 12, "swim-navigate", population=100, memory=1.0)
    people = read(tmp_path / "run")
    deadly = [one for one in people if len(json.loads(one.genome)["body"]["limits"]) in (5, 6)]
    assert len(deadly) >= 3 and {one.state for one in deadly} == {"quarantined"}
    assert all(one.tries == 3 and one.fitness is None and one.reason for one in deadly)
    others = [one for one in people if one not in deadly]
    assert all(one.state == "evaluated" and one.tries < 3 for one in others)
    assert run.evaluated == len(others) == 12 and run.quarantined == len(deadly)
    again = evolve(tmp_path / "run", 12, "swim-navigate", population=100, memory=1.0, resume=True)
    assert (again.evaluated, again.quarantined) == (12, len(deadly))  # nobody is tried again


def driver_of(folder, evaluations=1000):
    folder.mkdir(exist_ok=True)
    return coevolve.Driver(
        Coevolve(evaluations=evaluations, quiet=True, folder=str(folder)), "swimmer", folder
    )


class Instant(Pool):
    """A pool of one slot, whose calls come back at once as the test says."""

    slots = 1

    def __init__(self, outcome):
        self.outcome, self.calls = outcome, []

    def submit(self, key, call):
        self.calls.append((key, call))

    def outcomes(self, timeout):
        key, call = self.calls.pop(0)
        return [self.outcome(key, [k for k, _ in call.argument.members])]

    def close(self):
        pass


def test_a_node_without_memory_is_said_and_bounded_and_only_who_fills_it_is_quarantined(
    tmp_path, capsys
):
    def lost(key, members):
        return Outcome(key, died="out of memory", blamed=False, out_of_memory=True)

    everyone = driver_of(tmp_path / "everyone")
    with pytest.raises(
        LanceletError, match="individual 0 was lost 10 times, no fault of its own: out of memory"
    ):
        everyone.loop(Instant(lost), lambda *_, **__: None)
    everyone.store.close()
    assert capsys.readouterr().err.count("warning: out of memory") == 1
    assert all(one.state == "born" and one.tries == 0 for one in read(tmp_path / "everyone"))

    def lost_with_three(key, members):
        if 3 in members:
            return lost(key, members)
        return Outcome(key, {k: Lifetime(float(k), {}, seconds=5.0) for k in members})

    one_of_many = driver_of(tmp_path / "one", evaluations=60)
    one_of_many.loop(Instant(lost_with_three), lambda *_, **__: None)
    one_of_many.store.close()
    people = read(tmp_path / "one")
    assert [one.id for one in people if one.state == "quarantined"] == [3]
    assert (
        people[3].reason == "out of memory 10 times, while others were evaluated"
        and people[3].tries == 0
    )


def test_every_champion_of_a_call_is_kept_and_a_run_that_poison_ends_has_recorded_it(tmp_path):
    rising = driver_of(tmp_path / "rising")
    rising.size, asked = 8, threading.Event()

    def better(key, members):
        asked.set()
        return Outcome(key, {k: Lifetime(float(k), {}, seconds=5.0) for k in members})

    rising.loop(Instant(better), lambda *_, **__: None, asked)
    assert {path.stem for path in (tmp_path / "rising/champions").glob("*.json")} == {
        str(k) for k in range(8)
    }

    poisoned = driver_of(tmp_path / "poisoned")
    with pytest.raises(
        LanceletError, match="100 individuals killed whoever evaluated them; the last: bang"
    ):
        poisoned.loop(
            Instant(lambda key, members: Outcome(key, died="bang")), lambda *_, **__: None
        )
    poisoned.store.close()
    assert sum(one.state == "quarantined" for one in read(tmp_path / "poisoned")) == 100
    with pytest.raises(LanceletError, match="100 individuals killed"):
        driver_of(tmp_path / "poisoned")
