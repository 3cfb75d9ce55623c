"""Co-evolved swimmers with NCAP against NCAP evolved on the standard body, at equal evaluations.

No paper has shown this: both rows are this project's. An evaluation is one individual over the same number of start
states and control steps; selection sees training starts only, the figures are of held-out ones. The standard body has
the better-tuned search (SNES) and all evaluations for four weights; co-evolution spends them on bodies too. A body has
2 to 12 joints and any length from 0.3 to 1.2 m (the standard one: 5 joints, 0.6 m), motors of equal strength.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lancelet import LanceletError, controllers, morphology, training
from lancelet.controllers import Controller
from lancelet.envs import VectorEnv
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Bodies and policies evolved together: swimmers"
TASK = "lancelet/Swim-v0"
SEEDS = {"quick": 1, "shown": 5, "full": 30}
"""size of the study -> pairs of searches"""
EVALUATIONS = {"quick": 64, "shown": 480, "full": 10_000}
"""size of the study -> individuals that each search evaluates"""
STEPS = {"quick": 200, "shown": 500, "full": 1000}
"""size of the study -> control steps of an episode"""
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

# Which circuit is measured in which body.
COEVOLVED = "coevolved"
"""the co-evolved circuit in its own body"""
FIXED = "fixed"
"""the circuit that was evolved on the standard body, in that"""
BRAIN_MOVED = "brain moved"
"""the co-evolved circuit in the standard body"""
BODY_MOVED = "body moved"
"""the standard body's circuit in the co-evolved body"""

SEARCH_NAMES = {
    COEVOLVED: "co-evolved body and NCAP",
    FIXED: "NCAP on the standard body",
}
"""what a search found -> its name in the rows"""
ZERO_SHOT_NAMES = {
    BRAIN_MOVED: "the co-evolved NCAP on the standard body",
    BODY_MOVED: "the standard body's NCAP in the co-evolved body",
}
"""a circuit in a body that it was not evolved in -> its name in the rows"""

# Pictures, as parts of half a body's length.
PICTURE_WIDTH = 3.0
"""from the middle of the bodies to the right edge, so that there is room for the text"""
PICTURE_HALF_HEIGHT = 0.1
"""from the middle of a body to the upper edge of its box"""
TEXT_PLACE = 1.15
"""from the middle of the bodies to the text"""

PARTS = {"kept": ("",)}
"""what `--only` measures alone: every row again, with the bodies and weights of results/coevolve"""
SEEDS_OF = {"": "searches"}
WEIGHTS_OF = {"": GENOMES_FILE}


class Pair(NamedTuple):
    """What the two searches with one seed found."""

    evolved: Genome
    """the best body with the weights of its NCAP"""
    fixed: Controller
    """NCAP for the standard body"""


@dataclass(frozen=True)
class Figures:
    """How a circuit did in a body: one number for each seed, means over held-out starts."""

    total_return: np.ndarray
    """(seeds,): sum of the rewards of an episode"""
    speed: np.ndarray
    """(seeds,) m/s, of the head"""
    centre_speed: np.ndarray
    """(seeds,) m/s, of the centre of mass"""


Columns = dict[str, Figures]
"""`COEVOLVED`, `FIXED`, `BRAIN_MOVED` or `BODY_MOVED` -> how that circuit did in that body"""


def run(study: Study) -> None:
    """Measure all rows."""
    if study.only is not None:
        pairs = _kept(study)
    else:
        pairs = _searched(study)
        _keep(study, pairs)
    columns = _measured(pairs, STEPS[study.size])
    _add_rows(study, columns)
    if study.only is None:
        study.picture(
            "bodies",
            "Each seed's best body, and what it and its NCAP reach.",
            _picture(pairs, columns),
        )
        study.picture(
            "lineage",
            "Family tree of seed 0 with its champions.",
            tree(read(_folder(study, 0)), "seed 0"),
        )


