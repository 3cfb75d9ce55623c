"""Two hemispheres, one arm: Left/Right Brain, human motor control (Rinaldo et al. 2024, arXiv 2401.14057).

What rows A1 to A7 ask stands in docs/systems/arm.md, "Row codes"; "probe" rows go beyond the paper.
Seven models learn two tasks under two losses: `intended`, as the loss is named, and `as_released`,
where the published code puts its regulariser. A model is U (one column), B (two) or CC (two and a
callosum). N has the mixed loss, D or ND loss 1 (read as the dominant hand) or loss 2, S a column
for each. U8-N has one column of 8 units, E-N is the mean of two networks of 5. The unit of every
test is the training (its seed); ratios are geometric means over seeds with bootstrap intervals, p by sign flips, Holm
over the contrasts of a loss mode; those of A7 are a family of their own. The paper gives no figure to
compare with: claims are tested as it words them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from lancelet import LanceletError
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.bilateral import measures, models, plant, probes
from lancelet.scripts.studies.bilateral.anatomy import anatomy
from lancelet.scripts.studies.bilateral.claims import comparisons, lesions
from lancelet.scripts.studies.bilateral.contrasts import Contrast
from lancelet.scripts.studies.bilateral.measures import Figures, Lesions, error_metric
from lancelet.scripts.studies.bilateral.models import MODES, Brains, Cell
from lancelet.scripts.studies.bilateral.pictures import Results, draw
from lancelet.scripts.studies.bilateral.plant import TaskName
from lancelet.scripts.study import Size, Study, Superseded
from lancelet.training.statistics import interval
from lancelet.training.twins.losses import Mode

TITLE = "Arm reaching with two hemispheres (arXiv 2401.14057)"
TRIALS: dict[Size, int] = {"quick": 100, "shown": 400, "full": 1000}
"""test trials of each network"""
FEWEST_TRIALS = 50
"""where a quarter of the trials would do, it is never fewer than this"""
SHOWN_ALONE = ("U-N", "B-S", "CC-S")
"""models of the intended loss whose first network is saved as a controller of its own"""
ON_MUJOCO = ("U-N", "CC-S")
"""models whose first network is saved, loaded and held against the twin"""
LEARNED_ERROR = 0.03
"""m; no comparison is worth reporting of a model that errs by more (docs/systems/arm.md, "Row codes", A4)"""
REFERENCE_ERRORS: dict[TaskName, float] = {"reach": 0.025, "hold": 0.018}
"""m, U-N's error in two trainings of 2,000 updates by an independent build of this arm and these losses"""
TIMES_BETTER_THAN_LIMP = 7.0
"""by which U-N must hold better than an arm without excitation"""
LATER_STEPS = 100
"""control steps, 1.0 s: twice what was trained"""
BAND_EDGES = (0.0, 0.2, 0.4, 0.6, np.inf)
"""m, edges of the bands of distance in which reaches are averaged"""
PARTS = {"lesions": ("A7",)}
"""what `--only` measures alone, with the networks of results/bilateral, all ten seeds of which are there"""
SEEDS_OF = {"": "trainings"}
"""what the rows' seeds count (`Study.seeds_of`)"""
SUPERSEDED = (
    Superseded(
        beginning="A7 (",
        words="Holm 1,",
        reason=(
            "not run since the test was changed: no correction was computed, and the controls passed the criterion too; "
            "`lancelet reproduce bilateral --only lesions` tests specialised against control"
        ),
    ),
)

Networks = dict[Mode, dict[TaskName, Brains]]
"""loss mode -> task -> model -> its networks"""


