"""Crawling: what a creature feels is what the simulator knows; the reward is its way ahead."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from lancelet import LanceletError, morphology
from lancelet.morphology.creature import Creature
from lancelet.morphology.creature_genes import Segment, Sensor, quadruped

CRAWL = "lancelet/Crawl-v0"
FEELING = (
    Sensor(id=0, kind="joint", segment=3, gain=2.0),
    Sensor(id=1, kind="touch", segment=4),
    Sensor(id=2, kind="imu", segment=0, axis=(0.0, 0.0, 1.0)),
    Sensor(id=3, kind="imu", segment=3, axis=(0.6, 0.8, 0.0), gain=0.5),
)


def stepped(steps, **options):
    env = gym.make(CRAWL, **options).unwrapped
    env.reset(seed=3)
    for step in range(steps):
        last = env.step(
            np.random.default_rng(step).uniform(-1, 1, env.action_space.shape).astype(np.float32)
        )
    return env, last


def test_sizes_follow_the_body():
    env = gym.make(CRAWL)
    assert env.observation_space.shape == (24,) and env.action_space.shape == (9,)
    assert env.spec.max_episode_steps == 400
    other = gym.make(CRAWL, body=Creature(segments=quadruped()[0], sensors=FEELING))
    assert other.observation_space.shape == (2 * 2 + 2 + 2 + 2 * 2,)


def test_what_it_feels_is_what_the_simulator_knows():
    body = Creature(segments=quadruped()[0], sensors=FEELING)
    env, (seen, *_) = stepped(30, body=body)
    sim = env.vector.sim
    data = mujoco.MjData(sim.model)
    data.qpos[:], data.qvel[:] = sim.qpos[0], sim.qvel[0]
    mujoco.mj_forward(sim.model, data)
    want = []
    for i in (3, 5):  # the upper foreleg, and its mirror image
        joint = sim.model.joint(f"joint_{i}_0")
        want += [2 * data.qpos[joint.qposadr[0]] / 0.7, 2 * data.qvel[joint.dofadr[0]] / 8]
    want += [sim.sensor(f"touch_1_{i}")[0, 0] / (0.5 * 9.81 * body.mass) for i in (4, 6)]
    for i, axis, gain, side in (
        (0, (0, 0, 1), 1, 1),
        (3, (0.6, 0.8, 0), 0.5, 1),
        (5, (0.6, -0.8, 0), 0.5, -1),
    ):
        frame = data.xmat[sim.model.body(f"part_{i}").id].reshape(3, 3)
        spin = np.zeros(6)
        mujoco.mj_objectVelocity(sim.model, data, mujoco.mjtObj.mjOBJ_BODY, i + 1, spin, 0)
        world = frame @ axis
        want += [gain * world[2], side * gain * (spin[:3] @ world) / 5]
    np.testing.assert_allclose(seen, np.tanh(want), atol=1e-5)
    assert (seen[4:6] > 0).any(), "a foot touches the ground"


def test_the_reward_is_the_way_ahead_less_the_effort():
    env, _ = stepped(5, cost=0.3)
    sim, data = env.vector.sim, None
    before = sim.subtree_com[0, 1, 0]
    _, reward, *_, info = env.step(np.ones(9, np.float32))
    forward = (sim.subtree_com[0, 1, 0] - before) / 0.025
    data = sim.actuator_force[0] / np.array(morphology.make("creature").torques)
    assert info["terms"]["forward"] == pytest.approx(forward)
    assert info["terms"]["effort"] == pytest.approx(-0.3 * np.mean(data**2))
    assert reward == pytest.approx(sum(info["terms"].values()))


def test_the_metrics_are_those_of_the_whole_way():
    env = gym.make_vec(CRAWL, num_envs=3, max_episode_steps=20, autoreset_mode="Disabled").unwrapped
    env.reset(seed=0)
    start, forward = env.sim.subtree_com[:, 1, 0].copy(), np.zeros(3)
    for step in range(20):
        *_, info = env.step(np.random.default_rng(step).uniform(-1, 1, (3, 9)).astype(np.float32))
        forward += info["terms"]["forward"]
    metrics = info["metrics"]
    np.testing.assert_allclose(metrics["distance"], env.sim.subtree_com[:, 1, 0] - start)
    np.testing.assert_allclose(metrics["speed"], forward / 20)
    assert (metrics["effort"] > 0).all()


def test_it_starts_bent_a_little_over_the_ground_and_stands():
    env = gym.make_vec(CRAWL, num_envs=8).unwrapped
    env.reset(seed=0)
    bent = np.ptp(env.sim.qpos[:, 7:], axis=0) / env.sim.model.jnt_range[1:, 1]
    assert bent.min() > 0.04 and bent.max() <= 0.1 and not (env.sim.qvel != 0).any()
    height = env.sim.qpos[:, 2].copy()
    for _ in range(40):
        seen, *_ = env.step(np.zeros((8, 9), np.float32))
    assert (
        (np.abs(height - env.sim.qpos[:, 2]) < 0.02).all()
        and (env.sim.ncon > 0).all()
        and (height > 0.25).all()
    )
    assert (np.abs(seen) < 1).all()


def test_what_falls_over_falls_before_the_start():
    """A pole on a ball of a foot would else earn its own length."""
    pole = Segment(id=0, parent=-1, half_length=0.1, radius=0.05)
    leg = Segment(
        id=1,
        parent=0,
        attach=(0, 0, -1),
        direction=(0, 0, -1),
        half_length=0.3,
        axes=((0.0, 1.0, 0.0),),
    )
    body = Creature(segments=(pole, leg), sensors=FEELING[2:3])
    assert body.pose.lowest < -0.6
    env = gym.make(CRAWL, body=body, max_episode_steps=80)
    for seed in range(2):
        env.reset(seed=seed)
        assert env.unwrapped.vector.sim.qpos[0, 2] < 0.3
        for _ in range(80):
            *_, info = env.step(np.zeros(1, np.float32))
        assert abs(info["metrics"]["distance"]) < 0.1


def test_another_body_than_a_creature_is_refused():
    with pytest.raises(LanceletError, match="needs a Creature"):
        gym.make(CRAWL, body=morphology.make("swimmer"))
    with pytest.raises(LanceletError, match="cost"):
        gym.make(CRAWL, cost=-1.0)


def test_an_unmoving_creature_earns_next_to_nothing():
    env = gym.make(CRAWL).unwrapped
    env.reset(seed=0)
    total = sum(env.step(np.zeros(9, np.float32))[1] for _ in range(80))
    assert abs(total * 0.025) < 0.05, "m, in 2 s"
