"""Pieces of the assistive study, small: the robot's checks, experts, baselines from weights, definitions, pictures."""

import dataclasses
import json

import numpy as np
import pytest

from lancelet import controllers
from lancelet.scripts.studies.assist import baselines, comparison, experts, pictures, robot
from lancelet.scripts.studies.assist import study as assist
from lancelet.scripts.study import Study
from lancelet.training.config import committed
from lancelet.training.rollout import make_env
from lancelet.training.video import opengl


@pytest.fixture
def study(tmp_path):
    return Study(
        "assist",
        assist.TITLE,
        "quick",
        tmp_path,
        say=lambda _: None,
        parts=assist.PARTS,
        seeds_of=assist.SEEDS_OF,
        weights_of=assist.WEIGHTS_OF,
    )


@pytest.fixture(scope="module")
def scratching():
    return experts.perform("scratch", 2)


@pytest.mark.parametrize("base", robot.BASES)
def test_a_robot_that_is_left_alone_stays(base, monkeypatch):
    monkeypatch.setattr(robot, "DRIFT_SECONDS", 2.0)
    assert robot.idle_drift(robot.Robot(base, "one-slide")) < robot.LARGEST_DRIFT[base]


def test_the_base_goes_as_far_as_it_is_told():
    errors = robot.way_errors(robot.Robot("planar", "one-slide"))
    assert len(errors) == 4
    assert max(errors.values()) < robot.LARGEST_WAY_ERROR["planar"]


@pytest.mark.slow
def test_on_wheels_the_base_goes_nearly_as_far():
    errors = robot.way_errors(robot.Robot("wheels", "four-slide"))
    assert max(errors.values()) < robot.LARGEST_WAY_ERROR["wheels"]


@pytest.mark.slow
@pytest.mark.parametrize("arm", robot.ARMS)
def test_every_joint_reaches_both_limits(arm):
    gaps = robot.limit_gaps(robot.Robot("planar", arm))
    assert max(gaps.values()) < robot.LARGEST_LIMIT_GAP


@pytest.mark.slow
def test_a_grasped_box_stays_in_the_gripper_and_a_lost_one_has_slipped_for_ever(monkeypatch):
    monkeypatch.setattr(robot, "HOLD_SECONDS", 3.0)
    slip = robot.slip(robot.Robot("planar", "one-slide", with_box=True))
    assert slip["held"] < robot.LARGEST_SLIP["held"]
    assert 0 < slip["shaken"] < robot.LARGEST_SLIP["shaken"]
    monkeypatch.setattr(robot, "GRASP_SECONDS", 0.0)
    monkeypatch.setattr(robot, "HELD", 0.0)
    assert np.isinf(robot.slip(robot.Robot("planar", "one-slide", with_box=True))["held"])


def test_an_expert_row_counts_what_the_task_says(scratching):
    row = experts.success_row("E2", "scratch", scratching)
    assert (row.value, row.target, row.seeds) == (2.0, ">= 2", 2)
    assert row.holds
    largest, median = experts.scratch_rows(scratching)
    assert largest.holds
    assert median.holds
    assert median.value == pytest.approx(np.median(scratching.score.lengths) * 0.05)


def test_forces_are_those_of_episodes_that_go_on(scratching):
    assert scratching.forces.min() > 0
    assert scratching.forces.max() == scratching.score.metrics["worst_force"].max()
    assert len(scratching.forces) < scratching.steps == scratching.score.lengths.sum()
    row = experts.force_row("F2", "scratch", scratching)
    assert row.value == np.median(scratching.forces)
    assert row.holds is None


def test_a_task_without_touch_says_so():
    row = experts.force_row("F1", "reach", experts.perform("reach", 1))
    assert row.value == 0.0
    assert "never touches" in row.note


