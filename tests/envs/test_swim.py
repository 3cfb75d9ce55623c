import gymnasium as gym
import numpy as np
import pytest
from conftest import NAVIGATE, SWIM

from lancelet import LanceletError, morphology


def one(id=SWIM, **options):
    env = gym.make(id, **options).unwrapped
    seen, _ = env.reset(seed=1)
    return env, seen


@pytest.mark.parametrize("joints", [3, 5, 8, 15])
def test_observation_has_four_n_plus_three_numbers(joints):
    env, seen = one(joints=joints)
    assert seen.shape == (4 * joints + 3,) and seen.dtype == np.float32
    assert one(NAVIGATE, joints=joints)[1].shape == (4 * joints + 5,)
    assert env.action_space.shape == (joints,)
    assert (env.action_space.low == -1).all() and (env.action_space.high == 1).all()


def test_the_numbers_are_joints_then_velocities_in_each_links_frame():
    env, _ = one(joints=3)
    for step in range(20):
        seen, *_ = env.step(np.random.default_rng(step).uniform(-1, 1, 3).astype(np.float32))
    sim = env.vector.sim
    np.testing.assert_array_equal(seen[:3], np.float32(sim.qpos[0, 3:]))
    for link in range(4):
        velocity, spin = sim.sensor(f"velocity_{link}")[0], sim.sensor(f"spin_{link}")[0]
        want = [velocity[0], velocity[1], spin[2]]
        np.testing.assert_array_equal(seen[3 + 3 * link : 6 + 3 * link], np.float32(want))
    # the head's velocity again, from the motion of its centre in the world between two nearby instants
    centre = np.array(sim.xipos[0, 1, :2])
    sim.step(1)
    moved = (sim.xipos[0, 1, :2] - centre) / 0.002
    axes = sim.xmat[0, 1].reshape(3, 3)[:2, :2]
    np.testing.assert_allclose(axes.T @ moved, seen[3:5], atol=0.02)


def test_the_clock_is_appended_and_nothing_else_changes():
    (env, plain), (clocked, seen) = one(), one(clock=True)
    np.testing.assert_array_equal(seen[:-1], plain)
    assert seen[-1] == -1.0
    for step in range(1, 4):
        after, *_ = env.step(np.ones(5, np.float32))
        seen, *_ = clocked.step(np.ones(5, np.float32))
        np.testing.assert_array_equal(seen[:-1], after)
        assert seen[-1] == np.float32(2 * step / 1000 - 1)
    assert clocked.reset()[0][-1] == -1.0


