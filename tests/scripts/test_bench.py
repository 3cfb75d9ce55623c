import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lancelet.optional import why_no_dm_control
from lancelet.scripts import bench, cli
from lancelet.scripts.benches import _recurrent, _rllib, envs, evolve, train
from lancelet.scripts.benches._timing import Times, take_turns
from lancelet.scripts.rows import Row


def test_turns_alternate_and_the_first_round_is_not_measured():
    calls = []
    times = take_turns(2, calls.append, a=lambda: calls.append("a"), b=lambda: calls.append("b"))
    assert calls == [0, "b", "a", 1, "a", "b", 2, "b", "a"]
    assert all(len(seconds) == 2 for seconds in times.seconds.values())


def test_a_ratio_is_read_within_rounds():
    times = Times({"slow": np.array([2.0, 20.0, 200.0]), "fast": np.array([1.0, 10.0, 100.0])})
    assert times.ratio("slow", "fast") == (2.0, (2.0, 2.0))
    assert times.rate("fast", 50) == 50.0


def test_the_command_prints_and_writes_rows(monkeypatch, tmp_path, capsys):
    fake = SimpleNamespace(run=lambda quick: [Row("swift", "speed", 2.0, ">= 1", True)])
    monkeypatch.setattr(cli, "by_file", lambda *names: fake)
    assert bench.main(["envs", "--quick", "--json", str(tmp_path / "b.json")]) == 0
    assert "swift" in capsys.readouterr().out
    assert json.loads((tmp_path / "b.json").read_text())[0]["holds"] is True


@pytest.mark.slow
def test_single_and_vector_rows():
    rows = envs._single(1) + envs._bare(1)
    if why_no_dm_control() is not None:
        pytest.skip(why_no_dm_control())
    assert [row.kind for row in rows] == ["speed", "info", "info", "speed", "info", "info", "info"]
    assert all(row.value > 0 for row in rows)


@pytest.mark.slow
def test_pools(python):
    shown = python(
        "from lancelet.scripts.benches import envs\nfor row in envs._pools(1): print(row.value > 0)"
    ).stdout
    assert shown.split() == ["True", "True"]


@pytest.mark.slow
def test_import_is_light_and_memory_small():
    seconds, heavy = envs._import_time(1)
    assert seconds.value < 5 and heavy.holds, heavy
    assert envs._memory().holds


def test_both_sides_of_evolve_run_the_same_circuit(monkeypatch):
    monkeypatch.setattr(evolve, "POPULATION", 4)
    circuit = evolve.controllers.make("ncap", evolve.gym.make(evolve.ID, clock=True))
    for searcher in (evolve._ours(circuit, 5), evolve._gymne(circuit, 5, 0)):
        searcher.step()
        assert torch.isfinite(searcher.population.evals).all()
    seen = torch.linspace(-1, 1, 24)
    assert torch.equal(
        evolve.Policy(circuit)(seen), circuit(seen[None], circuit.initial_state(1))[0][0]
    )
    assert circuit.initial_state(1) == ()


@pytest.mark.slow
def test_training_rows_of_sb3(monkeypatch):
    for name, size in (("ENVS", 4), ("ROLLOUT", 8), ("BATCH", 32), ("STEPS", 32)):
        monkeypatch.setattr(train, name, size)
    rows = train._sb3(quick=True)
    assert [row.target for row in rows] == [">= 4", ">= 1.5", None, None, None] and all(
        row.value > 0 for row in rows
    )


@pytest.mark.slow
def test_training_rows_of_a_recurrent_network(monkeypatch):
    for name, size in (("ENVS", 4), ("ROLLOUT", 8), ("BATCH", 32), ("EPOCHS", 1)):
        monkeypatch.setattr(_recurrent, name, size)
    rows = _recurrent.rows(quick=True)
    assert rows[0].target == ">= 0.8" and all(row.value > 0 for row in rows)


@pytest.mark.slow
def test_training_rows_of_rllib(monkeypatch):
    for name, size in (("ENVS", 2), ("ROLLOUT", 40), ("BATCH", 80)):
        monkeypatch.setattr(_rllib, name, size)
    rows = _rllib.rows(quick=True)
    assert rows[0].target == ">= 1.5" and all(row.value > 0 for row in rows)
