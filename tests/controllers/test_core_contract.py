"""What the base class and the functions of the contract promise to callers."""

from types import SimpleNamespace

import gymnasium as gym
from gymnasium import spaces

from lancelet import controllers
from lancelet.controllers.core import Exploration, agent_spaces, interval_of

BOX = spaces.Box(-1, 1, (2,))
BATCH_BOX = spaces.Box(-1, 1, (3, 2))


def test_exploration_has_names_and_unpacks():
    env = SimpleNamespace(observation_space=BOX, action_space=BOX)
    exploration = controllers.make("mlp", env).exploration
    assert isinstance(exploration, Exploration)
    assert (exploration.standard_deviation, exploration.is_learned) == (0.693, True)
    standard_deviation, is_learned = exploration
    assert (standard_deviation, is_learned) == (0.693, True)


def test_only_a_controller_that_counts_time_has_an_interval():
    maze = gym.make("lancelet/PointMaze-v0")
    search = controllers.make("search", maze)
    assert search.counted_interval() == search.options.interval == maze.unwrapped.control_dt
    assert controllers.make("zero", maze).counted_interval() is None


def test_the_interval_is_the_environments_where_both_have_one():
    search = controllers.controllers.get("search").Options
    timed = SimpleNamespace(control_dt=0.25)
    assert interval_of(search, timed) == {"interval": 0.25}
    assert interval_of(search, SimpleNamespace(unwrapped=timed)) == {"interval": 0.25}
    assert interval_of(search, SimpleNamespace(control_dt=None)) == {}
    assert interval_of(search, SimpleNamespace()) == {}
    assert interval_of(controllers.Options, timed) == {}


def test_spaces_are_those_of_one_agent():
    single = SimpleNamespace(observation_space=BOX, action_space=BOX)
    assert agent_spaces(single) == (BOX, BOX)
    vector = SimpleNamespace(
        observation_space=BATCH_BOX,
        action_space=BATCH_BOX,
        single_observation_space=BOX,
        single_action_space=BOX,
    )
    assert agent_spaces(vector) == (BOX, BOX)
