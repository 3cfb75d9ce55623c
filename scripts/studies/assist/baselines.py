"""Learned baselines on fresh start states, L1 to L6 (docs/systems/assist.md, "Row codes").

The runs are those of training/configs, which `lancelet bench table` reads too: runs/configs. What is measured are the
weights that the study keeps in results/assist, so that every figure can be measured again.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lancelet import controllers, training
from lancelet.controllers import Controller
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.swimming import kept
from lancelet.scripts.study import Study
from lancelet.training.config import committed, folder, train_all
from lancelet.training.rollout import Score
from lancelet.training.runs.folder import read_log
from lancelet.training.statistics import interval, share_interval

REACH_PPO = "assist-reach-mlp-ppo"
SCRATCH_PPO = "assist-scratch-mlp-ppo"
REACH_SAC = "assist-reach-mlp-sac"
REACH_RECURRENT = "assist-reach-gru-recurrent-ppo"
LEARNED = {"quick": (), "shown": (REACH_PPO, SCRATCH_PPO)}
LEARNED["full"] = (*LEARNED["shown"], REACH_SAC, REACH_RECURRENT)
"""configurations that each size of the study trains"""
FRESH_STARTS = 100
"""start states of every training"""
FIRST_FRESH_START = 5000
"""seed of the first; no training and no choice saw them"""
LEAST_SUCCESS = 0.90
"""share of the fresh start states"""
LARGEST_UNSAFE = 0.02
"""share of the fresh start states"""


class Curve(NamedTuple):
    """How the validation return of one training rose."""

    steps: np.ndarray
    """(k,) control steps"""
    returns: np.ndarray
    """(k,) mean over the validation start states, without noise"""


def weights_name(config: str, seed: int) -> str:
    """Name in results/assist of the best controller of a training."""
    return f"{config.removeprefix('assist-')}-{seed}"


def train_baselines(study: Study) -> dict[str, list[Curve]]:
    """Train what this size of the study trains, and keep the weights; learning curves by configuration."""
    names = LEARNED[study.size]
    if not study.resume:
        for name in names:
            shutil.rmtree(folder(name, 0).parent, ignore_errors=True)
    train_all(names)
    curves = {}
    for name in names:
        runs = [folder(name, seed) for seed in range(committed()[name].seeds)]
        for seed, run in enumerate(runs):
            best = controllers.load(run)
            study.weights(weights_name(name, seed), best, chosen_by="validation start states")
        curves[name] = [_curve(run) for run in runs]
    return curves


def _curve(run: object) -> Curve:
    """The learning curve in a run's log."""
    lines = [line for line in read_log(run) if "validation" in line]  # pyright: ignore[reportArgumentType]
    steps = np.array([line["steps"] for line in lines])
    returns = np.array([line["validation"] for line in lines])
    return Curve(steps=steps, returns=returns)


def kept_baselines(study: Study, config: str) -> list[Controller]:
    """The trainings of a configuration whose weights are kept: beside the rows, else in results/assist."""
    found = []
    for seed in range(committed()[config].seeds):
        name = weights_name(config, seed)
        beside_rows = study.folder / f"{name}.safetensors"
        if beside_rows.exists():
            found.append(controllers.load(beside_rows))
            continue
        committed_weights = kept(f"assist/{name}")
        if committed_weights is not None:
            found.append(committed_weights)
    return found


def fresh_scores(config: str, trained: Sequence[Controller]) -> list[Score]:
    """Episodes of every training on the fresh start states."""
    task = committed()[config]
    return [
        training.evaluate(
            controller, task.task, FRESH_STARTS, seed=FIRST_FRESH_START, **task.task_fields()
        )
        for controller in trained
    ]


def baseline_rows(study: Study) -> None:
    """L1 to L6 from the weights that are kept; a row without weights says so."""
    reach_rows(study)
    scratch_rows(study)
    for code, config in (("L5 sac", REACH_SAC), ("L6 recurrent-ppo", REACH_RECURRENT)):
        study.add(_success(f"{code}, reach: success on fresh starts", config, study))