def test_the_reward_is_the_heads_forward_speed_over_a_tenth_of_a_metre_per_second():
    env, _ = one()
    rewards = []
    for step in range(60):
        seen, reward, _, _, info = env.step(
            np.random.default_rng(step // 5).uniform(-1, 1, 5).astype(np.float32)
        )
        assert reward == pytest.approx(np.clip(-seen[6] / 0.1, 0, 1), abs=1e-6)
        assert info["terms"] == {"forward": reward}
        rewards.append(reward)
    assert min(rewards) == 0.0 and max(rewards) > 0.3


def test_speed_metrics_are_means_over_the_episode():
    env = gym.make_vec(SWIM, num_envs=2, max_episode_steps=30).unwrapped
    env.reset(seed=0)
    start, total = env.sim.subtree_com[:, 1, :2].copy(), np.zeros(2)
    for step in range(30):
        seen, *_, info = env.step(np.random.default_rng(step).uniform(-1, 1, (2, 5)))
        total -= seen[:, 6]
    np.testing.assert_allclose(info["metrics"]["speed"], total / 30, rtol=1e-4, atol=1e-7)
    moved = np.linalg.norm(env.sim.subtree_com[:, 1, :2] - start, axis=1)
    np.testing.assert_allclose(info["metrics"]["com_speed"], moved / (30 * 0.03))


def test_start_states_are_at_rest_within_the_limits():
    env = gym.make_vec(SWIM, num_envs=200, joints=3).unwrapped
    env.reset(seed=0)
    qpos, limit = env.sim.qpos, np.pi / 2
    assert not env.sim.qvel.any() and not qpos[:, :2].any()
    assert (np.abs(qpos[:, 3:]) <= limit).all() and (
        np.abs(qpos[:, 3:]).max(0) > 0.95 * limit
    ).all()
    assert np.abs(qpos[:, 2]).max() > 0.95 * np.pi


def test_a_thicker_medium_slows_the_same_motion():
    def distance(**medium):
        env, _ = one(**medium)
        for step in range(100):
            env.step(np.full(5, np.sin(step / 8), np.float32))
        return np.linalg.norm(env.vector.sim.qvel[0, :2])

    assert distance(viscosity=1.0) < distance()
    assert distance(density=30000.0) != distance()


@pytest.mark.parametrize(
    "bad", [{"viscosity": -1.0}, {"density": float("nan")}, {"density": "thick"}]
)
def test_a_bad_medium_is_refused_by_name(bad):
    with pytest.raises(LanceletError, match=next(iter(bad))):
        gym.make(SWIM, **bad)


def test_a_body_may_be_given_as_object_or_json():
    body = morphology.make("swimmer", joints=4, lengths=(0.1, 0.08, 0.1, 0.12, 0.1))
    assert gym.make(SWIM, body=body).action_space.shape == (4,)
    env = gym.make(SWIM, body=morphology.to_json(body)).unwrapped
    assert env.action_space.shape == (4,) and env.task.bodies() == [body]
    with pytest.raises(LanceletError, match="must be a Body"):
        gym.make(SWIM, body=7)


def test_navigation_sees_the_target_from_the_nose_in_the_heads_frame():
    env = gym.make(NAVIGATE, joints=3).unwrapped
    straight = {"qpos": np.zeros(6)}
    # the nose points to -y and lies 0.06 m ahead of the head's centre
    for target, seen in (
        ((0.0, -1.06), (0, -1)),
        ((0.5, -0.06), (0.5, 0)),
        ((-0.5, 0.44), (-0.5, 0.5)),
    ):
        observation, _ = env.reset(seed=0, options={**straight, "target": target})
        np.testing.assert_allclose(observation[3:5], seen, atol=1e-6)
    turned = {"qpos": np.array([0, 0, np.pi / 2, 0, 0, 0])}
    nose = (
        env.reset(seed=0, options=turned | {"target": (0, 0)})
        and env.vector.sim.sensor("nose")[0, :2].copy()
    )
    observation, _ = env.reset(seed=0, options=turned | {"target": nose + np.array([0.3, 0.0])})
    np.testing.assert_allclose(observation[3:5], (0, -0.3), atol=1e-6)


@pytest.mark.parametrize(
    ("distance", "reward"), [(0.0, 1.0), (0.1, 1.0), (0.6, 0.1), (0.35, 1 / 3.25)]
)
def test_navigations_reward_falls_off_with_the_distance(distance, reward):
    env = gym.make(NAVIGATE, joints=3).unwrapped
    env.reset(seed=0, options={"qpos": np.zeros(6), "target": (0.0, -0.06 - distance)})
    _, got, *_, info = env.step(np.zeros(3, np.float32))
    assert got == pytest.approx(reward, abs=1e-6)
    assert info["terms"] == {"near": got}
    assert info["metrics"]["success"] == float(distance <= 0.1 + 1e-9)
    assert info["metrics"]["closest"] == pytest.approx(distance, abs=1e-6)


def test_targets_are_near_in_a_fifth_of_the_starts():
    env = gym.make_vec(NAVIGATE, num_envs=1000, joints=3).unwrapped
    env.reset(seed=0)
    target = np.abs(env.sim.mocap_pos[:, 0, :2]).max(1)
    assert target.max() <= 2.0
    within = 0.2 + 0.8 * 0.15**2  # the far box holds the near one
    assert abs((target <= 0.3).mean() - within) < 0.03


def test_targets_of_each_simulation_reach_those_of_the_mask():
    env = gym.make_vec(NAVIGATE, num_envs=3, joints=3, autoreset_mode="Disabled").unwrapped
    targets = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    env.reset(seed=0, options={"target": targets})
    np.testing.assert_array_equal(env.sim.mocap_pos[:, 0, :2], targets)
    env.reset(options={"target": -targets, "reset_mask": np.array([False, False, True])})
    np.testing.assert_array_equal(env.sim.mocap_pos[:, 0, :2], [[1, 1], [2, 2], [-3, -3]])


@pytest.mark.parametrize(("target", "message"), [((1, 2, 3), "shape"), ((np.nan, 0), "finite")])
def test_a_bad_target_is_refused(target, message):
    with pytest.raises(LanceletError, match=message):
        gym.make(NAVIGATE).reset(options={"target": target})
