import json
import pickle

import gymnasium as gym
import pytest
from conftest import ASSIST, NAVIGATE, SWIM
from gymnasium.vector import AutoresetMode

import lancelet
from lancelet.envs import SingleEnv, VectorEnv

IDS = sorted(lancelet.registered().values())
OPTION = {"lancelet/BlimpAltitude-v0": ("track", "rl"), "lancelet/PointMaze-v0": ("frame_skip", 5)}
OPTION |= {"lancelet/ArmReach-v0": ("load", 1.0), "lancelet/ArmHold-v0": ("force", 5.0)}
OPTION["lancelet/Crawl-v0"] = ("cost", 0.1)
OPTION |= {"lancelet/Phototaxis-v0": ("light", 2)}
OPTION |= dict.fromkeys(ASSIST.values(), ("episode", "short"))
"""id -> an option that its task has and a value that is not the usual one; the others have joints"""


def test_both_tasks_are_registered():
    assert {SWIM, NAVIGATE} <= set(IDS)


@pytest.mark.parametrize("id", IDS)
def test_make_gives_the_single_environment_with_default_arguments(id):
    env = gym.make(id)
    assert isinstance(env.unwrapped, SingleEnv)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert env.step(env.action_space.sample())[0] in env.observation_space


@pytest.mark.parametrize("id", IDS)
def test_make_vec_gives_the_native_vector_environment_with_default_arguments(id):
    env = gym.make_vec(id, num_envs=3)
    assert isinstance(env.unwrapped, VectorEnv)
    assert env.unwrapped.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert env.step(env.action_space.sample())[0] in env.observation_space


def test_one_simulation_is_the_default_of_make_vec():
    assert gym.make_vec(SWIM).num_envs == 1


@pytest.mark.parametrize("make", ["gym.make", "gym.make_vec"])
def test_an_id_with_its_module_works_without_import(python, make):
    code = f"import gymnasium as gym; env = {make}('lancelet:{SWIM}', joints=3); print(env.action_space.shape)"
    assert python(code).stdout.strip() == ("(3,)" if make == "gym.make" else "(1, 3)")


def test_make_loads_no_torch_and_no_opengl_and_import_loads_no_mujoco(python):
    code = f"""
import sys, lancelet
print("mujoco" in sys.modules, "torch" in sys.modules)
import gymnasium as gym
for make in (gym.make, gym.make_vec):
    env = make("{SWIM}")
    env.reset(seed=0)
    env.step(env.action_space.sample())
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"torch", "OpenGL", "dm_control", "stable_baselines3"}}))
"""
    assert python(code, MUJOCO_GL="").stdout.split("\n")[:2] == ["False False", "[]"]


def test_options_reach_the_task_by_either_door():
    assert gym.make(SWIM, joints=9).observation_space.shape == (39,)
    assert gym.make(SWIM, joints=9, clock=True).observation_space.shape == (40,)
    assert gym.make_vec(SWIM, num_envs=2, joints=9).observation_space.shape == (2, 39)


@pytest.mark.parametrize(("option", "near"), [("joint", "joints"), ("viscocity", "viscosity")])
def test_an_unknown_option_is_refused_with_near_names(option, near):
    with pytest.raises(lancelet.LanceletError, match=near) as error:
        gym.make(SWIM, **{option: 3})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["NextStep", "SameStep", "Disabled", *AutoresetMode])
def test_the_autoreset_mode_is_a_string_or_a_member(value):
    env = gym.make_vec(SWIM, num_envs=2, autoreset_mode=value)
    assert env.unwrapped.metadata["autoreset_mode"] is AutoresetMode(value)


def test_the_autoreset_mode_of_one_instance_does_not_leak_into_the_next():
    gym.make_vec(SWIM, autoreset_mode="SameStep")
    assert gym.make_vec(SWIM).unwrapped.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert VectorEnv.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_the_spec_goes_through_json_and_pickle(id, make):
    options = {"autoreset_mode": "SameStep"} if make is gym.make_vec else {}
    name, value = OPTION.get(id, ("joints", 3))
    spec = make(id, **{name: value}, **options).unwrapped.spec
    assert json.loads(spec.to_json())["kwargs"][name] == value
    again = make(pickle.loads(pickle.dumps(spec)))
    assert getattr(again.unwrapped.task, name) == value
    again = make(gym.envs.registration.EnvSpec.from_json(spec.to_json()))
    assert getattr(again.unwrapped.task, name) == value


def test_short_names_lead_to_ids_and_unknown_ones_to_near_names():
    assert lancelet.task_id("swim") == SWIM
    assert lancelet.task_id("swim-navigate") == NAVIGATE
    assert lancelet.task_id(SWIM) == SWIM
    assert lancelet.task_id(f"lancelet:{SWIM}") == f"lancelet:{SWIM}"
    with pytest.raises(lancelet.LanceletError, match="did you mean swim"):
        lancelet.task_id("swin")


@pytest.mark.parametrize(
    "bad",
    [
        {"num_envs": 0},
        {"num_envs": 2, "max_episode_steps": 0},
        {"num_envs": 2, "render_mode": "human"},
    ],
)
def test_bad_arguments_of_the_environment_are_one_line(bad):
    with pytest.raises(lancelet.LanceletError) as error:
        VectorEnv(task="lancelet.envs.swim:Swim", **bad)
    assert "\n" not in str(error.value)


def test_a_refused_option_leaves_nothing_on_stderr(python):
    code = f"""
import gymnasium as gym, lancelet
for make in (gym.make, gym.make_vec):
    try:
        make("{SWIM}", joints=0)
    except lancelet.LanceletError as error:
        print(error)
"""
    done = python(code)
    assert done.stdout.count("Swimmer.joints = 0") == 2 and done.stderr == ""
