"""Closed-loop tests of the blimp study: the flights of the paper in simulation (R4 to R9; gates G5 to G9).

What each row asks stands in docs/systems/blimp.md, "Row codes".
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from lancelet import training
from lancelet.controllers import Controller, Population
from lancelet.controllers.sum import Sum
from lancelet.morphology.blimp import CALIBRATED
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.blimp.plant import HEAVY, RATE, TASK, Profile, pid
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env, rollout
from lancelet.training.statistics import interval
from lancelet.training.trainer import VALIDATION, start_seeds

Metrics = dict[str, np.ndarray]
"""metric of the task -> its values, one row a pilot"""
STARTS = 10
"""flights of every network in every test"""
START_STREAM = 5
"""seed of how the starts of a test differ: the same for every pilot and test"""
BALLAST_SPREAD = (-0.1, 0.2)
"""command units by which the ballast differs between starts, as in the logs"""
HEIGHT_SPREAD = (-0.05, 0.05)
"""m by which the height differs between starts"""
CENTIMETRES = 100
"""in a metre"""

NEUTRAL_START = 1.5
"""m, where the flights of R4 begin"""
NEUTRAL_STEPS = (1.0, 0.5, 0.0, -0.5, -1.0)
"""m, steps of the reference in R4"""
MOST_OSCILLATION = 1.5
"""of a spiking PD over the PD law's (G5)"""

HEAVY_START = 1.0
"""m, where flights with ballast begin"""
REFERENCES = (0.5, 1.0, 1.5)
"""m, of R6, from `HEAVY_START`"""
DOWN = 0
"""place in `REFERENCES` of the step down"""
UP = 2
"""place in `REFERENCES` of the step up"""
LARGEST_ERROR_OF_I: dict[str, float | None] = {
    "iwta-lif": 0.02,
    "r-lif": 0.05,
    "r-iwta-lif": 0.05,
    "lif": None,
}
"""structure of a spiking I -> m, steady-state error that the paper reports with a PD law (R5); None: it reports none"""
LARGEST_ERROR_OF_BEST_I = 0.03
"""m, of a PD law with the best spiking I (G6)"""
LARGEST_ERROR_OF_PAIR = 0.04
"""m, of the full spiking controller (G6)"""

DRAWS = 50
"""buoyancies of G7"""
DRAW_STREAM = 7
"""seed of these buoyancies"""
LARGEST_BALLAST = 4
"""command units, of these buoyancies, up and down"""
HELD_ERROR = 0.05
"""m, steady-state error up to which a buoyancy counts as held"""
HELD_SECONDS = 140
"""s, flight under each of these buoyancies"""
VALIDATED = 8
"""flights that choose the pair"""

WARM_UP_STEPS = 20
"""steps before the time of a step is measured: the first calls are slower"""
TIMED_STEPS = 300
"""steps that the time of a step is the mean of"""


def fly(
    pilots: Controller | Sequence[Controller],
    reference: float | Profile,
    ballast: float | np.ndarray = 0.0,
    starts: int = STARTS,
    **task: Any,
) -> Metrics:
    """Fly every pilot from every start, all side by side.

    A heavy blimp starts at 1 m with a ballast that differs by up to 0.2 units between starts, as in the logs; a neutral
    one from 0.95 to 1.05 m. An array of ballasts is taken as it is.

    Args:
        pilots: one, or several of one structure.
        reference: m, constant or a profile.
        ballast: command units, or (starts,) of them.
        starts: how many flights every pilot makes.
        **task: further fields of the task, and ``max_episode_steps``.

    Returns:
        Metric -> (pilots, starts).
    """
    if isinstance(pilots, Controller):
        pilots = [pilots]
    random = np.random.default_rng(START_STREAM)
    heights = np.ones((starts, 1))
    # Something must differ between starts: the ballast of a heavy blimp, the height of a neutral one.
    is_one_ballast = np.ndim(ballast) == 0
    if is_one_ballast and ballast:
        ballast = ballast + random.uniform(*BALLAST_SPREAD, starts)
    elif is_one_ballast:
        heights += random.uniform(*HEIGHT_SPREAD, (starts, 1))
    options = {
        "qpos": np.tile(heights, (len(pilots), 1)),
        "ballast": np.tile(np.broadcast_to(ballast, starts), len(pilots)),
    }
    # Every flight has the same seed: starts differ by the options alone.
    return _side_by_side(pilots, [0] * starts, options, reference=reference, **task)


