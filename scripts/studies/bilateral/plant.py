"""Gate A1 of the bilateral study: the arm's inertia, its anchors, and the gap between twin and MuJoCo.

The anchors are how far two plain excitations leave the hand from its target: limp (all muscles silent) and
co-contracted (all muscles at 0.1). See docs/systems/arm.md, "The arm" and "Row codes".
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import gymnasium as gym
import mujoco
import numpy as np
import torch
from torch import Tensor

from lancelet.morphology.arm import MUSCLES, Arm
from lancelet.training.twins.arm import ArmTwin, trials

TaskName = Literal["reach", "hold"]
"""short name of a task, as the twin calls it too"""
TASKS: dict[TaskName, str] = {
    "reach": "lancelet/ArmReach-v0",
    "hold": "lancelet/ArmHold-v0",
}
"""short name of a task -> its id"""
STEPS = 50
"""control steps of a trial"""
CONTROL_PERIOD = 0.01
"""s, one control step"""
SQUARED_ERROR_WEIGHT = 10
"""weight of the squared error in P2 (docs/systems/arm.md, "Losses")"""
SHOULDER_ANGLE = 0.3
"""rad; any value would do, since the inertia depends on the elbow alone"""


class Inertia(NamedTuple):
    """The symmetric inertia matrix of shoulder and elbow, kg m²."""

    h11: float
    """Inertia about the shoulder."""
    h12: float
    """Coupling of shoulder and elbow."""
    h22: float
    """Inertia about the elbow."""


INERTIA = {
    0: Inertia(h11=0.4625, h12=0.1688, h22=0.0959),
    90: Inertia(h11=0.3166, h12=0.0959, h22=0.0959),
}
"""elbow, degrees -> what the formulas of docs/systems/arm.md, "The arm", give"""
LIMP = 0.0
"""excitation of all muscles of the limp arm"""
CO_CONTRACTED = 0.1
"""excitation of all muscles of the co-contracted arm"""
ANCHOR_TRIALS = 8192
"""trials behind the figures of `ANCHORS`"""
ANCHORS = {
    LIMP: {
        "hold_mean": 0.224,
        "hold_final": 0.461,
        "P1": 0.143,
        "P2": 0.481,
        "reach_mean": 0.387,
        "reach_final": 0.368,
    },
    CO_CONTRACTED: {
        "hold_mean": 0.207,
        "hold_final": 0.415,
        "P1": 0.132,
        "P2": 0.413,
        "reach_mean": 0.393,
        "reach_final": 0.378,
    },
}
"""constant excitation -> figures that `anchors` must give (docs/systems/arm.md, "Row codes", A1): mean and final distance
of the hand from the target, m, in each task; P1 and P2 of the losses, in hold"""
MARGIN = 0.02
"""rad from a joint limit; a path that comes no nearer counts as avoiding the limits"""
LARGEST_EXCITATION = 0.3
"""of the random excitations; under stronger ones few paths avoid the limits"""
CANDIDATES_PER_TRIAL = 40
"""trials drawn for each one that must avoid the limits"""


def inertia(body: Arm | None = None) -> dict[int, Inertia]:
    """MuJoCo's inertia of the arm with the elbow at each angle of `INERTIA`.

    Args:
        body: the arm; None: the nominal one.
    """
    arm = Arm() if body is None else body
    model = arm.build().compile()
    data = mujoco.MjData(model)
    matrix = np.zeros((2, 2))
    result = {}
    for elbow_angle in INERTIA:
        # The inertia matrix is filled by the forward pass, not by setting the angles.
        data.qpos[:] = [SHOULDER_ANGLE, np.radians(elbow_angle)]
        mujoco.mj_forward(model, data)
        mujoco.mj_fullM(model, data, matrix)
        result[elbow_angle] = Inertia(
            h11=float(matrix[0, 0]), h12=float(matrix[0, 1]), h22=float(matrix[1, 1])
        )
    return result


@torch.no_grad()
def anchors(excitation: float, count: int = ANCHOR_TRIALS, seed: int = 0) -> dict[str, float]:
    """The figures of `ANCHORS` on the twin: no network, the same excitation of all muscles at every step.

    Args:
        excitation: of every muscle, in [0, 1].
        count: how many trials of each task are run.
        seed: of the trials.
    """
    constant = torch.full((STEPS, 1, len(MUSCLES)), excitation)
    result = {}
    tasks: tuple[TaskName, ...] = ("hold", "reach")
    for task in tasks:
        # A generator a task: the figures of one do not depend on whether the other was run.
        drawn = trials(task, count, torch.Generator().manual_seed(seed))
        offset = drawn["target"] - _hand_path(ArmTwin(), drawn, constant)
        distance = offset.norm(dim=-1)
        result[f"{task}_mean"] = distance.mean().item()
        result[f"{task}_final"] = distance[-1].mean().item()
        if task == "hold":
            result["P1"] = offset.abs().mean().item()
            result["P2"] = SQUARED_ERROR_WEIGHT * offset.square().mean().item()
    return result


@torch.no_grad()
def gap(
    substeps: int,
    integrator: Literal["explicit", "mujoco"] = "explicit",
    count: int = 100,
    seed: int = 0,
) -> np.ndarray:
    """Largest distance (m) within 0.5 s between the hands of twin and MuJoCo task, (count,).

    Hold trials whose joints keep off the limits, under excitations that are uniform in [0, 0.3] at every step.

    Args:
        substeps: plant steps in a control step of 0.01 s: 1 (faithful) or 5 (accurate).
        integrator: of the MuJoCo task; ``mujoco`` is its own Euler, which moves the angles with the new speeds.
        count: how many trials are run.
        seed: of trials and excitations.
    """
    # Double precision, as MuJoCo has: rounding must not hide a difference of the equations.
    twin = ArmTwin(substeps=substeps, dtype=torch.float64)
    drawn, excitations = quiet(twin, count, seed)
    twin_hands = _hand_path(twin, drawn, excitations).numpy()
    env: Any = gym.make_vec(
        TASKS["hold"],
        num_envs=count,
        max_episode_steps=-1,
        nthread=1,
        dt_plant=CONTROL_PERIOD / substeps,
        integrator=integrator,
    ).unwrapped
    env.reset(seed=seed, options={name: rows.numpy() for name, rows in drawn.items()})
    largest = np.zeros(count)
    for excitation, twin_hand in zip(excitations.numpy(), twin_hands, strict=True):
        env.step(excitation)
        distance = np.linalg.norm(env.memory["hand"] - twin_hand, axis=1)
        largest = np.maximum(largest, distance)
    env.close()
    return largest


def quiet(twin: ArmTwin, count: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Hold trials and excitations under which no joint comes near its limits.

    At a limit the speed is set to zero in one step; a gap there would say little about the equations of motion.

    Args:
        twin: the arm that must keep off its limits.
        count: how many trials are wanted.
        seed: of trials and excitations.

    Returns:
        The trials, (count, 2) each, and the excitations, (50, count, 6).
    """
    generator = torch.Generator().manual_seed(seed)
    candidate_count = CANDIDATES_PER_TRIAL * count
    drawn = trials("hold", candidate_count, generator)
    uniform = torch.rand(STEPS, candidate_count, len(MUSCLES), generator=generator)
    excitations = LARGEST_EXCITATION * uniform
    low, high = (torch.tensor(limit) for limit in twin.body.limits)
    state = twin.start(drawn["angles"])
    keeps_off = torch.ones(candidate_count, dtype=torch.bool)
    for excitation in excitations:
        state = twin.step(state, excitation.to(twin.dtype), drawn["force"])
        is_above = state["q"] > low + MARGIN
        is_below = state["q"] < high - MARGIN
        keeps_off &= (is_above & is_below).all(-1)
    chosen = keeps_off.nonzero()[:count, 0]
    assert len(chosen) == count, (
        f"{len(chosen)} of {candidate_count} trials keep off the limits: {count} are needed"
    )
    chosen_trials = {name: rows[chosen] for name, rows in drawn.items()}
    return chosen_trials, excitations[:, chosen]


def _hand_path(twin: ArmTwin, drawn: dict[str, Tensor], excitations: Tensor) -> Tensor:
    """The hands after each step, m.

    Args:
        twin: the arm.
        drawn: trials, (trials, 2) each.
        excitations: (steps, trials, 6), or (steps, 1, 6) for the same in all trials.

    Returns:
        (steps, trials, 2).
    """
    trial_count = len(drawn["angles"])
    state = twin.start(drawn["angles"])
    hands = []
    for excitation in excitations:
        of_all_trials = excitation.to(twin.dtype).expand(trial_count, len(MUSCLES))
        state = twin.step(state, of_all_trials, drawn["force"])
        hands.append(state["hand"])
    return torch.stack(hands)
