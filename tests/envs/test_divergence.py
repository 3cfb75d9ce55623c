import gymnasium as gym
import numpy as np
import pytest
from conftest import SWIM
from gymnasium.vector import AutoresetMode

from lancelet.envs import VectorEnv
from lancelet.envs.swim import Swim

N = 4
"""simulations of a batch"""
BAD = 2
"""the simulation that is made to blow up"""
STEPS = 3
"""number of the step in which it does"""
OTHERS = [i for i in range(N) if i != BAD]


def make(mode=AutoresetMode.NEXT_STEP, limit=None):
    return gym.make_vec(
        SWIM, num_envs=N, max_episode_steps=limit or 50, autoreset_mode=mode, joints=3
    ).unwrapped


def action(step):
    return np.random.default_rng(step).uniform(-1, 1, (N, 3)).astype(np.float32)


def run(mode, disturb):
    """Steps of a run in which one simulation's velocity blows up after the second one."""
    env, out = make(mode), []
    env.reset(seed=0)
    for step in range(5):
        if disturb and step == STEPS - 1:
            env.sim.qvel[BAD] = 1e30
        out.append(env.step(action(step)))
    return out


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_blown_up_simulation_ends_its_own_episode(mode, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = run(mode, disturb=True)
    before, (seen, reward, terminated, truncated, info) = out[STEPS - 2][0], out[STEPS - 1]
    np.testing.assert_array_equal(info["diverged"], np.arange(N) == BAD)
    np.testing.assert_array_equal(terminated, np.arange(N) == BAD)
    assert not truncated.any() and reward[BAD] == 0.0
    last = info["final_obs"][BAD] if mode is AutoresetMode.SAME_STEP else seen[BAD]
    np.testing.assert_array_equal(last, before[BAD])
    assert (
        info["episode"]["l"][BAD] == STEPS
        and info["_episode"][BAD]
        and not info["_episode"][OTHERS].any()
    )
    for seen, reward, *_ in out:
        assert np.isfinite(seen).all() and np.isfinite(reward).all()
    for *_, later in out[STEPS:]:
        assert "diverged" not in later, "the next episode begins clean"
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_others_never_notice(mode):
    for (seen, reward, terminated, truncated, _), (other, gain, *_) in zip(
        run(mode, disturb=True), run(mode, disturb=False), strict=True
    ):
        np.testing.assert_array_equal(seen[OTHERS], other[OTHERS])
        np.testing.assert_array_equal(reward[OTHERS], gain[OTHERS])
        assert not terminated[OTHERS].any() and not truncated[OTHERS].any()


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("value", [1e30, 1e9], ids=["velocity itself", "acceleration that follows"])
def test_a_start_velocity_beyond_all_measure_diverges_at_the_first_step(mode, value, capfd):
    env = make(mode)
    speed = np.zeros((N, 6))
    speed[BAD] = value
    seen, _ = env.reset(seed=0, options={"qvel": speed})
    assert np.isfinite(seen).all()
    seen, reward, terminated, _, info = env.step(action(0))
    np.testing.assert_array_equal(terminated, np.arange(N) == BAD)
    np.testing.assert_array_equal(info["diverged"], np.arange(N) == BAD)
    assert np.isfinite(seen).all() and np.isfinite(reward).all()
    plain = make(mode)
    plain.reset(seed=0)
    np.testing.assert_array_equal(plain.step(action(0))[0][OTHERS], seen[OTHERS])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_divergence_at_the_last_step_is_a_termination_not_a_truncation(mode):
    env = make(mode, limit=1)
    speed = np.zeros((N, 6))
    speed[BAD] = 1e30
    env.reset(seed=0, options={"qvel": speed})
    _, _, terminated, truncated, _ = env.step(action(0))
    np.testing.assert_array_equal(terminated, np.arange(N) == BAD)
    np.testing.assert_array_equal(truncated, np.arange(N) != BAD)


def test_a_position_that_is_no_number_is_divergence_too():
    env = make()
    env.reset(seed=0)
    env.sim.qpos[BAD] = np.nan
    seen, _, terminated, _, info = env.step(action(0))
    np.testing.assert_array_equal(info["diverged"], np.arange(N) == BAD)
    assert terminated[BAD] and np.isfinite(seen).all()


def test_the_single_environment_says_so_and_goes_on_after_a_reset():
    env = gym.make(SWIM, joints=3)
    seen, _ = env.reset(seed=0, options={"qvel": np.full(6, 1e30)})
    after, reward, terminated, truncated, info = env.step(np.ones(3, np.float32))
    assert terminated and not truncated and info["diverged"] and reward == 0.0
    np.testing.assert_array_equal(after, seen)
    with pytest.raises(gym.error.ResetNeeded):
        env.unwrapped.step(np.ones(3, np.float32))
    env.reset(seed=0)
    *_, terminated, _, info = env.step(np.ones(3, np.float32))
    assert not terminated and "diverged" not in info


def test_nothing_is_written_by_a_process_whose_simulations_blow_up(python, tmp_path):
    code = f"""
import gymnasium as gym, numpy as np
env = gym.make_vec("lancelet:{SWIM}", num_envs=64)
env.reset(seed=0, options={{"qvel": np.full(8, 1e30)}})
assert env.step(np.zeros((64, 5)))[2].all()
"""
    done = python(code)
    assert done.stdout == done.stderr == "" and not list(tmp_path.iterdir())


class Undefined(Swim):
    """A reward that is no number at the second step of one simulation."""

    divergence_reward = -5.0

    def reward(self, sim, memory, action):
        reward, terms = super().reward(sim, memory, action)
        return np.where((memory["steps"] == 2) & (np.arange(sim.n) == BAD), np.nan, reward), terms


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_reward_that_is_no_number_ends_the_episode_with_the_tasks_own_penalty(mode):
    env = VectorEnv(N, Undefined, autoreset_mode=mode, joints=3)
    env.reset(seed=0)
    before, *_ = env.step(action(0))
    seen, reward, terminated, _, info = env.step(action(1))
    np.testing.assert_array_equal(terminated, np.arange(N) == BAD)
    np.testing.assert_array_equal(info["diverged"], terminated)
    last = info["final_obs"][BAD] if mode is AutoresetMode.SAME_STEP else seen[BAD]
    np.testing.assert_array_equal(last, before[BAD])
    assert reward[BAD] == -5.0 and np.isfinite(reward).all()
    assert info["episode"]["r"][BAD] == pytest.approx(-5.0, abs=1.0)
    assert info["diverged_reason"][BAD] == "the reward is no finite number"


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_figures_of_an_episode_that_blew_up_are_no_numbers(mode):
    *_, info = run(mode, disturb=True)[STEPS - 1]
    told = info["final_info"] if mode is AutoresetMode.SAME_STEP else info
    assert set(told["metrics"]) >= {"speed", "com_speed"}
    for name in ("speed", "com_speed"):
        assert np.isnan(told["metrics"][name][BAD])
        assert np.isfinite(told["metrics"][name][OTHERS]).all()
    assert np.isfinite(info["episode"]["r"]).all()


def test_the_reason_names_what_blew_up():
    for name, value, what in (
        ("qvel", 1e30, "velocity"),
        ("qpos", np.nan, "position"),
        ("qvel", 1e9, "acceleration"),
    ):
        env = make()
        env.reset(seed=0)
        getattr(env.sim, name)[BAD] = value
        *_, info = env.step(action(0))
        assert (
            f"the physics blew up: a{'n' * (what[0] == 'a')} {what}" in info["diverged_reason"][BAD]
        )
        assert all(info["diverged_reason"][i] is None for i in OTHERS)


def test_the_single_environment_gives_no_numbers_too():
    env = gym.make(SWIM, joints=3)
    env.reset(seed=0, options={"qvel": np.full(6, 1e30)})
    *_, info = env.step(np.ones(3, np.float32))
    assert "velocity" in info["diverged_reason"]
    assert all(np.isnan(value) for value in info["metrics"].values())


def test_an_error_of_the_engine_is_the_fault_of_one_simulation():
    env, plain = make(), make()
    env.field("opt.integrator")[BAD] = 99
    env.reset(seed=0)
    plain.reset(seed=0)
    seen, _, terminated, _, info = env.step(action(0))
    want, *_ = plain.step(action(0))
    np.testing.assert_array_equal(terminated, np.arange(N) == BAD)
    assert "invalid integrator" in info["diverged_reason"][BAD]
    np.testing.assert_array_equal(seen[OTHERS], want[OTHERS])
