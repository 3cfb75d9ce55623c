"""An assistive mobile manipulator: the robot, scripted experts, learned baselines, and Assistive Gym's definitions.

Nothing of a paper is measured here: gates say that the robot and the tasks are sound, claims are goals of this
project. Codes: docs/systems/assist.md, "Row codes". Robot and tasks are docs/systems/assist.md, "The robot" and
"Tasks".
"""

from __future__ import annotations

from lancelet.scripts.studies.assist.baselines import (
    FRESH_STARTS,
    REACH_PPO,
    REACH_RECURRENT,
    REACH_SAC,
    SCRATCH_PPO,
    baseline_rows,
    train_baselines,
    weights_name,
)
from lancelet.scripts.studies.assist.comparison import comparison_rows
from lancelet.scripts.studies.assist.experts import expert_rows
from lancelet.scripts.studies.assist.pictures import draw_forces, draw_learning, draw_stills
from lancelet.scripts.studies.assist.robot import robot_checks
from lancelet.scripts.study import Study

TITLE = "Assistive mobile manipulator"
PARTS = {
    "robot": ("R",),
    "experts": ("E", "F"),
    "learned": ("L",),
    "definitions": ("G",),
}
"""what `--only` measures alone; `learned` trains nothing, it measures the weights of results/assist"""
SEEDS_OF = {
    "E": "start states",
    "F": "start states",
    "L": f"trainings, {FRESH_STARTS} start states each",
}
WEIGHTS_OF = {
    "L1 ": f"{weights_name(REACH_PPO, 0)}.safetensors",
    "L2 ": f"{weights_name(REACH_PPO, 0)}.safetensors",
    "L3 ": f"{weights_name(SCRATCH_PPO, 0)}.safetensors",
    "L4 ": f"{weights_name(SCRATCH_PPO, 0)}.safetensors",
    "L5 ": f"{weights_name(REACH_SAC, 0)}.safetensors",
    "L6 ": f"{weights_name(REACH_RECURRENT, 0)}.safetensors",
}


def run(study: Study) -> None:
    """All rows; a quick study trains nothing, and measures the committed weights again."""
    if study.wants("robot"):
        robot_checks(study)
    if study.wants("experts"):
        episodes = expert_rows(study)
        draw_stills(study, episodes)
        draw_forces(study, episodes)
    if study.only is None:
        curves = train_baselines(study)
        if curves:
            draw_learning(study, curves)
    if study.wants("learned"):
        baseline_rows(study)
    if study.wants("definitions"):
        comparison_rows(study)
