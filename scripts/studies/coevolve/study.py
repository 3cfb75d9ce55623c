"""Co-evolved swimmers with NCAP against NCAP evolved on the standard body, at equal evaluations.

No paper has shown this: both rows are this project's. An evaluation is one individual over the same number of start
states and control steps; selection sees training starts only, the figures are of held-out ones. The standard body has
the better-tuned search (SNES) and all evaluations for four weights; co-evolution spends them on bodies too. A body has
2 to 12 joints and any length from 0.3 to 1.2 m (the standard one: 5 joints, 0.6 m), motors of equal strength.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from lancelet import LanceletError, controllers, morphology, training
from lancelet.controllers import Controller
from lancelet.files import write_atomic
from lancelet.morphology.genome import Genome, decode
from lancelet.scripts.rows import Row, at_least
from lancelet.scripts.study import Study
from lancelet.training.coevolution.champions import champions, grown
from lancelet.training.coevolution.driver import Coevolve
from lancelet.training.coevolution.family import silhouette, tree
from lancelet.training.coevolution.individuals import read
from lancelet.training.coevolution.lifetimes import brain
from lancelet.training.rollout import evaluate, make_env
from lancelet.training.statistics import interval

TITLE = "Bodies and policies evolved together: swimmers"
TASK = "lancelet/Swim-v0"
SEEDS = {"quick": 1, "shown": 5, "full": 30}
EVALUATIONS = {"quick": 64, "shown": 480, "full": 10_000}
STEPS = {"quick": 200, "shown": 500, "full": 1000}
EPISODES, TESTS, POPULATION = 2, 20, 16
"""training starts of an individual, held-out starts, candidates a generation on the standard body"""


PARTS = {"kept": ("",)}
"""what `--only` measures alone: every row again, with the bodies and weights of results/coevolve"""
SEEDS_OF = {"": "searches"}
WEIGHTS_OF = {"": "champions.json"}


def run(study: Study) -> None:
    """All rows."""
    size = study.size
    if study.only is not None:
        pairs = _kept(study)
    else:
        if not study.resume:
            shutil.rmtree(_folder(study, 0).parent, ignore_errors=True)
        pairs = [
            _searched(study, seed, EVALUATIONS[size], STEPS[size]) for seed in range(SEEDS[size])
        ]
        _keep(study, pairs)
    found = [_figures(body, fixed, STEPS[size]) for body, fixed in pairs]
    rows = {name: np.array([one[name] for one in found]) for name in found[0]}
    about = f"{EVALUATIONS[size]} evaluations of {EPISODES} starts, {STEPS[size]} steps; {TESTS} held-out starts"

    def told(values: np.ndarray, *com_keys: str) -> dict[str, Any]:
        """Mean of the searches, its interval, and the speed of the centre of mass of those it is of."""
        speeds = " and ".join(f"{rows[f'{key} com'].mean():.3f}" for key in com_keys)
        note = f"{about}; centre of mass {speeds} m/s"
        return {
            "value": float(values.mean()),
            "interval": interval(values),
            "seeds": len(values),
            "note": note,
        }

    names = {"coevolved": "co-evolved body and NCAP", "fixed": "NCAP on the standard body"}
    for key, name in names.items():
        study.add(Row(f"{name}: return", "info", **told(rows[key], key)))
        study.add(
            Row(f"{name}: speed of the head (m/s)", "info", **told(rows[f"{key} speed"], key))
        )
    for suffix, unit in (("", "return"), (" speed", "speed (m/s)")):
        gain = told(rows[f"coevolved{suffix}"] - rows[f"fixed{suffix}"], "coevolved", "fixed")
        name = f"co-evolved less standard body, paired by seed: {unit}"
        study.add(at_least(name, "claim", gain.pop("value"), 0.0, **gain))
    name = "zero-shot: the co-evolved NCAP on the standard body: return"
    study.add(Row(name, "info", **told(rows["brain moved"], "brain moved")))
    name = "zero-shot: the standard body's NCAP in the co-evolved body: return"
    study.add(Row(name, "info", **told(rows["body moved"], "body moved")))
    if study.only is None:
        study.picture(
            "bodies",
            "Each seed's best body, and what it and its NCAP reach.",
            _picture(study, rows),
        )
        study.picture(
            "lineage",
            "Family tree of seed 0 with its champions.",
            tree(read(_folder(study, 0)), "seed 0"),
        )


def _folder(study: Study, seed: int) -> Path:
    return Path("runs") / f"reproduce-coevolve-{study.size}" / f"coevolved-{seed}"


def _searched(study: Study, seed: int, evaluations: int, steps: int) -> tuple[Genome, Controller]:
    """The best of both searches with one seed: a body with its NCAP, and NCAP for the standard body."""
    return _coevolved(study, seed, evaluations, steps), _fixed(study, seed, evaluations, steps)


def _keep(study: Study, pairs: list[tuple[Genome, Controller]]) -> None:
    """Leave what the rows are measured with beside them."""
    genomes = [body.to_json() for body, _ in pairs]
    write_atomic(study.folder / "champions.json", json.dumps(genomes, indent=1) + "\n")
    for seed, (_, fixed) in enumerate(pairs):
        study.weights(f"standard-body-{seed}", fixed)


def _kept(study: Study) -> list[tuple[Genome, Controller]]:
    """What `_keep` left.

    Raises:
        LanceletError: it is not there.
    """
    path = study.folder / "champions.json"
    if not path.exists():
        raise LanceletError(f"reproduce coevolve: --only needs {path}, which a whole study leaves")
    genomes = [Genome.from_json(text) for text in json.loads(path.read_text())]
    files = [study.folder / f"standard-body-{seed}.safetensors" for seed in range(len(genomes))]
    return [(body, controllers.load(file)) for body, file in zip(genomes, files, strict=True)]


def _figures(best: Genome, fixed: Controller, steps: int) -> dict[str, float]:
    """Return, speed of the head and of the centre of mass of both, and of each in the other's body."""
    body: dict[str, Any] = {"body": morphology.to_json(decode(best))}
    usual: dict[str, Any] = {}
    theirs = make_env(TASK, 1, steps, nthread=1, **body)
    standard = make_env(TASK, 1, steps, nthread=1)
    own = brain(best, theirs)
    flown = {
        "coevolved": (own, body),
        "fixed": (fixed, usual),
        "brain moved": (_moved(own, standard), usual),
        "body moved": (_moved(fixed, theirs), body),
    }
    figures: dict[str, float] = {}
    for key, (circuit, options) in flown.items():
        score = evaluate(circuit, TASK, TESTS, seed=0, max_episode_steps=steps, **options)
        figures[key] = float(score.returns.mean())
        figures[f"{key} speed"] = float(score.metrics["speed"].mean())
        figures[f"{key} com"] = float(score.metrics["com_speed"].mean())
    return figures


def _moved(circuit: Controller, env: Any) -> Controller:
    """The same weights, which all joints share, in another body."""
    other = controllers.make("ncap", env)
    other.load_state_dict(circuit.state_dict())
    return other


def _coevolved(study: Study, seed: int, evaluations: int, steps: int) -> Genome:
    folder = _folder(study, seed)
    settings: dict[str, Any] = {
        "evaluations": evaluations,
        "steps": steps,
        "episodes": EPISODES,
        "seed": seed,
    }
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

    genomes = [
        grown(champions(read(_folder(study, seed)))[-1]) for seed in range(len(rows["fixed"]))
    ]
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
