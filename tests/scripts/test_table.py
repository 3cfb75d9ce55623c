"""The table of benchmarks: trained from configurations, measured on held-out starts, honest about what was not run."""

import shutil

import numpy as np
import pytest
from conftest import SWIM

from lancelet import LanceletError, controllers, training
from lancelet.scripts.benches import table
from lancelet.training import config
from lancelet.training.config import Config, committed, read
from lancelet.training.statistics import interquartile

SHORT = {"joints": 3, "max_episode_steps": 30}
SMALL = {"steps": 64, "envs": 2, "rollout": 32, "batch_size": 64, "epochs": 1, "validation": 2}
CONFIGS = {
    "snes": Config(
        SWIM,
        "ncap",
        "snes",
        SHORT,
        {},
        {"generations": 2, "population": 4, "validation": 2},
        seeds=2,
    ),
    "ppo": Config(SWIM, "ncap", "ppo", SHORT, {}, SMALL),
    "later": Config(SWIM, "mlp", "ppo", SHORT, {}, SMALL),
}


@pytest.fixture
def only(tmp_path, monkeypatch):
    """`only("snes")`: these are the committed configurations, in an empty folder, trained in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "parallel", map)
    monkeypatch.setattr(table, "STARTS", 3)

    def choose(*names):
        for module in (config, table):
            monkeypatch.setattr(
                module, "committed", lambda: {name: CONFIGS[name] for name in names}
            )
        return tmp_path

    return choose


@pytest.mark.slow
def test_rows_are_what_the_runs_return(only):
    here = only("snes", "ppo")
    rows = {row.name: row for row in table.run(quick=False)}
    assert set(rows) == {
        "swim ncap snes, deterministic",
        "swim ncap ppo, deterministic",
        "swim ncap ppo, sampled",
    }
    found = [
        training.evaluate(controllers.load(config.folder("snes", seed)), SWIM, 3, **SHORT)
        for seed in range(2)
    ]
    assert (
        rows["swim ncap snes, deterministic"].value
        == interquartile(np.stack([s.returns for s in found]))[0]
    )
    assert rows["swim ncap ppo, deterministic"].value != rows["swim ncap ppo, sampled"].value
    page = (here / "BENCHMARKS.md").read_text()
    assert (
        "`lancelet bench table`" in page
        and "mujoco 3." in page
        and "| swim | ncap | 4 | snes | 240 | 2 of 2 |" in page
    )
    assert "centre of mass 0.0" in rows["swim ncap snes, deterministic"].note
    assert rows["swim ncap snes, deterministic"].seeds_of == "trainings"
    only("snes", "ppo", "later")
    again = {row.name: row for row in table.run(quick=True)}
    assert all(again[name].value == row.value for name, row in rows.items()), (
        "quick: the same runs, the same rows"
    )
    assert again["swim mlp ppo"].value is None and "not run" in again["swim mlp ppo"].note
    assert "not run | not run" in (here / "BENCHMARKS.md").read_text()


@pytest.mark.slow
def test_figures_are_of_kept_weights_and_of_a_large_controller_only_the_best_training_is_kept(
    only, monkeypatch
):
    here = only("snes")
    monkeypatch.setattr(table, "SMALL", 3)
    (row,) = table.run(quick=False)
    (file,) = sorted((here / "results" / "table").iterdir())
    again = training.evaluate(controllers.load(file), SWIM, 3, **SHORT).returns
    assert row.value == interquartile(again[None])[0] and row.seeds == 1
    shutil.rmtree(here / "runs")
    (kept,) = table.run(quick=True)
    assert kept == row, "without the runs the figures come from the kept weights"
    file.unlink()
    (missing,) = table.run(quick=True)
    assert missing.value is None and "not run" in missing.note


def test_a_seed_is_also_that_of_the_weights_at_birth(only):
    here = only()
    runs = [
        CONFIGS["later"].train(seed=seed, folder=str(here / str(seed)), quiet=True, test=0)
        for seed in (3, 4)
    ]
    first, other = (controllers.load(run.folder / "initial.safetensors") for run in runs)
    assert first.options.seed == 3 and first.layers[0].weight[0, 0] != other.layers[0].weight[0, 0]


def test_every_committed_configuration_names_things_that_exist():
    for name, one in committed().items():
        assert one.task_fields() and one.trainer(seed=0).check() is None, name


def test_a_configuration_survives_its_file(tmp_path):
    CONFIGS["snes"].write(tmp_path / "a.yaml")
    assert read(tmp_path / "a.yaml") == CONFIGS["snes"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: swim\ncontroller: ncap\n", "algorithm = None: must be a name"),
        ("- 1\n", "needs task, controller and algorithm"),
        ("task: [", "bad.yaml is not YAML"),
        ("tsk: swim\n", "did you mean task"),
    ],
)
def test_bad_configurations_are_named(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(LanceletError, match=message):
        read(tmp_path / "bad.yaml")


@pytest.mark.slow
def test_the_interquartile_mean_is_that_of_the_middle_half():
    values = np.array([[0.0, 10, 20, 1000], [10, 20, 30, 40]])
    assert interquartile(values)[0] == np.mean([10, 20, 20, 30])
    rng = np.random.default_rng(0)
    _, (low, high) = interquartile(rng.normal(size=(20, 50)) + rng.normal(size=(20, 1)))
    assert 0.6 < high - low < 1.6, (
        "the spread is that of seeds, about 4 / sqrt(20), not of episodes"
    )
