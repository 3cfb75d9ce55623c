import math

import gymnasium as gym
import pytest
import torch
from conftest import NAVIGATE, SWIM

from lancelet import LanceletError, controllers, training

WEIGHTS = ("proprioception", "oscillator", "ipsilateral", "contralateral", "speed", "turn")


def make(joints=5, id=SWIM, **options):
    return controllers.make("ncap", gym.make(id, joints=joints), **options)


def rest(batch=1, size=23):
    return torch.zeros(batch, size)


def act(controller, seen, step=0):
    with torch.no_grad():
        return controller(seen, torch.full((len(seen),), step))[0]


def test_signs_are_kept_in_the_forward_pass_and_weights_stay_free():
    ncap, seen = make(speed=True, turn=True), torch.rand(8, 23)
    with torch.no_grad():
        ncap.ipsilateral.fill_(-3.0)
    assert ncap.ipsilateral == -3.0
    assert not act(ncap, seen).any(), "an excitatory weight below zero counts as zero"
    free = make(sign=False, seed=1)
    with torch.no_grad():
        for name, value in zip(WEIGHTS[:4], (1, 1, -1, -1), strict=True):
            getattr(free, name).fill_(value)
    assert not act(free, seen).any()
    with torch.no_grad():
        free.contralateral.fill_(1.0)
    assert act(free, seen).any(), "without the constraint, the cross synapse may excite"


def test_initial_weights():
    unit = make(speed=True, turn=True, sharing=False)
    for name in WEIGHTS:
        want = -1.0 if name in ("contralateral", "speed") else 1.0
        assert (getattr(unit, name) == want).all()
    uniform = [make(init="uniform", sharing=False, seed=seed) for seed in range(20)]
    excite = torch.cat([ncap.ipsilateral.flatten() for ncap in uniform])
    inhibit = torch.cat([ncap.contralateral.flatten() for ncap in uniform])
    assert 0 <= excite.min() < 0.1 and 0.9 < excite.max() <= 1
    assert -1 <= inhibit.min() < -0.9 and -0.1 < inhibit.max() <= 0


def test_without_signs_initial_weights_have_random_ones():
    weights = torch.stack([make(sign=False, seed=seed).ipsilateral for seed in range(64)])
    assert set(weights.tolist()) == {-1.0, 1.0} and 15 < (weights > 0).sum() < 49
    spread = torch.stack(
        [make(sign=False, init="uniform", seed=seed).ipsilateral for seed in range(64)]
    )
    assert spread.min() < -0.5 and spread.max() > 0.5


