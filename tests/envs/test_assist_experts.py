"""The scripted experts: every one of them helps, gently, and reads nothing but an assistive task."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import ASSIST, SWIM

from lancelet import LanceletError, controllers, morphology, training
from lancelet.assist_layout import COMMANDS, OBSERVATION_SIZE, SEEN
from lancelet.controllers.assist.expert import Goal, command, constant, length, towards

SEED = 500
EPISODES = 4
GENTLE = {
    "reach": 5.0,
    "scratch": 10.0,
    "feed": 5.0,
    "drink": 5.0,
    "wipe": 20.0,
    "fetch": 5.0,
    "drawer": 5.0,
}
"""task -> N, a force between robot and person that its expert never reaches"""
LONG_EPISODES = ("scratch", "wipe", "fetch")


def marked(name):
    """The task's name; those with long episodes are marked as slow."""
    return pytest.param(name, marks=pytest.mark.slow) if name in LONG_EPISODES else name


def expert(name):
    return controllers.make(f"{name}-expert", gym.make(ASSIST[name]))


def score(name, episodes=EPISODES, **options):
    return training.evaluate(
        expert(name), ASSIST[name], episodes=episodes, seed=SEED, nthread=1, **options
    )


@pytest.mark.parametrize("name", [marked(name) for name in ASSIST])
def test_every_expert_helps_and_is_gentle(name):
    metrics = score(name).metrics
    assert metrics["success"].tolist() == [1.0] * EPISODES
    assert not metrics["unsafe"].any() and not metrics["failed"].any()
    assert metrics["worst_force"].max() < GENTLE[name]


@pytest.mark.parametrize("name", ["reach", "feed", "drink", "drawer"])
def test_short_episodes_are_long_enough(name):
    assert score(name, episode="short").metrics["success"].all()


@pytest.mark.slow
def test_an_itch_is_scratched_in_less_than_half_a_minute():
    result = score("scratch")
    assert np.median(result.lengths) * 0.05 < 30
    assert (result.metrics["strokes"] == 10).all()


@pytest.mark.slow
@pytest.mark.parametrize("base", ["planar", "wheels"])
@pytest.mark.parametrize(("name", "tool"), [("reach", "scratcher"), ("drawer", "none")])
def test_four_slides_and_wheels_do_as_well(name, tool, base):
    body = morphology.make("manipulator", base=base, arm="four-slide", tool=tool)
    result = score(name, episodes=2, body=body)
    assert result.metrics["success"].all()
    assert result.metrics["worst_force"].max() < GENTLE[name]


def test_an_expert_finds_the_place_in_every_posture():
    low = [-0.3, -0.5, -0.05, 0.02, 1.1]
    high = [0.3, 0.5, 0.5, 0.45, 1.8]
    for posture in (low, high):
        result = score("reach", episodes=2, options={"posture": posture})
        assert result.metrics["success"].all(), posture


def test_an_expert_has_nothing_to_learn():
    for name in ASSIST:
        assert expert(name).parameter_count == 0


@pytest.mark.parametrize("name", ASSIST)
def test_an_expert_refuses_another_task_in_one_line(name):
    with pytest.raises(LanceletError, match="reads the 44 observations of an assistive") as error:
        controllers.make(f"{name}-expert", gym.make(SWIM))
    assert "\n" not in str(error.value)


# -- steering -----------------------------------------------------------------------------------------------------------


def goal(**changes):
    """A goal that asks for nothing, for one robot that faces as the person does, but for `changes`."""
    nothing = torch.zeros(1)
    parts = {
        "tip_velocity": torch.zeros(1, 3),
        "heading": nothing,
        "yaw": nothing,
        "pitch": nothing,
        "roll": nothing,
        "gripper": nothing,
    }
    return Goal(**(parts | changes))


def command_for(observation=None, **changes):
    """Command -> its share, for a goal; all is at rest unless `observation` (44,) says otherwise."""
    if observation is None:
        observation = at_rest()
    seen = {name: observation[None, rows] for name, rows in SEEN.items()}
    return dict(zip(COMMANDS, command(seen, goal(**changes))[0].tolist(), strict=True))


def at_rest():
    """Every joint at 0, the person looking along the robot's heading."""
    observation = torch.zeros(OBSERVATION_SIZE)
    observation[SEEN["person_facing"]] = torch.tensor([1.0, 0.0])
    return observation


def test_each_part_of_a_goal_moves_one_axis():
    assert not any(command_for().values())
    forwards = command_for(tip_velocity=torch.tensor([[0.1, 0.0, 0.0]]))
    assert forwards["drive"] == pytest.approx(0.5) and forwards["arm"] == 0
    left = command_for(tip_velocity=torch.tensor([[0.0, 0.06, 0.0]]))
    assert left["arm"] == pytest.approx(-0.5), "the arm points to the right"
    up = command_for(tip_velocity=torch.tensor([[0.0, 0.0, 0.05]]))
    assert up["lift"] == pytest.approx(0.5)
    assert command_for(pitch=torch.tensor([0.05]))["wrist_pitch"] > 0
    assert command_for(gripper=torch.tensor([-0.01]))["gripper"] < 0


def test_it_turns_until_the_person_looks_where_it_wants():
    """A person who looks to the robot's left is brought ahead by turning left."""
    observation = at_rest()
    observation[SEEN["person_facing"]] = torch.tensor([0.8, 0.6])
    assert command_for(observation)["turn"] > 0


def test_commands_stay_within_the_largest_speeds():
    fast = command_for(tip_velocity=torch.tensor([[9.0, -9.0, -9.0]]), yaw=torch.tensor([9.0]))
    assert [fast[name] for name in ("drive", "arm", "lift", "wrist_yaw")] == [1, 1, -1, 1]


def test_the_speed_to_a_goal_falls_with_the_distance_and_is_bounded():
    vectors = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.01, 0.0], [0.0, 0.0, 0.0]])
    speeds = length(towards(vectors, 0.1))
    assert speeds.tolist() == pytest.approx([0.1, 0.03, 0.0])


def test_an_episode_begins_in_the_first_phase():
    robot = expert("scratch")
    phase, clock = robot.initial_state(3)
    assert not phase.any() and not clock.any()
    assert constant(phase, 2.0).tolist() == [2.0] * 3
    again_phase, _ = robot.reset(
        (constant(phase, 2.0), constant(clock, 1.0)), torch.tensor([True, False, True])
    )
    assert again_phase.tolist() == [0.0, 2.0, 0.0]
