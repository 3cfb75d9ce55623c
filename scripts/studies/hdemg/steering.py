"""The robot steered by gestures, O1 to O8: decoder, perfect labels, keyboard and noise, with one scripted operator.

Codes: docs/systems/hdemg.md, "Row codes". A sample is a synthetic user: all conditions have the same users, start states and
operators' hands (the operator's key is drawn last at a reset, so that a seed gives one person whatever steers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from lancelet import controllers
from lancelet.assist_layout import CONTROL_PERIOD
from lancelet.controllers import Controller, Population
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.assist.experts import task_id
from lancelet.scripts.studies.hdemg.decoding import interval_over_users, ratio_of_means
from lancelet.scripts.studies.hdemg.people import People
from lancelet.scripts.study import Study
from lancelet.training.rollout import Score, make_env, rollout
from lancelet.training.statistics import holm, interval

TASKS = ("feed", "drawer")
"""tasks of the study, in the order of its rows"""
TASKS_OF = {"quick": TASKS[:1], "shown": TASKS, "full": TASKS}
TRIALS = {"quick": 1, "shown": 2, "full": 10}
"""episodes of each user, task and condition"""
FIRST_START = 2000
"""seed of the first start state"""
SLIPS = 0.05
"""probability that a key is pressed that was not meant"""
HAS_NOISE = {"quick": False, "shown": True, "full": True}
"""whether wrong labels are a condition, beside the decoder of each user's signals, gestures as they are made, and the same
with slips; as many labels are wrong as the decoder's, but each as probable"""
MILLISECONDS = 1000.0
"""in a second"""
SPEEDS = ("both", "coarse", "fine")


@dataclass(frozen=True)
class Steered:
    """Episodes of all users in one task and condition; arrays (users, trials)."""

    success: np.ndarray
    seconds: np.ndarray
    """s; of an episode without success the time limit, at which it is censored"""
    metrics: Mapping[str, np.ndarray]

    @property
    def success_of_users(self) -> np.ndarray:
        """(users,) share of a user's episodes."""
        return self.success.mean(axis=1)

    @property
    def seconds_of_users(self) -> np.ndarray:
        """(users,) mean time, with censored times at the limit."""
        return self.seconds.mean(axis=1)

    def mean(self, metric: str) -> np.ndarray:
        """(users,) mean of a metric over a user's episodes that have it."""
        return np.nanmean(self.metrics[metric], axis=1)


def steer(
    task: str,
    people: People,
    trials: int,
    decoders: Sequence[Controller] | None,
    **options: Any,
) -> Steered:
    """Let every user do a task `trials` times.

    Args:
        task: short name.
        people: the users.
        trials: episodes of each user.
        decoders: of the users; None: labels of gestures steer.
        **options: of the task.
    """
    user_count = len(people.users)
    count = user_count * trials
    if decoders is None:
        env = make_env(task_id(task), count, input="gesture", **options)
        agents = Population(controllers.make("gesture-labels", env), count)
    else:
        # Simulation i is of users[i], as agent i is of decoders[i // trials].
        users = tuple(int(user) for user in np.repeat(people.users, trials))
        env = make_env(task_id(task), count, input="emg", users=users, **options)
        agents = Population.of_several(decoders, count)
    seeds = list(range(FIRST_START, FIRST_START + count))
    score, _ = rollout(env, agents, seeds)
    limit = env.max_episode_steps * CONTROL_PERIOD  # pyright: ignore[reportOptionalOperand] - assistive tasks have one
    env.close()
    return steered(score, (user_count, trials), limit)


def steered(score: Score, shape: tuple[int, int], limit: float) -> Steered:
    """What was done, by user and trial; `limit` is the time limit, s."""
    success = np.nan_to_num(score.metrics["success"]).reshape(shape)
    seconds = (score.lengths * CONTROL_PERIOD).reshape(shape)
    metrics = {name: values.reshape(shape) for name, values in score.metrics.items()}
    return Steered(
        success=success,
        # An episode that ended without success was not done faster by that.
        seconds=np.where(success > 0, seconds, limit),
        metrics=metrics,
    )


def steering_rows(study: Study, people: People) -> dict[str, dict[str, Steered]]:
    """O1 to O6; episodes by task and condition."""
    trials = TRIALS[study.size]
    episodes: dict[str, dict[str, Steered]] = {}
    for task in TASKS_OF[study.size]:
        by_decoder = steer(task, people, trials, people.decoders)
        by_condition = {"decoder": by_decoder}
        by_condition["labels"] = steer(task, people, trials, None)
        by_condition["keyboard"] = steer(task, people, trials, None, slips=SLIPS)
        if HAS_NOISE[study.size]:
            error_rate = 1.0 - float(by_decoder.mean("online_accuracy").mean())
            by_condition["noise"] = steer(task, people, trials, None, label_noise=error_rate)
        episodes[task] = by_condition
        for condition, done in by_condition.items():
            study.add(success_row(task, condition, done))
        study.add(ratio_row(task, by_decoder, by_condition["labels"]))
        study.add(time_row(task, by_decoder, by_condition["labels"]))
        for row in online_rows(task, by_decoder):
            study.add(row)
    if HAS_NOISE[study.size]:
        confusion_rows(study, episodes)
    return episodes


