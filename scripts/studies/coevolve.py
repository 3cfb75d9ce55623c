"""Co-evolved swimmers with NCAP against NCAP evolved on the standard body, at equal evaluations.

No paper has shown this: both rows are this project's. An evaluation is one individual over the same number of start
states and control steps; selection sees training starts only, the figures are of held-out ones. The standard body has
the better-tuned search (SNES) and all evaluations for four weights; co-evolution spends them on bodies too. A body has
2 to 12 joints and any length from 0.3 to 1.2 m (the standard one: 5 joints, 0.6 m), motors of equal strength.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from lancelet import controllers, morphology, training
from lancelet.controllers import Controller
from lancelet.morphology.genome import Genome, decode
from lancelet.scripts.rows import Row, at_least
from lancelet.scripts.study import Study
from lancelet.training.champions import champions, grown
from lancelet.training.coevolve import Coevolve
from lancelet.training.family import silhouette, tree
from lancelet.training.individuals import read
from lancelet.training.lifetimes import brain
from lancelet.training.report import interval
from lancelet.training.rollout import evaluate, make_env

TITLE = "Bodies and policies evolved together: swimmers"
TASK = "lancelet/Swim-v0"
SEEDS = {"quick": 1, "shown": 5, "full": 30}
EVALUATIONS = {"quick": 64, "shown": 480, "full": 10_000}
STEPS = {"quick": 200, "shown": 500, "full": 1000}
EPISODES, TESTS, POPULATION = 2, 20, 16
"""training starts of an individual, held-out starts, candidates a generation on the standard body"""


def run(study: Study) -> None:
    """All rows."""
    size = study.size
    if not study.resume:
        shutil.rmtree(_folder(study, 0).parent, ignore_errors=True)
    found = [_seed(study, seed, EVALUATIONS[size], STEPS[size]) for seed in range(SEEDS[size])]
    rows = {name: np.array([one[name] for one in found]) for name in found[0]}
    note = f"{EVALUATIONS[size]} evaluations of {EPISODES} starts, {STEPS[size]} steps; {TESTS} held-out starts"

    def about(values: np.ndarray) -> dict[str, Any]:
        return {"value": float(values.mean()), "interval": interval(values), "seeds": len(values), "note": note}

    names = {"coevolved": "co-evolved body and NCAP", "fixed": "NCAP on the standard body"}
    for key, name in names.items():
        study.add(Row(f"{name}: return", "info", **about(rows[key])))
        study.add(Row(f"{name}: speed of the head (m/s)", "info", **about(rows[f"{key} speed"])))
    for suffix, unit in (("", "return"), (" speed", "speed (m/s)")):
        gain = about(rows[f"coevolved{suffix}"] - rows[f"fixed{suffix}"])
        name = f"co-evolved less standard body, paired by seed: {unit}"
        study.add(at_least(name, "claim", gain.pop("value"), 0.0, **gain))
    study.add(Row("zero-shot: the co-evolved NCAP on the standard body: return", "info", **about(rows["brain moved"])))
    name = "zero-shot: the standard body's NCAP in the co-evolved body: return"
    study.add(Row(name, "info", **about(rows["body moved"])))
    study.picture("bodies", "Each seed's best body, and what it and its NCAP reach.", _picture(study, rows))
    study.picture("lineage", "Family tree of seed 0 with its champions.", tree(read(_folder(study, 0)), "seed 0"))


def _folder(study: Study, seed: int) -> Path:
    return Path("runs") / f"reproduce-coevolve-{study.size}" / f"coevolved-{seed}"


def _seed(study: Study, seed: int, evaluations: int, steps: int) -> dict[str, float]:
    """Both searches with one seed, and their figures on held-out starts."""
    best = _coevolved(study, seed, evaluations, steps)
    body: dict[str, Any] = {"body": morphology.to_json(decode(best))}
    theirs, standard = make_env(TASK, 1, steps, nthread=1, **body), make_env(TASK, 1, steps, nthread=1)
    own = brain(best, theirs)
    fixed = _fixed(study, seed, evaluations, steps)
    score: dict[str, float] = {}
    usual: dict[str, Any] = {}
    for key, circuit, options in (
        ("coevolved", own, body),
        ("fixed", fixed, usual),
        ("brain moved", _moved(own, standard), usual),
        ("body moved", _moved(fixed, theirs), body),
    ):
        result = evaluate(circuit, TASK, TESTS, seed=0, max_episode_steps=steps, **options)
        score[key], score[f"{key} speed"] = float(result.returns.mean()), float(result.metrics["speed"].mean())
    return score


def _moved(circuit: Controller, env: Any) -> Controller:
    """The same weights, which all joints share, in another body."""
    other = controllers.make("ncap", env)
    other.load_state_dict(circuit.state_dict())
    return other


def _coevolved(study: Study, seed: int, evaluations: int, steps: int) -> Genome:
    folder = _folder(study, seed)
    settings: dict[str, Any] = {"evaluations": evaluations, "steps": steps, "episodes": EPISODES, "seed": seed}
    Coevolve(**settings, folder=str(folder), resume=True, deadline=300).run("swim")
    return grown(champions(read(folder))[-1])


def _fixed(study: Study, seed: int, evaluations: int, steps: int) -> Controller:
    trainer = training.algorithms.get("snes")(
        seed=seed, generations=evaluations // POPULATION, population=POPULATION, episodes=EPISODES, test=0,
        folder=str(_folder(study, seed).with_name(f"fixed-{seed}")), resume=True,
    )  # fmt: skip
    return trainer.train(TASK, "ncap", {"max_episode_steps": steps}).controller


def _picture(study: Study, rows: dict[str, np.ndarray]) -> Any:
    from matplotlib.figure import Figure

    genomes = [grown(champions(read(_folder(study, seed)))[-1]) for seed in range(len(rows["fixed"]))]
    plot = Figure(figsize=(9, 0.5 + 0.75 * len(genomes)))
    boxes = np.atleast_1d(plot.subplots(len(genomes), 1))
    reach = max(silhouette(box, genome)[0] for box, genome in zip(boxes, genomes, strict=True))
    for seed, (box, genome) in enumerate(zip(boxes, genomes, strict=True)):
        joints, length = len(genome.body["limits"]), sum(genome.body["lengths"])
        text = f"seed {seed}: {joints} joints, {length:.2f} m\n"
        text += f"return {rows['coevolved'][seed]:.0f} (standard body {rows['fixed'][seed]:.0f})"
        box.text(1.15 * reach, 0, text, va="center", fontsize=9)
        box.set_xlim(-reach, 3 * reach)
        box.set_ylim(-0.1 * reach, 0.1 * reach)
        box.set_aspect("equal")
        box.axis("off")
    return plot
