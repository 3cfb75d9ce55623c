"""The untrained circuit in the NCAP study: returns, periods, turn commands and first weights (A3 to A6, A11, A12, A14)."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch.nn.utils import vector_to_parameters

from lancelet import controllers
from lancelet.controllers import Controller
from lancelet.envs.swim import HEADING
from lancelet.scripts.rows import Row
from lancelet.scripts.studies.ncap.episodes import JOINTS, NAVIGATE, TASK, circuit, score
from lancelet.scripts.studies.ncap.published import PER_SEED, PERIODS, UNTRAINED
from lancelet.scripts.studies.swimming import com_speed
from lancelet.scripts.study import Study
from lancelet.training.rollout import Score
from lancelet.training.statistics import interval

START_STATES = 10
"""episodes of each body and of each floor (A3 to A5)"""
LARGEST_GAP_PER_SEED = 0.5
"""difference from the published code's return of the same start state"""

SCANNED_JOINTS = (5, 11, 13)
"""bodies whose oscillator's period is scanned (A6)"""
PERIOD_START_STATES = 2
"""episodes of each period"""
GOOD_PERIOD_RETURN = 950
"""return that the best periods of the longer bodies exceed"""

EPISODE_SECONDS = 30
"""length of an episode"""
LEAST_TURN = 0.2
"""rad/s, yaw rate of a turn command at least"""
GREATEST_TURN = 0.4
"""rad/s, yaw rate of a turn command at most"""
LEAST_TURN_RETURN = 500
"""return of a swimmer that still swims while it turns"""
TURN_SIGNS = {"right": -1, "left": 1}
"""side -> sign of the yaw rate"""
YAW_RATES = {0.5: 0.25, 0.75: 0.35}
"""turn command -> yaw rate to the left with the published code, rad/s"""
FIXED_STEERING = {0.0: 0.2, 0.5: 0.7, 0.75: 0.8}
"""weight of the turn command -> share of episodes that reach the target, with the published code"""
NAVIGATE_START_STATES = 20
"""episodes of each weight of the turn command"""

SIGN_PATTERNS = tuple(itertools.product((1.0, -1.0), repeat=4))
"""all patterns of unit weights of either sign, one a synapse class (A11)"""


class Floor(NamedTuple):
    """What is left of the swimmer without a part of the circuit (A5)."""

    name: str
    controller: Controller
    low: float
    """least mean return that holds"""
    high: float
    """greatest mean return that holds"""
    reference: float
    """mean return with the published code"""


class Peak(NamedTuple):
    """One of the two good ranges of the oscillator's period in a longer body (A6)."""

    joints: int
    name: str
    periods: tuple[int, ...]
    """periods that are looked at, control steps"""
    reference: float
    """best return with the published code"""


PEAKS = (
    Peak(joints=11, name="near 40", periods=(30, 40, 50), reference=962),
    Peak(joints=11, name="near 80-100", periods=(70, 80, 100), reference=959),
    Peak(joints=13, name="near 40", periods=(30, 40, 50), reference=954),
    Peak(joints=13, name="near 80-100", periods=(70, 80, 100), reference=960),
)


# As it is born


def untrained(study: Study) -> dict[int, np.ndarray]:
    """A3 to A5: the circuit as it is born, in six bodies, and what is left without its parts.

    Returns:
        joints -> returns of the ten start states, (10,).
    """
    scores = {joints: score(circuit(joints), START_STATES, joints) for joints in UNTRAINED}
    _five_joints(study, scores[JOINTS])
    for joints, reference in UNTRAINED.items():
        if joints == JOINTS:
            continue
        returns = scores[joints].returns
        study.within(
            f"A4 untrained, N = {joints}",
            "gate",
            returns.mean(),
            low=0.98 * reference,
            high=1.02 * reference,
            reference=reference,
            interval=interval(returns),
            seeds=START_STATES,
            note=com_speed(scores[joints]),
        )
    _floors(study)
    return {joints: result.returns for joints, result in scores.items()}