def _side_by_side(
    pilots: Sequence[Controller],
    seeds: list[int],
    options: Mapping[str, Any] | None = None,
    **task: Any,
) -> Metrics:
    """Fly every pilot once from every seed.

    Args:
        pilots: of one structure.
        seeds: of the flights of each pilot.
        options: of the reset, (pilots * seeds, ...) each, pilot by pilot.
        **task: fields of the task, and ``max_episode_steps``.

    Returns:
        Metric, and ``failed``, -> (pilots, seeds).
    """
    env = make_env(TASK, len(pilots) * len(seeds), **task)
    genomes = torch.stack([parameters_to_vector(pilot.parameters()).detach() for pilot in pilots])
    agents = Population(pilots[0], env.num_envs, genomes)
    score, _ = rollout(env, agents, seeds * len(pilots), options)
    metrics = score.metrics | {"failed": score.failed}
    return {name: values.reshape(len(pilots), len(seeds)) for name, values in metrics.items()}


def step_flight(start: float, end: float, hold: float = 70.0) -> dict[str, Any]:
    """Task options of a flight with one step of the reference.

    Args:
        start: m, the reference for the first `hold` seconds.
        end: m, the reference for as long again; equal to `start`: there is no step.
        hold: s.
    """
    profile: Profile = ((0.0, start),)
    if end != start:
        profile = ((0.0, start), (hold, end))
    return {"reference": profile, "max_episode_steps": round(2 * RATE * hold)}


def spaces() -> Any:
    """An environment of the task, for its spaces."""
    return make_env(TASK, 1)


def fly_all(pilots: Sequence[Controller], flights: Sequence[Mapping[str, Any]]) -> Metrics:
    """Fly every pilot in every flight.

    Args:
        pilots: of one structure.
        flights: arguments of `fly`.

    Returns:
        Metric -> (pilots, flights, starts).
    """
    by_flight = [fly(pilots, **flight) for flight in flights]
    result = {}
    for name in by_flight[0]:
        result[name] = np.stack([metrics[name] for metrics in by_flight], axis=1)
    return result


def heavy(pilots: Sequence[Controller], **task: Any) -> Metrics:
    """Fly R6: negatively buoyant, from 1 m to each reference.

    Args:
        pilots: of one structure.
        **task: further fields of the task.

    Returns:
        Metric -> (pilots, `REFERENCES`, starts).
    """
    flights = [{"ballast": HEAVY, **task, **step_flight(HEAVY_START, end)} for end in REFERENCES]
    return fly_all(pilots, flights)


@functools.cache
def pid_overshoot() -> np.ndarray:
    """Overshoot of PID in R6, m, (1, `REFERENCES`, starts): what every network is held against.

    The flights have no chance in them, so that they are flown once.
    """
    return heavy([pid()])["overshoot"]


def _over_networks(values: np.ndarray) -> dict[str, Any]:
    """Fields of a row whose value is the mean of `values` (networks, ...): its interval and seeds.

    The interval is over networks where there are several, else over the flights of the one.
    """
    # The unit is the training: flights of one network say little about another.
    sample = values.reshape(len(values), -1).mean(1)
    if len(values) == 1:
        sample = values.ravel()
    return {"interval": interval(sample), "seeds": len(values)}


