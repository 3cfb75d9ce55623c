import math

import numpy as np
import pytest
import torch

from lancelet import LanceletError, morphology
from lancelet.scripts.studies.bilateral import plant
from lancelet.training.twins.arm import ArmTwin, _Step, trials

D = torch.float64
PEAK = torch.tensor([838, 1207, 1422, 1549, 414, 603], dtype=D)
TENDON = torch.tensor([0.039, 0.066, 0.172, 0.187, 0.204, 0.217], dtype=D)
BEST = torch.tensor([0.134, 0.140, 0.092, 0.093, 0.137, 0.127], dtype=D)
A0 = torch.tensor([0.151, 0.2322, 0.2859, 0.2355, 0.3329, 0.2989], dtype=D)
A1 = torch.tensor([[-0.03, 0.03, 0, 0, -0.03, 0.03], [0, 0, -0.014, 0.025, -0.016, 0.03]], dtype=D)
A2 = torch.tensor([[0.0] * 6, [0, 0, -4.0e-3, -2.2e-3, -5.7e-3, -3.2e-3]], dtype=D)
LIMIT = torch.tensor([math.radians(135), math.radians(155)], dtype=D)


def hand(q):
    upper, lower = q[..., 0], q.sum(-1)
    x, y = 0.309 * upper.cos() + 0.333 * lower.cos(), 0.309 * upper.sin() + 0.333 * lower.sin()
    return torch.stack([x, y], -1)


def muscles(q, v, a):
    """The muscles of docs/systems/arm.md, "The muscles", to the letter, p1 to p3 and all."""
    d = (q - torch.tensor([math.pi / 2, 0], dtype=D))[..., None]
    arms = A1 + 2 * A2 * d
    length = (A0 + ((A1 + A2 * d) * d).sum(-2) - TENDON).clamp(min=0) / BEST
    speed = (v[..., None] * arms).sum(-2) / (10 * BEST)
    passive, factor = (
        ((length - 1).clamp(min=0) / 0.66) ** 2,
        (1 - (length - 1) ** 2 / 0.66**2).clamp(min=0.01),
    )
    A = torch.where(length > 1, 0.41 * factor, 0.41)
    B = torch.where(a >= 0.3, 5.2, 5.2 * (1 - 0.9 * (a - 0.3) / (0.005 - 0.3)) ** 2)
    S = a * (factor + A) / B
    steep = 0.001 - 2 * S
    p1, p2, p3 = -0.5 * a * factor / steep, (0.5 * a * factor) ** 2 / steep, -1.5 * a * factor
    top = -p1 * p3 + 0.001 * p1 * speed + p2 - p3 * speed + 0.001 * speed**2
    top = torch.where(speed < 0, speed * a * A + a * factor * B, top)
    active = (top / torch.where(speed < 0, B - speed, p1 + speed)).clamp(min=0)
    return arms, {"length": length, "speed": speed, "passive": passive, "active_length": factor, "active": active,
                  "force": PEAK * (active + passive)}  # fmt: skip


def literal(q, v, a, force, u, push, dt):
    """One step, to the letter."""
    arms, _ = muscles(q, v, a)
    angle, h = q.sum(-1), 1.43 * 0.309 * 0.165
    jacobian = torch.stack([
        torch.stack([-0.309 * q[..., 0].sin() - 0.333 * angle.sin(), -0.333 * angle.sin()], -1),
        torch.stack([0.309 * q[..., 0].cos() + 0.333 * angle.cos(), 0.333 * angle.cos()], -1),
    ], -2)  # fmt: skip
    h22 = torch.full_like(angle, 1.43 * 0.165**2 + 0.057)
    h12 = h22 + h * q[..., 1].cos()
    h11 = 1.82 * 0.135**2 + 0.051 + 1.43 * (0.165**2 + 0.309**2) + 0.057 + 2 * h * q[..., 1].cos()
    inertia = torch.stack([torch.stack([h11, h12], -1), torch.stack([h12, h22], -1)], -2)
    sine = h * q[..., 1].sin()
    coriolis = torch.stack(
        [-sine * (2 * v[..., 0] + v[..., 1]) * v[..., 1], sine * v[..., 0] ** 2], -1
    )
    torque = (
        -(force[..., None, :] * arms).sum(-1) + (jacobian.mT @ push[..., None])[..., 0] - coriolis
    )
    faster, further = v + dt * torch.linalg.solve(inertia, torque), q + dt * v
    outwards = ((further <= 0) & (faster < 0)) | ((further >= LIMIT) & (faster > 0))
    u = u.clamp(0.001, 1)
    tau = torch.where(u > a, 0.015 * (0.5 + 1.5 * a), 0.05 / (0.5 + 1.5 * a))
    q, v = further.clamp(torch.zeros(2, dtype=D), LIMIT), torch.where(outwards, 0.0, faster)
    a = (a + dt * (u - a) / tau).clamp(0.001, 1)
    return {"q": q, "v": v, "hand": hand(q), "activation": a} | muscles(q, v, a)[1]


