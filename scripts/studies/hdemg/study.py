"""High-density EMG steers the assistive robot: signals, decoders, the safe stop, and tasks done by a scripted operator.

Nobody was measured for it: users, signals and the operator are models (docs/systems/hdemg.md). References are second-hand
figures of the paper's, where one could be found. Codes: docs/systems/hdemg.md, "Row codes".
"""

from __future__ import annotations

from lancelet.scripts.studies.hdemg.decoding import decoder_rows
from lancelet.scripts.studies.hdemg.people import fitted_people
from lancelet.scripts.studies.hdemg.pictures import draw_confusion, draw_film, draw_times
from lancelet.scripts.studies.hdemg.signals import signal_rows
from lancelet.scripts.studies.hdemg.steering import speed_rows, steering_rows, wait_row
from lancelet.scripts.studies.hdemg.stop import stop_rows
from lancelet.scripts.study import Study

TITLE = "High-density EMG gestures steer the assistive robot"
PARTS = {
    "signals": ("S",),
    "decoder": ("D",),
    "stop": ("F",),
    "steering": ("O1", "O2", "O3", "O4", "O5", "O6", "O8"),
    "speeds": ("O7",),
}
"""what `--only` measures alone"""
SEEDS_OF = {
    "S": "users",
    "D": "users",
    "F": "episodes",
    "O": "users",
}


def run(study: Study) -> None:
    """All rows; a quick study leaves out the comparison of speeds and the noise at equal error rate."""
    if study.wants("signals"):
        signal_rows(study)
    if study.wants("decoder"):
        figures = decoder_rows(study)
        draw_confusion(study, figures)
    if not study.wants("stop", "steering", "speeds"):
        return
    people = fitted_people()
    if study.wants("stop"):
        stop_rows(study, people)
    if study.wants("steering"):
        episodes = steering_rows(study, people)
        wait_row(study, episodes)
        draw_times(study, episodes)
        draw_film(study, people)
    if study.wants("speeds") and study.size != "quick":
        speed_rows(study, people)
