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

CREATURE_PARTS = 12
"""segments of each creature, mirrored ones counted"""
MOST_CREATURES = 16
"""different creatures, which take turns"""
MOST_MUTATIONS = 20
"""mutations of the usual quadruped until it has as many segments; then the search begins again"""


def creatures(count: int, seed: int = 0) -> list[Genome]:
    """Creatures of twelve segments, some mutations away from the usual quadruped.

    Args:
        count: number of creatures.
        seed: of the mutations.
    """
    kind = TreeKind()
    rng = np.random.default_rng(seed)
    large_enough: list[Genome] = []
    while len(large_enough) < count:
        genome = kind.usual()
        for _ in range(MOST_MUTATIONS):
            genome, _ = kind.mutate(genome, rng)
            if kind.features(genome)["segments"] == CREATURE_PARTS:
                large_enough.append(genome)
                break
    return large_enough


def decode_bench(rounds: int) -> float:
    """Median time over `rounds` from such a creature's JSON to the end of its first simulator step, s."""
    genomes = creatures(min(rounds, MOST_CREATURES))
    texts = [genome.to_json() for genome in genomes]
    seconds: list[float] = []
    for text in itertools.islice(itertools.cycle(texts), rounds):
        begun = time.perf_counter()
        # Parsed anew each time: a genome keeps the body that it was decoded to.
        model = task_of(Genome.from_json(text)).models()[0]
        mujoco.mj_step(model, mujoco.MjData(model))
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))
