"""A kind of genome some of whose bodies kill whoever evaluates them."""

from __future__ import annotations

import ctypes
import multiprocessing
from typing import Any

import numpy as np

from lancelet.morphology.genome import Genome, kinds
from lancelet.morphology.genome_swimmer import SwimmerKind

JOINTS_THAT_SEGFAULT = 5
JOINTS_THAT_TAKE_ALL_MEMORY = 6
BLOCK = 2**28
"""bytes of one of a thousand blocks that are asked for"""


class Poisonous(SwimmerKind):
    """Swimmers; in a worker, those of five joints segfault and those of six ask for memory without end."""

    name = "poisonous"

    def random(self, rng: np.random.Generator) -> Genome:
        """A swimmer, said to be of this kind."""
        genome = super().random(rng)
        return Genome(self.name, genome.body, genome.weights)

    def task(self) -> tuple[str, dict[str, Any]]:
        """A task that no other kind lives in."""
        return "lancelet/SwimNavigate-v0", {}

    def controller(self, genome: Genome) -> tuple[str, dict[str, Any]]:
        """Kill the worker that asks, where the body is such a one; the driver asks too, and lives."""
        joints = len(genome.body["limits"])
        is_worker = multiprocessing.parent_process() is not None
        if is_worker and joints == JOINTS_THAT_SEGFAULT:
            ctypes.string_at(0)
        if is_worker and joints == JOINTS_THAT_TAKE_ALL_MEMORY:
            _ = [bytearray(BLOCK) for _ in range(1000)]
        return super().controller(genome)


KIND = Poisonous()
kinds.register("poisonous", KIND)
