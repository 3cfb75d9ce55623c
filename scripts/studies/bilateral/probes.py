"""Dynamic dominance beyond the paper: fields, novel inertia and rotation that no network has met.

In people the dominant arm is straighter in a velocity-squared field and adapts to novel inertia, the other one in a
linear field of varying gain, and a rotation tells them not apart (Yadav & Sainburg 2014; Sainburg 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lancelet.scripts.rows import Row
from lancelet.scripts.studies.bilateral.contrasts import Contrast, of_logs
from lancelet.scripts.studies.bilateral.contrasts import judged as verdict
from lancelet.scripts.studies.bilateral.measures import averaged, play
from lancelet.scripts.studies.bilateral.models import Brains
from lancelet.scripts.study import Study

METRICS = {"final_error": "final error", "straightness": "deviation from the chord", "jerk": "jerk"}


@dataclass(frozen=True)
class Probe:
    """A change of the reaching task, and what people's arms do in it."""

    name: str
    people: str
    sign: int
    """of the log ratio dominant over non-dominant in people: -1 dominant better, 1 worse, 0 alike"""
    judged: str
    """metric that says so"""
    fields: dict[str, Any] = field(default_factory=dict)


PROBES = (
    Probe("field -g |v| v, g = 5 N s²/m²", "dominant arm straighter", -1, "straightness", {"field": "squared"}),
    Probe("field -g v, g drawn from 0 .. 20 N s/m", "non-dominant arm straighter", 1, "straightness",
          {"field": "linear"}),
    Probe("2 kg on the forearm", "dominant arm adapts better", -1, "final_error", {"load": 2.0}),
    Probe("hand seen turned by 30 degrees", "no difference", 0, "final_error", {"rotation": math.radians(30)}),
)  # fmt: skip


def run(study: Study, brains: Brains, trials: int, mode: str) -> dict[str, dict[str, Contrast]]:
    """A row a probe: how much more it costs the dominant hand than the other; probe -> metric -> contrast."""
    hands = ("U-D", "U-ND")
    base = {hand: averaged(play("reach", brains[hand], trials)) for hand in hands}
    table: dict[str, dict[str, Contrast]] = {}
    for probe in PROBES:
        found = {
            hand: averaged(play("reach", brains[hand], trials, **probe.fields)) for hand in hands
        }
        for metric in METRICS:
            cost = {hand: np.log(found[hand][metric] / base[hand][metric]) for hand in hands}
            table.setdefault(probe.name, {})[metric] = of_logs(
                probe.name, cost["U-D"] - cost["U-ND"]
            )
        _row(
            study,
            probe,
            table[probe.name],
            mode,
            {h: found[h][probe.judged].mean() for h in hands},
            len(brains["U-D"][1]),
        )
    return table


def _row(
    study: Study,
    probe: Probe,
    found: dict[str, Contrast],
    mode: str,
    plain: dict[str, Any],
    seeds: int,
) -> None:
    judged = found[probe.judged]
    low, high = judged.interval
    if probe.sign == 0:
        target, holds = "interval holds 1", low <= 1 <= high
    else:
        target, holds = ("< 1", high < 1) if probe.sign < 0 else ("> 1", low > 1)
    rest = ", ".join(
        f"{METRICS[name]} x {found[name].ratio:.3g}" for name in METRICS if name != probe.judged
    )
    note = f"its change, dominant over non-dominant hand; there {plain['U-D']:.3g} and {plain['U-ND']:.3g}; {rest}"
    name = f"probe ({mode}): {probe.name}: {METRICS[probe.judged]}"
    study.add(
        Row(
            name,
            "claim",
            judged.ratio,
            target,
            verdict(seeds, holds),
            seeds,
            judged.interval,
            note,
            probe.people,
        )
    )