def arms(n, seed=0):
    """Arms anywhere: still muscles, driven ones, at limits and away from them."""
    random = torch.Generator().manual_seed(seed)
    q = LIMIT * torch.rand(n, 2, generator=random, dtype=D)
    v, push = (scale * torch.randn(n, 2, generator=random, dtype=D) for scale in (4, 10))
    activation, excitation = (torch.rand(n, 6, generator=random, dtype=D) for _ in range(2))
    activation[: n // 2] *= 0.3
    activation[: n // 4] = 0.001
    force = 800 * torch.rand(n, 6, generator=random, dtype=D)
    return [
        x.clamp(min=0.001) if x is activation else x
        for x in (q, v, activation, force, excitation, push)
    ]


@pytest.mark.slow
def test_a_step_and_its_gradient_are_section_2_to_the_letter():
    given, weigh = arms(200), torch.Generator().manual_seed(1)
    twin, weights, gradients = ArmTwin(dtype=D), None, []
    for run in ("twin", "letter"):
        q, v, a, force, u, push = leaves = [x.clone().requires_grad_() for x in given]
        state, total = {"q": q, "v": v, "activation": a, "force": force}, torch.zeros((), dtype=D)
        states = []
        for _ in range(5):
            if run == "twin":
                state = twin.step(state, u, push)
            else:
                state = literal(
                    *(state[name] for name in ("q", "v", "activation", "force")), u, push, 0.01
                )
            states.append(state)
        weights = weights or {
            k: torch.randn(x.shape, generator=weigh, dtype=D) for k, x in state.items()
        }
        for one in states:
            total = total + sum((one[name] * weights[name]).sum() for name in one)
        total.backward()
        gradients.append(
            ([{k: x.detach() for k, x in one.items()} for one in states], [x.grad for x in leaves])
        )
    (ours, slopes), (theirs, wanted) = gradients
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-9, atol=1e-9, msg=name)
    assert (ours[-1]["q"] == 0).any() or (ours[-1]["q"] == LIMIT).any(), "no limit was tried"
    for one, other in zip(slopes, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7 * other.abs().max().item())


def test_the_gradient_agrees_with_finite_differences():
    given = [x.clone().requires_grad_() for x in arms(8)]
    given[2].data.clamp_(0.01, 0.9), given[4].data.clamp_(0.05, 0.95)  # off the corners
    parameters = ArmTwin()._arms
    assert torch.autograd.gradcheck(
        lambda *x: _Step.apply(parameters, 0.01, *x), given, eps=1e-7, atol=1e-3, rtol=1e-4
    )


@pytest.mark.parametrize("level", [0.0, 1e-3, None, 1.0])
def test_gradients_are_never_nan(level):
    generator = torch.Generator().manual_seed(0)
    drawn, twin = trials("hold", 256, generator), ArmTwin()
    drive = (
        torch.rand(50, 256, 6, generator=generator)
        if level is None
        else torch.full((50, 256, 6), level)
    )
    drive.requires_grad_()
    state, total = twin.start(drawn["angles"]), torch.zeros(())
    for u in drive.unbind(0):
        state = twin.step(state, u, drawn["force"])
        total = (
            total
            + (state["hand"] - drawn["target"]).abs().mean()
            + sum(state[k].square().mean() for k in state)
        )
    total.backward()
    assert torch.isfinite(total) and torch.isfinite(drive.grad).all()
    assert bool(drive.grad.any()) == (level != 0.0), (
        "excitations below the least are clipped, and teach nothing"
    )


@pytest.mark.parametrize("excitation", plant.ANCHORS)
def test_a_limp_and_a_stiff_arm_err_as_the_spec_says(excitation):
    """Gate A1: within 3 % on 8,192 trials."""
    found = plant.anchors(excitation)
    for name, value in plant.ANCHORS[excitation].items():
        assert found[name] == pytest.approx(value, rel=0.03), name


def test_leading_dimensions_are_free_and_broadcast():
    drawn = trials("hold", 6, torch.Generator().manual_seed(0))
    twin, u = ArmTwin(), torch.rand(4, 6, 6, generator=torch.Generator().manual_seed(1))
    many = twin.step(twin.start(drawn["angles"]), u, drawn["force"])
    assert many["q"].shape == (4, 6, 2) and many["force"].shape == (4, 6, 6)
    for k in range(4):
        one = twin.step(twin.start(drawn["angles"]), u[k], drawn["force"])
        for name in one:
            assert torch.equal(one[name], many[name][k]), name
    alone = twin.step(twin.start(drawn["angles"][2]), u[1, 2], drawn["force"][2])
    assert torch.equal(alone["v"], many["v"][1, 2])


def test_it_observes_lengths_speeds_hand_and_target_in_this_order():
    twin = ArmTwin(dtype=D)
    state = twin.step(twin.start(torch.tensor([[0.5, 1.0]])), torch.rand(1, 6), None)
    seen = twin.observe(state, torch.tensor([0.1, 0.2]))
    wanted = [state["length"], state["speed"], hand(state["q"]), torch.tensor([[0.1, 0.2]])]
    torch.testing.assert_close(seen, torch.cat(wanted, -1).to(D))


def test_it_starts_at_rest_with_consistent_muscles():
    q = torch.tensor([[0.3, 1.2], [2.0, 0.1]], dtype=D)
    state = ArmTwin(dtype=D).start(q)
    assert (
        not state["v"].any() and (state["activation"] == 0.001).all() and torch.equal(state["q"], q)
    )
    for name, wanted in muscles(q, torch.zeros_like(q), state["activation"])[1].items():
        torch.testing.assert_close(state[name], wanted, msg=name)


def test_substeps_are_shorter_steps():
    drawn = trials("hold", 5, torch.Generator().manual_seed(0))
    fine, short = ArmTwin(substeps=5, dtype=D), ArmTwin(dt=0.002, dtype=D)
    u = torch.full((5, 6), 0.3)
    one, other = (
        fine.step(fine.start(drawn["angles"]), u, drawn["force"]),
        short.start(drawn["angles"]),
    )
    for _ in range(5):
        other = short.step(other, u, drawn["force"])
    assert torch.equal(one["q"], other["q"]) and torch.equal(one["force"], other["force"])


def test_another_body_is_another_twin():
    u = torch.full((6,), 0.5)
    ways = []
    for body in (
        None,
        morphology.make("arm").loaded(2.0),
        morphology.make("arm", max_force=(500.0,) * 6),
    ):
        twin = ArmTwin(body, dtype=D)
        state = twin.start(torch.tensor([1.0, 1.0]))
        for _ in range(10):
            state = twin.step(state, u)
        ways.append(state["hand"])
    assert not torch.allclose(ways[0], ways[1], atol=1e-3) and not torch.allclose(
        ways[0], ways[2], atol=1e-3
    )


def test_trials_are_those_of_the_tasks():
    reach = trials("reach", 20_000, torch.Generator().manual_seed(0))
    distance = (reach["target"] - hand(reach["angles"].double())).norm(dim=-1)
    assert distance.mean() == pytest.approx(0.438, rel=0.02) and distance.median() == pytest.approx(
        0.409, rel=0.02
    )
    assert (
        not reach["force"].any()
        and (reach["angles"].double() <= LIMIT + 1e-6).all()
        and reach["angles"].min() >= 0
    )
    hold = trials("hold", 20_000, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(hold["target"], hand(hold["angles"].double()), atol=1e-6)
    assert hold["force"].abs().max() <= 10 and hold["force"].std() == pytest.approx(
        20 / math.sqrt(12), rel=0.02
    )
    assert torch.equal(trials("hold", 9, torch.Generator().manual_seed(3))["angles"],
                       trials("hold", 9, torch.Generator().manual_seed(3))["angles"])  # fmt: skip
    with pytest.raises(LanceletError, match="unknown task 'wave'"):
        trials("wave", 1, torch.Generator())


@pytest.mark.slow
@pytest.mark.parametrize(("substeps", "low", "high"), [(1, 8e-3, 18e-3), (5, 2e-3, 4e-3)])
def test_the_mujoco_arm_takes_the_twins_path_and_mujocos_own_euler_does_not(substeps, low, high):
    """Row A1: 100 paths off the limits within 1 mm (they agree to rounding); MuJoCo's own Euler is not that close."""
    assert plant.gap(substeps).max() < 1e-9
    assert low < np.median(plant.gap(substeps, "mujoco")) < high
