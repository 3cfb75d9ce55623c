"""The circuit against its equations (docs/systems/ncap.md, "The circuit")."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import NAVIGATE, SWIM

from lancelet import LanceletError, controllers, training

SIZES = (3, 5, 7, 9, 11, 13)
CLASSES = ("proprioception", "oscillator", "ipsilateral", "contralateral", "speed", "turn")


def make(joints=5, id=SWIM, clock=False, **options):
    return controllers.make("ncap", gym.make(id, joints=joints, clock=clock), **options)


def angles(joints=5, batch=40, seed=0, size=None):
    """Observations whose joint angles go beyond the limits at times."""
    limit = 2 * math.pi / (joints + 1)
    seen = torch.zeros(batch, size or 4 * joints + 3)
    seen[:, :joints] = (
        torch.rand(batch, joints, generator=torch.Generator().manual_seed(seed)) * 2.4 - 1.2
    ) * limit
    return seen


def scaled(seen, joints=5):
    return (seen[:, :joints] / (2 * math.pi / (joints + 1))).clamp(-1, 1)


def act(controller, seen, state=None):
    with torch.no_grad():
        return controller(seen, controller.initial_state(len(seen)) if state is None else state)


def spoken(x, step, weights, period=60):
    """The equations of the specification, spelt out neuron by neuron, for one animal with shared weights."""

    def g(z):
        return min(max(z, 0.0), 1.0)

    wp, wo, wm, wc = (weights[name] for name in CLASSES[:4])
    wp, wo, wm, wc = max(wp, 0), max(wo, 0), max(wm, 0), min(wc, 0)
    dorsal = 1.0 if step % period < period // 2 else 0.0
    actions = []
    for i in range(len(x)):
        bd = g(wo * dorsal if i == 0 else wp * max(x[i - 1], 0))
        bv = g(wo * (1 - dorsal) if i == 0 else wp * max(-x[i - 1], 0))
        actions.append(g(wm * bd + wc * bv) - g(wm * bv + wc * bd))
    return actions


@pytest.mark.parametrize("joints", [3, 5, 13])
def test_unit_weights_are_a_square_wave_and_the_joint_in_front(joints):
    ncap, seen = make(joints), angles(joints, batch=1)
    state = ncap.initial_state(1)
    for step in range(130):
        action, state = act(ncap, seen, state)
        assert action[0, 0] == (1.0 if step % 60 < 30 else -1.0)
        torch.testing.assert_close(action[:, 1:], scaled(seen, joints)[:, :-1], rtol=0, atol=0)


def test_any_weights_follow_the_equations():
    generator, ncap = np.random.default_rng(0), make()
    for trial in range(50):
        weights = dict(zip(CLASSES[:4], generator.uniform(-2, 2, 4), strict=True))
        ncap.load_state_dict(
            {name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}
        )
        seen, step = angles(batch=1, seed=trial), int(generator.integers(0, 500))
        action, _ = act(ncap, seen, torch.tensor([step]))
        want = spoken(scaled(seen)[0].tolist(), step, weights)
        np.testing.assert_allclose(action[0].numpy(), want, atol=1e-6)


def test_the_contralateral_weight_never_matters_without_speed_and_turn():
    seen = angles()
    outs = []
    for weight in (0.0, -1.0, -5.0):
        ncap = make()
        ncap.load_state_dict(ncap.state_dict() | {"contralateral": torch.tensor(weight)})
        outs.append(act(ncap, seen)[0])
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


@pytest.mark.parametrize("joints", SIZES)
def test_parameter_counts(joints):
    assert make(joints).parameter_count == 4
    assert make(joints, speed=True, turn=True).parameter_count == 6
    assert make(joints, sharing=False).parameter_count == 6 * joints
    assert (
        make(joints, NAVIGATE, speed=True, turn=True, steering="learned").parameter_count == 6 + 9
    )


def test_unshared_counts_of_the_paper():
    assert [make(n, sharing=False).parameter_count for n in SIZES] == [18, 30, 42, 54, 66, 78]


def test_sharing_and_not_sharing_start_as_the_same_circuit():
    seen = angles()
    assert torch.equal(act(make(), seen)[0], act(make(sharing=False), seen)[0])


def test_an_unshared_weight_moves_its_own_muscle_alone():
    ncap, seen = make(sharing=False), angles(batch=200)
    with torch.no_grad():
        ncap.ipsilateral[2, 0] = 0.25  # dorsal muscle of joint 3
    change = act(ncap, seen)[0] - act(make(), seen)[0]
    assert not change[:, [0, 1, 3, 4]].any()
    bent = scaled(seen)[:, 1] > 0
    assert change[bent, 2].all() and not change[~bent, 2].any()


def test_the_first_numbers_are_the_joints_and_no_other_matters():
    ncap, seen = make(), angles()
    other = seen.clone()
    other[:, 5:] = torch.randn(40, 18)
    assert torch.equal(act(ncap, seen)[0], act(ncap, other)[0])


def test_the_clock_in_the_observation_and_the_counter_in_the_state_agree():
    counter, clock = make(), make(clock=True)
    assert clock.initial_state(2) == () and counter.initial_state(2).tolist() == [0, 0]
    seen, state = angles(batch=1), counter.initial_state(1)
    for step in range(1000):
        feature = torch.tensor([[np.float32(2.0 * step / 1000 - 1.0)]])
        left, state = act(counter, seen, state)
        right, _ = act(clock, torch.cat([seen, feature], 1), ())
        assert torch.equal(left, right), step


def test_whole_episodes_by_clock_and_by_counter_agree():
    plain = training.evaluate(make(), SWIM, episodes=2, max_episode_steps=150)
    clocked = training.evaluate(
        make(clock=True), SWIM, episodes=2, max_episode_steps=150, clock=True
    )
    np.testing.assert_array_equal(plain.returns, clocked.returns)


def test_agents_of_a_batch_may_stand_at_different_steps():
    ncap, seen = make(), angles(batch=1).expand(3, -1)
    action, after = act(ncap, seen, torch.tensor([0, 29, 30]))
    assert action[:, 0].tolist() == [1, 1, -1] and after.tolist() == [1, 30, 31]
    assert ncap.reset(after, torch.tensor([False, True, False])).tolist() == [1, 0, 31]


def test_the_counter_is_the_callers_own():
    ncap, state = make(), torch.zeros(2, dtype=torch.int64)
    act(ncap, angles(batch=2), state)
    assert state.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("joints", "id", "clock"), [(3, SWIM, False), (9, SWIM, True), (5, NAVIGATE, True)]
)
def test_untrained_and_untouched_weights_get_a_gradient_except_the_dead_one(joints, id, clock):
    env = gym.make(id, joints=joints, clock=clock)
    ncap = controllers.make("ncap", env)
    with torch.no_grad():
        for name, value in (("proprioception", 0.7), ("oscillator", 0.8), ("ipsilateral", 0.9)):
            getattr(ncap, name).fill_(value)
    seen = angles(joints, size=env.observation_space.shape[0])
    ncap(seen, ncap.initial_state(len(seen)))[0].square().sum().backward()
    for name in ("proprioception", "oscillator", "ipsilateral"):
        assert getattr(ncap, name).grad.abs() > 0, name
    assert ncap.contralateral.grad == 0


@pytest.mark.parametrize("size", [0, 22, 24 + 3, 4])
def test_an_observation_that_it_cannot_read_is_refused_in_one_line(size):
    box = gym.spaces.Box(-1, 1, (5,)), gym.spaces.Box(-1, 1, (size,))
    with pytest.raises(LanceletError, match="4N\\+3 = 23") as error:
        controllers.ncap.NCAP(box[1], box[0], controllers.ncap.NCAPOptions())
    assert "\n" not in str(error.value)


def test_spaces_of_another_kind_are_refused():
    box, discrete = gym.spaces.Box(-1, 1, (23,)), gym.spaces.Discrete(3)
    options = controllers.ncap.NCAPOptions()
    for spaces in ((discrete, box), (box, discrete), (gym.spaces.Dict(a=box), box)):
        with pytest.raises(LanceletError, match="NCAP cannot read"):
            controllers.ncap.NCAP(*spaces, options)


@pytest.mark.slow
def test_untrained_it_swims():
    score = training.evaluate(make(), SWIM, episodes=3)
    np.testing.assert_allclose(score.returns, 798, atol=25)
    floor = training.evaluate(controllers.make("zero", gym.make(SWIM)), SWIM, episodes=1)
    assert floor.returns[0] == 0.0
