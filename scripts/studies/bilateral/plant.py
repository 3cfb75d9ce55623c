"""Gate A1 of the bilateral study: inertia, limp and co-contracted anchors, and how far twin and MuJoCo part."""

from __future__ import annotations

from typing import Literal

import gymnasium as gym
import mujoco
import numpy as np
import torch
from torch import Tensor

from lancelet.morphology.arm import Arm
from lancelet.training.twins.arm import ArmTwin, trials

TASKS = {"reach": "lancelet/ArmReach-v0", "hold": "lancelet/ArmHold-v0"}
STEPS = 50
INERTIA = {0: (0.4625, 0.1688, 0.0959), 90: (0.3166, 0.0959, 0.0959)}
"""elbow, degrees -> H11, H12, H22, kg m^2 (docs/systems/arm.md, "The arm")"""
ANCHORS = {
    0.0: {"hold_mean": 0.224, "hold_final": 0.461, "P1": 0.143, "P2": 0.481, "reach_mean": 0.387, "reach_final": 0.368},
    0.1: {"hold_mean": 0.207, "hold_final": 0.415, "P1": 0.132, "P2": 0.413, "reach_mean": 0.393, "reach_final": 0.378},
}  # fmt: skip
"""constant excitation -> figures on 8,192 trials (docs/systems/arm.md, "Row codes", A1)"""
MARGIN, EXCITED = 0.02, 0.3
"""rad, that a path keeps from the limits to count as avoiding them; largest excitation: under stronger ones few do"""


def inertia(body: Arm | None = None) -> dict[int, tuple[float, float, float]]:
    """MuJoCo's H11, H12, H22 (kg m^2) with the elbow at 0 and at 90 degrees."""
    model = (Arm() if body is None else body).build().compile()
    data, whole, found = mujoco.MjData(model), np.zeros((2, 2)), {}
    for angle in INERTIA:
        data.qpos[:] = [0.3, np.radians(angle)]
        mujoco.mj_forward(model, data)
        mujoco.mj_fullM(model, data, whole)
        found[angle] = (float(whole[0, 0]), float(whole[0, 1]), float(whole[1, 1]))
    return found


@torch.no_grad()
def anchors(excitation: float, count: int = 8192, seed: int = 0) -> dict[str, float]:
    """The figures of `ANCHORS` on the twin: no network, the same excitation on all muscles."""
    found = {}
    for task in ("hold", "reach"):
        drawn = trials(task, count, torch.Generator().manual_seed(seed))
        error = drawn["target"] - _path(ArmTwin(), drawn, torch.full((STEPS, 1, 6), excitation))
        far = error.norm(dim=-1)
        found |= {f"{task}_mean": far.mean().item(), f"{task}_final": far[-1].mean().item()}
        if task == "hold":
            found |= {"P1": error.abs().mean().item(), "P2": 10 * error.square().mean().item()}
    return found


@torch.no_grad()
def gap(
    substeps: int,
    integrator: Literal["explicit", "mujoco"] = "explicit",
    count: int = 100,
    seed: int = 0,
) -> np.ndarray:
    """Largest distance (m) within 0.5 s between the hands of twin and MuJoCo task, (count,).

    Hold trials whose joints keep off the limits under excitations that are uniform in [0, 0.3] at every step.

    Args:
        substeps: plant steps in a control step of 0.01 s: 1 (faithful) or 5 (accurate).
        integrator: of the MuJoCo task; ``mujoco`` is its own Euler, which moves the angles with the new speeds.
        count: of the trials.
        seed: of trials and excitations.
    """
    twin = ArmTwin(substeps=substeps, dtype=torch.float64)
    drawn, excitations = quiet(twin, count, seed)
    ours = _path(twin, drawn, excitations).numpy()
    env = gym.make_vec(
        TASKS["hold"],
        num_envs=count,
        max_episode_steps=-1,
        nthread=1,
        dt_plant=0.01 / substeps,
        integrator=integrator,
    ).unwrapped
    env.reset(seed=seed, options={name: rows.numpy() for name, rows in drawn.items()})
    worst = np.zeros(count)
    for excitation, hand in zip(excitations.numpy(), ours, strict=True):
        env.step(excitation)
        there = env.memory["hand"]  # pyright: ignore[reportAttributeAccessIssue]
        worst = np.maximum(worst, np.linalg.norm(there - hand, axis=1))
    env.close()
    return worst


def quiet(twin: ArmTwin, count: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """`count` hold trials, and excitations (50, count, 6), under which no joint comes near its limits."""
    generator = torch.Generator().manual_seed(seed)
    many = 40 * count
    drawn = trials("hold", many, generator)
    excitations = EXCITED * torch.rand(STEPS, many, 6, generator=generator)
    low, high = (torch.tensor(limit) for limit in twin.body.limits)
    state, fits = twin.start(drawn["angles"]), torch.ones(many, dtype=torch.bool)
    for excitation in excitations:
        state = twin.step(state, excitation.to(twin.dtype), drawn["force"])
        fits &= ((state["q"] > low + MARGIN) & (state["q"] < high - MARGIN)).all(-1)
    chosen = fits.nonzero()[:count, 0]
    assert len(chosen) == count, (
        f"{len(chosen)} of {many} trials keep off the limits: {count} are needed"
    )
    return {name: rows[chosen] for name, rows in drawn.items()}, excitations[:, chosen]


def _path(twin: ArmTwin, drawn: dict[str, Tensor], excitations: Tensor) -> Tensor:
    """Hands after each step, (50, n, 2)."""
    state, hands = twin.start(drawn["angles"]), []
    for excitation in excitations:
        state = twin.step(
            state, excitation.to(twin.dtype).expand(len(drawn["angles"]), 6), drawn["force"]
        )
        hands.append(state["hand"])
    return torch.stack(hands)
