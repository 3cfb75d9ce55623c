import gymnasium as gym
import numpy as np
import pytest

from lancelet import LanceletError, controllers, training
from lancelet.envs.phototaxis import HEIGHT, LIGHTS
from lancelet.morphology.braitenberg import CANONICAL, Braitenberg

TASK = "lancelet/Phototaxis-v0"


def vector(n=4, **options):
    return gym.make_vec(TASK, num_envs=n, autoreset_mode="Disabled", **options).unwrapped


def test_sensors_read_the_inverse_square_of_their_distance():
    body = Braitenberg.placed((0.5, 0.25, -0.5, 0.0))
    env = vector(body=body)
    observation, _ = env.reset(seed=0, options={"light": [1, 2, 3, 4]})
    for row, light in zip(observation, LIGHTS, strict=True):
        for value, (x, y) in zip(row, (body.sensor_1, body.sensor_2), strict=True):
            square = (x - light[0]) ** 2 + (y - light[1]) ** 2 + (body.height - HEIGHT) ** 2
            assert value == pytest.approx(1 / square, rel=1e-5)


def test_lights_are_drawn_unless_given():
    env = vector(32)
    env.reset(seed=0)
    assert len(np.unique(env.memory["light"], axis=0)) == 4
    env = vector(2, light=3)
    env.reset(seed=0)
    assert (env.memory["light"] == LIGHTS[2]).all()


def test_a_light_seeker_reaches_the_light_and_its_return_is_how_much_nearer_it_came():
    seeker = controllers.make("braitenberg", gym.make(TASK), left=1.0, right=1.0)
    score = training.evaluate(seeker, TASK, 2, seed=0, light=1, max_episode_steps=800)
    assert score.metrics["success"].tolist() == [1, 1] and (score.lengths < 800).all()
    np.testing.assert_allclose(score.metrics["distance"], 0.96, atol=0.05)
    np.testing.assert_allclose(score.returns, np.hypot(4, 4) - score.metrics["distance"], rtol=1e-4)
    still = training.evaluate(
        controllers.make("zero", gym.make(TASK)), TASK, 1, light=1, max_episode_steps=20
    )
    assert still.metrics["success"] == 0 and still.returns == pytest.approx(0, abs=1e-6)


def test_left_and_right_lights_mirror_each_other_in_the_canonical_body():
    seeker = controllers.make("braitenberg", gym.make(TASK), left=0.7, right=0.7, gain=3.0)
    body = Braitenberg.placed(CANONICAL)
    one, other = (
        training.evaluate(seeker, TASK, 1, light=k, body=body, max_episode_steps=500)
        for k in (1, 2)
    )
    assert one.metrics["distance"] == pytest.approx(other.metrics["distance"], abs=0.02)
    assert one.metrics["distance"] < 5


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"light": 5}, "light = 5"),
        ({"light": 1.5}, "whole number"),
        ({"body": {"name": "swimmer"}}, "needs a Braitenberg"),
        ({"body": {"name": "braitenberg", "sensor_1": [0.0, 0.9]}}, "left of sensor 1 = 0.9"),
    ],
)
def test_bad_input_is_one_line(bad, says):
    with pytest.raises(LanceletError) as error:
        gym.make(TASK, **bad)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("light", [0, 2.5, [1, 2, 3], float("nan")])
def test_a_bad_light_at_reset_is_one_line(light):
    with pytest.raises(LanceletError, match=r"options\['light'\]"):
        vector(2).reset(options={"light": light})
