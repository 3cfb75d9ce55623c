"""Closed-loop tests of the blimp study: the flights of the paper in simulation (R4 to R9; gates G5 to G9)."""

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
from lancelet.scripts.studies.blimp.plant import HEAVY, TASK, pid
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env, rollout
from lancelet.training.statistics import interval
from lancelet.training.trainer import VALIDATION, start_seeds

STARTS = 10
"""flights of every network in every test"""
NEUTRAL = (1.0, 0.5, 0.0, -0.5, -1.0)
"""m, steps of R4, from 1.5 m"""
MOST_OSCILLATION = 1.5
"""of a spiking PD over the PD law's (G5)"""
REFERENCES = (0.5, 1.0, 1.5)
"""m, of R6"""
DRAWS, VALIDATED = 50, 8
"""buoyancies of G7; flights that choose the pair"""


def fly(
    pilots: Controller | Sequence[Controller],
    reference: Any,
    ballast: Any = 0.0,
    starts: int = STARTS,
    **task: Any,
) -> dict[str, np.ndarray]:
    """Metrics (pilots, starts) of flights that every pilot (of one structure) makes; all side by side.

    A heavy blimp starts at 1 m with a ballast that differs by up to 0.2 units between starts, as in the logs; a neutral
    one from 0.95 to 1.05 m. An array of ballasts is taken as it is.
    """
    pilots = [pilots] if isinstance(pilots, Controller) else list(pilots)
    random, heights = np.random.default_rng(5), np.ones((starts, 1))
    if np.ndim(ballast) == 0 and ballast:
        ballast = ballast + random.uniform(-0.1, 0.2, starts)
    elif np.ndim(ballast) == 0:
        heights += random.uniform(-0.05, 0.05, (starts, 1))
    count = len(pilots)
    options = {
        "qpos": np.tile(heights, (count, 1)),
        "ballast": np.tile(np.broadcast_to(ballast, starts), count),
    }
    return _side_by_side(pilots, [0] * starts, options, reference=reference, **task)


def _side_by_side(
    pilots: Sequence[Controller],
    seeds: list[int],
    options: Mapping[str, Any] | None = None,
    **task: Any,
) -> dict[str, np.ndarray]:
    """Metrics and ``failed`` (pilots, seeds) of one flight of every pilot from every seed."""
    env = make_env(TASK, len(pilots) * len(seeds), **task)
    genomes = torch.stack([parameters_to_vector(pilot.parameters()).detach() for pilot in pilots])
    score, _ = rollout(
        env, Population(pilots[0], env.num_envs, genomes), seeds * len(pilots), options
    )
    metrics = score.metrics | {"failed": score.failed}
    return {name: values.reshape(len(pilots), len(seeds)) for name, values in metrics.items()}


def step(start: float, end: float, hold: float = 70.0) -> dict[str, Any]:
    """Task options of a flight that holds `start` for `hold` seconds, then `end` as long."""
    profile = ((0.0, start), (hold, end)) if end != start else ((0.0, start),)
    return {"reference": profile, "max_episode_steps": round(20 * hold)}


def space() -> Any:
    """An environment, for its spaces."""
    return make_env(TASK, 1)


