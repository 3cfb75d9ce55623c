"""The blimp: a population over recorded errors by the compiled kernel, closed-loop physics, a search's generations."""

from __future__ import annotations

import tempfile

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from mujoco.batch import Batch

from lancelet.controllers.spiking.kernel import run as evaluate
from lancelet.controllers.spiking.snn import SNN, SNNOptions
from lancelet.scripts.benches._timing import take_turns
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.training.imitation.imitate import Imitate
from lancelet.training.runs.folder import read_log

TASK = "lancelet/BlimpAltitude-v0"
INDIVIDUALS = 50
"""individuals of the population"""
STEPS = 1000
"""control steps of a recorded flight"""
ENVS = 256
"""simulations"""
GENERATIONS = 1000
"""generations of a search"""
QUICK_PART = 5
"""a quick bench runs one generation in so many, and reckons with all"""
POPULATION_ROUNDS = 5
"""evaluations of the population that are timed"""
QUICK_POPULATION_ROUNDS = 2
PHYSICS_ROUNDS = 7
"""rounds of physics that are timed"""
QUICK_PHYSICS_ROUNDS = 3
PHYSICS_STEPS = 30
"""control steps of a round of physics"""
LARGEST_COMMAND = 5
"""size of the largest random command to the motors"""
FORCE_PER_COMMAND = 0.017
"""N; thrust of one unit of command (docs/systems/blimp.md), so that the bare model moves alike"""


def run(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer rounds, and a fifth of the generations."""
    if quick:
        return [
            *_population(QUICK_POPULATION_ROUNDS),
            _physics(QUICK_PHYSICS_ROUNDS),
            _search(GENERATIONS // QUICK_PART),
        ]
    return [*_population(POPULATION_ROUNDS), _physics(PHYSICS_ROUNDS), _search(GENERATIONS)]


def _physics(rounds: int) -> Row:
    """Control steps of the vector environment against its model stepped bare, on one thread."""
    env = gym.make_vec(
        TASK, num_envs=ENVS, nthread=1, reference=1.5, max_episode_steps=-1
    ).unwrapped
    env.reset(seed=0)
    generator = np.random.default_rng(0)
    shape = (PHYSICS_STEPS, ENVS, 1)
    commands = generator.uniform(-LARGEST_COMMAND, LARGEST_COMMAND, shape).astype(np.float32)
    bare = Batch(env.sim.model, ENVS, 1)  # pyright: ignore[reportAttributeAccessIssue]
    bare.reset()
    substeps = round(env.task.control_dt(env.sim) / env.sim.timestep)  # pyright: ignore[reportAttributeAccessIssue]

    def ours() -> None:
        for command in commands:
            env.step(command)

    def theirs() -> None:
        for command in commands:
            bare.ctrl[:] = FORCE_PER_COMMAND * command
            bare.step(nstep=substeps)

    times = take_turns(rounds, ours=ours, bare=theirs)
    value, interval = times.ratio("bare", "ours")
    rate = times.rate("ours", ENVS * len(commands))
    note = f"{rate:,.0f} control steps/s, {substeps} substeps each, one thread"
    name = f"closed-loop vector env, n = {ENVS}, vs bare mujoco.batch"
    return at_least(name, "speed", value, 0.7, interval=interval, note=note)


def _search(generations: int) -> Row:
    """Wall time of CMA-ES on the PD task: shared LIF form, population 50; recording and the last flights left out.

    Args:
        generations: generations that are run; their time is scaled to `GENERATIONS`.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = Imitate(
            generations=generations,
            sets=4,
            validation=2,
            test=0,
            quiet=True,
            folder=f"{folder}/run",
        )
        trainer.train(TASK, "snn")
        last_line = read_log(f"{folder}/run")[-1]
        seconds = last_line["seconds"] * GENERATIONS / generations
    note = f"{generations} generations run, full covariance, sets of 1,000 steps"
    return at_most(
        f"{GENERATIONS:,} CMA-ES generations (shared LIF, population 50), s",
        "speed",
        seconds,
        120,
        note=note,
    )


def _population(rounds: int) -> list[Row]:
    """Time of one evaluation of a population by the compiled kernel, against a loop over its individuals."""
    space = spaces.Box(-12, 12, (1,), np.float32)
    circuit = SNN(space, space, SNNOptions())
    random = torch.Generator().manual_seed(0)
    genomes = torch.rand(INDIVIDUALS, circuit.parameter_count, generator=random)
    errors = torch.randn(STEPS, generator=random)

    @torch.no_grad()
    def loop() -> None:
        for genome in genomes:
            torch.nn.utils.vector_to_parameters(genome, circuit.parameters())
            circuit.unroll(errors[:, None, None], circuit.initial_state(1))

    times = take_turns(
        rounds,
        loop=loop,
        one=lambda: evaluate(circuit, genomes, errors, threads=1),
        all=lambda: evaluate(circuit, genomes, errors),
    )
    neurons = 2 * circuit.options.neurons
    name = f"population evaluation ({INDIVIDUALS} individuals, {neurons} neurons, {STEPS:,} steps)"
    note = f"shared LIF, one core on both sides, same process; median of {rounds} rounds"
    value, interval = times.ratio("loop", "one")
    rows = [
        at_least(
            f"{name} vs a per-individual torch loop",
            "speed",
            value,
            200,
            interval=interval,
            note=note,
        )
    ]
    for contender, cores in {"one": "one core", "all": "all cores"}.items():
        milliseconds = times.seconds[contender].min() * 1e3
        rows.append(Row(f"{name}, {cores}, ms", "info", milliseconds, note="fastest round"))
    return rows
