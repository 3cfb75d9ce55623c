"""Dynamic dominance beyond the paper: fields, novel inertia and rotation that no network has met.

In people the dominant arm is straighter in a velocity-squared field and adapts to novel inertia, the other one in a
linear field of varying gain, and a rotation tells them not apart (Yadav & Sainburg 2014; Sainburg 2002).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lancelet.scripts.rows import Row
from lancelet.scripts.studies.bilateral.contrasts import Contrast, of_logs, verdict
from lancelet.scripts.studies.bilateral.measures import averaged, play
from lancelet.scripts.studies.bilateral.models import Brains
from lancelet.scripts.study import Study

METRICS = {
    "final_error": "final error",
    "straightness": "deviation from the chord",
    "jerk": "jerk",
}
"""metric of the task -> what rows call it"""
DOMINANT = "U-D"
NON_DOMINANT = "U-ND"
HANDS = (DOMINANT, NON_DOMINANT)


@dataclass(frozen=True)
class Probe:
    """A change of the reaching task, and what people's arms do in it."""

    name: str
    people: str
    """What was found in people, in words for the row."""
    sign: int
    """Sign of the log ratio dominant over non-dominant in people: -1 dominant better, 1 worse, 0 alike."""
    metric: str
    """One of `METRICS`: the one that shows it."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the task that make the change."""


PROBES = (
    Probe(
        name="field -g |v| v, g = 5 N s²/m²",
        people="dominant arm straighter",
        sign=-1,
        metric="straightness",
        fields={"field": "squared"},
    ),
    Probe(
        name="field -g v, g drawn from 0 .. 20 N s/m",
        people="non-dominant arm straighter",
        sign=1,
        metric="straightness",
        fields={"field": "linear"},
    ),
    Probe(
        name="2 kg on the forearm",
        people="dominant arm adapts better",
        sign=-1,
        metric="final_error",
        fields={"load": 2.0},
    ),
    Probe(
        name="hand seen turned by 30 degrees",
        people="no difference",
        sign=0,
        metric="final_error",
        fields={"rotation": math.radians(30)},
    ),
)


def run(study: Study, brains: Brains, trials: int, mode: str) -> dict[str, dict[str, Contrast]]:
    """Add a row a probe: how much more it costs the dominant hand than the other.

    Args:
        study: takes the rows.
        brains: the networks that were trained to reach; both hands are among them.
        trials: how many each network plays in each probe.
        mode: loss mode that the networks were trained under.

    Returns:
        Probe -> metric -> contrast of the costs, where a cost is the metric under the probe over that without it.
    """
    seeds = len(brains[DOMINANT][1])
    # The same trials as under every probe, so that a cost is paired by trial and seed.
    unchanged = {hand: averaged(play("reach", brains[hand], trials)) for hand in HANDS}
    table: dict[str, dict[str, Contrast]] = {}
    for probe in PROBES:
        probed = {
            hand: averaged(play("reach", brains[hand], trials, **probe.fields)) for hand in HANDS
        }
        # Of every metric, not of the judged one alone: the others stand in the note.
        contrasts = {}
        for metric in METRICS:
            log_cost = {
                hand: np.log(probed[hand][metric] / unchanged[hand][metric]) for hand in HANDS
            }
            log_ratio = log_cost[DOMINANT] - log_cost[NON_DOMINANT]
            contrasts[metric] = of_logs(probe.name, log_ratio)
        means = {hand: float(probed[hand][probe.metric].mean()) for hand in HANDS}
        study.add(_row(probe, contrasts, mode, means, seeds))
        table[probe.name] = contrasts
    return table


def _row(
    probe: Probe,
    contrasts: Mapping[str, Contrast],
    mode: str,
    means: Mapping[str, float],
    seeds: int,
) -> Row:
    """The row of a probe, judged by the probe's metric; the other metrics stand in its note.

    Args:
        probe: what was changed.
        contrasts: metric -> contrast of the hands' costs.
        mode: loss mode.
        means: hand -> mean of the probe's metric under the probe.
        seeds: trainings of each hand.
    """
    contrast = contrasts[probe.metric]
    low, high = contrast.interval
    if probe.sign == 0:
        target = "interval holds 1"
        holds = low <= 1 <= high
    elif probe.sign < 0:
        target = "< 1"
        holds = high < 1
    else:
        target = "> 1"
        holds = low > 1
    others = [
        f"{METRICS[metric]} x {contrasts[metric].ratio:.3g}"
        for metric in METRICS
        if metric != probe.metric
    ]
    note = (
        f"its change, dominant over non-dominant hand; there {means[DOMINANT]:.3g} and "
        f"{means[NON_DOMINANT]:.3g}; {', '.join(others)}"
    )
    return Row(
        name=f"probe ({mode}): {probe.name}: {METRICS[probe.metric]}",
        kind="claim",
        value=contrast.ratio,
        target=target,
        holds=verdict(seeds, holds),
        seeds=seeds,
        interval=contrast.interval,
        note=note,
        reference=probe.people,
    )