def _five_joints(study: Study, result: Score) -> None:
    """A3: the swimmer that the paper trains, on average and start state by start state."""
    study.within(
        f"A3 untrained, N = {JOINTS}",
        "gate",
        result.returns.mean(),
        low=785,
        high=812,
        reference=UNTRAINED[JOINTS],
        interval=interval(result.returns),
        seeds=START_STATES,
        note=com_speed(result),
    )
    largest_gap = float(np.abs(result.returns - PER_SEED).max())
    study.add(
        Row(
            name="A3 untrained, largest gap per seed",
            kind="gate",
            value=largest_gap,
            target=f"<= {LARGEST_GAP_PER_SEED}",
            holds=largest_gap <= LARGEST_GAP_PER_SEED,
            seeds=START_STATES,
        )
    )


def _floors(study: Study) -> None:
    """A5: returns without a circuit, and without one of its parts."""
    env = gym.make(TASK)
    floors = (
        Floor(
            name="zero action",
            controller=controllers.make("zero", env),
            low=0,
            high=0,
            reference=0.0,
        ),
        Floor(
            name="random actions",
            controller=controllers.make("random", env),
            low=70,
            high=115,
            reference=90.4,
        ),
        Floor(
            name="no proprioception",
            controller=circuit(proprioception=False),
            low=110,
            high=150,
            reference=129.8,
        ),
        Floor(
            name="no head oscillator",
            controller=circuit(oscillator=False),
            low=0,
            high=200,
            reference=49.7,
        ),
    )
    for floor in floors:
        result = score(floor.controller, START_STATES)
        study.within(
            f"A5 floor: {floor.name}",
            "gate",
            result.returns.mean(),
            low=floor.low,
            high=floor.high,
            reference=floor.reference,
            interval=interval(result.returns),
            seeds=START_STATES,
            note=com_speed(result),
        )


# Other periods


def periods(study: Study) -> dict[int, list[float]]:
    """A6: return over the oscillator's period.

    Returns:
        joints -> mean return at each of `PERIODS`.
    """
    scores: dict[int, dict[int, Score]] = {}
    for joints in SCANNED_JOINTS:
        scores[joints] = {}
        for period in PERIODS:
            controller = circuit(joints, period=period)
            scores[joints][period] = score(controller, PERIOD_START_STATES, joints)

    best_period, best_result = _best_period(scores[JOINTS])
    study.within(
        f"A6 best period, N = {JOINTS}",
        "gate",
        best_period,
        low=60,
        high=80,
        reference=70,
        seeds=PERIOD_START_STATES,
        note=f"return {best_result.returns.mean():.0f}, {com_speed(best_result)}",
    )
    for peak in PEAKS:
        near_peak = {period: scores[peak.joints][period] for period in peak.periods}
        _, best_result = _best_period(near_peak)
        value = float(best_result.returns.mean())
        study.add(
            Row(
                name=f"A6 period {peak.name}, N = {peak.joints}",
                kind="gate",
                value=value,
                target=f"> {GOOD_PERIOD_RETURN}",
                holds=value > GOOD_PERIOD_RETURN,
                seeds=PERIOD_START_STATES,
                reference=peak.reference,
                note=com_speed(best_result),
            )
        )
    return {
        joints: [result.returns.mean() for result in by_period.values()]
        for joints, by_period in scores.items()
    }


def _best_period(scores: dict[int, Score]) -> tuple[int, Score]:
    """The period with the greatest mean return, the first of them where several are equal, and its episodes."""
    best = max(scores, key=lambda period: scores[period].returns.mean())
    return best, scores[best]


# Turn commands


def steering(study: Study, navigate: bool) -> None:
    """A14: the turn command turns the right way; with a front-end it finds targets.

    Args:
        study: takes the rows.
        navigate: whether targets are looked for too.
    """
    for command in YAW_RATES:
        for side in TURN_SIGNS:
            _turn(study, side, command)
    if not navigate:
        return
    for weight, reference in FIXED_STEERING.items():
        _navigate(study, weight, reference)