def success_row(task: str, condition: str, done: Steered) -> Row:
    """O1: how often the task is done."""
    values = done.success_of_users
    unsafe = np.nansum(done.metrics["unsafe"])
    seconds = done.seconds[done.success > 0]
    median = f"{np.median(seconds):.0f} s in the median" if seconds.size else "never done"
    return Row(
        f"O1 {task}, {condition}: success",
        "info",
        float(values.mean()),
        interval=interval(values),
        seeds=len(values),
        note=f"{median}; unsafe {unsafe:.0f} of {done.success.size}; wrong way "
        f"{done.mean('wrong_path').mean():.2f} m; {done.mean('mode_switches').mean():.1f} mode switches; path efficiency "
        f"{done.mean('path_efficiency').mean():.2f}",
    )


def ratio_row(task: str, by_decoder: Steered, by_labels: Steered) -> Row:
    """O2: the decoder's success over that of perfect labels."""
    pairs = np.stack([by_decoder.success_of_users, by_labels.success_of_users], axis=1)
    return at_least(
        f"O2 {task}: success with the decoder over that with perfect labels",
        "gate",
        ratio_of_means(pairs),
        0.8,
        interval=interval_over_users(pairs, ratio_of_means),
        seeds=len(pairs),
    )


def time_row(task: str, by_decoder: Steered, by_labels: Steered) -> Row:
    """O3: the decoder's time over that of perfect labels."""
    pairs = np.stack([by_decoder.seconds_of_users, by_labels.seconds_of_users], axis=1)
    return Row(
        f"O3 {task}: time with the decoder over that with perfect labels",
        "info",
        ratio_of_means(pairs),
        interval=interval_over_users(pairs, ratio_of_means),
        seeds=len(pairs),
        note="users' mean times; an episode without success counts with the time limit",
    )


def online_rows(task: str, by_decoder: Steered) -> list[Row]:
    """O4 and O5: how often an accepted gesture is the one that is meant."""
    targets = {"O4": ("online_accuracy", 0.85, "all"), "O5": ("steady_accuracy", 0.97, "steady")}
    rows = []
    for code, (metric, least, words) in targets.items():
        values = by_decoder.mean(metric)
        rows.append(
            at_least(
                f"{code} {task}: online accuracy, {words} strides",
                "gate",
                float(values.mean()),
                least,
                interval=interval(values),
                seeds=len(values),
                reference="0.956 (the paper's review; other tasks)",
            )
        )
    return rows


def confusion_rows(study: Study, episodes: Mapping[str, Mapping[str, Steered]]) -> None:
    """O6: does it matter which gestures are confused? The decoder against wrong labels drawn alike."""
    comparisons = {}
    for task, done in episodes.items():
        comparisons[task] = (done["noise"], done["decoder"])
    for row in difference_rows("O6", "uniform errors less the decoder's", comparisons):
        study.add(row)


def difference_rows(
    code: str, words: str, comparisons: Mapping[str, tuple[Steered, Steered]]
) -> list[Row]:
    """Differences of users' mean times, paired, with Holm's correction over the comparisons.

    Args:
        code: of the rows.
        words: what is compared.
        comparisons: name -> the two, the second is taken from the first.
    """
    p_values = [paired_p(one, other) for one, other in comparisons.values()]
    rows = []
    corrected = holm(p_values)
    for (name, (one, other)), p in zip(comparisons.items(), corrected, strict=True):
        difference = one.seconds_of_users - other.seconds_of_users
        rows.append(
            Row(
                f"{code} {name}: {words} (s)",
                "info",
                float(difference.mean()),
                interval=interval(difference),
                seeds=len(difference),
                note=f"success {one.success.mean():.2f} against {other.success.mean():.2f}; "
                f"Wilcoxon, Holm: p = {p:.2g}",
            )
        )
    return rows


def paired_p(one: Steered, other: Steered) -> float:
    """P value of the signed ranks of users' times; 1 where all are equal."""
    difference = one.seconds_of_users - other.seconds_of_users
    if not difference.any():
        return 1.0
    result: Any = wilcoxon(difference)
    return float(result.pvalue)


def speed_rows(study: Study, people: People) -> None:
    """O7: coarse and fine together against each alone, with the decoder and with perfect labels."""
    trials = TRIALS[study.size]
    steering = {"decoder": people.decoders, "labels": None}
    comparisons = {}
    for task in TASKS_OF[study.size]:
        for condition, decoders in steering.items():
            done = {}
            for speeds in SPEEDS:
                done[speeds] = steer(task, people, trials, decoders, speeds=speeds)
            comparisons[f"{task}, {condition}, coarse alone"] = (done["coarse"], done["both"])
            comparisons[f"{task}, {condition}, fine alone"] = (done["fine"], done["both"])
    for row in difference_rows("O7", "its time less that of coarse and fine together", comparisons):
        study.add(row)


def wait_row(study: Study, episodes: Mapping[str, Mapping[str, Steered]]) -> None:
    """O8: the longest time in any episode for which the robot went on after the muscles rested."""
    worst = [done["decoder"].metrics["worst_rest_wait"] for done in episodes.values()]
    values = np.concatenate(worst, axis=1).max(axis=1) * MILLISECONDS
    study.add(
        at_most(
            "O8 rest to a command of zero in the tasks, worst of an episode (ms)",
            "info",
            float(values.max()),
            250.0,
            seeds=len(values),
            note=f"median over users {np.median(values):.0f} ms",
        )
    )
