"""`render_mode="rgb_array"`: pictures where OpenGL is, one line where it is not."""

import gymnasium as gym
import pytest
from conftest import SWIM

from lancelet import LanceletError
from lancelet.training.video import opengl as gl

PICTURES = """
import gymnasium as gym, numpy as np, lancelet
from lancelet import morphology
bodies = [morphology.make("swimmer", joints=3, lengths=length) for length in (0.05, 0.15)]
env = gym.make_vec("lancelet/Swim-v0", num_envs=2, body=bodies, render_mode="rgb_array")
env.reset(seed=0, options={"qpos": np.zeros(6)})
small, large = env.render()
assert small.shape == (480, 640, 3) and small.dtype == np.uint8
orange = lambda picture: int(((picture[..., 0] > 180) & (picture[..., 2] < 90)).sum())
print(orange(small), orange(large), np.ptp(small))
env.close()
one = gym.make("lancelet/Swim-v0", render_mode="rgb_array")
one.reset(seed=0)
first = one.render()
for _ in range(20):
    one.step(one.action_space.sample())
print((first != one.render()).mean() > 0)
one.close()
"""


@pytest.mark.slow
@pytest.mark.skipif(gl.probe() is None, reason="no OpenGL here")
def test_every_simulation_has_its_own_picture_and_body(python):
    numbers, moved = python(PICTURES, MUJOCO_GL=gl.probe()).stdout.splitlines()
    small, large, contrast = map(int, numbers.split())
    assert small > 500 and large > 500 and small != large and contrast > 100
    assert moved == "True"


def test_without_opengl_rendering_is_one_line_that_says_what_to_do():
    env = gym.make(SWIM, render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(LanceletError, match="MUJOCO_GL=egl") as caught:
        env.render()
    assert "\n" not in str(caught.value)


def test_without_a_render_mode_there_is_no_picture():
    env = gym.make_vec(SWIM, num_envs=2)
    env.reset(seed=0)
    with pytest.raises(LanceletError, match="render_mode='rgb_array'"):
        env.unwrapped.render()
