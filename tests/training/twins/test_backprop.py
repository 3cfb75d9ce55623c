"""Back-propagation through a twin: losses, routing by column, stacking, run folders."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import SWIM
from gymnasium import spaces

from lancelet import LanceletError, controllers
from lancelet.controllers.bilateral import Bilateral, BilateralOptions
from lancelet.controllers.mlp import MLP, MLPOptions
from lancelet.training.runs import checkpoint
from lancelet.training.runs.folder import read_log
from lancelet.training.twins import cohort, losses
from lancelet.training.twins.arm import ArmTwin, trials
from lancelet.training.twins.backprop import Backprop
from lancelet.training.twins.cohort import Cohort, Pupil
from lancelet.training.twins.course import Course, course

REACH, HOLD = "lancelet/ArmReach-v0", "lancelet/ArmHold-v0"
SEEN = spaces.Box(-np.inf, np.inf, (16,), np.float32)
ACTION = spaces.Box(0.0, 1.0, (6,), np.float32)
SPECIAL, MIXED = ("loss1", "loss2"), ("mixed", "mixed")
SMALL = {"batch": 4, "validation": 6, "validate_every": 2, "test": 0, "quiet": True}


def make(**options):
    return Bilateral(SEEN, ACTION, BilateralOptions(**options))


def arm(task="reach", steps=8, **rest):
    return Course(ArmTwin(), partial(trials, task), steps, 0.01, **rest)


def train(path, pupils, updates=3, **rest):
    found = Cohort(path, pupils, **{"batch": 4, "validation": 6, **rest})
    found.validate()
    for _ in range(updates):
        found.update()
    found.validate()
    return found


def changed(before, after):
    """Names of the weights that are no longer what they were."""
    weights = after.state_dict()
    return {
        name for name, value in before.state_dict().items() if not torch.equal(value, weights[name])
    }


def test_the_losses_are_the_papers():
    mixed = {term: getattr(losses.LOSSES["mixed"], term) for term in losses.TERMS}
    mean = {
        t: (getattr(losses.LOSSES["loss1"], t) + getattr(losses.LOSSES["loss2"], t)) / 2
        for t in losses.TERMS
    }
    assert mixed == mean == {"E": 1, "P1": 2.5, "P2": 2.5, "R": 0.01}
    hand = torch.tensor([[0.1, 0.0], [0.3, -0.2]]).reshape(2, 1, 1, 2)
    terms = losses.position(hand, torch.zeros(1, 1, 2))
    assert terms["P1"].item() == pytest.approx((0.1 + 0.3 + 0.2) / 4)
    assert terms["P2"].item() == pytest.approx(10 * (0.01 + 0.09 + 0.04) / 4)
    rate = ((0.2 / 0.01) ** 2 + (0.2 / 0.01) ** 2) / 2
    assert losses.penalty(hand, 0.01).item() == pytest.approx(
        (0.01 + 0.09 + 0.04) / 4 + 0.05 * rate
    )


def test_the_misrouted_total_is_the_base_and_four_weighted_terms():
    """The arithmetic of a run of the released code (docs/systems/arm.md, "Losses"): 2.945 + 0.01 (946.80 + ...) = 513.9589."""
    terms = {
        "E": torch.tensor([0.5]),
        "P1": torch.tensor([0.4]),
        "P2": torch.tensor([0.578]),
        "R": torch.zeros(1),
    }
    base = losses.total(terms, losses.weights(["mixed"])).item()
    assert base == pytest.approx(2.945)
    terms["R"] = torch.tensor([946.80 + 50153.25 + 1.18 + 0.116])
    assert losses.total(terms, losses.weights(["mixed"])).item() == pytest.approx(
        513.9589, abs=1e-3
    )
    assert losses.total(terms, losses.weights(["loss2"])).item() == pytest.approx(
        2 * 0.5 + 5 * 0.578
    )


@pytest.mark.slow
def test_as_released_puts_the_regulariser_on_plant_outputs_in_alphabetical_order():
    task, pupils = arm(steps=20), [Pupil(make(callosum=True), MIXED), Pupil(make(columns=1), MIXED)]
    one = Cohort(task, pupils, "as_released", batch=4, validation=16)
    held = {name: value.expand(2, *value.shape) for name, value in one.held.items()}
    with torch.no_grad():
        trace = one.unroll([group.weights for group in one._groups], held)
    found = one.validate()
    outputs = [
        torch.cat([trace["q"], trace["v"]], -1),
        torch.cat([trace[name] for name in losses.MUSCLE], -1),
    ]
    outputs += [trace["seen"][..., :12], trace["hand"]]
    each = np.array([losses.penalty(output, 0.01).numpy() for output in outputs])
    assert found["R"] == pytest.approx([each[:, 0].sum(), each[:2, 1].sum()], rel=1e-5), (
        "four, and two, hidden layers"
    )
    assert each[1].min() > 1e3 and each[2].max() < 100, "muscle force drowns the rest"
    assert found["loss"] == pytest.approx(
        found["E"] + 2.5 * (found["P1"] + found["P2"]) + 0.01 * found["R"]
    )


def test_under_the_intended_loss_the_regulariser_acts_on_hidden_layers():
    one = Cohort(arm(), [Pupil(make(), MIXED)], validation=5)
    held = {name: value[None] for name, value in one.held.items()}
    with torch.no_grad():
        trace = one.unroll([group.weights for group in one._groups], held)
    assert [tuple(layer.shape) for layer in trace["hidden"][0]] == [(8, 1, 5, 5)] * 4
    by_hand = sum(losses.penalty(layer, 0.01).item() for layer in trace["hidden"][0])
    assert one.validate()["R"][0] == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.slow
def test_without_a_second_loss_the_right_column_stays_as_it_was(monkeypatch):
    monkeypatch.setitem(losses.LOSSES, "loss2", losses.Loss(0, 0, 0, 0))
    for callosum in (False, True):
        one = make(callosum=callosum)
        moved = changed(one, train(arm(), [Pupil(one, SPECIAL)]).controller(0))
        assert not any(name.startswith("right") for name in moved)
        left = {name for name in one.state_dict() if not name.startswith("right")}
        assert moved == left, "left column, combiner and motor layer"


def test_each_column_takes_the_gradient_of_its_own_loss_and_the_rest_the_mean():
    one, task = make(callosum=True, seed=3), arm()
    rows = Cohort(task, [Pupil(one, SPECIAL)], batch=4)
    drawn = cohort._draw(task, [2**32, 0], 1, 4)
    gradients = []
    for name in SPECIAL:
        alone = Cohort(task, [Pupil(one, (name, name))], batch=4)
        weights = {
            key: value.clone().requires_grad_() for key, value in alone._groups[0].weights.items()
        }
        terms = alone.terms([weights], {key: value[None] for key, value in drawn.items()})
        total = losses.total(terms, losses.weights([name])).sum()
        gradients.append(
            dict(zip(weights, torch.autograd.grad(total, list(weights.values())), strict=True))
        )
    rows.update()
    merged = dict(zip(rows._groups[0].weights, (leaf.grad for leaf in rows._leaves), strict=True))
    for name, got in merged.items():
        first, second = (gradient[name] for gradient in gradients)
        want = (
            first
            if name.startswith("left")
            else second
            if name.startswith("right")
            else (first + second) / 2
        )
        torch.testing.assert_close(got, want / max(1.0, want.norm().item()), rtol=1e-4, atol=1e-6)


def test_norms_are_clipped_tensor_by_tensor():
    found = train(arm(), [Pupil(make(), MIXED)], 1, mode="as_released")
    norms = [leaf.grad.norm().item() for leaf in found._leaves]
    assert max(norms) == pytest.approx(1.0, rel=1e-5) and sum(norm > 0.999 for norm in norms) > 1


@pytest.mark.parametrize("mode", ["intended", "as_released"])
def test_a_stacked_model_learns_what_it_learns_alone(mode):
    def pupils():
        kinds = (({"columns": 1}, MIXED), ({}, SPECIAL), ({"callosum": True}, SPECIAL), ({}, MIXED))
        return [
            Pupil(make(seed=seed, **options), names, seed)
            for seed in range(2)
            for options, names in kinds
        ]

    stacked = train(arm("hold"), pupils(), mode=mode)
    for k, pupil in enumerate(pupils()):
        alone = train(arm("hold"), [pupil], mode=mode)
        for name, value in alone.controller(0).state_dict().items():
            torch.testing.assert_close(
                stacked.controller(k).state_dict()[name], value, rtol=1e-4, atol=1e-5
            )
        assert stacked.best_loss[k] == pytest.approx(alone.best_loss[0], rel=1e-4)


def test_combiner_weights_stay_at_zero_or_above_and_frozen_ones_as_they_are():
    one = make()
    with torch.no_grad():
        one.w1.fill_(1e-6), one.w2.fill_(1e-6)
    found = train(arm(), [Pupil(one, MIXED, frozen=("left.",))], 4, rate=0.01)
    weights = found._groups[0].weights
    assert min(weights["w1"].item(), weights["w2"].item()) >= 0
    assert not any(name.startswith("left") for name in changed(one, found.controller(0)))


def test_a_model_that_blows_up_leaves_the_others_alone():
    sick = make(seed=1)
    with torch.no_grad():
        sick.left["layers"][0].bias.fill_(float("nan"))
    both, alone = (
        train(arm(), [Pupil(sick, MIXED, 1), Pupil(make(), MIXED)]),
        train(arm(), [Pupil(make(), MIXED)]),
    )
    weights = alone.controller(0).state_dict()
    for name, value in both.controller(1).state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=1e-4, atol=1e-5)


def test_what_is_seen_is_as_old_as_the_course_says():
    one = Cohort(arm(delays=((12, 2), (2, 7), (2, 0))), [Pupil(make(), MIXED)], validation=3)
    seen = [torch.full((1, 1, 16), float(k)) for k in range(10)]
    assert one._delayed(seen)[0, 0].tolist() == [7.0] * 12 + [2.0] * 2 + [9.0] * 2
    assert one._delayed(seen[:2])[0, 0].tolist() == [0.0] * 14 + [1.0] * 2


def test_any_circuit_with_a_gradient_can_be_trained():
    mlp = MLP(SEEN, ACTION, MLPOptions(hidden=(6,)))
    assert changed(mlp, train(arm(), [Pupil(mlp, MIXED)]).controller(0))


def run(folder, updates=4, controller="bilateral", options=None, task=REACH, **rest):
    trainer = Backprop(updates=updates, folder=str(folder), **{**SMALL, **rest})
    return trainer.train(
        task, controller, {"max_episode_steps": 8}, {"callosum": True, **(options or {})}
    )


def state(folder):
    saved = checkpoint.load(folder / "checkpoint" / "state.safetensors")
    flat = torch.cat(
        [
            value.flatten().double()
            for group in saved["cohort"]["weights"]
            for value in group.values()
        ]
    )
    return flat.numpy().tobytes(), [{**line, "seconds": 0} for line in read_log(folder)]


@pytest.mark.parametrize(
    "rest", [{}, {"specialised": True, "mode": "as_released"}, {"specialised": True, "pretrain": 4}]
)
def test_n_and_resume_n_equals_2n_to_the_bit(tmp_path, rest):
    whole = run(tmp_path / "whole", 8, task=HOLD, **rest)
    run(tmp_path / "parts", 4, task=HOLD, **rest)
    parts = run(tmp_path / "parts", 8, task=HOLD, resume=True, **rest)
    assert state(whole.folder) == state(parts.folder)
    assert (whole.folder / "best.safetensors").read_bytes() == (
        parts.folder / "best.safetensors"
    ).read_bytes()


def test_training_helps_and_the_report_is_of_the_mujoco_arm(tmp_path):
    done = run(tmp_path / "run", 40, rate=0.02, batch=16, test=8, validate_every=10)
    error = {
        which: np.mean(done.summary[which]["mean_error"]) for which in ("untrained", "trained")
    }
    assert error["trained"] < error["untrained"]
    log = read_log(done.folder)
    assert log[-1]["validation"] > log[0]["validation"] and log[-1]["steps"] == 40 * 16 * 8
    assert (done.folder / "report.html").exists()


def test_columns_trained_apart_stay_as_they_were_when_joined(tmp_path):
    done = run(tmp_path / "run", 8, specialised=True, pretrain=4, rate=0.02)
    first = controllers.load(done.folder / "initial.safetensors")
    halves = checkpoint.load(done.folder / "checkpoint" / "state.safetensors")["cohort"]["weights"][
        0
    ]
    assert {name.partition(".")[0] for name in changed(first, done.controller)} >= {
        "left",
        "right",
        "output",
    }
    for name, value in done.controller.state_dict().items():
        if name.startswith(("left.", "right.")):
            assert torch.equal(halves[name][0], value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rate": 0.0}, "rate = 0.0: must be above 0"),
        ({"loss": "loss3"}, "did you mean loss"),
        ({"mode": "released"}, "did you mean as_released"),
        ({"dominance": "up"}, "unknown dominance"),
        ({"pretrain": 5}, "needs specialised"),
        ({"task": SWIM}, "Swim has no differentiable twin"),
        (
            {"specialised": True, "options": {"columns": 1, "callosum": False}},
            "no left and right column",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path, options, says):
    with pytest.raises(LanceletError, match=says):
        run(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{"field": "squared"}, {"vision_noise": 0.1}, {"force": 3.0}])
def test_options_that_the_twin_does_not_know_are_refused(options):
    with pytest.raises(
        LanceletError, match=f"{next(iter(options))} = .* the arm's twin, which knows"
    ):
        course(gym.make(REACH, **options).unwrapped.task, 50)


def test_the_course_follows_the_task():
    task = gym.make(HOLD, load=1.0, dt_plant=0.002, vision_delay=0.07).unwrapped.task
    path = course(task, 50)
    assert path.twin.substeps == 5 and path.delays == ((12, 0), (2, 7), (2, 0))
    assert path.twin.body.forearm_mass == pytest.approx(2.43)