def neutral(study: Study, pd: Mapping[str, Sequence[Controller]]) -> None:
    """R4, G5, G8: spiking PD alone on the neutral blimp, against the PD law.

    Args:
        study: takes the rows.
        pd: structure -> its trainings; the gate is on the structure that flew (`lif`), all have rows of their own.
    """
    flights = [
        step_flight(NEUTRAL_START, NEUTRAL_START + size, hold=50.0) for size in NEUTRAL_STEPS
    ]
    of_law = float(fly_all([pid(ki=0.0)], flights)["oscillation"].mean())
    oscillation = {
        structure: fly_all(networks, flights)["oscillation"] for structure, networks in pd.items()
    }
    of_lif = oscillation["lif"]
    ratios = of_lif.mean(axis=(1, 2)) / of_law
    within_count = int((ratios <= MOST_OSCILLATION).sum())
    note = (
        f"+-{CENTIMETRES * of_lif.mean():.1f} cm against +-{CENTIMETRES * of_law:.1f} cm of PD; "
        f"{len(flights)} steps, {STARTS} starts each; pooled over trainings: "
        f"{within_count} of {len(ratios)} are within the target by themselves (rows below)"
    )
    name = "G5 neutral: oscillation of spiking PD over PD's"
    study.add(
        at_most(
            name,
            "gate",
            float(ratios.mean()),
            MOST_OSCILLATION,
            reference="1 (R4: both +-6 cm)",
            interval=interval(ratios),
            seeds=len(ratios),
            note=note,
        )
    )
    for structure, of_trainings in oscillation.items():
        for training_seed, of_training in enumerate(of_trainings):
            study.add(
                at_most(
                    f"{name}, {structure}, training {training_seed}",
                    "info",
                    float(of_training.mean() / of_law),
                    MOST_OSCILLATION,
                    interval=interval(of_training.ravel() / of_law),
                    seeds=1,
                    note=f"results/blimp/pd-{structure}-{training_seed}.safetensors",
                )
            )
    study.add(
        at_most(
            "G8 oscillation of spiking PD (m)",
            "claim",
            float(of_lif.mean()),
            0.3,
            reference="0.3 (R9, the controller before)",
            **_over_networks(of_lif),
        )
    )


def integral(study: Study, by_structure: Mapping[str, Sequence[Controller]]) -> None:
    """R5, G6: conventional PD and a spiking I, negatively buoyant.

    Args:
        study: takes the rows.
        by_structure: structure -> its trainings in the role I.
    """
    proportional_derivative = pid(ki=0.0, derivative="mean")
    flights = [{"ballast": HEAVY, **step_flight(HEAVY_START, end)} for end in (1.5, 0.5)]
    for structure, networks in by_structure.items():
        pilots = [Sum.of(proportional_derivative, network) for network in networks]
        errors = fly_all(pilots, flights)["steady_state_error"]
        name = f"R5 PD law + {structure} I: steady-state error (m)"
        mean = float(errors.mean())
        limit = LARGEST_ERROR_OF_I[structure]
        if limit is None:
            study.add(Row(name, "info", mean, **_over_networks(errors)))
        else:
            row = at_most(name, "claim", mean, limit, reference=limit, **_over_networks(errors))
            study.add(row)
        # The paper too flew one network of this structure, of 30 runs.
        if structure == "iwta-lif":
            best = int(np.argmin(validation(pilots)))
            of_best = errors[[best]]
            study.add(
                at_most(
                    "G6 PD law + IWTA I: steady-state error (m)",
                    "gate",
                    float(of_best.mean()),
                    LARGEST_ERROR_OF_BEST_I,
                    note=f"of {len(networks)} seeds, chosen by validation flights; all: R5",
                    **_over_networks(of_best),
                )
            )


