"""The one loop: scores, start states, fresh and living agents, learning, recording."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import NAVIGATE, SWIM

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Controller, Options, Population
from lancelet.training.rollout import FAILED, make_env, rollout

SHORT = {"joints": 3, "max_episode_steps": 20}


def make(name="ncap", id=SWIM, **options):
    return controllers.make(name, gym.make(id, joints=3), **options)


def spaces():
    env = gym.make(SWIM, joints=3)
    return env.observation_space, env.action_space


def test_a_score_has_one_row_an_episode():
    score = training.evaluate(make(), SWIM, episodes=4, **SHORT)
    assert score.returns.shape == score.lengths.shape == score.failed.shape == (4,)
    assert set(score.metrics) == {"speed", "com_speed"}
    assert all(rows.shape == (4,) and np.isfinite(rows).all() for rows in score.metrics.values())
    assert (score.lengths == 20).all() and not score.failed.any() and score.record == {}


@pytest.mark.parametrize("name", ["ncap", "mlp"])
def test_it_is_what_a_loop_over_the_single_environment_gives(name):
    controller, env = make(name), gym.make(SWIM, **SHORT)
    score = training.evaluate(controller, SWIM, episodes=3, seed=5, **SHORT)
    for episode in range(3):
        seen, _ = env.reset(seed=5 + episode)
        agent = Population(controller, 1)
        state, total, done = agent.initial_state(), 0.0, False
        while not done:
            action, state = agent(seen[None], state)
            seen, reward, terminated, truncated, info = env.step(action[0])
            total, done = total + reward, terminated or truncated
        assert total == score.returns[episode]
        assert {key: rows[episode] for key, rows in score.metrics.items()} == info["metrics"]


def test_success_is_a_metric_where_the_task_has_it():
    near = {"qpos": np.zeros(6), "target": (0.0, -0.1)}
    score = training.evaluate(make(id=NAVIGATE), NAVIGATE, episodes=2, options=near, **SHORT)
    np.testing.assert_array_equal(score.metrics["success"], 1.0)


def test_start_states_may_be_given():
    starts = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 6))
    one, two = (
        training.evaluate(make(), SWIM, 2, seed=s, options={"qpos": starts}, **SHORT)
        for s in (0, 9)
    )
    np.testing.assert_array_equal(one.returns, two.returns)


def test_fields_of_the_task_and_its_limit_pass_through():
    score = training.evaluate(
        make(), SWIM, episodes=1, joints=3, max_episode_steps=7, viscosity=0.5
    )
    thin = training.evaluate(make(), SWIM, episodes=1, joints=3, max_episode_steps=7)
    assert score.lengths[0] == 7 and score.metrics["speed"][0] != thin.metrics["speed"][0]


class Counting(Controller):
    """Acts with the number of steps it has lived through."""

    def initial_state(self, batch):
        return {"steps": torch.zeros(batch, 1)}

    def forward(self, observation, state):
        steps = state["steps"]
        return (steps / 1000).expand(-1, 3), {"steps": steps + 1}

    def signals(self, state):
        return {"steps": state["steps"]}


def test_every_episode_has_a_fresh_agent_unless_its_state_is_kept():
    counting = Counting(*spaces(), Options())
    fresh = training.evaluate(counting, SWIM, episodes=3, record=True, **SHORT)
    kept = training.evaluate(counting, SWIM, episodes=3, keep_state=True, record=True, **SHORT)
    np.testing.assert_array_equal(fresh.record["signal.steps"][:, 0], np.arange(1, 21))
    np.testing.assert_array_equal(kept.record["signal.steps"], fresh.record["signal.steps"])
    assert (
        kept.returns[0] == fresh.returns[0]
        and kept.metrics["speed"][0] == fresh.metrics["speed"][0]
    )
    assert (kept.metrics["speed"][1:] != fresh.metrics["speed"][1:]).all()
    assert (
        kept.returns.shape
        == kept.lengths.shape
        == kept.failed.shape
        == kept.metrics["speed"].shape
        == (3,)
    )


def test_a_rollout_hands_back_the_last_state_and_begins_with_a_given_one():
    env, agents = make_env(SWIM, 2, **SHORT), Population(Counting(*spaces(), Options()), 2)
    _, state = rollout(env, agents, seed=0)
    assert state["steps"].tolist() == [[20], [20]]
    _, state = rollout(env, agents, seed=0, state=state)
    assert state["steps"].tolist() == [[40], [40]]


class Student(Controller):
    """Notes every lesson."""

    def __init__(self, *args):
        super().__init__(*args)
        self.lessons = []

    def forward(self, observation, state):
        return observation[:, :3].clamp(-1, 1), state

    def learn(self, observation, action, reward, ended, next_observation, state):
        self.lessons.append((observation, action, reward, ended, next_observation))
        return state


def test_the_learn_hook_sees_every_transition_and_the_true_last_observation():
    student = Student(*spaces(), Options())
    score = training.evaluate(student, SWIM, episodes=2, **SHORT)
    assert len(student.lessons) == 20
    for t, (observation, action, reward, ended, after) in enumerate(student.lessons):
        assert all(isinstance(x, torch.Tensor) for x in (observation, action, reward, ended, after))
        torch.testing.assert_close(action, observation[:, :3].clamp(-1, 1))
        assert ended.tolist() == [t == 19] * 2
        if t:
            assert torch.equal(observation, student.lessons[t - 1][4])
    torch.testing.assert_close(
        sum(lesson[2] for lesson in student.lessons), torch.as_tensor(score.returns)
    )
    env = gym.make(SWIM, **SHORT)
    seen, _ = env.reset(seed=0)
    for _, action, *_ in student.lessons:
        seen, *_ = env.step(action[0].numpy())
    np.testing.assert_array_equal(student.lessons[-1][4][0].numpy(), seen)


class Broken(Controller):
    """Not a number from its third step, in the agents whose first joint is bent to one side."""

    def initial_state(self, batch):
        return torch.zeros(batch)

    def forward(self, observation, state):
        bad = (state >= 2) & (observation[:, 0] > 0)
        action = torch.where(bad[:, None], torch.nan, observation[:, :3].clamp(-1, 1))
        return action, state + 1


def test_an_agent_that_is_not_finite_has_failed_and_the_others_go_on():
    score = training.evaluate(Broken(*spaces(), Options()), SWIM, episodes=6, **SHORT)
    assert 0 < score.failed.sum() < 6
    assert np.isfinite(score.returns).all() and (score.lengths == 20).all()


def test_a_diverged_episode_has_failed_and_ends():
    speed = np.zeros((3, 6))
    speed[1] = 1e30
    score = training.evaluate(make(), SWIM, episodes=3, options={"qvel": speed}, **SHORT)
    np.testing.assert_array_equal(score.failed, [False, True, False])
    np.testing.assert_array_equal(score.lengths, [20, 1, 20])
    assert score.returns[1] == 0.0
    plain = training.evaluate(make(), SWIM, episodes=3, **SHORT)
    np.testing.assert_array_equal(score.returns[[0, 2]], plain.returns[[0, 2]])


def test_a_failed_episode_enters_no_mean_and_is_no_success():
    speed = np.zeros((3, 6))
    speed[1] = 1e30
    score = training.evaluate(
        make(id=NAVIGATE), NAVIGATE, episodes=3, options={"qvel": speed}, **SHORT
    )
    assert all(np.isnan(values[1]) for values in score.metrics.values())
    assert np.isnan(score.figures["return"][1])
    assert score.figures["success"][1] == 0.0
    good = [0, 2]
    assert score.means["return"] == pytest.approx(score.returns[good].mean())
    assert score.means["speed"] == pytest.approx(score.metrics["speed"][good].mean())
    assert score.means["success"] == pytest.approx(score.metrics["success"][good].sum() / 3)
    assert score.comparable[1] == FAILED


def test_where_every_episode_failed_there_is_no_mean():
    score = training.evaluate(make(), SWIM, episodes=2, options={"qvel": np.full(6, 1e30)}, **SHORT)
    assert score.failed.all()
    assert np.isnan(score.means["return"])
    assert np.isnan(score.means["speed"])


def test_a_record_holds_the_first_episode_in_a_few_kilobytes():
    score = training.evaluate(make(id=NAVIGATE), NAVIGATE, episodes=2, seed=3, record=True, **SHORT)
    record = score.record
    assert record["qpos"].shape == (21, 6) and record["mocap_pos"].shape == (21, 1, 3)
    assert record["mocap_quat"].shape == (21, 1, 4)
    assert record["reward"].shape == (20,) and all(
        rows.dtype == np.float32 for rows in record.values()
    )
    assert record["reward"].sum() == pytest.approx(score.returns[0], rel=1e-5)
    start, _ = gym.make(NAVIGATE, joints=3).reset(seed=3)
    np.testing.assert_array_equal(record["qpos"][0, 3:], start[:3])
    assert sum(rows.nbytes for rows in record.values()) < 10_000


def test_a_record_ends_with_its_own_episode():
    speed = np.zeros((2, 6))
    speed[0] = 1e30
    score = training.evaluate(
        make(), SWIM, episodes=2, options={"qvel": speed}, record=True, **SHORT
    )
    assert score.record["reward"].shape == (1,) and score.record["qpos"].shape == (2, 6)


def test_progress_is_told_step_by_step():
    told = []
    env = make_env(SWIM, 2, **SHORT)
    rollout(env, Population(make(), 2), seed=0, on_step=told.append)
    assert told == list(range(1, 21))


@pytest.mark.parametrize("keep_state", [False, True])
def test_evaluation_leaves_the_threads_of_torch_alone(keep_state):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        inside = []

        class Asking(Counting):
            def forward(self, observation, state):
                inside.append(torch.get_num_threads())
                return super().forward(observation, state)

        asking = Asking(*spaces(), Options())
        training.evaluate(asking, SWIM, episodes=2, keep_state=keep_state, **SHORT)
        with pytest.raises(LanceletError):
            training.evaluate(asking, SWIM, max_episode_steps=-1)
        assert torch.get_num_threads() == 3
        assert set(inside) == {1}
    finally:
        torch.set_num_threads(before)


def test_evaluation_leaves_the_controller_alone():
    controller = make("mlp")
    before = {name: value.clone() for name, value in controller.state_dict().items()}
    training.evaluate(controller, SWIM, episodes=2, **SHORT)
    assert all(torch.equal(value, before[name]) for name, value in controller.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"id": SWIM, "episodes": 0}, "episodes = 0"),
        ({"id": SWIM, "episodes": 2, "joint": 3}, "did you mean joints"),
        ({"id": SWIM, "max_episode_steps": -1}, "no time limit"),
        ({"id": "lancelet/Swin-v0"}, r"unknown task .* did you mean lancelet/Swim-v0"),
        ({"id": "CartPole-v1"}, "unknown task 'CartPole-v1'"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, match):
    with pytest.raises(LanceletError, match=match) as error:
        training.evaluate(make(), **arguments)
    assert "\n" not in str(error.value)


def test_one_agent_through_many_episodes_takes_one_start_state_each():
    qpos = np.zeros((3, 6))
    qpos[:, 3] = [0.1, 0.2, 0.3]
    ncap = controllers.make("ncap", gym.make(SWIM, joints=3))
    options = {"joints": 3, "max_episode_steps": 5, "options": {"qpos": qpos}}
    apart = training.evaluate(ncap, SWIM, episodes=3, **options)
    kept = training.evaluate(ncap, SWIM, episodes=3, keep_state=True, **options)
    speeds = kept.metrics["speed"].tolist()
    assert (
        speeds == apart.metrics["speed"].tolist()
    )  # the clock runs on, but within the first half cycle
    assert len(set(speeds)) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"seed": -1}, "seed = -1: must be a whole number from 0"),
        ({"seed": 2**64}, "seed = 18446744073709551616: must be a whole number from 0"),
        ({"seed": 0.5}, r"seed = 0\.5 \(of type float\)"),
        (
            {"episodes": 1.5},
            r"episodes = 1\.5 \(of type float\): must be a whole number, 1 or more",
        ),
        ({"episodes": True}, r"episodes = True \(of type bool\)"),
    ],
)
def test_seeds_and_counts_are_whole_numbers(arguments, said):
    env = make_env(SWIM, 1, 3)
    with pytest.raises(LanceletError, match=said):
        training.evaluate(controllers.make("ncap", env), SWIM, max_episode_steps=3, **arguments)


def test_numbers_of_numpy_are_numbers():
    ncap = controllers.make("ncap", make_env(SWIM, 1, 3))
    plain = training.evaluate(ncap, SWIM, episodes=2, seed=7, max_episode_steps=3, density=3000)
    numpy = training.evaluate(
        ncap,
        SWIM,
        episodes=np.int64(2),
        seed=np.uint32(7),
        max_episode_steps=np.int32(3),
        density=np.float32(3000),
    )
    assert plain.returns.tolist() == numpy.returns.tolist()
    last = training.evaluate(ncap, SWIM, episodes=2, seed=2**64 - 1, max_episode_steps=3)
    assert last.lengths.tolist() == [3, 3]
