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
EPISODES = 2
"""training starts of an individual"""
TESTS = 20
"""held-out starts"""
POPULATION = 16
"""candidates a generation on the standard body"""
DEADLINE = 300
"""s that an evaluation may take"""
GENOMES_FILE = "champions.json"
"""each seed's best body with its weights"""
NAMES = {"coevolved": "co-evolved body and NCAP", "fixed": "NCAP on the standard body"}
"""search -> its name in the rows"""

PARTS = {"kept": ("",)}
"""what `--only` measures alone: every row again, with the bodies and weights of results/coevolve"""
SEEDS_OF = {"": "searches"}
WEIGHTS_OF = {"": GENOMES_FILE}


def run(study: Study) -> None:
    """Measure all rows."""
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
    figures = [_figures(body, fixed, STEPS[size]) for body, fixed in pairs]
    columns = {name: np.array([row[name] for row in figures]) for name in figures[0]}
    _add_rows(study, columns)
    if study.only is None:
        study.picture(
            "bodies",
            "Each seed's best body, and what it and its NCAP reach.",
            _picture(study, columns),
        )
        study.picture(
            "lineage",
            "Family tree of seed 0 with its champions.",
            tree(read(_folder(study, 0)), "seed 0"),
        )


def _add_rows(study: Study, columns: dict[str, np.ndarray]) -> None:
    """Add what both searches reach, the gain by co-evolution, and how circuits do in each other's bodies.

    Args:
        study: gets the rows.
        columns: figure -> its value for every seed, (seeds,).
    """
    evaluations = EVALUATIONS[study.size]
    steps = STEPS[study.size]
    about = (
        f"{evaluations} evaluations of {EPISODES} starts, {steps} steps; {TESTS} held-out starts"
    )

    def summary(values: np.ndarray, *searches: str) -> dict[str, Any]:
        """Mean over seeds, its interval, and the speed of the centre of mass of the searches it is of."""
        speeds = " and ".join(f"{columns[f'{key} com'].mean():.3f}" for key in searches)
        return {
            "value": float(values.mean()),
            "interval": interval(values),
            "seeds": len(values),
            "note": f"{about}; centre of mass {speeds} m/s",
        }

    for key, name in NAMES.items():
        study.add(Row(f"{name}: return", "info", **summary(columns[key], key)))
        speed = summary(columns[f"{key} speed"], key)
        study.add(Row(f"{name}: speed of the head (m/s)", "info", **speed))
    # Columns are named by their search, then by the figure; the return has no word of its own.
    for suffix, unit in (("", "return"), (" speed", "speed (m/s)")):
        difference = columns[f"coevolved{suffix}"] - columns[f"fixed{suffix}"]
        gain = summary(difference, "coevolved", "fixed")
        name = f"co-evolved less standard body, paired by seed: {unit}"
        value = gain.pop("value")
        study.add(at_least(name, "claim", value, 0.0, **gain))
    name = "zero-shot: the co-evolved NCAP on the standard body: return"
    study.add(Row(name, "info", **summary(columns["brain moved"], "brain moved")))
    name = "zero-shot: the standard body's NCAP in the co-evolved body: return"
    study.add(Row(name, "info", **summary(columns["body moved"], "body moved")))


def _folder(study: Study, seed: int) -> Path:
    """The run folder of the co-evolution with one seed."""
    return Path("runs") / f"reproduce-coevolve-{study.size}" / f"coevolved-{seed}"


def _searched(study: Study, seed: int, evaluations: int, steps: int) -> tuple[Genome, Controller]:
    """The best of both searches with one seed: a body with its NCAP, and NCAP for the standard body."""
    return _coevolved(study, seed, evaluations, steps), _fixed(study, seed, evaluations, steps)


def _keep(study: Study, pairs: list[tuple[Genome, Controller]]) -> None:
    """Leave what the rows are measured with beside them."""
    genomes = [body.to_json() for body, _ in pairs]
    write_atomic(study.folder / GENOMES_FILE, json.dumps(genomes, indent=1) + "\n")
    for seed, (_, fixed) in enumerate(pairs):
        study.weights(f"standard-body-{seed}", fixed)