def _add_rows(study: Study, columns: Columns) -> None:
    """Add what both searches reach, the gain by co-evolution, and how circuits do in each other's bodies.

    Args:
        study: gets the rows.
        columns: what the circuits did in the bodies.
    """
    for circuit, name in SEARCH_NAMES.items():
        returns = _summary(study, columns[circuit].total_return, [columns[circuit]])
        study.add(Row(f"{name}: return", "info", **returns))
        speed = _summary(study, columns[circuit].speed, [columns[circuit]])
        study.add(Row(f"{name}: speed of the head (m/s)", "info", **speed))

    coevolved = columns[COEVOLVED]
    fixed = columns[FIXED]
    gains = {
        "return": coevolved.total_return - fixed.total_return,
        "speed (m/s)": coevolved.speed - fixed.speed,
    }
    for quantity, gain in gains.items():
        summary = _summary(study, gain, [coevolved, fixed])
        mean = summary.pop("value")
        name = f"co-evolved less standard body, paired by seed: {quantity}"
        study.add(at_least(name, "claim", mean, 0.0, **summary))

    for circuit, name in ZERO_SHOT_NAMES.items():
        returns = _summary(study, columns[circuit].total_return, [columns[circuit]])
        study.add(Row(f"zero-shot: {name}: return", "info", **returns))


def _summary(study: Study, values: np.ndarray, measured: Sequence[Figures]) -> dict[str, Any]:
    """The fields of a row: mean over the seeds, its interval, and a note.

    Args:
        study: its size says how many evaluations and steps there were.
        values: (seeds,), of the row.
        measured: what the values come from; the note tells the speed of the centre of mass of each.
    """
    speeds = " and ".join(f"{figures.centre_speed.mean():.3f}" for figures in measured)
    evaluations = EVALUATIONS[study.size]
    steps = STEPS[study.size]
    note = (
        f"{evaluations} evaluations of {EPISODES} starts, {steps} steps; "
        f"{TESTS} held-out starts; centre of mass {speeds} m/s"
    )
    return {
        "value": float(values.mean()),
        "interval": interval(values),
        "seeds": len(values),
        "note": note,
    }


def _folder(study: Study, seed: int) -> Path:
    """The run folder of the co-evolution with one seed."""
    return Path("runs") / f"reproduce-coevolve-{study.size}" / f"coevolved-{seed}"


def _searched(study: Study) -> list[Pair]:
    """What both searches find with each seed; searches that an earlier session has ended are not repeated."""
    if not study.resume:
        all_folders = _folder(study, 0).parent
        shutil.rmtree(all_folders, ignore_errors=True)
    evaluations = EVALUATIONS[study.size]
    steps = STEPS[study.size]
    pairs: list[Pair] = []
    for seed in range(SEEDS[study.size]):
        evolved = _coevolved(study, seed, evaluations, steps)
        fixed = _fixed(study, seed, evaluations, steps)
        pairs.append(Pair(evolved=evolved, fixed=fixed))
    return pairs


def _keep(study: Study, pairs: Sequence[Pair]) -> None:
    """Leave what the rows are measured with beside them."""
    genomes = [pair.evolved.to_json() for pair in pairs]
    write_atomic(study.folder / GENOMES_FILE, json.dumps(genomes, indent=1) + "\n")
    for seed, pair in enumerate(pairs):
        study.weights(_weights_name(seed), pair.fixed)


def _kept(study: Study) -> list[Pair]:
    """What `_keep` left.

    Raises:
        LanceletError: it is not there.
    """
    path = study.folder / GENOMES_FILE
    if not path.exists():
        raise LanceletError(f"reproduce coevolve: --only needs {path}, which a whole study leaves")
    pairs: list[Pair] = []
    for seed, text in enumerate(json.loads(path.read_text())):
        weights_file = study.folder / f"{_weights_name(seed)}.safetensors"
        pair = Pair(evolved=Genome.from_json(text), fixed=controllers.load(weights_file))
        pairs.append(pair)
    return pairs


def _weights_name(seed: int) -> str:
    """Name of the weights of the standard body's NCAP, of one seed."""
    return f"standard-body-{seed}"


