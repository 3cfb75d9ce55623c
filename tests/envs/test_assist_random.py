"""Random actions, pressed into every object: no simulation runs out of room, nothing flies, no force is without bound."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from conftest import ASSIST

from lancelet.assist_layout import COMMANDS, SEEN
from lancelet.envs.assist.base import ARENA, LARGEST_FORCE_LIMIT

ROBOTS = 16
STEPS = dict.fromkeys(ASSIST, 180) | {"fetch": 400}
"""control steps of each robot, more where it must drive 2 m first: with 16 robots more than 20,000 over the tasks"""
WHIM_OF_A_PRESSING_ROBOT = 0.3
"""share of random commands in those that steer for the target; its wrist stays, so that spoon and cup stay level"""
STEPS_OF_A_WHIM = 10
"""control steps after which other random commands are drawn"""
ROOM = 7.0
"""m from the person that nothing leaves: the robot drives 0.2 m/s for 20 s at most, from a table 2.2 m away"""
LARGEST_FORCE = 3000.0
"""N; servos of the base push with 200 N and 100 N m at most, more is the blow of the robot's mass"""


class Replay:
    """One simulation beside the batch, that tells what the batch does not: use of the arena, and contacts."""

    def __init__(self, model):
        self.model = model
        self.data = mujoco.MjData(model)
        # The body of each geom's tree: the base, for all of the robot.
        self.tree = model.body_rootid[model.geom_bodyid]
        self.robot = model.body("base").id

    def arena_use(self, sim, row):
        """Bytes of the arena that a step from the present state of a simulation needs."""
        for name in ("qpos", "qvel", "act", "ctrl"):
            getattr(self.data, name)[:] = getattr(sim, name)[row]
        self.data.maxuse_arena = 0
        mujoco.mj_step(self.model, self.data)
        return self.data.maxuse_arena

    def robot_touches(self):
        """Whether the robot touched something in the last step that was replayed."""
        trees = self.tree[self.data.contact.geom]
        return bool(((trees == self.robot).sum(1) == 1).any())


def pressing(observation, whims):
    """Actions (n, 8) that bring the tip to the target and on through it, with random commands (n, 8) on top."""
    to_target = observation[:, SEEN["target"]]
    inwards = to_target - 0.08 * observation[:, SEEN["target_axis"]]
    action = WHIM_OF_A_PRESSING_ROBOT * whims
    wrist = [number for number, command in enumerate(COMMANDS) if command.startswith("wrist")]
    action[:, wrist] = 0.0
    for command, speed in (
        ("drive", inwards[:, 0]),
        ("arm", -inwards[:, 1]),
        ("lift", inwards[:, 2]),
    ):
        action[:, list(COMMANDS).index(command)] += 3.0 * speed / COMMANDS[command]
    return np.clip(action, -1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSIST)
def test_random_actions_that_press_do_no_harm_to_the_simulation(name):
    env = gym.make_vec(ASSIST[name], num_envs=ROBOTS, nthread=1, force_limit=LARGEST_FORCE_LIMIT)
    env = env.unwrapped
    observation, _ = env.reset(seed=0)
    random = np.random.default_rng(0)
    # Every second robot acts at random alone.
    steered = np.arange(ROBOTS) % 2 == 0
    replay = Replay(env.sim.model)
    most_arena = 0
    largest_force = 0.0
    touching_steps = 0
    for step in range(STEPS[name]):
        if step % STEPS_OF_A_WHIM == 0:
            whims = random.uniform(-1, 1, env.action_space.shape)
        action = np.where(steered[:, None], pressing(observation, whims), whims)
        observation, reward, _, _, info = env.step(action)
        assert "diverged" not in info, info.get("diverged_reason")
        assert np.isfinite(observation).all() and np.isfinite(reward).all()
        forces = env.memory["peak_force"]
        assert np.isfinite(forces).all()
        largest_force = max(largest_force, forces.max())
        assert np.abs(env.sim.xpos).max() < ROOM
        assert env.sim.xpos[:, 1:, 2].min() > -0.05, "nothing falls through the floor"
        for row in range(ROBOTS):
            most_arena = max(most_arena, replay.arena_use(env.sim, row))
            touching_steps += replay.robot_touches()
    assert env.sim.model.narena == ARENA
    assert most_arena < ARENA / 2
    assert largest_force < LARGEST_FORCE
    assert touching_steps > 100, "they do press"


def test_a_thousand_simulations_take_half_a_gigabyte(python):
    code = f"""
import resource
import gymnasium as gym

def address_space():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[0]) * resource.getpagesize()

def started(n):
    env = gym.make_vec("lancelet:{ASSIST["fetch"]}", num_envs=n, nthread=1)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    return env

one = started(1)  # everything is imported now
before = address_space()
many = started(1024)
print(address_space() - before)
"""
    assert int(python(code).stdout) < 0.5e9