def test_the_seed_decides_the_initial_weights():
    one, two, other = (make(init="uniform", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.ipsilateral, two.ipsilateral)
    assert not torch.equal(one.ipsilateral, other.ipsilateral)


@pytest.mark.parametrize(("period", "ups"), [(60, 30), (40, 20), (7, 3), (2, 1)])
def test_the_period_is_in_control_steps_the_first_half_dorsal(period, ups):
    ncap = make(period=period)
    wave = [act(ncap, rest(), step)[0, 0].item() for step in range(2 * period)]
    assert wave == ([1.0] * ups + [-1.0] * (period - ups)) * 2


def test_switches_take_the_synapse_class_out():
    ncap = make(oscillator=False)
    assert ncap.parameter_count == 3 and not hasattr(ncap, "oscillator")
    assert not act(ncap, rest()).any()
    ncap = make(proprioception=False)
    assert ncap.parameter_count == 3
    assert not act(ncap, torch.ones(1, 23))[0, 1:].any()


def test_speed_brakes_every_neuron():
    seen = torch.rand(16, 23) - 0.5
    fastest = make(speed=True, command=(1.0, 0.0, 0.0))
    assert torch.equal(act(fastest, seen), act(make(), seen))
    assert not act(make(speed=True, command=(0.0, 0.0, 0.0)), seen).any()
    half, full = act(make(speed=True, command=(0.5, 0.0, 0.0)), seen), act(make(), seen)
    torch.testing.assert_close(half, full.sign() * (full.abs() - 0.5).clamp(min=0))


@pytest.mark.parametrize("joints", [1, 2, 3])
def test_a_turn_command_reaches_the_first_pairs_only(joints):
    seen = rest()
    right = act(
        make(turn=True, turn_joints=joints, oscillator=False, command=(1.0, 0.7, 0.0)), seen
    )[0]
    left = act(
        make(turn=True, turn_joints=joints, oscillator=False, command=(1.0, 0.0, 0.7)), seen
    )[0]
    want = torch.tensor([0.7] * joints + [0.0] * (5 - joints))
    torch.testing.assert_close(right, want)
    torch.testing.assert_close(left, -want)
    own = make(
        turn=True, turn_joints=joints, oscillator=False, command=(1.0, 0.7, 0.0), sharing=False
    )
    assert own.turn.shape == (joints, 2)
    torch.testing.assert_close(act(own, seen)[0], want)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "sign"),
    [((1.0, 1.0, 0.0), -1), ((1.0, 0.0, 1.0), 1)],
    ids=["right is clockwise", "left is not"],
)
def test_turning_yaws_to_the_commanded_side(command, sign):
    ncap = make(turn=True, command=command)
    with torch.no_grad():
        ncap.turn.fill_(0.6)
    record = training.evaluate(ncap, SWIM, episodes=1, record=True).record
    yaw = (record["qpos"][-1, 2] - record["qpos"][200, 2]) / (800 * 0.03)
    assert 0.1 < sign * yaw < 0.6


def test_hard_steering_reads_the_targets_side_and_nearness():
    ncap = make(3, NAVIGATE, turn=True, speed=True, steering="hard", oscillator=False)
    seen = rest(5, 17)
    seen[:, 3], seen[:, 4] = (
        torch.tensor([0.5, -0.5, 0.05, 0.5, 0.0]),
        torch.tensor([-1.0, 1.0, -1.0, -0.1, 0.0]),
    )
    speed, turns = ncap._steering(seen)
    assert speed.flatten().tolist() == [1, 1, 1, 0, 0]
    assert turns[:, 0].tolist() == [[0, 1], [1, 0], [0, 0], [0, 1], [0, 0]]
    assert act(ncap, seen)[:, 0].tolist() == [-1, 1, 0, 0, 0]


def test_learned_steering_is_one_affine_map_with_a_gradient():
    ncap = make(3, NAVIGATE, turn=True, speed=True, steering="learned")
    assert ncap.steer.shape == (3, 3)
    with torch.no_grad():
        ncap.steer.copy_(torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.9]]))
    seen = rest(2, 17)
    seen[:, 3] = torch.tensor([0.4, -0.4])
    speed, turns = ncap._steering(seen)
    torch.testing.assert_close(speed.flatten(), torch.tensor([0.9, 0.9]))
    torch.testing.assert_close(turns[:, 0], torch.tensor([[0.0, 0.4], [0.4, 0.0]]))
    ncap(seen, ncap.initial_state(2))[0].sum().backward()
    assert ncap.steer.grad.abs().sum() > 0


def test_the_joint_limit_scales_the_angles():
    seen = rest()
    seen[0, 0] = 0.3
    assert act(make(), seen)[0, 1].item() == pytest.approx(0.3 / (math.pi / 3))
    assert act(make(joint_limit=0.6), seen)[0, 1].item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"period": 1}, "period"),
        ({"turn_joints": 6}, "turn_joints"),
        ({"turn_joints": 0}, "turn_joints"),
        ({"steering": "hard"}, "target"),
        ({"peroid": 50}, "did you mean period"),
        ({"init": "unti"}, "init"),
        ({"steering": "soft"}, "steering"),
        ({"joint_limit": -1.0}, "joint_limit"),
        ({"command": (1.0, 0.0)}, "command"),
    ],
)
def test_bad_options_are_refused_in_one_line(bad, message):
    with pytest.raises(LanceletError, match=message) as error:
        make(**bad)
    assert "\n" not in str(error.value)
