"""NCAP swimmer: Neural Circuit Architectural Priors for Embodied Control (Bhattasali et al. 2022, arXiv 2201.05242).

Claims and reference figures: docs/systems/ncap.md, "Reference figures". They were measured with the published code,
not read from the paper; start states follow its random scheme (`episodes.start`). A7, A9 and A10 (PPO, DDPG)
are a study of their own, `lancelet reproduce reinforcement`.
"""

from __future__ import annotations

from lancelet.scripts.studies.ncap.audit import body_and_circuit
from lancelet.scripts.studies.ncap.learning import (
    evolution,
    larger,
    learning_from_magnitudes,
    learning_without_signs,
    plateau,
)
from lancelet.scripts.studies.ncap.pictures import Measured, draw
from lancelet.scripts.studies.ncap.trained import (
    EVOLUTION_STRATEGY,
    SNES,
    held_out,
    kept_circuits,
    lesions,
    transfer,
)
from lancelet.scripts.studies.ncap.untrained import (
    initial_signs,
    magnitudes,
    periods,
    steering,
    untrained,
)
from lancelet.scripts.study import Study

TITLE = "NCAP swimmer (arXiv 2201.05242)"
PARTS = {
    "audit": ("A1 ", "A2 ", "dm_control oracle"),
    "untrained": ("A3 ", "A4 ", "A5 "),
    "periods": ("A6 ",),
    "steering": ("A14 ", "Navigate"),
    "starts": ("A11 no sign constraint", "A12 uniform magnitudes, untrained mean"),
    "kept": (
        "SNES, best by validation",
        "evolution strategy, mean of the searches",
        "A13 ",
        "Trained circuit",
    ),
}
"""what `--only` measures alone: all that needs no learning, with the networks of results/ncap"""
WEIGHTS_OF = {"SNES beats the published code's plateau": "snes-0.safetensors"}
"""beginning of a row's name -> the weights that it could be measured with again"""
SEEDS_OF = {
    "": "start states",
    "A8": "trainings",
    "A11": "sign patterns",
    "A12": "draws of the weights",
    "SNES beats": "trainings",
    "SNES training": "trainings",
}
"""beginning of a row's name -> what its seeds count"""
MAGNITUDE_SEEDS = 16
"""draws of uniform first weights that are measured untrained (A12)"""
SEARCHES = {"quick": 2, "shown": 10, "full": 10}
"""size of the study -> searches by the evolution strategy (A8)"""
TRAININGS = {"quick": 1, "shown": 5, "full": 5}
"""size of the study -> trainings by SNES"""


def run(study: Study) -> None:
    """All rows, or those of the parts that are wanted; `study.size` decides how much learning is run."""
    if study.only is None:
        _run_whole(study)
    else:
        _run_parts(study)


def _run_whole(study: Study) -> None:
    """All rows and pictures."""
    is_quick = study.size == "quick"
    body_and_circuit(study)
    untrained_returns = untrained(study)
    returns_by_period = periods(study)
    steering(study, navigate=not is_quick)
    initial_signs(study)
    magnitudes(study, MAGNITUDE_SEEDS)

    # What is trained here replaces the networks of results/ncap in the rows that follow.
    evolved, evolution_curve = evolution(study, SEARCHES[study.size])
    sign_curve = None
    magnitude_curve = None
    if not is_quick:
        sign_curve = learning_without_signs(study)
        magnitude_curve = learning_from_magnitudes(study)
    larger(study, run=study.size == "full")
    best = plateau(study, TRAININGS[study.size])

    trained = {EVOLUTION_STRATEGY: evolved, SNES: best}
    held_out(study, trained)
    transfer_returns = transfer(study, trained)
    lesion_shares = lesions(study, best)
    measured = Measured(
        untrained=untrained_returns,
        periods=returns_by_period,
        evolution=evolution_curve,
        signs=sign_curve,
        magnitudes=magnitude_curve,
        transfer=transfer_returns,
        lesions=lesion_shares,
    )
    draw(study, measured)


def _run_parts(study: Study) -> None:
    """The rows of the parts that are wanted, with trained networks from results/ncap where they are there."""
    if study.wants("audit"):
        body_and_circuit(study)
    if study.wants("untrained"):
        untrained(study)
    if study.wants("periods"):
        periods(study)
    if study.wants("steering"):
        steering(study, navigate=study.size != "quick")
    if study.wants("starts"):
        initial_signs(study)
        magnitudes(study, MAGNITUDE_SEEDS)
    if study.wants("kept"):
        trained = kept_circuits()
        held_out(study, trained)
        transfer(study, trained)
        if SNES in trained:
            lesions(study, trained[SNES])
