"""A kind of genome some of whose bodies kill whoever evaluates them."""

from __future__ import annotations

import ctypes
import multiprocessing
from typing import Any

import numpy as np

from lancelet.morphology.genome import Genome, kinds
from lancelet.morphology.genome_swimmer import SwimmerKind


class Poisonous(SwimmerKind):
    """Swimmers; in a worker, those of five joints segfault and those of six ask for memory without end."""

    name = "poisonous"

    def random(self, rng: np.random.Generator) -> Genome:
        genome = super().random(rng)
        return Genome(self.name, genome.body, genome.weights)

    def task(self) -> tuple[str, dict[str, Any]]:
        return "lancelet/SwimNavigate-v0", {}

    def controller(self, genome: Genome) -> tuple[str, dict[str, Any]]:
        joints = len(genome.body["limits"])
        if multiprocessing.parent_process() is not None and joints == 5:
            ctypes.string_at(0)
        if multiprocessing.parent_process() is not None and joints == 6:
            _ = [bytearray(2**28) for _ in range(1000)]
        return super().controller(genome)


KIND = Poisonous()
kinds.register("poisonous", KIND)
