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

from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from lancelet import LanceletError, controllers
from lancelet.controllers.bilateral import crossed
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.bilateral import measures, models, plant, probes
from lancelet.scripts.studies.bilateral.contrasts import (
    WORSE,
    Contrast,
    as_family,
    contrast,
    crossover,
    frontier,
    judged,
    of_logs,
    planned,
)
from lancelet.scripts.studies.bilateral.models import MODES, SEEDS, Brains, Cell
from lancelet.scripts.studies.bilateral.pictures import draw
from lancelet.scripts.study import Study, Superseded
from lancelet.training.statistics import interval
from lancelet.training.twins.cohort import Cohort, Pupil
from lancelet.training.twins.course import course
from lancelet.training.twins.losses import LOSSES, MUSCLE, Loss

TITLE = "Arm reaching with two hemispheres (arXiv 2401.14057)"
TRIALS = {"quick": 100, "shown": 400, "full": 1000}
HANDS = {"loss 1": ("U-D", "U-ND"), "loss 2": ("U-ND", "U-D")}
"""which loss is called dominant -> dominant hand, the other"""
CONTROLS = {"B-S": "B-N", "CC-S": "CC-N"}
"""a specialised model -> the same structure, and the same first weights, under the mixed loss"""
PARTS = {"lesions": ("A7",)}
"""what `--only` measures alone, with the networks of results/bilateral, all ten seeds of which are there"""
SEEDS_OF = {"": "trainings"}
SUPERSEDED = (
    Superseded(
        "A7 (",
        "Holm 1,",
        "not run since the test was changed: no correction was computed, and the controls passed the criterion too; "
        "`lancelet reproduce bilateral --only lesions` tests specialised against control",
    ),
)