def _turn(study: Study, side: str, command: float) -> None:
    """A14: yaw rate of the swimmer under a constant turn command.

    Args:
        study: takes the row.
        side: "right" or "left".
        command: strength of the turn, 0 to 1.
    """
    sign = TURN_SIGNS[side]
    turn = {"right": 0.0, "left": 0.0}
    turn[side] = command
    speed_and_turns = (1.0, turn["right"], turn["left"])
    result = score(circuit(turn=True, command=speed_and_turns), 1, record=True)
    # The heading of the record is not wrapped: whole turns count.
    heading = result.record["qpos"][:, HEADING]
    yaw_rate = float(heading[-1] - heading[0]) / EPISODE_SECONDS
    episode_return = float(result.returns[0])
    turns = LEAST_TURN <= sign * yaw_rate <= GREATEST_TURN
    note = f"rad/s; return {episode_return:.0f}, needs > {LEAST_TURN_RETURN}; {com_speed(result)}"
    study.add(
        Row(
            name=f"A14 turn {side}, command {command}: yaw rate",
            kind="gate",
            value=yaw_rate,
            target=f"{sign * LEAST_TURN} .. {sign * GREATEST_TURN}",
            holds=turns and episode_return > LEAST_TURN_RETURN,
            seeds=1,
            reference=sign * YAW_RATES[command],
            note=note,
        )
    )


def _navigate(study: Study, weight: float, reference: float) -> None:
    """How often the circuit reaches a target with a steering that is not learned.

    Args:
        study: takes the row.
        weight: of the turn command.
        reference: share of episodes with the published code.
    """
    ncap = circuit(task=NAVIGATE, turn=True, speed=True, steering="hard")
    # Through `data`: the weight is a parameter, and this is no step of learning.
    ncap.turn.data.fill_(weight)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    result = score(ncap, NAVIGATE_START_STATES, task=NAVIGATE)
    reached = result.metrics["success"]
    study.add(
        Row(
            name=f"Navigate, fixed steering, w_t = {weight}: nose reached the target",
            kind="info",
            value=float(reached.mean()),
            seeds=NAVIGATE_START_STATES,
            interval=interval(reached),
            note=com_speed(result),
            reference=reference,
        )
    )


# Other first weights


def initial_signs(study: Study) -> None:
    """A11 at its start: unit weights of either sign, every one of the 16 patterns."""
    ncap = circuit(sign=False)
    scores = []
    for pattern in SIGN_PATTERNS:
        vector_to_parameters(torch.tensor(pattern), ncap.parameters())
        scores.append(score(ncap, 1))
    returns = [float(result.returns[0]) for result in scores]
    mean = float(np.mean(returns))
    best = int(np.argmax(returns))
    episodes = f"all {len(SIGN_PATTERNS)} sign patterns, start state 0"
    study.add(
        Row(
            name="A11 no sign constraint, untrained mean",
            kind="claim",
            value=mean,
            target="< 200",
            holds=mean < 200,
            seeds=len(SIGN_PATTERNS),
            note=f"{episodes}; {com_speed(*scores)}",
        )
    )
    study.within(
        "A11 no sign constraint, best pattern",
        "claim",
        returns[best],
        low=784,
        high=804,
        # The pattern (+, +, +, -) is the circuit itself.
        reference=PER_SEED[0],
        seeds=len(SIGN_PATTERNS),
        note=f"{episodes}; {com_speed(scores[best])}",
    )


def magnitudes(study: Study, seeds: int) -> None:
    """A12 at its start: signs kept, magnitudes uniform; `seeds` draws of the weights."""
    scores = [score(circuit(init="uniform", seed=seed), 1) for seed in range(seeds)]
    returns = np.array([result.returns[0] for result in scores])
    study.within(
        "A12 uniform magnitudes, untrained mean",
        "claim",
        returns.mean(),
        low=100,
        high=400,
        reference=226.0,
        interval=interval(returns),
        seeds=seeds,
        note=com_speed(*scores),
    )
