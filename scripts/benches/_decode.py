"""From genome to first step: a creature of twelve segments decoded, compiled and moved."""

from __future__ import annotations

import itertools
import time

import mujoco
import numpy as np

import lancelet.training  # noqa: F401 - registers the brains of the kinds
from lancelet.envs.genomes import task_of
from lancelet.morphology.genome import Genome
from lancelet.morphology.genome_tree import TreeKind

SEGMENTS, DIFFERENT = 12, 16
"""of each creature, mirrored ones counted; creatures that take turns"""


def creatures(count: int, seed: int = 0) -> list[Genome]:
    """Creatures of twelve segments, some mutations away from the usual quadruped."""
    kind, rng, found = TreeKind(), np.random.default_rng(seed), []
    while len(found) < count:
        genome = kind.usual()
        for _ in range(20):
            genome = kind.mutate(genome, rng)[0]
            if kind.features(genome)["segments"] == SEGMENTS:
                found.append(genome)
                break
    return found


def decode_bench(rounds: int) -> float:
    """Median seconds over `rounds` from such a creature's JSON to the end of its first simulator step."""
    texts, seconds = [genome.to_json() for genome in creatures(min(rounds, DIFFERENT))], []
    for text in itertools.islice(itertools.cycle(texts), rounds):
        begun = time.perf_counter()
        model = task_of(Genome.from_json(text)).models()[0]
        mujoco.mj_step(model, mujoco.MjData(model))
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))