def run(study: Study) -> None:
    """Add all rows and pictures; a quick study, and one of a part, measure the committed networks again."""
    if study.only is not None:
        part(study)
        return
    anatomy(study)
    brains = networks(study)
    if brains is None:
        note = "not run: the networks of results/bilateral are not here"
        study.add(Row("networks", "info", note=note))
        return
    trials = TRIALS[study.size]
    figures: dict[Mode, dict[TaskName, Figures]] = {}
    for mode in MODES:
        figures[mode] = {
            task: measures.figures(task, of_task, trials) for task, of_task in brains[mode].items()
        }
    learned(study, brains, figures)
    beside(study, brains["intended"])
    # The order of these stages is the order of the rows in the table.
    contrasts: dict[Mode, dict[str, Contrast]] = {}
    for mode in MODES:
        contrasts[mode] = comparisons(study, figures[mode], mode)
    lesion_errors: dict[Mode, dict[TaskName, Lesions]] = {}
    for mode in MODES:
        lesion_errors[mode] = lesions(study, brains[mode], mode, fewer_trials(study))
    for mode in MODES:
        probes.run(study, brains[mode]["reach"], trials // 2, mode)
    curves = {}
    # A quick study trains nothing, and the log of what is committed was not kept.
    if study.size != "quick":
        curves = {cell.name: models.curves(cell) for cell in models.cells(study.size)}
    results = Results(
        brains=brains,
        figures=figures,
        contrasts=contrasts,
        lesions=lesion_errors,
        curves=curves,
    )
    draw(study, results)


def part(study: Study) -> None:
    """Add the rows of A7 alone, on the committed networks.

    Raises:
        LanceletError: the committed networks are not there.
    """
    brains = networks(study)
    if brains is None:
        raise LanceletError(
            "reproduce bilateral: --only needs the networks of results/bilateral, which are not here"
        )
    for mode in MODES:
        lesions(study, brains[mode], mode, fewer_trials(study))


def fewer_trials(study: Study) -> int:
    """Trials of a measure that is repeated so often that a quarter of them must do."""
    return max(FEWEST_TRIALS, TRIALS[study.size] // 4)


def networks(study: Study) -> Networks | None:
    """All networks: committed ones where the study is quick or measures a part, else trained here.

    Returns:
        None where committed networks are wanted and are not there.
    """
    uses_committed = study.size == "quick" or study.only is not None
    if not uses_committed:
        models.train_all(study.size, fresh=not study.resume)
    result: Networks = {mode: {} for mode in MODES}
    for cell in models.cells(study.size):
        if uses_committed:
            brains = models.kept(cell)
            if brains is None:
                return None
        else:
            brains = models.trained(cell)
            _keep(study, cell, brains)
        result[cell.mode][cell.task] = brains
    # Loss 2 has no regulariser, so that U-ND is the same under both modes and was trained once.
    for task, brains in result["as_released"].items():
        brains["U-ND"] = result["intended"][task]["U-ND"]
    return result


def _keep(study: Study, cell: Cell, brains: Brains) -> None:
    """Save the networks of a cell beside the rows."""
    study.folder.mkdir(parents=True, exist_ok=True)
    models.keep(study.folder, cell, brains)
    if cell.mode == "intended":
        for name in SHOWN_ALONE:
            study.weights(f"{cell.task}-{name}", models.controller(brains, name))


def learned(
    study: Study,
    brains: Networks,
    figures: Mapping[Mode, Mapping[TaskName, Figures]],
) -> None:
    """Add the rows of A4 and one for every model's error.

    Args:
        study: takes the rows.
        brains: the networks.
        figures: loss mode -> task -> mean metrics of the models.
    """
    intended = figures["intended"]
    for task, reference in REFERENCE_ERRORS.items():
        metric = error_metric(task)
        errors = intended[task]["U-N"][metric]
        study.add(
            at_most(
                f"A4 intended, U-N, {task}: {_in_words(metric)} (m)",
                "gate",
                float(errors.mean()),
                LEARNED_ERROR,
                seeds=len(errors),
                interval=interval(errors),
                note=f"two trainings of an independent build: {reference:g}",
            )
        )
    limp_error = plant.ANCHORS[plant.LIMP]["hold_mean"]
    times_better = limp_error / intended["hold"]["U-N"]["mean_error"]
    study.add(
        at_least(
            "A4 intended, U-N, hold: times better than limp",
            "gate",
            float(times_better.mean()),
            TIMES_BETTER_THAN_LIMP,
            seeds=len(times_better),
            interval=interval(times_better),
        )
    )
    for mode in MODES:
        for task, by_model in figures[mode].items():
            for name, metrics in by_model.items():
                # Nothing was trained beyond 0.5 s: does the hand stay where it is?
                later = measures.play(
                    task,
                    brains[mode][task][name],
                    fewer_trials(study),
                    max_episode_steps=LATER_STEPS,
                )
                later_error = float(later["final_error"].mean())
                study.add(_error_row(mode, task, name, metrics, later_error))
    _add_bands(study, brains["intended"]["reach"])


def _in_words(metric: str) -> str:
    """A metric's name as rows write it."""
    return metric.replace("_", " ")


def _error_row(
    mode: Mode, task: TaskName, name: str, metrics: Mapping[str, np.ndarray], later_error: float
) -> Row:
    """The error of a model, with its other figures in the note.

    Args:
        mode: loss mode.
        task: reach or hold.
        name: of the model.
        metrics: mean over trials of each metric, (seeds,).
        later_error: m, of the hand after twice the trained time.
    """
    metric = error_metric(task)
    other_metric = "mean_error" if task == "reach" else "final_error"
    mean = {key: value.mean() for key, value in metrics.items()}
    parts = [
        f"{_in_words(other_metric)} {mean[other_metric]:.4f}, at 1.0 s {later_error:.3f}; "
        f"P1 {mean['P1']:.3f}",
        f"P2 {mean['P2']:.3f}",
        f"E {mean['E']:.4f}",
        f"rms jerk {mean['jerk']:.0f} m/s³",
        f"log jerk {mean['log_jerk']:.2f}",
        f"co-contraction {mean['cocontraction']:.2f}",
    ]
    if task == "reach":
        parts += [
            f"straightness {mean['straightness']:.3f}",
            f"peak {mean['peak_speed']:.2f} m/s",
            f"sub-movements {mean['submovements']:.2f}",
        ]
    errors = metrics[metric]
    return Row(
        name=f"{mode}, {task}, {name}: {_in_words(metric)} (m)",
        kind="info",
        value=float(errors.mean()),
        seeds=len(errors),
        interval=interval(errors),
        note=", ".join(parts),
    )


def _add_bands(study: Study, brains: Brains) -> None:
    """Add a row of U-N's reaches by distance, and without starts near a joint limit."""
    trials = measures.play("reach", brains["U-N"], TRIALS[study.size])
    bands = []
    for low, high in pairwise(BAND_EDGES):
        is_inside = (trials["distance"] >= low) & (trials["distance"] < high)
        bands.append(f"{low:g}-{high:g} m: {trials['final_error'][is_inside].mean():.3f}")
    away_from_limits = trials["final_error"][trials["near_limit"] == 0]
    study.add(
        Row(
            name="intended, reach, U-N: final error away from joint limits (m)",
            kind="info",
            value=float(away_from_limits.mean()),
            note="by distance of the target, all starts: " + ", ".join(bands),
        )
    )


def beside(study: Study, by_task: Mapping[TaskName, Brains]) -> None:
    """Add the rows of trained policies, saved and loaded, on the MuJoCo arm against the twin.

    Args:
        study: takes the rows.
        by_task: task -> networks of the intended loss.
    """
    study.folder.mkdir(parents=True, exist_ok=True)
    for task, brains in by_task.items():
        for name in ON_MUJOCO:
            network = models.controller(brains, name)
            cell = Cell(task, "intended", study.size)
            figures = measures.beside_the_twin(cell, network, study.folder)
            largest = max(abs(mujoco / twin - 1) for mujoco, twin in figures.values())
            parts = [
                f"{key} {mujoco:.4g} and {twin:.4g}" for key, (mujoco, twin) in figures.items()
            ]
            study.add(
                at_most(
                    f"{name}, {task}: saved, loaded, on MuJoCo against the twin, relative",
                    "gate",
                    largest,
                    0.05,
                    note=", ".join(parts),
                )
            )
