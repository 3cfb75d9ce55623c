"""The contracts hold for tasks and controllers that the library has never seen."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from doubles import TASKS, Bead, Plastic
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import lancelet
from lancelet import controllers, morphology, training

ALL = [*TASKS, "doubles/CueDiscrete-v0"]


@pytest.fixture(autouse=True, scope="module")
def registered():
    import doubles

    before = dict(gym.registry)
    doubles.register_all()
    yield
    for id in set(gym.registry) - set(before):
        del gym.registry[id]


def leaves(observation):
    return list(observation.values()) if isinstance(observation, dict) else [observation]


def same(left, right):
    for a, b in zip(leaves(left), leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


def row(observation, i):
    return [leaf[i] for leaf in leaves(observation)]


def actions(env, step):
    env.action_space.seed(step)
    return env.action_space.sample()


@pytest.mark.parametrize("id", ALL)
@pytest.mark.filterwarnings("ignore:.*Box observation space")
@pytest.mark.filterwarnings("ignore:.*infinity")
def test_gymnasium_finds_no_fault(id):
    check_env(gym.make(id).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("id", [id for id in ALL if "Gale" not in id])
def test_vector_and_single_agree(id):
    n, single = 3, []
    vector = gym.make_vec(id, num_envs=n, autoreset_mode="Disabled")
    seen, _ = vector.reset(seed=5)
    for i in range(n):
        env = gym.make(id)
        for a, b in zip(row(seen, i), leaves(env.reset(seed=5 + i)[0]), strict=True):
            np.testing.assert_array_equal(a, b)
        single.append(env)
    live = np.ones(n, bool)
    for step in range(60):
        action = actions(vector, step)
        seen, reward, terminated, truncated, _ = vector.step(action)
        for i in np.flatnonzero(live):
            want, gain, ended, cut, _ = single[i].step(action[i])
            for a, b in zip(row(seen, i), leaves(want), strict=True):
                np.testing.assert_array_equal(a, b)
            assert (gain, ended, cut and not ended) == (reward[i], terminated[i], truncated[i])
        live &= ~(terminated | truncated)
        if not live.any():
            return
    raise AssertionError("no end")


@pytest.mark.parametrize("id", ALL)
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_autoreset_mode_goes_through_many_episodes(id, mode):
    env = gym.make_vec(id, num_envs=4, autoreset_mode=mode)
    env.reset(seed=0)
    episodes = 0
    for step in range(80):
        seen, reward, terminated, truncated, info = env.step(actions(env, step))
        assert seen in env.observation_space
        assert reward.shape == (4,) and reward.dtype == np.float64
        ended = terminated | truncated
        if ended.any():
            episodes += ended.sum()
            assert (info["_episode"] == ended).all()
            if mode is AutoresetMode.DISABLED:
                env.reset(options={"reset_mask": ended})
    assert episodes >= 4


@pytest.mark.parametrize("id", ALL)
def test_state_continues(id):
    env, other = (gym.make_vec(id, num_envs=3).unwrapped for _ in range(2))
    env.reset(seed=1)
    for step in range(4):
        env.step(actions(env, step))
    saved = env.state_dict()
    other.load_state_dict(saved)
    for step in range(30):
        action = actions(env, step)
        (*left, info), (*right, other_info) = env.step(action), other.step(action)
        for a, b in zip(left, right, strict=True):
            same(a, b)
        for name, rows in info.get("metrics", {}).items():
            np.testing.assert_array_equal(rows, other_info["metrics"][name])


def test_a_force_at_every_substep_acts():
    def away(stiffness):
        env = gym.make("doubles/Spring-v0", stiffness=stiffness, max_episode_steps=200).unwrapped
        start = np.zeros(8)
        start[:2] = 0.3
        env.reset(seed=0, options={"qpos": start})
        for _ in range(100):
            env.step(np.zeros(5, np.float32))
        return np.linalg.norm(env.vector.sim.qpos[0, :2])

    assert away(0.0) == pytest.approx(np.hypot(0.3, 0.3))
    assert away(0.5) < 0.35


def test_a_goal_is_reached_and_terminates_its_own_episode():
    env = gym.make_vec("doubles/Reach-v0", num_envs=3, autoreset_mode="SameStep")
    seen, _ = env.reset(seed=0, options={"goal": [[0.2], [0.9], [-0.9]]})
    np.testing.assert_array_equal(seen["desired_goal"], np.float32([[0.2], [0.9], [-0.9]]))
    for _ in range(40):
        seen, _, terminated, _, info = env.step(np.ones((3, 1), np.float32))
        if terminated.any():
            break
    np.testing.assert_array_equal(terminated, [True, False, False])
    assert abs(info["final_obs"][0]["achieved_goal"][0] - 0.2) < 0.05
    assert (
        info["metrics"]["success"][0] == 1.0 and info["final_info"]["metrics"]["success"][0] == 1.0
    )
    assert seen["achieved_goal"][0] == 0.0 and seen["achieved_goal"][1] > 0.1
    assert set(info["terms"]) == {"near", "_near", "effort", "_effort"}


def test_the_task_sees_actions_within_their_range():
    env = gym.make_vec("doubles/Reach-v0", num_envs=2)
    env.reset(seed=0)
    terms = env.step(np.array([[9.0], [-0.5]]))[-1]["terms"]
    np.testing.assert_allclose(terms["effort"], [-0.01, -0.0025])


def test_a_finished_episode_ends_once():
    env = gym.make_vec("doubles/Reach-v0", num_envs=2, autoreset_mode="Disabled")
    env.reset(seed=0, options={"goal": [[0.01], [0.9]]})
    _, _, terminated, _, info = env.step(np.zeros((2, 1)))
    np.testing.assert_array_equal(terminated, [True, False])
    assert info["_episode"].tolist() == [True, False]
    _, reward, terminated, _, info = env.step(np.zeros((2, 1)))
    assert not terminated.any() and reward[0] == 0.0 and "episode" not in info


def test_an_option_of_the_task_alone_is_known_and_others_are_not():
    env = gym.make("doubles/Reach-v0")
    assert env.reset(options={"goal": 0.7})[0]["desired_goal"][0] == np.float32(0.7)
    with pytest.raises(lancelet.LanceletError, match="did you mean goal"):
        env.reset(options={"gaol": 0.7})


def test_a_task_without_mujoco_remembers_and_pays():
    env = gym.make_vec("doubles/Cue-v0", num_envs=4, autoreset_mode="Disabled")
    seen, _ = env.reset(seed=0)
    cue = seen[:, :1].copy()
    assert set(cue.ravel()) == {-1.0, 1.0}
    for step in range(6):
        seen, reward, terminated, _, _ = env.step(cue)
        assert (np.abs(seen[:, 0]) <= 0.2).all()
        assert (reward == (step == 5)).all() and (terminated == (step == 5)).all()


def test_discrete_actions_work_and_others_are_refused():
    env = gym.make_vec("doubles/CueDiscrete-v0", num_envs=2)
    seen, _ = env.reset(seed=0)
    answer = (seen[:, 0] > 0).astype(int)
    rewards = [env.step(answer)[1] for _ in range(6)]
    assert (rewards[-1] == 1.0).all()
    with pytest.raises(lancelet.LanceletError, match="lie outside"):
        env.step(np.array([0, 2]))
    with pytest.raises(lancelet.LanceletError, match="shape"):
        env.step(np.array([0]))
    single = gym.make("doubles/CueDiscrete-v0")
    single.reset(seed=0)
    single.step(1)


def test_without_mujoco_there_is_no_picture():
    env = gym.make_vec("doubles/Cue-v0", num_envs=1, render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(lancelet.LanceletError, match="not a MuJoCo task"):
        env.render()


def test_two_bodies_under_a_shifted_parameter():
    env = gym.make_vec("doubles/Gale-v0", num_envs=4, autoreset_mode="Disabled").unwrapped
    env.reset(seed=3)
    for _ in range(5):
        env.step(np.ones((4, 1)))
    damping = env.field("dof_damping")[:][:, 0]
    assert len(set(damping)) == 4
    for i in range(4):
        model = Bead(mass=(1.0, 3.0)[i % 2]).build().compile()
        model.dof_damping[:] = damping[i]
        alone = gym.make_vec(
            "doubles/Reach-v0", num_envs=1, body=Bead(mass=(1.0, 3.0)[i % 2])
        ).unwrapped
        alone.reset(seed=0)
        alone.field("dof_damping")[:] = damping[i]
        for _ in range(5):
            alone.step(np.ones((1, 1)))
        np.testing.assert_array_equal(alone.sim.qpos[0], env.sim.qpos[i])


def test_evaluation_of_a_shifting_task_is_the_same_for_any_number_of_episodes():
    env = gym.make("doubles/Gale-v0")
    random = controllers.make("random", env)
    two, six = (training.evaluate(random, "doubles/Gale-v0", episodes=n, seed=2) for n in (2, 6))
    np.testing.assert_array_equal(two.returns, six.returns[:2])
    np.testing.assert_array_equal(two.metrics["damping"], six.metrics["damping"][:2])


def test_a_plastic_controller_lives_through_its_episodes():
    plastic = controllers.make("plastic", gym.make("doubles/Cue-v0"))
    fresh = training.evaluate(plastic, "doubles/Cue-v0", episodes=4)
    np.testing.assert_array_equal(fresh.returns, 0.0)
    lived = training.evaluate(plastic, "doubles/Cue-v0", episodes=4, keep_state=True, record=True)
    np.testing.assert_array_equal(lived.returns, [0.0, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(lived.lengths, 6)
    np.testing.assert_array_equal(lived.record["signal.steps"][:, 0], [1, 2, 3, 4, 5, 6])


def test_an_opaque_state_is_reset_by_mask():
    plastic = Plastic(
        gym.spaces.Box(-1, 1, (2,)), gym.spaces.Box(-1, 1, (1,)), controllers.Options()
    )
    old = plastic.initial_state(3)
    new = plastic.reset(old, torch.tensor([False, True, False]))
    assert new[0] is old[0] and new[1] is not old[1] and new[2] is old[2]


def test_a_registered_body_makes_the_way_through_json():
    body = morphology.make("bead", mass=2.0)
    assert morphology.to_json(body) == {"name": "bead", "mass": 2.0}
    env = gym.make("doubles/Reach-v0", body={"name": "bead", "mass": 2.0}).unwrapped
    assert env.vector.sim.model.body_mass[1] == 2.0


class Late(controllers.Controller):
    """Goes straight on; no number from the second step where the goal is at hand."""

    def initial_state(self, batch):
        return torch.zeros(batch, 1)

    def forward(self, observation, state):
        late = (state >= 1) & (observation["desired_goal"].abs() < 0.05)
        return torch.where(late, torch.nan, 1.0), state + 1


def test_what_an_agent_does_after_its_end_counts_for_nothing():
    env = gym.make("doubles/Reach-v0")
    late = Late(env.observation_space, env.action_space, controllers.Options())
    score = training.evaluate(
        late, "doubles/Reach-v0", episodes=2, options={"goal": [[0.01], [0.6]]}
    )
    assert score.lengths[0] == 1 < score.lengths[1] and not score.failed.any()
    np.testing.assert_array_equal(score.metrics["success"], [1.0, 1.0])


def test_a_task_registered_as_a_class_has_a_spec_of_strings():
    import doubles

    import lancelet

    lancelet.register("doubles/AsClass-v0", doubles.Cue, max_episode_steps=20)
    spec = gym.spec("doubles/AsClass-v0")
    assert spec.kwargs["task"] == "doubles:Cue"
    assert gym.envs.registration.EnvSpec.from_json(spec.to_json()).kwargs == spec.kwargs
