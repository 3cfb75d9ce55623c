"""Sequences: what is collected is what happened, what it was worth, and what the gradient sees of it."""

from itertools import pairwise

import doubles
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch.utils._pytree import tree_map

from lancelet import controllers
from lancelet.training.reinforcement.critic import Critic
from lancelet.training.reinforcement.recurrent_ppo import Agent
from lancelet.training.reinforcement.sequences import (
    Collector,
    Steps,
    cut,
    flat_state,
    judge,
    named,
    unroll,
)
from lancelet.training.rollout import make_env
from lancelet.training.runs import checkpoint

doubles.register_all()
N, T, L, STD = 6, 24, 8, torch.tensor([0.3])
GAMMA, DECAY = 0.9, 0.8


class Trace(controllers.Controller):
    """Reads a Dict, and keeps a dict, in any order, of a trace that decays and of an integer that counts."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.gain, self.decay = (torch.nn.Parameter(torch.tensor(x)) for x in (0.3, 0.8))

    def initial_state(self, batch):
        return {"trace": torch.zeros(batch, 1), "count": (torch.zeros(batch, dtype=torch.int64),)}

    def forward(self, observation, state):
        trace = (
            self.decay * state["trace"] + observation["desired_goal"] - observation["achieved_goal"]
        )
        (count,) = state["count"]
        return self.gain * trace * torch.cos(count[:, None]), {
            "count": (count + 1,),
            "trace": trace,
        }


class Pupil(Trace):
    """Remembers what it was paid, where it came to, and which of its actions it was paid for."""

    def learn(self, observation, action, reward, ended, next_observation, state):
        lesson = (
            self.decay * reward[:, None]
            + next_observation["achieved_goal"]
            + action * ~ended[:, None]
        )
        return {**state, "trace": state["trace"] + lesson + observation["observation"][:, :1]}


for name, kind in (("trace", Trace), ("pupil", Pupil)):
    controllers.register(name, kind)


def collector(name="gru", task="doubles/Cue-v0", n=N, seeds=None, **options):
    env = make_env(task, n, autoreset=AutoresetMode.SAME_STEP, nthread=1, **options)
    kind = {"hidden": 5} if name in ("gru", "lstm") else {"hidden": (5,)} if name == "mlp" else {}
    return Collector(
        env, controllers.make(name, env, **kind), list(range(n)) if seeds is None else seeds
    )


def reach(name="trace", n=N, **options):
    """Episodes that end early (the bead comes near enough) and by their time limit."""
    return collector(
        name, "doubles/Reach-v0", n, **{"max_episode_steps": 7, "tolerance": 0.6, **options}
    )


def episodes(mask):
    """(agent, first, end) of every piece of an episode, from where episodes begin (T, n)."""
    for agent in range(mask.shape[1]):
        stops = [0, *(t for t in range(1, len(mask)) if mask[t, agent]), len(mask)]
        yield from ((agent, a, b) for a, b in pairwise(stops))


def at(tree, *index):
    return tree_map(lambda x: x[index], tree)


def test_what_is_collected_is_what_happened():
    torch.manual_seed(0)
    agents = reach()
    rollout = agents.collect(T, L, STD)
    steps, ended = rollout.steps, rollout.ended
    env = make_env(
        "doubles/Reach-v0", N, autoreset=AutoresetMode.SAME_STEP, max_episode_steps=7, tolerance=0.6
    )
    seen, _ = env.reset(seed=list(range(N)))
    late, lasts = [], {}
    for t in range(T):
        for name, rows in seen.items():
            np.testing.assert_array_equal(steps.observation[name][t], rows)
        seen, reward, terminated, truncated, info = env.step(steps.action[t].numpy())
        np.testing.assert_array_equal(rollout.reward[t], reward.astype(np.float32))
        np.testing.assert_array_equal(ended[t], terminated | truncated)
        for i in np.flatnonzero(truncated):
            late.append((t, int(i)))
            lasts[t, int(i)] = info["final_obs"][i]
    assert torch.equal(steps.begins[1:], ended[:-1]) and steps.begins[0].all()
    terminations = int(ended.sum()) - len(late)
    assert terminations >= 3 and len(late) >= 3 and len(rollout.episodes) == ended.sum()
    assert {length for _, length in rollout.episodes} >= {7} and len(
        {length for _, length in rollout.episodes}
    ) > 1
    steps_of_timeouts = torch.cat([timeouts.step for timeouts in rollout.timeouts]).tolist()
    agents_of_timeouts = torch.cat([timeouts.agent for timeouts in rollout.timeouts]).tolist()
    assert list(zip(steps_of_timeouts, agents_of_timeouts, strict=True)) == late
    critic_input = torch.cat([timeouts.critic_input for timeouts in rollout.timeouts])
    for row, place in zip(critic_input, late, strict=True):
        flat = np.concatenate([lasts[place][name] for name in sorted(lasts[place])])
        np.testing.assert_array_equal(row[: len(flat)], flat)
        assert row[len(flat)] == 7, (
            "the agent has counted the seven steps of the episode, and then comes the trace"
        )
    noise = rollout.steps.action - rollout.mean
    assert 0.2 < noise.std() < 0.4


@pytest.mark.parametrize("name", ["trace", "pupil"])
def test_the_critic_sees_the_state_before_the_action_reset_where_an_episode_begins(name):
    agents = reach(name)
    rollout = agents.collect(T, L, STD)
    steps, controller = rollout.steps, agents.controller
    for agent, a, b in episodes(steps.begins):
        state = controller.initial_state(1)
        for t in range(a, b):
            one = slice(agent, agent + 1)
            now = at(steps.observation, t, one)
            observed = torch.cat([now[name][0] for name in sorted(now)])
            torch.testing.assert_close(
                rollout.critic_input[t, agent], torch.cat([observed, flat_state(state, 1)[0]])
            )
            mean, state = controller(now, state)
            torch.testing.assert_close(rollout.mean[t, agent], mean[0])
            if name == "pupil":
                state = controller.learn(now, *at((steps.action, *steps.feedback), t, one), state)
                if t + 1 < b:
                    now, following = (
                        at(steps.observation, t + 1, one),
                        at(steps.feedback.next_observation, t, one),
                    )
                    assert all(torch.equal(now[k], following[k]) for k in now)


@pytest.mark.parametrize(
    "name, world", [("trace", reach), ("pupil", reach), ("gru", collector), ("lstm", collector)]
)
def test_unrolling_from_the_stored_states_gives_the_actions_that_were_taken(name, world):
    agents = world(name)
    for _ in range(2):  # the second begins in the middle of episodes
        rollout = agents.collect(20, 4, STD)
        with torch.no_grad():
            again = unroll(agents.controller, rollout.cut())
        torch.testing.assert_close(again, cut(rollout.mean, 4), rtol=0, atol=1e-6)
    assert not rollout.steps.begins[0].all() and rollout.steps.begins[1:].any()


def test_cutting_puts_whole_sequences_side_by_side_in_time_order():
    rows = torch.arange(T * N).reshape(T, N)
    pieces = cut(rows, L)
    assert pieces.shape == (L, T // L * N)
    for k in range(pieces.shape[1]):
        piece, agent = divmod(k, N)
        assert torch.equal(pieces[:, k], rows[piece * L : (piece + 1) * L, agent])


def reference_advantages(rollout, critic):
    """By hand, episode by episode: a sum over what follows, weighted by (gamma lambda)^k."""
    value = critic(rollout.critic_input.flatten(0, 1)).reshape(T + 1, N).tolist()
    after = {}
    for timeouts in rollout.timeouts:
        for t, i, row in zip(
            timeouts.step.tolist(), timeouts.agent.tolist(), timeouts.critic_input, strict=True
        ):
            after[t, i] = critic(row[None]).item()
    advantage = np.zeros((T, N))
    for agent, a, b in episodes(rollout.steps.begins):
        deltas = []
        for t in range(a, b):
            following = (
                after.get((t, agent), 0.0) if rollout.ended[t, agent] else value[t + 1][agent]
            )
            deltas.append(rollout.reward[t, agent].item() + GAMMA * following - value[t][agent])
        for t in range(a, b):
            rest = deltas[t - a :]
            advantage[t, agent] = sum((GAMMA * DECAY) ** k * delta for k, delta in enumerate(rest))
    return advantage, advantage + np.array(value[:T])


def test_advantages_are_those_of_each_episode_by_itself():
    torch.manual_seed(0)
    agents = reach()
    rollout = agents.collect(T, L, STD)
    critic = Critic(rollout.critic_input.shape[2], (8,))
    critic.update(
        rollout.critic_input.flatten(0, 1), 5 + 3 * torch.randn((T + 1) * N)
    )  # values around 5, far from 0
    ended, late = (
        int(rollout.ended.sum()),
        sum(len(timeouts.agent) for timeouts in rollout.timeouts),
    )
    assert late >= 3 and ended - late >= 3 and not rollout.ended[-1].all()
    for ours, by_hand in zip(
        judge(rollout, critic, GAMMA, DECAY), reference_advantages(rollout, critic), strict=True
    ):
        np.testing.assert_allclose(ours, by_hand, rtol=1e-4, atol=1e-4)


def double(tree):
    return tree_map(
        lambda x: x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x, tree
    )


def reference_loss(agent, steps, before, advantage, clip):
    """PPO's loss by hand: every piece of an episode by itself, one agent at a time, no masks."""
    length, n = before.shape
    std, total = agent.log_std.exp(), 0.0
    for who, a, b in episodes(steps.begins):
        one = slice(who, who + 1)
        state = at(steps.start, one)
        if steps.begins[a, who]:
            state = double(agent.controller.initial_state(1))
        for t in range(a, b):
            now = at(steps.observation, t, one)
            mean, state = agent.controller(now, state)
            z = (steps.action[t, who] - mean[0]) / std
            log_prob = (-0.5 * z**2 - agent.log_std - 0.5 * np.log(2 * np.pi)).sum()
            ratio = torch.exp(log_prob - before[t, who])
            gain = advantage[t, who]
            total = total - min(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
            if steps.feedback:
                state = agent.controller.learn(
                    now, *at((steps.action, *steps.feedback), t, one), state
                )
    return total / (length * n)


@pytest.mark.parametrize(
    "name, world",
    [
        ("gru", collector),
        ("lstm", collector),
        ("mlp", collector),
        ("trace", reach),
        ("pupil", reach),
    ],
)
def test_the_gradient_is_that_of_each_episode_unrolled_by_itself(name, world):
    torch.manual_seed(1)
    agents = world(name)
    agents.collect(4, 4, STD)  # so that sequences begin in the middle of episodes
    rollout = agents.collect(T, L, STD)
    agent = Agent(agents.controller, 0.3, True, (4,)).double()
    steps = double(vars(rollout.cut()))
    steps = Steps(**steps)
    assert steps.begins[1:].any() and not steps.begins[0].all()
    before = agent.log_prob(double(cut(rollout.mean, L)), steps.action).detach()
    advantage = torch.randn(before.shape, dtype=torch.float64)
    with torch.no_grad():
        for weight in agent.controller.parameters():
            weight += 0.1 * torch.randn_like(weight)
    loss, kl, clipped = agent.surrogate(steps, before, advantage, 0.2)
    wanted = reference_loss(agent, steps, before, advantage, 0.2)
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-12) and kl > 0 and 0 < clipped < 1
    ours, theirs = (torch.autograd.grad(x, agent.acting()) for x in (loss, wanted))
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)
        assert two.abs().max() > 0


