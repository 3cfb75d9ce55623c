import doubles
import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from lancelet import LanceletError, controllers
from lancelet.training.reinforcement.critic import Critic, Running
from lancelet.training.reinforcement.ppo import Model
from lancelet.training.reinforcement.sb3 import ControllerPolicy, SB3VecEnv, make_sb3_env

N, LIMIT, STEPS = 4, 20, 70
doubles.register_all()


def leaves(observation):
    return observation if isinstance(observation, dict) else {"": observation}


@pytest.mark.parametrize(
    "id, options", [(SWIM, {"joints": 3, "clock": True}), ("doubles/Reach-v0", {"tolerance": 0.3})]
)
def test_the_adapter_is_bit_equal_to_dummy_vec_env_over_our_single_env(id, options):
    options = {"max_episode_steps": LIMIT, **options}
    ours, theirs = (
        make_sb3_env(id, N, **options),
        DummyVecEnv([lambda: Monitor(gym.make(id, **options))] * N),
    )
    for env in (ours, theirs):
        env.seed(7)
    start = [leaves(env.reset()) for env in (ours, theirs)]
    rng, ended, terminated = np.random.default_rng(0), 0, 0
    for name in start[0]:
        np.testing.assert_array_equal(start[0][name], start[1][name])
    for _ in range(STEPS):
        action = rng.uniform(0, 1, (N, *ours.action_space.shape)).astype(np.float32)
        (seen, reward, done, infos), (seen_, reward_, done_, infos_) = (
            ours.step(action),
            theirs.step(action),
        )
        for name, rows in leaves(seen).items():
            np.testing.assert_array_equal(rows, leaves(seen_)[name])
            assert rows.dtype == leaves(seen_)[name].dtype
        np.testing.assert_array_equal(reward, reward_)
        np.testing.assert_array_equal(done, done_)
        assert reward.dtype == np.float32
        for i in np.flatnonzero(done):
            for name, row in leaves(infos[i]["terminal_observation"]).items():
                np.testing.assert_array_equal(row, leaves(infos_[i]["terminal_observation"])[name])
            assert infos[i]["TimeLimit.truncated"] == infos_[i]["TimeLimit.truncated"]
            assert infos[i]["episode"]["l"] == infos_[i]["episode"]["l"]
            assert infos[i]["episode"]["r"] == pytest.approx(infos_[i]["episode"]["r"], abs=1e-5)
            ended, terminated = ended + 1, terminated + (not infos[i]["TimeLimit.truncated"])
    assert ended >= 3 * N and (terminated > 0) == (id != SWIM)


def test_infos_are_empty_but_at_an_episodes_end():
    env = make_sb3_env(SWIM, 2, max_episode_steps=3, joints=3)
    env.reset()
    all_infos = [env.step(np.zeros((2, 3), np.float32))[3] for _ in range(3)]
    assert all_infos[0] == all_infos[1] == [{}, {}]
    assert all_infos[2][0].keys() == {
        "terminal_observation",
        "TimeLimit.truncated",
        "episode",
        "metrics",
    }
    assert all_infos[2][1]["metrics"].keys() == {"speed", "com_speed"}


def test_attributes_methods_options():
    env = make_sb3_env(SWIM, 3, joints=3)
    assert env.get_attr("render_mode") == [None] * 3 and env.get_attr("num_envs", [0, 2]) == [3, 3]
    assert env.env_is_wrapped(gym.Wrapper) == [False] * 3
    env.env_method("field", "opt.viscosity")[0][:] = 0.5
    assert np.all(env.env.field("opt.viscosity")[:] == 0.5)
    env.set_attr("note", "kept")
    assert env.get_attr("note", 1) == ["kept"]
    with pytest.raises(LanceletError, match="for some simulations only"):
        env.env_method("reset", indices=[1])
    env.set_options([{"qpos": np.full(6, 0.1 * i)} for i in range(3)])
    np.testing.assert_allclose(env.reset()[:, 0], [0, 0.1, 0.2], atol=1e-6)
    assert not np.allclose(env.reset()[:, 0], [0, 0.1, 0.2]), "options hold for one reset"
    env.set_options([{"qpos": np.zeros(6)}, {}, {}])
    with pytest.raises(LanceletError, match="'qpos' must be given for every simulation"):
        env.reset()