def _measured(pairs: Sequence[Pair], steps: int) -> Columns:
    """How the circuits of every seed do, each in both bodies.

    Args:
        pairs: what the searches found, one a seed.
        steps: control steps of an episode.
    """
    means_by_seed = [_means(pair, steps) for pair in pairs]
    columns: Columns = {}
    for circuit in (COEVOLVED, FIXED, BRAIN_MOVED, BODY_MOVED):
        means = [means_of_seed[circuit] for means_of_seed in means_by_seed]
        columns[circuit] = Figures(
            total_return=np.array([mean["return"] for mean in means]),
            speed=np.array([mean["speed"] for mean in means]),
            centre_speed=np.array([mean["com_speed"] for mean in means]),
        )
    return columns


def _means(pair: Pair, steps: int) -> dict[str, dict[str, float]]:
    """Means of the return and of the metrics over held-out starts, of one seed.

    Args:
        pair: what the searches found.
        steps: control steps of an episode.

    Returns:
        Circuit in a body, as in `Columns` -> metric -> mean.
    """
    evolved_body: dict[str, Any] = {"body": morphology.to_json(decode(pair.evolved))}
    standard_body: dict[str, Any] = {}
    evolved_env = make_env(TASK, 1, steps, nthread=1, **evolved_body)
    standard_env = make_env(TASK, 1, steps, nthread=1)
    evolved_circuit = brain(pair.evolved, evolved_env)
    circuits = {
        COEVOLVED: (evolved_circuit, evolved_body),
        FIXED: (pair.fixed, standard_body),
        BRAIN_MOVED: (_moved(evolved_circuit, standard_env), standard_body),
        BODY_MOVED: (_moved(pair.fixed, evolved_env), evolved_body),
    }
    means: dict[str, dict[str, float]] = {}
    for name, (circuit, task_options) in circuits.items():
        score = evaluate(circuit, TASK, TESTS, seed=0, max_episode_steps=steps, **task_options)
        # Its means leave out episodes whose physics diverged: one of them would make a raw mean NaN.
        means[name] = score.means
    return means


def _moved(circuit: Controller, env: VectorEnv) -> Controller:
    """The same weights, which all joints share, in the body of another environment."""
    moved = controllers.make("ncap", env)
    moved.load_state_dict(circuit.state_dict())
    return moved


def _coevolved(study: Study, seed: int, evaluations: int, steps: int) -> Genome:
    """The best genome of a co-evolution with its learned weights; what an earlier session found is kept.

    Args:
        study: whose folder the run is in.
        seed: of the run.
        evaluations: individuals that it evaluates.
        steps: control steps of an episode.
    """
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
    best = champions(read(folder))[-1]
    return grown(best)


def _fixed(study: Study, seed: int, evaluations: int, steps: int) -> Controller:
    """NCAP for the standard body, from as many evaluations.

    Args:
        study: whose folder the run is in.
        seed: of the run.
        evaluations: candidates that it scores.
        steps: control steps of an episode.
    """
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


def _picture(pairs: Sequence[Pair], columns: Columns) -> Figure:
    """Draw each seed's best body, one below the other, at one scale.

    Args:
        pairs: what the searches found, one a seed.
        columns: what the circuits did in the bodies.
    """
    from matplotlib.figure import Figure

    genomes = [pair.evolved for pair in pairs]
    figure = Figure(figsize=(9, 0.5 + 0.75 * len(genomes)))
    boxes = np.atleast_1d(figure.subplots(len(genomes), 1))
    half_lengths: list[float] = []
    for box, genome in zip(boxes, genomes, strict=True):
        half_length, _ = silhouette(box, genome)
        half_lengths.append(half_length)
    longest = max(half_lengths)
    for seed, (box, genome) in enumerate(zip(boxes, genomes, strict=True)):
        joints = len(genome.body["limits"])
        length = sum(genome.body["lengths"])
        evolved_return = columns[COEVOLVED].total_return[seed]
        fixed_return = columns[FIXED].total_return[seed]
        text = (
            f"seed {seed}: {joints} joints, {length:.2f} m\n"
            f"return {evolved_return:.0f} (standard body {fixed_return:.0f})"
        )
        box.text(TEXT_PLACE * longest, 0, text, va="center", fontsize=9)
        box.set_xlim(-longest, PICTURE_WIDTH * longest)
        box.set_ylim(-PICTURE_HALF_HEIGHT * longest, PICTURE_HALF_HEIGHT * longest)
        box.set_aspect("equal")
        box.axis("off")
    return figure
