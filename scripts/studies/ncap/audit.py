"""A1 and A2 of the NCAP study: is the swimmer the published one, and the circuit the published circuit?"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import mujoco
import numpy as np
import torch

from lancelet.envs.swim import HORIZON, SPEED
from lancelet.optional import why_no_dm_control
from lancelet.scripts.rows import Row
from lancelet.scripts.studies.ncap.episodes import JOINTS, TASK, circuit, score
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env

OBSERVATION_NUMBERS = 23
"""numbers in an observation of the swimmer with five joints: the angles, three for each of six links"""
PARAMETER_COUNTS = [4, 6, 30]
"""weights of the circuit: shared by all joints; with brake and turn; one set a joint"""
IDENTITY_STEPS = 120
"""control steps over which the circuit is compared with its identity: two periods"""
PERIOD = 60
"""control steps of the head oscillator"""
ORACLE_JOINTS = (3, 5, 9)
"""bodies that are compared with dm_control's"""
HEAD_VELOCITY_Y = 1
"""place in dm_control's observation of velocities of the head's along its own y axis, m/s; the nose points to -y"""
LARGEST_ORACLE_GAP = 0.005
"""relative difference of returns from dm_control's below which both are the same swimmer"""


class Constant(NamedTuple):
    """One constant of the swimmer's model, in SI units."""

    name: str
    ours: Any
    """number or array, as MuJoCo compiled it"""
    published: Any
    """number or array of the same shape, or a number for all of them"""


def body_and_circuit(study: Study) -> None:
    """A1 and A2: the model's constants and the circuit's identities; dm_control as an independent oracle."""
    study.add(_model_row())
    study.add(_identity_row())
    study.add(oracle_row())


def _model_row() -> Row:
    """A1: the constants of docs/systems/ncap.md, "The body", that our model has otherwise."""
    env = make_env(TASK, 1)
    wrong = []
    for constant in _constants(env.sim.model, env.single_observation_space.shape):
        if not np.allclose(constant.ours, constant.published, rtol=1e-5, atol=1e-12):
            wrong.append(constant.name)
    return Row(
        name="A1 model audit, constants off",
        kind="gate",
        value=len(wrong),
        target="0",
        holds=not wrong,
        note=", ".join(wrong),
    )


def _constants(model: mujoco.MjModel, observation_shape: tuple[int, ...] | None) -> list[Constant]:
    """What A1 compares.

    Args:
        model: the swimmer with five joints.
        observation_shape: of one observation.
    """
    joint = model.joint("joint_0")
    link = model.body("link_1")
    limit_solref = model.jnt_solref[joint.id]
    limit_solimp = model.jnt_solimp[joint.id][:3]
    # The first three degrees of freedom are the root's, which has no armature.
    armature = model.dof_armature[3:]
    # MuJoCo sorts principal axes its own way: only the three moments count.
    inertia = sorted(link.inertia)
    published_inertia = sorted([8.66667e-6, 3.36667e-7, 8.33667e-6])
    sizes = [model.nq, model.nu, *(observation_shape or ())]
    published_sizes = [3 + JOINTS, JOINTS, OBSERVATION_NUMBERS]
    return [
        Constant("timestep", model.opt.timestep, 0.002),
        Constant("density", model.opt.density, 3000),
        Constant("viscosity", model.opt.viscosity, 0),
        Constant("mass", link.mass[0], 0.01),
        Constant("inertia", inertia, published_inertia),
        Constant("limit", joint.range[1], math.pi / 3),
        Constant("armature", armature, 1e-6),
        Constant("gear", model.actuator_gear[:, 0], 5e-4),
        Constant("limit solref", limit_solref, [0.05, 1]),
        Constant("limit solimp", limit_solimp, [0, 0.8, 0.1]),
        Constant("sizes", sizes, published_sizes),
    ]


def _identity_row() -> Row:
    """A2: at unit weights the first joint follows the oscillator, and each other joint the angle before it."""
    observation = torch.as_tensor(
        np.random.default_rng(0).uniform(-2, 2, (IDENTITY_STEPS, OBSERVATION_NUMBERS)),
        dtype=torch.float32,
    )
    step = torch.arange(IDENTITY_STEPS)
    command = circuit()(observation, step)[0].detach()
    # Angles count in parts of the joint's limit.
    angle = (observation[:, :JOINTS] / (math.pi / 3)).clamp(-1, 1)
    oscillator = torch.where(step % PERIOD < PERIOD // 2, 1.0, -1.0)
    head_error = (command[:, 0] - oscillator).abs().max().item()
    chain_error = (command[:, 1:] - angle[:, :-1]).abs().max().item()
    largest_error = max(head_error, chain_error)
    variants = (circuit(), circuit(speed=True, turn=True), circuit(sharing=False))
    counts = [variant.parameter_count for variant in variants]
    return Row(
        name="A2 unit-weight identity, largest error",
        kind="gate",
        value=largest_error,
        target="0",
        holds=largest_error == 0 and counts == PARAMETER_COUNTS,
        note=f"parameters {counts}",
    )


def oracle_row() -> Row:
    """The same circuit, from the same start, in dm_control's own swimmer; not run where dm_control is missing."""
    name = "dm_control oracle, relative gap of returns"
    target = f"<= {LARGEST_ORACLE_GAP}"
    reason = why_no_dm_control()
    if reason is not None:
        return Row(name, "gate", target=target, note=reason)
    gaps = []
    for joints in ORACLE_JOINTS:
        ours = score(circuit(joints), 1, joints).returns[0]
        gaps.append(abs(oracle(joints) / ours - 1))
    largest_gap = max(gaps)
    bodies = ", ".join(str(joints) for joints in ORACLE_JOINTS)
    return Row(
        name=name,
        kind="gate",
        value=largest_gap,
        target=target,
        holds=largest_gap <= LARGEST_ORACLE_GAP,
        note=f"same object in dm_control's swimmer, N = {bodies}",
    )


def oracle(joints: int) -> float:
    """Return of the untrained circuit in dm_control's own swimmer, start state 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dm_control looks for a display
        from dm_control.suite import swimmer

    env = swimmer.swimmer(n_links=joints + 1, random=0)
    controller = circuit(joints)
    state = controller.initial_state(1)
    observation = np.zeros((1, *(controller.observation_space.shape or ())), np.float32)
    time_step = env.reset()
    total = 0.0
    for _ in range(HORIZON):
        # The circuit reads angles alone: the rest of the observation stays zero.
        observation[0, :joints] = time_step.observation["joints"]
        action, state = controller(torch.as_tensor(observation.copy()), state)
        time_step = env.step(action[0].detach().numpy())
        forward_speed = -time_step.observation["body_velocities"][HEAD_VELOCITY_Y]
        total += float(np.clip(forward_speed / SPEED, 0, 1))
    return total