def test_only_same_step_is_taken():
    with pytest.raises(LanceletError, match="SameStep"):
        SB3VecEnv(gym.make_vec(SWIM, num_envs=2).unwrapped)


def policy_of(name, id=SWIM, std=0.1, learn_std=False, rates=(3e-4, 1e-3), **task):
    env = make_sb3_env(id, N, max_episode_steps=LIMIT, **task)
    controller = controllers.make(name, env.env)
    kwargs = {"controller": controller, "std": std, "learn_std": learn_std, "learning_rates": rates}
    model = Model(
        ControllerPolicy,
        env,
        n_steps=LIMIT,
        batch_size=N * LIMIT,
        device="cpu",
        policy_kwargs=kwargs,
    )
    return controller, model


@pytest.mark.parametrize("name, clock", [("ncap", True), ("mlp", False)])
def test_the_policy_acts_as_the_controller_on_raw_observations(name, clock):
    controller, model = policy_of(name, clock=clock)
    rng = np.random.default_rng(0)
    seen = rng.normal(0, 2, (50, *model.observation_space.shape)).astype(np.float32)
    if clock:
        seen[:, -1] = np.linspace(-1, 1, 50)
    for _ in range(2):  # before and after the normalisers have learned
        expected = controller(torch.as_tensor(seen), ())[0].detach()
        action, _ = model.predict(seen, deterministic=True)
        np.testing.assert_allclose(action, expected.clamp(-1, 1), atol=1e-6)
        tried = expected + 0.1 * torch.randn(
            expected.shape, generator=torch.Generator().manual_seed(0)
        )
        _, log_prob, _ = model.policy.evaluate_actions(torch.as_tensor(seen), tried)
        by_hand = torch.distributions.Normal(expected, 0.1).log_prob(tried).sum(1)
        torch.testing.assert_close(log_prob, by_hand)
        model.policy.update_statistics(seen, rng.normal(80, 20, 50).astype(np.float32))
    assert model.policy.controller is controller
    if name == "mlp":
        np.testing.assert_allclose(controller.mean, seen.mean(0), atol=1e-5)
        np.testing.assert_allclose(controller.std, seen.std(0), rtol=1e-4)


def test_noise_is_fixed_or_learned_and_rates_are_apart():
    for learn_std in (False, True):
        controller, model = policy_of("mlp", learn_std=learn_std, rates=(1e-2, 1e-5))
        critic = [p.detach().clone() for p in model.policy.critic.parameters()]
        before = (
            [p.detach().clone() for p in controller.parameters()],
            model.policy.log_std.detach().clone(),
        )
        model.learn(N * LIMIT)
        assert torch.equal(model.policy.log_std, before[1]) == (not learn_std)
        moved = (controller.layers[0].weight - before[0][0]).abs().max()
        followed = (model.policy.critic.layers[0].weight - critic[0]).abs().max()
        assert moved > 5e-3 > 2e-4 > followed > 0
        groups = model.policy.optimizer.param_groups
        assert len(groups) == 2 and len(groups[0]["params"]) == len(before[0]) + learn_std


