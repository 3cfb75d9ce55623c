"""Claims of the bilateral study: rows A5 to A7, claim 3, and the contrasts behind them.

What each row asks stands in docs/systems/arm.md, "Row codes" and "Claims".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lancelet.scripts.rows import Row
from lancelet.scripts.studies.bilateral import measures
from lancelet.scripts.studies.bilateral.contrasts import (
    SIGNIFICANT,
    WORSE,
    Contrast,
    as_family,
    contrast,
    crossover,
    frontier,
    of_logs,
    planned,
    verdict,
)
from lancelet.scripts.studies.bilateral.measures import (
    LEFT_SILENT,
    NO_LESION,
    RIGHT_SILENT,
    Figures,
    Lesions,
    error_metric,
)
from lancelet.scripts.studies.bilateral.models import SEEDS, Brains, Cell
from lancelet.scripts.studies.bilateral.plant import TaskName
from lancelet.scripts.study import Study
from lancelet.training.twins.losses import Mode


class Hands(NamedTuple):
    """Models that play the two hands."""

    dominant: str
    """Model of the dominant hand, which is preferred for reaching."""
    other: str
    """Model of the other hand, which is preferred for holding."""


READINGS = {
    "loss 1": Hands(dominant="U-D", other="U-ND"),
    "loss 2": Hands(dominant="U-ND", other="U-D"),
}
"""which loss is called dominant -> hands; the code never says, so that both readings have rows"""
SPECIALISED = ("B-S", "CC-S")
"""bilateral models of claim 2"""
CONTROLS = {"B-S": "B-N", "CC-S": "CC-N"}
"""a specialised model -> the same structure, and the same first weights, under the mixed loss"""
CALLOSUM_PAIRS = (("CC-N", "B-N"), ("CC-S", "B-S"))
"""claim 3: a model with callosum, and the same without"""
METRICS = {
    "effort E": "E",
    "rms jerk": "jerk",
    "dimensionless jerk": "log_jerk",
}
"""what rows of A5 compare beside the error, and its metric in both tasks"""


class Ratio(NamedTuple):
    """A ratio with its 95 % interval."""

    value: float
    low: float
    high: float


def comparisons(
    study: Study, by_task: Mapping[TaskName, Figures], mode: Mode
) -> dict[str, Contrast]:
    """Add the rows of A5, A6, claim 3 and of the other planned contrasts of a loss mode.

    Args:
        study: takes the rows.
        by_task: task -> figures of its models; reach first, then hold.
        mode: loss mode that the models were trained under.

    Returns:
        The planned contrasts by name.
    """
    seeds = len(by_task["reach"]["U-N"]["final_error"])
    contrasts = planned(by_task)
    for name, planned_contrast in contrasts.items():
        study.add(
            Row(
                name=f"contrast ({mode}): {name}",
                kind="info",
                value=planned_contrast.ratio,
                seeds=seeds,
                interval=planned_contrast.interval,
                note=planned_contrast.note,
            )
        )
    compared: dict[str, dict[TaskName, str]] = {}
    compared["error"] = {task: error_metric(task) for task in by_task}
    for what, metric in METRICS.items():
        compared[what] = dict.fromkeys(by_task, metric)
    for what, metrics in compared.items():
        _add_crossover(study, by_task, mode, what, metrics)
    for task, figures in by_task.items():
        _add_frontier(study, figures, mode, task)
    for reading in READINGS:
        for name in SPECIALISED:
            _add_as_good(study, by_task, mode, reading, name)
    for with_callosum, without in CALLOSUM_PAIRS:
        over_without: dict[TaskName, Contrast] = {
            task: contrasts[f"{task} {with_callosum}/{without}"] for task in by_task
        }
        _add_callosum(study, over_without, mode, f"{with_callosum} over {without}", seeds)
    return contrasts


def _add_crossover(
    study: Study,
    by_task: Mapping[TaskName, Figures],
    mode: Mode,
    what: str,
    metrics: Mapping[TaskName, str],
) -> None:
    """A5: is the dominant hand better in reach and worse in hold? A row for each reading of "dominant".

    Args:
        study: takes the rows.
        by_task: task -> figures of its models.
        mode: loss mode.
        what: is compared, in words.
        metrics: task -> metric that is compared.
    """
    seeds = len(by_task["reach"]["U-N"]["final_error"])
    hands = crossover(by_task, metrics)
    for reading in READINGS:
        reach = _dominant_over_other(hands["reach"], reading)
        hold = _dominant_over_other(hands["hold"], reading)
        note = (
            f"intervals {reach.low:.3g} .. {reach.high:.3g} and {hold.low:.3g} .. {hold.high:.3g}"
        )
        study.add(
            Row(
                name=f"A5 ({mode}): {what}, dominant ({reading}) over non-dominant hand",
                kind="claim",
                value=f"{reach.value:.3g} on reach, {hold.value:.3g} on hold",
                target="< 1 on reach, > 1 on hold",
                holds=verdict(seeds, reach.high < 1 and hold.low > 1),
                seeds=seeds,
                note=note,
            )
        )


def _dominant_over_other(hands: Contrast, reading: str) -> Ratio:
    """Ratio of the dominant hand over the other, from loss 1's hand over loss 2's.

    Args:
        hands: loss 1's hand over loss 2's.
        reading: which loss is called dominant.
    """
    # Both readings come from one contrast: the other is its inverse, whose ends change places.
    low, high = hands.interval
    if reading == "loss 1":
        return Ratio(hands.ratio, low, high)
    return Ratio(1 / hands.ratio, 1 / high, 1 / low)


def _add_frontier(study: Study, figures: Figures, mode: Mode, task: TaskName) -> None:
    """A5: which models no other beats in error and effort.

    Args:
        study: takes the row.
        figures: of the models in the task.
        mode: loss mode.
        task: reach or hold.
    """
    metric = error_metric(task)
    errors = {name: float(metrics[metric].mean()) for name, metrics in figures.items()}
    efforts = {name: float(metrics["E"].mean()) for name, metrics in figures.items()}
    study.add(
        Row(
            name=f"A5 ({mode}): {task}, models that no other beats in error and effort",
            kind="info",
            value=", ".join(frontier(errors, efforts)),
        )
    )


def _add_as_good(
    study: Study, by_task: Mapping[TaskName, Figures], mode: Mode, reading: str, name: str
) -> None:
    """A6: better than the hand that the task does not suit, not 5 % worse than the other, in both tasks.

    Args:
        study: takes the row.
        by_task: task -> figures of its models.
        mode: loss mode.
        reading: which loss is called dominant.
        name: of the bilateral model.
    """
    hands = READINGS[reading]
    holds = True
    ratios = []
    intervals = []
    for task, figures in by_task.items():
        preferred = hands.dominant if task == "reach" else hands.other
        other = hands.other if task == "reach" else hands.dominant
        metric = error_metric(task)
        over_other = contrast(task, figures[name][metric], figures[other][metric])
        over_preferred = contrast(task, figures[name][metric], figures[preferred][metric])
        is_better = over_other.interval[1] < 1
        is_as_good = over_preferred.interval[1] <= WORSE
        # One task that fails is enough: the claim is about both.
        holds = holds and is_better and is_as_good
        ratios.append(f"{task}: {over_other.ratio:.3g}, {over_preferred.ratio:.3g}")
        for hand, over_hand in ((other, over_other), (preferred, over_preferred)):
            low, high = over_hand.interval
            intervals.append(f"{task}, over {hand}: {low:.3g} .. {high:.3g}")
    seeds = len(by_task["reach"][name]["final_error"])
    study.add(
        Row(
            name=(
                f"A6 ({mode}): error of {name} over non-preferred, preferred hand; "
                f"dominant = {reading}"
            ),
            kind="claim",
            value="; ".join(ratios),
            target=f"interval < 1; upper end <= {WORSE:g}",
            holds=verdict(seeds, holds),
            seeds=seeds,
            note="; ".join(intervals),
        )
    )


def _add_callosum(
    study: Study, over_without: Mapping[TaskName, Contrast], mode: Mode, pair: str, seeds: int
) -> None:
    """Claim 3: is the error smaller with a callosum, in both tasks?

    Args:
        study: takes the row.
        over_without: task -> contrast of the model with callosum over the same without.
        mode: loss mode.
        pair: the two models in words.
        seeds: trainings of each model.
    """
    ratios = [f"{of_task.ratio:.3g} on {task}" for task, of_task in over_without.items()]
    notes = [of_task.note for of_task in over_without.values()]
    is_lower_in_both = all(of_task.is_lower for of_task in over_without.values())
    study.add(
        Row(
            name=f"claim 3 ({mode}): error of {pair}",
            kind="claim",
            value=", ".join(ratios),
            target="< 1 in both",
            holds=verdict(seeds, is_lower_in_both),
            seeds=seeds,
            note="v1 of the paper only, worded as a tendency; " + "; ".join(notes),
        )
    )


def lesions(
    study: Study, by_task: Mapping[TaskName, Brains], mode: Mode, trials: int
) -> dict[TaskName, Lesions]:
    """A7: does specialisation make the columns' losses unequal?

    A network's two columns are never equal: where the weights begin decides which of them does more, in the controls
    too. What specialisation adds is the ratio of the two losses against the control's of the same first weights,
    paired by seed, Holm over the contrasts of the loss mode. How alike the columns are stands in the notes.

    Args:
        study: takes the rows.
        by_task: task -> networks of its models.
        mode: loss mode that they were trained under.
        trials: how many each network is tested on.

    Returns:
        Task -> model -> lesion -> error, (seeds,).
    """
    errors: dict[TaskName, Lesions] = {}
    contrasts = []
    for task, brains in by_task.items():
        two_columns = {}
        for specialised, control in CONTROLS.items():
            # The order of the rows: each specialised model, then its control.
            two_columns[specialised] = brains[specialised]
            two_columns[control] = brains[control]
        errors[task] = measures.lesioned(task, two_columns, trials)
        log_balance = {
            name: np.log(by_lesion[LEFT_SILENT] / by_lesion[RIGHT_SILENT])
            for name, by_lesion in errors[task].items()
        }
        for name, by_lesion in errors[task].items():
            balance = of_logs(name, log_balance[name])
            cell = Cell(task, mode, study.size)
            _add_balance(study, cell, brains, by_lesion, balance)
        for specialised, control in CONTROLS.items():
            name = (
                f"A7 ({mode}), {task}, {specialised} against {control}: "
                "left over right column silent"
            )
            contrasts.append(of_logs(name, log_balance[specialised] - log_balance[control]))
    # One correction over both tasks: the contrasts are judged when all of them are there.
    seeds = SEEDS[study.size]
    for ratio_of_ratios in as_family(contrasts):
        note = (
            f"ratio of the ratios, paired by seed; {ratio_of_ratios.note}; "
            f"Holm over {len(contrasts)} contrasts"
        )
        study.add(
            Row(
                name=ratio_of_ratios.name,
                kind="claim",
                value=ratio_of_ratios.ratio,
                target=f"interval excludes 1, Holm < {SIGNIFICANT:g}",
                holds=verdict(seeds, ratio_of_ratios.differs),
                seeds=seeds,
                interval=ratio_of_ratios.interval,
                note=note,
            )
        )
    return errors


def _add_balance(
    study: Study,
    cell: Cell,
    brains: Brains,
    by_lesion: Mapping[str, np.ndarray],
    balance: Contrast,
) -> None:
    """A7: what silencing either column costs one model.

    Args:
        study: takes the row.
        cell: task and loss mode of the model.
        brains: the networks of the cell.
        by_lesion: lesion -> error of the model, (seeds,).
        balance: error with the left column silent over that with the right one silent, named after the model.
    """
    name = balance.name
    without_left = _geometric_mean(by_lesion[LEFT_SILENT] / by_lesion[NO_LESION])
    without_right = _geometric_mean(by_lesion[RIGHT_SILENT] / by_lesion[NO_LESION])
    cosine, share = measures.likeness(cell, brains, name)
    note = (
        f"error x {without_left:.3g} without left, x {without_right:.3g} without right; {balance.note}; "
        f"w1 / (w1 + w2) {share.mean():.2f}, cosine of the columns {cosine.mean():.2f}"
    )
    study.add(
        Row(
            name=f"A7 ({cell.mode}), {cell.task}, {name}: error, left over right column silent",
            kind="info",
            value=balance.ratio,
            seeds=len(share),
            interval=balance.interval,
            note=note,
        )
    )


def _geometric_mean(values: np.ndarray) -> float:
    """Geometric mean of values above 0."""
    return float(np.exp(np.mean(np.log(values))))
