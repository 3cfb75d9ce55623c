"""Spiking networks of the blimp: a population over recorded errors by the compiled kernel, against plain torch."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from lancelet.controllers.snn import SNN, SNNOptions
from lancelet.controllers.snn_kernel import run as evaluate
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least

PEOPLE, STEPS = 50, 1000


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds."""
    return _population(2 if quick else 5)


def _population(rounds: int) -> list[Row]:
    space = spaces.Box(-12, 12, (1,), np.float32)
    circuit = SNN(space, space, SNNOptions())
    random = torch.Generator().manual_seed(0)
    genomes = torch.rand(PEOPLE, circuit.parameter_count, generator=random)
    errors = torch.randn(STEPS, generator=random)

    @torch.no_grad()
    def loop() -> None:
        for genome in genomes:
            torch.nn.utils.vector_to_parameters(genome, circuit.parameters())
            circuit.unroll(errors[:, None, None], circuit.initial_state(1))

    times = take_turns(
        rounds, loop=loop, one=lambda: evaluate(circuit, genomes, errors, threads=1),
        all=lambda: evaluate(circuit, genomes, errors),
    )  # fmt: skip
    neurons = 2 * circuit.options.neurons
    name = f"population evaluation ({PEOPLE} individuals, {neurons} neurons, {STEPS:,} steps)"
    note = f"shared LIF, one core on both sides, same process; median of {rounds} rounds"
    value, interval = times.ratio("loop", "one")
    rows = [at_least(f"{name} vs a per-individual torch loop", "speed", value, 200, interval=interval, note=note)]
    for key, which in (("one", "one core"), ("all", "all cores")):
        rows.append(Row(f"{name}, {which}, ms", "info", times.seconds[key].min() * 1e3, note="fastest round"))
    return rows