def reach_rows(study: Study) -> None:
    """L1 and L2: does ppo learn to reach without hurting anybody?"""
    success_name = "L1 ppo, reach: success on fresh starts"
    unsafe_name = "L2 ppo, reach: unsafe ends on fresh starts"
    trained = kept_baselines(study, REACH_PPO)
    if not trained:
        for name, target in (
            (success_name, f">= {LEAST_SUCCESS:g}"),
            (unsafe_name, f"<= {LARGEST_UNSAFE:g}"),
        ):
            study.add(Row(name, "claim", target=target, note=_missing(REACH_PPO)))
        return
    scores = fresh_scores(REACH_PPO, trained)
    steps = committed()[REACH_PPO].algorithm_options["steps"]
    about = f"{steps:,} steps; {FRESH_STARTS} fresh start states a training"
    successes = _ends(scores, "success")
    unsafe_ends = _ends(scores, "unsafe")
    study.add(
        at_least(
            success_name,
            "claim",
            float(successes.mean()),
            LEAST_SUCCESS,
            interval=share_interval(int(successes.sum()), successes.size),
            seeds=len(trained),
            note=f"{about}: {_list(successes.mean(1))}",
        )
    )
    study.add(
        at_most(
            unsafe_name,
            "claim",
            float(unsafe_ends.mean()),
            LARGEST_UNSAFE,
            interval=share_interval(int(unsafe_ends.sum()), unsafe_ends.size),
            seeds=len(trained),
            note=f"{about}: {_list(unsafe_ends.mean(1))}",
        )
    )


def scratch_rows(study: Study) -> None:
    """L3 and L4: what ppo makes of reach-and-scratch, as found."""
    study.add(_success("L3 ppo, reach-and-scratch: success on fresh starts", SCRATCH_PPO, study))
    name = "L4 ppo, reach-and-scratch: strokes of 10"
    trained = kept_baselines(study, SCRATCH_PPO)
    if not trained:
        study.add(Row(name, "info", note=_missing(SCRATCH_PPO)))
        return
    strokes = _ends(fresh_scores(SCRATCH_PPO, trained), "strokes")
    study.add(
        Row(
            name,
            "info",
            float(strokes.mean()),
            seeds=len(trained),
            interval=interval(strokes.ravel()),
            note=f"each training: {_list(strokes.mean(1))}",
        )
    )


def _success(name: str, config: str, study: Study) -> Row:
    """Success as found, with unsafe ends in the note."""
    trained = kept_baselines(study, config)
    if not trained:
        return Row(name, "info", note=_missing(config))
    scores = fresh_scores(config, trained)
    successes = _ends(scores, "success")
    unsafe_ends = _ends(scores, "unsafe")
    steps = committed()[config].algorithm_options["steps"]
    return Row(
        name,
        "info",
        float(successes.mean()),
        seeds=len(trained),
        interval=share_interval(int(successes.sum()), successes.size),
        note=f"{steps:,} steps; each training: {_list(successes.mean(1))}; "
        f"unsafe: {_list(unsafe_ends.mean(1))}",
    )


def _ends(scores: Sequence[Score], name: str) -> np.ndarray:
    """A figure at the ends of all episodes (trainings, starts); one that diverged was no success."""
    return np.stack([np.nan_to_num(score.metrics[name]) for score in scores])


def _missing(config: str) -> str:
    """Why a row has no figure."""
    place = f"results/assist/{weights_name(config, 0)}.safetensors"
    size = "reproduce assist" if config in LEARNED["shown"] else "reproduce assist --full"
    return f"not run: no {place} here; `lancelet {size}` trains it"


def _list(values: np.ndarray) -> str:
    """Figures of trainings, in words."""
    return ", ".join(f"{value:.2f}" for value in values)