def run(study: Study) -> None:
    """All rows; a quick study, and one of a part, measure the committed networks again."""
    if study.only is not None:
        part(study)
        return
    anatomy(study)
    brains = networks(study)
    if brains is None:
        study.add(
            Row("networks", "info", note="not run: the networks of results/bilateral are not here")
        )
        return
    trials = TRIALS[study.size]
    data: dict[str, Any] = {"brains": brains, "figures": {}, "contrasts": {}, "lesions": {}}
    for mode in MODES:
        data["figures"][mode] = {
            task: measures.figures(task, group, trials) for task, group in brains[mode].items()
        }
    learned(study, data)
    beside(study, brains)
    for mode in MODES:
        comparisons(study, data, mode)
    for mode in MODES:
        lesions(study, data, mode, max(50, trials // 4))
    data["probes"] = {
        mode: probes.run(study, brains[mode]["reach"], trials // 2, mode) for mode in MODES
    }
    if study.size != "quick":
        data["curves"] = {cell.name: models.curves(cell) for cell in models.cells(study.size)}
    draw(study, data)


def part(study: Study) -> None:
    """A7 alone, on the committed networks."""
    brains = networks(study)
    if brains is None:
        raise LanceletError(
            "reproduce bilateral: --only needs the networks of results/bilateral, which are not here"
        )
    data: dict[str, Any] = {"brains": brains, "lesions": {}}
    for mode in MODES:
        lesions(study, data, mode, max(50, TRIALS[study.size] // 4))


def networks(study: Study) -> dict[str, dict[str, Brains]] | None:
    """Loss mode -> task -> all networks: committed ones where quick or a part is measured, else trained here."""
    cells = models.cells(study.size)
    committed = study.size == "quick" or study.only is not None
    if not committed:
        models.train_all(study.size, fresh=not study.resume)
    found: dict[str, dict[str, Brains]] = {mode: {} for mode in MODES}
    for cell in cells:
        group = models.kept(cell) if committed else models.trained(cell)
        if group is None:
            return None
        if not committed:
            study.folder.mkdir(parents=True, exist_ok=True)
            models.keep(study.folder, cell, group)
            if cell.mode == "intended":
                for name in ("U-N", "B-S", "CC-S"):
                    study.weights(f"{cell.task}-{name}", models.controller(group, name))
        found[cell.mode][cell.task] = group
    for task, group in found["as_released"].items():  # without a regulariser both modes are one
        group["U-ND"] = found["intended"][task]["U-ND"]
    return found


def anatomy(study: Study) -> None:
    """A1 to A3: plant, losses, network."""
    found = plant.inertia()
    worst = max(
        abs(a - b)
        for angle, rows in plant.INERTIA.items()
        for a, b in zip(found[angle], rows, strict=True)
    )
    study.add(at_most("A1 inertia: largest difference from the spec (kg m²)", "gate", worst, 1e-4))
    for excitation, known in plant.ANCHORS.items():
        ours = plant.anchors(excitation)
        gap = max(abs(ours[name] / value - 1) for name, value in known.items())
        note = ", ".join(f"{name} {ours[name]:.3f}" for name in known) + "; 8,192 trials"
        study.add(
            at_most(
                f"A1 excitation {excitation:g}: largest relative difference",
                "gate",
                gap,
                0.03,
                note=note,
            )
        )
    for substeps, clock in ((1, "10 ms"), (5, "5 x 2 ms")):
        gap = 1000 * plant.gap(substeps)
        note = f"{len(gap)} random excitations that avoid the limits"
        name = f"A1 twin against MuJoCo, {clock}: largest gap of the hand (mm)"
        study.add(at_most(name, "gate", float(gap.max()), 1.0, note=note))
        euler = 1000 * plant.gap(substeps, "mujoco")
        study.add(Row(f"A1 twin against MuJoCo's own Euler, {clock}: median gap (mm)", "info", float(np.median(euler)),
                      reference="8-18" if substeps == 1 else "2-4"))  # fmt: skip
    _losses(study)
    env = gym.make(plant.TASKS["reach"])
    structures: list[dict[str, Any]] = [
        {"columns": 1},
        {"columns": 1, "units": 8},
        {},
        {"callosum": True},
    ]
    made = [controllers.make("bilateral", env, **options) for options in structures]
    counts = "/".join(str(one.parameter_count) for one in made)
    study.add(
        Row(
            "A3 parameters of U, U8, B, CC",
            "gate",
            counts,
            "346/262/268/268",
            counts == "346/262/268/268",
        )
    )
    heard = [
        int(value) for value in crossed(torch.zeros(5, 1), torch.arange(1.0, 6.0)[:, None])[:, 0]
    ]
    study.add(
        Row(
            "A3 callosum of x = 1..5 adds",
            "gate",
            str(heard),
            "[0, 0, 0, 2, 4]",
            heard == [0, 0, 0, 2, 4],
        )
    )
    moved = _moved(made[3])
    note = "one update with loss 2 at zero: largest change of left column, combiner, motor layer; right"
    holds = (
        moved["right"] == 0 and min(value for side, value in moved.items() if side != "right") > 0
    )
    study.add(Row("A3 routing: change of the right column", "gate", moved["right"], "0", bool(holds),
                  note=f"{note}: {', '.join(f'{value:.2g}' for value in moved.values())}"))  # fmt: skip


@torch.no_grad()
def _losses(study: Study) -> None:
    """A2: the mis-routed total of an untrained CC network, put together again from the plant's outputs."""
    env: Any = gym.make(plant.TASKS["reach"])
    one = controllers.make("bilateral", env, callosum=True, seed=1)
    path = course(env.unwrapped.task, 50)
    group = Cohort(path, [Pupil(one, ("mixed", "mixed"))], "as_released", validation=64)
    total = float(group.validate()["loss"][0])
    drawn = group.held
    trace = {
        name: value.numpy()
        for name, value in group.play(drawn).items()
        if isinstance(value, torch.Tensor)
    }
    miss = drawn["target"].numpy() - trace["hand"]
    base = (
        np.mean(trace["action"] ** 2)
        + 2.5 * np.mean(np.abs(miss))
        + 2.5 * np.mean((10 * miss) ** 2) / 10
    )
    outputs = [("q", "v"), MUSCLE, ("seen",), ("hand",)]
    terms = []
    for names in outputs:
        y = np.concatenate([trace[name] for name in names], -1)[
            ..., : 12 if names == ("seen",) else None
        ]
        terms.append(float(np.mean(y**2) + 0.05 * np.mean((np.diff(y, axis=0) / path.dt) ** 2)))
    gap = abs(total / float(base + 0.01 * sum(terms)) - 1)
    note = f"{total:.1f} = {base:.3f} + 0.01 x ({' + '.join(f'{term:.4g}' for term in terms)}); 64 trials, untrained CC"
    study.add(at_most("A2 as released: total against base + four terms, relative", "gate", gap, 1e-5,
                      reference="513.96 = 2.945 + 0.01 x (946.8 + 50153 + 1.18 + 0.116)", note=note))  # fmt: skip


def _moved(one: Any) -> dict[str, float]:
    """Largest change of each part's weights by one update in which loss 2 is nothing."""
    env: Any = gym.make(plant.TASKS["reach"]).unwrapped
    without_loss2 = {**LOSSES, "loss2": Loss(E=0, P1=0, P2=0, R=0)}
    group = Cohort(
        course(env.task, 50),
        [Pupil(one, ("loss1", "loss2"))],
        batch=16,
        validation=16,
        losses=without_loss2,
    )
    group.update()
    group.validate()
    after, found = (
        dict(group.controller(0).named_parameters()),
        {"left": 0.0, "combiner": 0.0, "output": 0.0, "right": 0.0},
    )
    for name, before in one.named_parameters():
        part = "combiner" if name in ("w1", "w2") else name.partition(".")[0]
        found[part] = max(found[part], float((after[name] - before).detach().abs().max()))
    return found


def learned(study: Study, data: dict[str, Any]) -> None:
    """A4, and what every model does."""
    intended = data["figures"]["intended"]
    for task, name in (("reach", "final_error"), ("hold", "mean_error")):
        rows = intended[task]["U-N"][name]
        note = "spec's two seeds: " + ("0.025" if task == "reach" else "0.018")
        study.add(at_most(f"A4 intended, U-N, {task}: {name.replace('_', ' ')} (m)", "gate", float(rows.mean()), 0.03,
                          seeds=len(rows), interval=interval(rows), note=note))  # fmt: skip
    limp = plant.ANCHORS[0.0]["hold_mean"] / intended["hold"]["U-N"]["mean_error"]
    study.add(at_least("A4 intended, U-N, hold: times better than limp", "gate", float(limp.mean()), 7.0,
                       seeds=len(limp), interval=interval(limp)))  # fmt: skip
    trials = max(50, TRIALS[study.size] // 4)
    for mode in MODES:
        for task, figures in data["figures"][mode].items():
            for name, rows in figures.items():
                later = measures.play(
                    task, data["brains"][mode][task][name], trials, max_episode_steps=100
                )
                mean = {key: value.mean() for key, value in rows.items()}
                other = "mean_error" if task == "reach" else "final_error"
                note = f"{other.replace('_', ' ')} {mean[other]:.4f}, at 1.0 s {later['final_error'].mean():.3f}; "
                note += f"P1 {mean['P1']:.3f}, P2 {mean['P2']:.3f}, E {mean['E']:.4f}, rms jerk {mean['jerk']:.0f} m/s³, "
                note += (
                    f"log jerk {mean['log_jerk']:.2f}, co-contraction {mean['cocontraction']:.2f}"
                )
                if task == "reach":
                    note += f", straightness {mean['straightness']:.3f}, peak {mean['peak_speed']:.2f} m/s, "
                    note += f"sub-movements {mean['submovements']:.2f}"
                value = rows[measures.error(task)]
                study.add(Row(f"{mode}, {task}, {name}: {measures.error(task).replace('_', ' ')} (m)", "info",
                              float(value.mean()), None, None, len(value), interval(value), note))  # fmt: skip
    _bands(study, data)


def _bands(study: Study, data: dict[str, Any]) -> None:
    """Reaches by distance, and without starts near a joint limit."""
    found = measures.play("reach", data["brains"]["intended"]["reach"]["U-N"], TRIALS[study.size])
    edges = (0.0, 0.2, 0.4, 0.6, np.inf)
    parts = []
    for low, high in pairwise(edges):
        inside = (found["distance"] >= low) & (found["distance"] < high)
        parts.append(f"{low:g}-{high:g} m: {found['final_error'][inside].mean():.3f}")
    free = found["final_error"][found["near_limit"] == 0].mean()
    study.add(Row("intended, reach, U-N: final error away from joint limits (m)", "info", float(free),
                  note="by distance of the target, all starts: " + ", ".join(parts)))  # fmt: skip


def beside(study: Study, brains: dict[str, dict[str, Brains]]) -> None:
    """A trained policy, saved and loaded, on the MuJoCo arm: the twin's figures."""
    for task in plant.TASKS:
        for name in ("U-N", "CC-S"):
            one = models.controller(brains["intended"][task], name)
            study.folder.mkdir(parents=True, exist_ok=True)
            found = measures.beside_the_twin(Cell(task, "intended", study.size), one, study.folder)
            worst = max(abs(ours / theirs - 1) for ours, theirs in found.values())
            note = ", ".join(
                f"{key} {ours:.4g} and {theirs:.4g}" for key, (ours, theirs) in found.items()
            )
            title = f"{name}, {task}: saved, loaded, on MuJoCo against the twin, relative"
            study.add(at_most(title, "gate", worst, 0.05, note=note))


def comparisons(study: Study, data: dict[str, Any], mode: str) -> None:
    """A5, A6 and the rest of the planned contrasts of a loss mode."""
    by_task = data["figures"][mode]
    seeds = len(by_task["reach"]["U-N"]["final_error"])
    found = data["contrasts"][mode] = planned(by_task)
    for key, each in found.items():
        study.add(
            Row(
                f"contrast ({mode}): {key}",
                "info",
                each.ratio,
                None,
                None,
                seeds,
                each.interval,
                each.note,
            )
        )
    compared = {"error": {task: measures.error(task) for task in by_task}}
    compared |= {
        "effort E": dict.fromkeys(by_task, "E"),
        "rms jerk": dict.fromkeys(by_task, "jerk"),
    }
    compared |= {"dimensionless jerk": dict.fromkeys(by_task, "log_jerk")}
    for what, metric in compared.items():
        hands = crossover(by_task, metric)
        for dominant in HANDS:
            reach, hold = (_of(hands[task], dominant) for task in ("reach", "hold"))
            holds = reach[2] < 1 and hold[1] > 1
            value = f"{reach[0]:.3g} on reach, {hold[0]:.3g} on hold"
            note = f"intervals {reach[1]:.3g} .. {reach[2]:.3g} and {hold[1]:.3g} .. {hold[2]:.3g}"
            name = f"A5 ({mode}): {what}, dominant ({dominant}) over non-dominant hand"
            study.add(
                Row(
                    name,
                    "claim",
                    value,
                    "< 1 on reach, > 1 on hold",
                    judged(seeds, holds),
                    seeds,
                    None,
                    note,
                )
            )
    for task, figures in by_task.items():
        errors = {name: float(rows[measures.error(task)].mean()) for name, rows in figures.items()}
        best = frontier(errors, {name: float(rows["E"].mean()) for name, rows in figures.items()})
        study.add(
            Row(
                f"A5 ({mode}): {task}, models that no other beats in error and effort",
                "info",
                ", ".join(best),
            )
        )
    for dominant, (ours, theirs) in HANDS.items():
        preferred = {"reach": (ours, theirs), "hold": (theirs, ours)}
        for name in ("B-S", "CC-S"):
            _as_good(study, mode, dominant, name, by_task, preferred)
    for pair in (("CC-N", "B-N"), ("CC-S", "B-S")):
        rows = [found[f"{task} {pair[0]}/{pair[1]}"] for task in by_task]
        value = ", ".join(
            f"{each.ratio:.3g} on {task}" for each, task in zip(rows, by_task, strict=True)
        )
        note = "v1 of the paper only, worded as a tendency; " + "; ".join(
            each.note for each in rows
        )
        study.add(Row(f"claim 3 ({mode}): error of {pair[0]} over {pair[1]}", "claim", value, "< 1 in both",
                      judged(seeds, all(each.lower for each in rows)), seeds, None, note))  # fmt: skip


def _of(each: Contrast, dominant: str) -> tuple[float, float, float]:
    """Ratio and its interval, dominant over the other."""
    low, high = each.interval
    return (each.ratio, low, high) if dominant == "loss 1" else (1 / each.ratio, 1 / high, 1 / low)


def _as_good(
    study: Study,
    mode: str,
    dominant: str,
    name: str,
    by_task: dict[str, Any],
    preferred: dict[str, tuple[str, str]],
) -> None:
    """A6: better than the hand that the task does not suit, not 5 % worse than the other, in both tasks."""
    holds, parts, notes, seeds = True, [], [], 0
    for task, (good, bad) in preferred.items():
        metric = measures.error(task)
        rows = {who: by_task[task][who][metric] for who in (name, good, bad)}
        seeds = len(rows[name])
        better, level = (contrast(task, rows[name], rows[who]) for who in (bad, good))
        holds = holds and better.interval[1] < 1 and level.interval[1] <= WORSE
        parts.append(f"{task}: {better.ratio:.3g}, {level.ratio:.3g}")
        notes += [f"{task}, over {who}: {each.interval[0]:.3g} .. {each.interval[1]:.3g}"
                  for who, each in ((bad, better), (good, level))]  # fmt: skip
    title = (
        f"A6 ({mode}): error of {name} over non-preferred, preferred hand; dominant = {dominant}"
    )
    target = "interval < 1; upper end <= 1.05"
    study.add(
        Row(
            title,
            "claim",
            "; ".join(parts),
            target,
            judged(seeds, holds),
            seeds,
            None,
            "; ".join(notes),
        )
    )


def lesions(study: Study, data: dict[str, Any], mode: str, trials: int) -> None:
    """A7: does specialisation make the columns' losses unequal?

    A network's two columns are never equal: where the weights begin decides which of them does more, in the controls
    too. What specialisation adds is the ratio of the two losses against the control's of the same first weights,
    paired by seed, Holm over the contrasts of the loss mode. How alike the columns are stands in the notes.
    """
    contrasts = []
    for task, group in data["brains"][mode].items():
        both_columns = {name: group[name] for pair in CONTROLS.items() for name in pair}
        found = measures.lesioned(task, both_columns, trials)
        data["lesions"][mode, task] = found
        balance = {
            name: np.log(rows["left silent"] / rows["right silent"]) for name, rows in found.items()
        }
        for name, rows in found.items():
            each = of_logs(name, balance[name])
            without_left = np.exp(np.mean(np.log(rows["left silent"] / rows["none"])))
            without_right = np.exp(np.mean(np.log(rows["right silent"] / rows["none"])))
            cosine, share = measures.likeness(Cell(task, mode, study.size), group, name)  # pyright: ignore[reportArgumentType]
            note = (
                f"error x {without_left:.3g} without left, x {without_right:.3g} without right; {each.note}; "
                f"w1 / (w1 + w2) {share.mean():.2f}, cosine of the columns {cosine.mean():.2f}"
            )
            study.add(
                Row(
                    f"A7 ({mode}), {task}, {name}: error, left over right column silent",
                    "info",
                    each.ratio,
                    seeds=len(share),
                    interval=each.interval,
                    note=note,
                )
            )
        for special, control in CONTROLS.items():
            name = (
                f"A7 ({mode}), {task}, {special} against {control}: left over right column silent"
            )
            contrasts.append(of_logs(name, balance[special] - balance[control]))
    for each in as_family(contrasts):
        study.add(
            Row(
                each.name,
                "claim",
                each.ratio,
                "interval excludes 1, Holm < 0.05",
                judged(SEEDS[study.size], each.apart),
                SEEDS[study.size],
                each.interval,
                f"ratio of the ratios, paired by seed; {each.note}; Holm over {len(contrasts)} contrasts",
            )
        )