class Towards(controllers.Controller):
    """Reads a Dict observation."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.gain = torch.nn.Parameter(torch.tensor(0.1))

    def forward(self, observation, state):
        return self.gain * (observation["desired_goal"] - observation["achieved_goal"]), state


def test_dict_observations_train():
    controllers.register("towards", Towards)
    controller, model = policy_of("towards", "doubles/Reach-v0")
    model.learn(4 * N * LIMIT)
    assert controller.gain != 0.1 and torch.isfinite(controller.gain)
    buffer = model.rollout_buffer
    model.policy.update_statistics(buffer.observations, buffer.returns)
    goals = buffer.observations["desired_goal"].reshape(
        -1
    )  # entries stand in the order of their names
    assert model.policy.critic.mean[1] == pytest.approx(goals.mean(), abs=1e-5)


def test_time_outs_are_bootstrapped_with_the_value_of_the_true_last_observation():
    _, model = policy_of("ncap", clock=True, rates=(0.0, 0.0))
    model.policy.update_statistics(np.zeros((2, 24)), np.array([50.0, 100.0]))
    lasts, plain, step = [], [], model.env.step

    def spy(actions):
        seen, reward, done, infos = step(actions)
        plain.append(reward.copy())
        lasts.extend(info["terminal_observation"] for info in infos if info)
        return seen, reward, done, infos

    model.env.step = spy
    model.learn(N * LIMIT)
    values = model.policy.predict_values(torch.as_tensor(np.stack(lasts)))[:, 0].detach().numpy()
    assert len(lasts) == N and np.all(values > 20)
    added = model.rollout_buffer.rewards - np.stack(plain)
    assert not added[:-1].any()
    np.testing.assert_allclose(added[-1], model.gamma * values, rtol=1e-5)


def test_a_termination_is_not_bootstrapped():
    _, model = policy_of("towards", "doubles/Reach-v0", rates=(0.0, 0.0), tolerance=10.0)
    model.policy.update_statistics(model.env.reset(), np.array([50.0, 100.0]))
    model.learn(N * LIMIT)
    assert np.all(model.rollout_buffer.rewards < 0.01), (
        "every step ends an episode, none is worth the value after it"
    )


def test_controllers_with_a_state_are_refused_in_one_line():
    for name, id in (("ncap", SWIM), ("plastic", "doubles/Cue-v0")):
        with pytest.raises(
            LanceletError, match=r"keeps a state from step to step.*clock=True"
        ) as caught:
            policy_of(name, id)
        assert "\n" not in str(caught.value)


def test_running_statistics_equal_those_of_all_rows_at_once():
    rows = np.random.default_rng(0).normal([5, 0, -1e3], [1, 1e-4, 10], (1000, 3))
    running = Running(3)
    assert running.mean.tolist() == [0, 0, 0] and running.std.tolist() == [1, 1, 1]
    for piece in np.split(rows, [1, 10, 500]):
        running.update(torch.as_tensor(piece))
    np.testing.assert_allclose(running.mean, rows.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(running.std, np.maximum(rows.std(0), 0.01), rtol=1e-5)


def test_the_critics_values_stay_when_the_scale_of_the_returns_moves():
    torch.manual_seed(0)
    critic, seen = Critic(4), torch.randn(100, 4)
    critic.update(seen, torch.rand(100))
    before = critic(seen)
    critic.seen.update = lambda rows: None
    critic.update(seen, 1e3 * torch.rand(100))
    assert critic.scale > 100
    torch.testing.assert_close(critic(seen), before, rtol=1e-3, atol=1e-3)


def test_goals_are_judged_for_some_simulations_too_and_success_is_told_as_hindsight_replay_wants_it():
    near = {
        "reset_cell": (1, 1),
        "goal_cell": (1, 2),
        "noise": 0.0,
        "reward_type": "cost",
        "frame_skip": 5,
    }
    env = make_sb3_env(
        "lancelet/PointMaze-v0", 2, max_episode_steps=60, nthread=1, maze="umaze", **near
    )
    goals = np.array([[0.0, 0.0], [0.0, 0.4], [0.0, 0.5]])
    (reward,) = env.env_method("compute_reward", goals, np.zeros((3, 2)), [{}] * 3, indices=[0])
    np.testing.assert_array_equal(reward, [0.0, 0.0, -1.0])
    env.reset()
    told = {}
    for _ in range(60):
        _, reward, done, infos = env.step(np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32))
        assert (reward[~done] == -1).all()
        told |= {i: infos[i]["is_success"] for i in np.flatnonzero(done) if i not in told}
    assert told == {0: True, 1: False}
