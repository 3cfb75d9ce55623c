"""Trained circuits in the NCAP study: on held-out start states, in other bodies (A13), and without their parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lancelet import training
from lancelet.controllers import Controller, lesion
from lancelet.scripts.rows import Row, at_least
from lancelet.scripts.studies.ncap.episodes import JOINTS, TASK, circuit, score
from lancelet.scripts.studies.ncap.learning import BETTER_THAN_PLATEAU, HELD_OUT
from lancelet.scripts.studies.ncap.published import EVOLVED_RETURN, PLATEAU, TRANSFER, UNTRAINED
from lancelet.scripts.studies.swimming import com_speed, kept
from lancelet.scripts.study import Study
from lancelet.training.statistics import interval

EVOLUTION_STRATEGY = "evolution strategy"
SNES = "SNES"
TRANSFER_START_STATES = 5
"""episodes in each body (A13), and without each part"""
LEAST_TRANSFER = {3: 500, 7: 930, 9: 930, 11: 930, 13: 930}
"""joints -> least mean return of weights trained with five joints"""


def kept_circuits() -> dict[str, Controller]:
    """The trained circuits of results/ncap, by the algorithm that trained them; those that are missing are left out."""
    files = {EVOLUTION_STRATEGY: "ncap/evolution-strategy", SNES: "ncap/best"}
    circuits = {}
    for algorithm, file in files.items():
        controller = kept(file)
        if controller is not None:
            circuits[algorithm] = controller
    return circuits


def held_out(study: Study, trained: Mapping[str, Controller]) -> None:
    """The networks that are kept, on whole episodes from held-out start states.

    Args:
        study: takes the rows.
        trained: algorithm -> the circuit that it trained.
    """
    for algorithm, controller in trained.items():
        result = training.evaluate(controller, TASK, HELD_OUT, seed=0)
        mean = float(result.returns.mean())
        between = interval(result.returns)
        note = com_speed(result)
        if algorithm == SNES:
            study.add(
                at_least(
                    "SNES, best by validation: return",
                    "claim",
                    mean,
                    BETTER_THAN_PLATEAU,
                    reference=PLATEAU,
                    interval=between,
                    seeds=HELD_OUT,
                    note=note,
                )
            )
        else:
            study.add(
                Row(
                    name="evolution strategy, mean of the searches: return",
                    kind="info",
                    value=mean,
                    seeds=HELD_OUT,
                    interval=between,
                    note=note,
                    reference=EVOLVED_RETURN,
                )
            )


def transfer(study: Study, trained: Mapping[str, Controller]) -> dict[str, dict[int, np.ndarray]]:
    """A13: weights trained at N = 5 in other bodies, unchanged.

    Args:
        study: takes the rows.
        trained: algorithm -> the circuit that it trained.

    Returns:
        algorithm -> joints -> returns, (start states,).
    """
    returns_by_algorithm = {}
    for algorithm, source in trained.items():
        scores = {}
        for joints in UNTRAINED:
            ncap = circuit(joints)
            # One set of weights serves all joints: it fits a body of any length.
            ncap.load_state_dict(source.state_dict())
            scores[joints] = score(ncap, TRANSFER_START_STATES, joints)
        for joints, least in LEAST_TRANSFER.items():
            returns = scores[joints].returns
            reference = None
            if algorithm == EVOLUTION_STRATEGY:
                reference = float(TRANSFER[joints])
            study.add(
                at_least(
                    f"A13 {algorithm}, N = {JOINTS} -> {joints}",
                    "claim",
                    float(returns.mean()),
                    least,
                    reference=reference,
                    interval=interval(returns),
                    seeds=TRANSFER_START_STATES,
                    note=com_speed(scores[joints]),
                )
            )
        returns_by_algorithm[algorithm] = {
            joints: result.returns for joints, result in scores.items()
        }
    return returns_by_algorithm


def lesions(study: Study, best: Controller) -> dict[str, float]:
    """What each part of the trained circuit is worth.

    Args:
        study: takes the row of the part whose loss is worst.
        best: the trained circuit.

    Returns:
        part -> mean return without it, as a share of the intact circuit's.
    """
    # The same start states with and without the part: the ratio is one of pairs.
    intact = score(best, TRANSFER_START_STATES).returns.mean()
    scores = {part: score(lesion(best, part), TRANSFER_START_STATES) for part in best.parts()}
    shares = {part: result.returns.mean() / intact for part, result in scores.items()}
    worst = min(shares, key=lambda part: shares[part])
    note = (
        f"share of the intact circuit's return; {com_speed(scores[worst])}; "
        "every part in the picture"
    )
    study.add(
        Row(
            name=f"Trained circuit without {worst}",
            kind="info",
            value=float(shares[worst]),
            seeds=TRANSFER_START_STATES,
            note=note,
        )
    )
    return shares