def _kept(study: Study) -> list[tuple[Genome, Controller]]:
    """What `_keep` left.

    Raises:
        LanceletError: it is not there.
    """
    path = study.folder / GENOMES_FILE
    if not path.exists():
        raise LanceletError(f"reproduce coevolve: --only needs {path}, which a whole study leaves")
    genomes = [Genome.from_json(text) for text in json.loads(path.read_text())]
    files = [study.folder / f"standard-body-{seed}.safetensors" for seed in range(len(genomes))]
    return [(body, controllers.load(file)) for body, file in zip(genomes, files, strict=True)]


def _figures(best: Genome, fixed: Controller, steps: int) -> dict[str, float]:
    """Return, speed of the head and of the centre of mass of both, and of each in the other's body."""
    evolved_body: dict[str, Any] = {"body": morphology.to_json(decode(best))}
    standard_body: dict[str, Any] = {}
    evolved_env = make_env(TASK, 1, steps, nthread=1, **evolved_body)
    standard_env = make_env(TASK, 1, steps, nthread=1)
    evolved_circuit = brain(best, evolved_env)
    pairs = {
        "coevolved": (evolved_circuit, evolved_body),
        "fixed": (fixed, standard_body),
        "brain moved": (_moved(evolved_circuit, standard_env), standard_body),
        "body moved": (_moved(fixed, evolved_env), evolved_body),
    }
    figures: dict[str, float] = {}
    for key, (circuit, options) in pairs.items():
        score = evaluate(circuit, TASK, TESTS, seed=0, max_episode_steps=steps, **options)
        # Means leave out episodes whose physics diverged: one of them would make a raw mean NaN.
        means = score.means
        figures[key] = means["return"]
        figures[f"{key} speed"] = means["speed"]
        figures[f"{key} com"] = means["com_speed"]
    return figures


def _moved(circuit: Controller, env: Any) -> Controller:
    """The same weights, which all joints share, in another body."""
    other = controllers.make("ncap", env)
    other.load_state_dict(circuit.state_dict())
    return other


def _coevolved(study: Study, seed: int, evaluations: int, steps: int) -> Genome:
    """The best genome of a co-evolution with its learned weights; what an earlier session found is kept."""
    folder = _folder(study, seed)
    search = Coevolve(
        evaluations=evaluations,
        steps=steps,
        episodes=EPISODES,
        seed=seed,
        folder=str(folder),
        resume=True,
        deadline=DEADLINE,
    )
    search.run("swim")
    return grown(champions(read(folder))[-1])


def _fixed(study: Study, seed: int, evaluations: int, steps: int) -> Controller:
    """NCAP for the standard body, from as many evaluations."""
    trainer = training.algorithms.get("snes")(
        seed=seed,
        generations=evaluations // POPULATION,
        population=POPULATION,
        episodes=EPISODES,
        test=0,
        folder=str(_folder(study, seed).with_name(f"fixed-{seed}")),
        resume=True,
    )
    return trainer.train(TASK, "ncap", {"max_episode_steps": steps}).controller


def _picture(study: Study, columns: dict[str, np.ndarray]) -> Any:
    """A figure: each seed's best body, one below the other, at one scale."""
    from matplotlib.figure import Figure

    genomes = [
        grown(champions(read(_folder(study, seed)))[-1]) for seed in range(len(columns["fixed"]))
    ]
    plot = Figure(figsize=(9, 0.5 + 0.75 * len(genomes)))
    boxes = np.atleast_1d(plot.subplots(len(genomes), 1))
    reach = max(silhouette(box, genome)[0] for box, genome in zip(boxes, genomes, strict=True))
    for seed, (box, genome) in enumerate(zip(boxes, genomes, strict=True)):
        joints, length = len(genome.body["limits"]), sum(genome.body["lengths"])
        text = f"seed {seed}: {joints} joints, {length:.2f} m\n"
        text += (
            f"return {columns['coevolved'][seed]:.0f} (standard body {columns['fixed'][seed]:.0f})"
        )
        box.text(1.15 * reach, 0, text, va="center", fontsize=9)
        box.set_xlim(-reach, 3 * reach)
        box.set_ylim(-0.1 * reach, 0.1 * reach)
        box.set_aspect("equal")
        box.axis("off")
    return plot