def validation(pilots: Sequence[Controller]) -> np.ndarray:
    """Mean steady-state error (m) of each pilot on validation starts: drawn references, ballast from -4 to 4 units."""
    seeds = start_seeds(VALIDATION, seed=0, generation=2, count=VALIDATED)
    metrics = _side_by_side(pilots, seeds, ballast=None)
    # A pilot that fails once must not be chosen for its other flights.
    return np.where(metrics["failed"], np.inf, metrics["steady_state_error"]).mean(1)


def pairs(study: Study, pilots: Sequence[Controller]) -> None:
    """R6 for every pair of PD and I networks of equal seed, chosen or not."""
    errors = heavy(pilots)["steady_state_error"]
    by_pair = [f"{CENTIMETRES * error:.1f} cm" for error in errors.mean((1, 2))]
    study.add(
        Row(
            "R6 full SNN, a pair a seed: steady-state error (m)",
            "info",
            float(errors.mean()),
            reference=0.03,
            note="PD and I of equal seed; " + ", ".join(by_pair),
            **_over_networks(errors),
        )
    )


def full_controller(study: Study, pilots: Sequence[Controller], name: str = "") -> None:
    """R6 to R8, G6 and the goals beyond the paper: the full spiking controller with ballast, against PID and PD.

    Args:
        study: takes the rows.
        pilots: full spiking controllers of one structure.
        name: of a controller beyond the paper, which has the rows beyond the paper alone; empty: the paper's.
    """
    metrics = heavy(pilots)
    errors = metrics["steady_state_error"]
    overshoot = metrics["overshoot"]
    by_reference = ", ".join(
        f"{end:g} m: {CENTIMETRES * errors[:, place].mean():.1f} cm"
        for place, end in enumerate(REFERENCES)
    )
    if not name:
        _add_paper_rows(study, errors, overshoot, by_reference)
    label = name or "full SNN"
    study.add(
        at_most(
            f"beyond: {label}, steady-state error (m)",
            "claim",
            float(errors.mean()),
            0.02,
            note=by_reference,
            **_over_networks(errors),
        )
    )
    steps = [DOWN, UP]
    ours = overshoot[:, steps].mean()
    of_pid = pid_overshoot()[:, steps].mean()
    note = (
        f"{CENTIMETRES * ours:.1f} cm against {CENTIMETRES * of_pid:.1f} cm, "
        "steps of 0.5 m up and down"
    )
    study.add(
        at_most(
            f"beyond: {label}, overshoot over PID's",
            "claim",
            float(ours / of_pid),
            1.0,
            note=note,
            seeds=len(pilots),
        )
    )


def _add_paper_rows(
    study: Study, errors: np.ndarray, overshoot: np.ndarray, by_reference: str
) -> None:
    """R6 to R8 and G6: the full spiking controller as in the paper.

    Args:
        study: takes the rows.
        errors: m, steady-state error in R6, (pilots, `REFERENCES`, starts).
        overshoot: m, in the same flights.
        by_reference: mean error for each reference, in words.
    """
    study.add(
        at_most(
            "G6 full SNN: steady-state error (m)",
            "gate",
            float(errors.mean()),
            LARGEST_ERROR_OF_PAIR,
            reference=0.03,
            note=by_reference,
            **_over_networks(errors),
        )
    )
    of_pd = heavy([pid(ki=0.0)])["steady_state_error"]
    study.add(at_least("G6 PD alone: steady-state error (m)", "gate", float(of_pd.mean()), 0.25))
    pid_up = pid_overshoot()[:, UP]
    study.add(
        Row(
            "R7 PID: overshoot of the step up (m)",
            "info",
            float(pid_up.mean()),
            reference=0.14,
            **_over_networks(pid_up),
        )
    )
    pid_down = pid_overshoot()[:, DOWN]
    study.add(
        Row(
            "R7 PID: overshoot of the step down (m)",
            "info",
            float(pid_down.mean()),
            reference=0.20,
            **_over_networks(pid_down),
        )
    )
    down_less_up = overshoot[:, DOWN] - overshoot[:, UP]
    study.add(
        at_least(
            "R8 full SNN: overshoot down less overshoot up (m)",
            "claim",
            float(down_less_up.mean()),
            0.0,
            reference="down > up",
            **_over_networks(down_less_up),
        )
    )