def test_without_weights_the_rows_of_baselines_say_what_trains_them(study, monkeypatch):
    monkeypatch.setattr(baselines, "kept", lambda _: None)
    baselines.baseline_rows(study)
    assert [row.name[:2] for row in study.rows] == ["L1", "L2", "L3", "L4", "L5", "L6"]
    assert all(
        row.value is None and "not run: no results/assist/" in row.note for row in study.rows
    )
    assert "--full" in study.rows[-1].note
    assert "--full" not in study.rows[0].note


@pytest.mark.slow
def test_kept_weights_are_measured_on_fresh_starts(study, monkeypatch):
    monkeypatch.setattr(baselines, "kept", lambda _: None)
    monkeypatch.setattr(baselines, "FRESH_STARTS", 2)
    config = committed()[baselines.REACH_PPO]
    env = make_env(config.task, 1, **config.task_fields())
    study.weights(baselines.weights_name(baselines.REACH_PPO, 0), controllers.make("mlp", env))
    baselines.reach_rows(study)
    success, unsafe = study.rows
    # An untrained network reaches nothing, and two starts cannot show that it never hurts.
    assert success.value == 0.0
    assert success.holds is False
    assert unsafe.holds is False
    assert success.interval[0] == 0.0 < success.interval[1] < 1.0
    assert success.seeds_of == assist.SEEDS_OF["L"]


@pytest.mark.slow
def test_a_brief_training_leaves_weights_and_a_curve(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    brief = committed()[baselines.REACH_PPO].shorter(
        steps=256, envs=4, rollout=32, batch_size=64, epochs=1, validation=1
    )
    brief = dataclasses.replace(
        brief, seeds=1, task_options={"episode": "short", "max_episode_steps": 20}
    )
    monkeypatch.setattr(baselines, "LEARNED", {"quick": (baselines.REACH_PPO,), "shown": ()})
    monkeypatch.setattr(baselines, "committed", lambda: {baselines.REACH_PPO: brief})
    monkeypatch.setattr("lancelet.training.config.committed", baselines.committed)
    curves = baselines.train_baselines(study)[baselines.REACH_PPO]
    assert len(curves) == brief.seeds
    assert curves[0].steps[-1] == 256
    assert np.isfinite(curves[0].returns).all()
    assert len(baselines.kept_baselines(study, baselines.REACH_PPO)) == brief.seeds
    pictures.draw_learning(study, {baselines.REACH_PPO: curves})
    assert (tmp_path / "learning.png").stat().st_size > 5_000


def test_the_definitions_are_those_of_the_tasks():
    rows = {row.name[:2]: row for row in comparison.definitions()}
    assert list(rows) == [f"G{number}" for number in range(1, 9)]
    assert str(rows["G3"].value).startswith("10 strokes: within 25 mm, 10 mm apart, below 10 N")
    assert all(row.kind == "info" and row.reference for row in rows.values())
    json.dumps([row.value for row in rows.values()])


def test_every_row_belongs_to_a_part_that_can_be_measured_alone(study):
    beginnings = [beginning for part in assist.PARTS.values() for beginning in part]
    assert sorted(beginnings) == ["E", "F", "G", "L", "R"]
    assert all(name.startswith("L") for name in assist.WEIGHTS_OF)


@pytest.mark.slow
@pytest.mark.skipif(opengl.probe() is None, reason="needs OpenGL")
def test_stills_show_a_scene(study, scratching, tmp_path_factory):
    import matplotlib.pyplot as plt

    still = tmp_path_factory.mktemp("still") / "scratch.png"
    pictures.draw_still("scratch", scratching, still)
    pictures.draw_stills(study, {"scratch": scratching})
    pictures.draw_forces(study, {"scratch": scratching})
    picture = plt.imread(still)[..., :3]
    assert picture.shape == (600, 800, 3)
    # Neither night nor a bleached scene, and full of different colours.
    assert 0.3 < picture.mean() < 0.9
    assert picture.std() > 0.08
    assert {path.name for path in study.folder.glob("*.png")} == {
        "forces.png",
        "tasks.png",
    }