def each(
    pilots: Sequence[Controller], flights: Sequence[Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Metrics of every pilot in every flight, (pilots, flights, starts)."""
    flown = [fly(pilots, **flight) for flight in flights]
    return {name: np.stack([metrics[name] for metrics in flown], axis=1) for name in flown[0]}


def heavy(pilots: Sequence[Controller], **flight: Any) -> dict[str, np.ndarray]:
    """Metrics of R6's flights, (pilots, `REFERENCES`, starts): negatively buoyant, from 1 m to each reference."""
    return each(pilots, [{"ballast": HEAVY, **flight, **step(1.0, end)} for end in REFERENCES])


@functools.cache
def heavy_law() -> np.ndarray:
    """Overshoot of PID in these flights, (1, `REFERENCES`, starts): what every network is held against."""
    return heavy([pid()])["overshoot"]


def _row(values: np.ndarray) -> dict[str, Any]:
    """Mean over networks with its interval: by network where there are several, else by flight."""
    networks = values.reshape(len(values), -1).mean(1)
    return {
        "interval": interval(networks if len(networks) > 1 else values.ravel()),
        "seeds": len(values),
    }


def neutral(study: Study, pd: Mapping[str, Sequence[Controller]]) -> None:
    """R4, G5, G8: spiking PD alone on the neutral blimp, against the PD law.

    Args:
        study: takes the rows.
        pd: structure -> its trainings; the gate is on the structure that flew (`lif`), all have rows of their own.
    """
    flights = [step(1.5, 1.5 + size, 50.0) for size in NEUTRAL]
    law = float(each([pid(ki=0.0)], flights)["oscillation"].mean())
    oscillation = {
        structure: each(networks, flights)["oscillation"] for structure, networks in pd.items()
    }
    flown = oscillation["lif"]
    ratios = flown.mean(axis=(1, 2)) / law
    within = int((ratios <= MOST_OSCILLATION).sum())
    note = (
        f"+-{100 * flown.mean():.1f} cm against +-{100 * law:.1f} cm of PD; 5 steps, {STARTS} starts each; "
        f"pooled over trainings: {within} of {len(ratios)} are within the target by themselves (rows below)"
    )
    rest: dict[str, Any] = {
        "reference": "1 (R4: both +-6 cm)",
        "interval": interval(ratios),
        "seeds": len(ratios),
    }
    name = "G5 neutral: oscillation of spiking PD over PD's"
    study.add(at_most(name, "gate", float(ratios.mean()), MOST_OSCILLATION, note=note, **rest))
    for structure, found in oscillation.items():
        for training_seed, one in enumerate(found):
            label = f"{name}, {structure}, training {training_seed}"
            value = float(one.mean() / law)
            between = interval(one.ravel() / law)
            shown = f"results/blimp/pd-{structure}-{training_seed}.safetensors"
            study.add(
                at_most(
                    label, "info", value, MOST_OSCILLATION, interval=between, seeds=1, note=shown
                )
            )
    study.add(at_most("G8 oscillation of spiking PD (m)", "claim", float(flown.mean()), 0.3,
                      reference="0.3 (R9, the controller before)", **_row(flown)))  # fmt: skip


def integral(study: Study, i: Mapping[str, Sequence[Controller]]) -> None:
    """R5, G6: conventional PD and a spiking I, negatively buoyant."""
    pd = pid(ki=0.0, derivative="mean")
    flights = [{"ballast": HEAVY, **step(1.0, end)} for end in (1.5, 0.5)]
    limits = {"iwta-lif": 0.02, "r-lif": 0.05, "r-iwta-lif": 0.05, "lif": None}
    for structure, networks in i.items():
        found = each([Sum.of(pd, one) for one in networks], flights)["steady_state_error"]
        name = f"R5 PD law + {structure} I: steady-state error (m)"
        limit, rest = limits[structure], _row(found)
        if limit is None:
            study.add(Row(name, "info", float(found.mean()), **rest))
        else:
            study.add(at_most(name, "claim", float(found.mean()), limit, reference=limit, **rest))
        if structure == "iwta-lif":  # the paper too flew one network, of 30 runs
            chosen = found[[np.argmin(validation([Sum.of(pd, one) for one in networks]))]]
            note = f"of {len(networks)} seeds, chosen by validation flights; all: R5"
            study.add(at_most("G6 PD law + IWTA I: steady-state error (m)", "gate", float(chosen.mean()), 0.03,
                              note=note, **_row(chosen)))  # fmt: skip


def validation(pilots: Sequence[Controller]) -> np.ndarray:
    """Mean steady-state error (m) of each pilot on validation starts: drawn references, ballast from -4 to 4 units."""
    flown = _side_by_side(pilots, start_seeds(VALIDATION, 0, 2, VALIDATED), ballast=None)
    return np.where(flown["failed"], np.inf, flown["steady_state_error"]).mean(1)


def pairs(study: Study, full: Sequence[Controller]) -> None:
    """R6 for every pair of equal seed, chosen or not."""
    error = heavy(full)["steady_state_error"]
    note = "PD and I of equal seed; " + ", ".join(
        f"{100 * value:.1f} cm" for value in error.mean((1, 2))
    )
    study.add(Row("R6 full SNN, a pair a seed: steady-state error (m)", "info", float(error.mean()), reference=0.03,
                  note=note, **_row(error)))  # fmt: skip


def whole(study: Study, full: Sequence[Controller], name: str = "") -> None:
    """R6 to R8, G6 and the goals beyond the paper: the full spiking controller with ballast, against PID and PD."""
    flown, reference = heavy(full), heavy_law()
    error, over = flown["steady_state_error"], flown["overshoot"]
    label = name or "full SNN"
    per = ", ".join(
        f"{end:g} m: {100 * error[:, k].mean():.1f} cm" for k, end in enumerate(REFERENCES)
    )
    if not name:
        study.add(at_most("G6 full SNN: steady-state error (m)", "gate", float(error.mean()), 0.04,
                          reference=0.03, note=per, **_row(error)))  # fmt: skip
        alone = heavy([pid(ki=0.0)])["steady_state_error"]
        study.add(
            at_least("G6 PD alone: steady-state error (m)", "gate", float(alone.mean()), 0.25)
        )
        up, down = reference[:, 2], reference[:, 0]
        study.add(
            Row(
                "R7 PID: overshoot of the step up (m)",
                "info",
                float(up.mean()),
                reference=0.14,
                **_row(up),
            )
        )
        study.add(Row("R7 PID: overshoot of the step down (m)", "info", float(down.mean()), reference=0.20,
                      **_row(down)))  # fmt: skip
        more = float((over[:, 0] - over[:, 2]).mean())
        study.add(at_least("R8 full SNN: overshoot down less overshoot up (m)", "claim", more, 0.0,
                           reference="down > up", **_row(over[:, 0] - over[:, 2])))  # fmt: skip
    study.add(at_most(f"beyond: {label}, steady-state error (m)", "claim", float(error.mean()), 0.02, note=per,
                      **_row(error)))  # fmt: skip
    moved = [0, 2]
    study.add(at_most(f"beyond: {label}, overshoot over PID's", "claim",
                      float(over[:, moved].mean() / reference[:, moved].mean()), 1.0,
                      note=f"{100 * over[:, moved].mean():.1f} cm against {100 * reference[:, moved].mean():.1f} cm, "
                           f"steps of 0.5 m up and down", seeds=len(full)))  # fmt: skip


def buoyancies(study: Study, full: Sequence[Controller], name: str = "full SNN") -> None:
    """G7: buoyancy from -4 to 4 units without retraining."""
    found = _held(full)
    note = f"steady-state error <= 5 cm, {DRAWS} buoyancies, 140 s; PID: {_held_by_law():.2f}"
    study.add(at_least(f"G7 {name}: share of buoyancies held", "claim", float(found.mean()), 0.9, note=note,
                       **_row(found)))  # fmt: skip


def _held(pilots: Controller | Sequence[Controller]) -> np.ndarray:
    """1 where a pilot holds its height under a drawn buoyancy, (pilots, `DRAWS`)."""
    ballast = np.random.default_rng(7).uniform(-4, 4, DRAWS)
    flown = fly(pilots, reference=1.5, ballast=ballast, starts=DRAWS, max_episode_steps=1400)
    return (flown["steady_state_error"] <= 0.05).astype(float)


@functools.cache
def _held_by_law() -> float:
    return float(_held(pid()).mean())


def calibrated(study: Study, full: Sequence[Controller]) -> None:
    """The same networks on the plant fitted to the logs, which they never saw."""
    error = heavy(full, body={"name": "blimp", **CALIBRATED})["steady_state_error"]
    study.add(Row("full SNN on the calibrated plant: steady-state error (m)", "info", float(error.mean()),
                  **_row(error)))  # fmt: skip


def costs(study: Study, full: Controller) -> None:
    """G9: spikes, synaptic operations and time, which nobody has reported."""
    record = training.evaluate(
        full, TASK, 1, seed=0, options={"ballast": HEAVY}, reference=1.5, record=True
    ).record
    for term, role in (("1", "PD"), ("2", "I")):
        for layer in ("encoder", "hidden"):
            spikes = record[f"signal.{term}.{layer}"]
            study.add(Row(f"G9 spikes per second, {role} {layer}", "info", float(spikes.sum(1).mean() * 10),
                          note=f"{spikes.shape[1]} neurons, 10 Hz, a 70 s flight with ballast"))  # fmt: skip
        operations = record[f"signal.{term}.operations"]
        study.add(Row(f"G9 synaptic operations per step, {role}", "info", float(operations.mean())))
    agents = Population(full, 1)
    state, seen = agents.initial_state(), np.full((1, 1), 0.3, np.float32)
    for count in (20, 300):
        begun = time.perf_counter()
        for _ in range(count):
            _, state = agents(seen, state)
        taken = (time.perf_counter() - begun) / count
    study.add(
        Row(
            "G9 wall time per step (ms)",
            "info",
            1000 * taken,
            note=f"torch {torch.__version__}, one agent",
        )
    )