def buoyancies(study: Study, pilots: Sequence[Controller], name: str = "full SNN") -> None:
    """G7: buoyancy from -4 to 4 units without retraining.

    Args:
        study: takes the row.
        pilots: of one structure.
        name: of the controller in the row.
    """
    held = _held(pilots)
    note = (
        f"steady-state error <= {CENTIMETRES * HELD_ERROR:g} cm, {DRAWS} buoyancies, "
        f"{HELD_SECONDS} s; PID: {_share_held_by_pid():.2f}"
    )
    study.add(
        at_least(
            f"G7 {name}: share of buoyancies held",
            "claim",
            float(held.mean()),
            0.9,
            note=note,
            **_over_networks(held),
        )
    )


def _held(pilots: Controller | Sequence[Controller]) -> np.ndarray:
    """1 where a pilot holds its height under a drawn buoyancy, else 0, (pilots, `DRAWS`)."""
    random = np.random.default_rng(DRAW_STREAM)
    ballast = random.uniform(-LARGEST_BALLAST, LARGEST_BALLAST, DRAWS)
    metrics = fly(
        pilots,
        reference=1.5,
        ballast=ballast,
        starts=DRAWS,
        max_episode_steps=HELD_SECONDS * RATE,
    )
    return (metrics["steady_state_error"] <= HELD_ERROR).astype(float)


@functools.cache
def _share_held_by_pid() -> float:
    """Share of the buoyancies of G7 that PID holds; the flights have no chance in them."""
    return float(_held(pid()).mean())


def calibrated(study: Study, pilots: Sequence[Controller]) -> None:
    """The same networks on the plant fitted to the logs, which they never saw."""
    errors = heavy(pilots, body={"name": "blimp", **CALIBRATED})["steady_state_error"]
    study.add(
        Row(
            "full SNN on the calibrated plant: steady-state error (m)",
            "info",
            float(errors.mean()),
            **_over_networks(errors),
        )
    )


def costs(study: Study, full: Controller) -> None:
    """G9: spikes, synaptic operations and time, which nobody has reported.

    Args:
        study: takes the rows.
        full: sum of a PD network and an I network.
    """
    record = training.evaluate(
        full, TASK, 1, seed=0, options={"ballast": HEAVY}, reference=1.5, record=True
    ).record
    for term, role in (("1", "PD"), ("2", "I")):
        for layer in ("encoder", "hidden"):
            spikes = record[f"signal.{term}.{layer}"]
            spikes_a_second = float(spikes.sum(1).mean() * RATE)
            note = f"{spikes.shape[1]} neurons, {RATE} Hz, a 70 s flight with ballast"
            name = f"G9 spikes per second, {role} {layer}"
            study.add(Row(name, "info", spikes_a_second, note=note))
        operations = record[f"signal.{term}.operations"]
        name = f"G9 synaptic operations per step, {role}"
        study.add(Row(name, "info", float(operations.mean())))
    study.add(
        Row(
            "G9 wall time per step (ms)",
            "info",
            1000 * _seconds_a_step(full),
            note=f"torch {torch.__version__}, one agent",
        )
    )


def _seconds_a_step(pilot: Controller) -> float:
    """Wall time of one step of one agent, s."""
    agents = Population(pilot, 1)
    state = agents.initial_state()
    observation = np.full((1, 1), 0.3, np.float32)
    for _ in range(WARM_UP_STEPS):
        _, state = agents(observation, state)
    begun = time.perf_counter()
    for _ in range(TIMED_STEPS):
        _, state = agents(observation, state)
    return (time.perf_counter() - begun) / TIMED_STEPS