def test_no_gradient_crosses_an_episodes_end_and_none_reaches_the_start():
    agents = collector("gru")
    steps = agents.collect(12, 12, STD).cut()
    steps.start = steps.start.requires_grad_()
    steps.begins[:], steps.begins[6] = False, True
    observation = steps.observation.clone().requires_grad_()
    steps.observation = observation
    unroll(agents.controller, steps)[6:].sum().backward()
    assert not observation.grad[:6].any() and observation.grad[6:].abs().min(0)[0].max() > 0
    assert not steps.start.grad.any()
    assert flat_state(agents.state, N).requires_grad is False


def test_agents_continue_to_the_bit_from_what_was_saved(tmp_path):
    one, two = reach("pupil"), reach("pupil", seeds=[99] * N)
    torch.manual_seed(0)
    one.collect(10, 5, STD)
    checkpoint.save(tmp_path / "state", one.state_dict())
    two.load_state_dict(checkpoint.load(tmp_path / "state"))
    rollouts = []
    for agents in (one, two):
        torch.manual_seed(5)
        rollouts.append(named(vars(agents.collect(10, 5, STD).cut())))
    assert len(rollouts[0]) > 5 and rollouts[0].keys() == rollouts[1].keys()
    assert all(torch.equal(rows, rollouts[1][name]) for name, rows in rollouts[0].items())
