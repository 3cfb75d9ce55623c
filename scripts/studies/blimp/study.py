"""Blimp altitude: Evolving Spiking Neural Networks to Mimic PID Control (Burgers et al. 2023, arXiv 2309.12937).

Rows R1 to R9 are the paper's, G1 to G9 are gates (docs/systems/blimp.md, "Row codes"), and "beyond"
rows are goals of this project. The paper flew a real blimp; here the plant of
docs/systems/blimp.md, "The plant", flies: the paper's figures in cm are references, not what must
come out. Its PD data were recorded in flight; ours are recorded in this plant with targets clipped to the command's range, and
the derivative kick at a reference step left out, so that losses compare within this table only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Controller
from lancelet.controllers.spiking.kernel import run as open_loop
from lancelet.controllers.spiking.snn import SNN
from lancelet.controllers.store import describe
from lancelet.controllers.sum import Sum
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.blimp import flights as closed
from lancelet.scripts.studies.blimp.networks import (
    BEST,
    BEST_LOSS,
    HEADLINE,
    STRUCTURES,
    TESTS,
    Job,
    Role,
    held_flights,
    jobs,
    losses,
    train_all,
    trained,
)
from lancelet.scripts.studies.blimp.pictures import Log, Results, draw
from lancelet.scripts.studies.blimp.plant import TASK, plant
from lancelet.scripts.study import Size, Study, Superseded
from lancelet.training.imitation.flights import Flights, static_gain
from lancelet.training.runs.folder import read_log
from lancelet.training.statistics import interval

TITLE = "Blimp altitude with evolved spiking networks (arXiv 2309.12937)"
KEPT = Path(__file__).resolve().parents[3] / "results" / "blimp"
"""folder of the committed networks"""
PUBLISHED = {"lif": 0.68, "iwta-lif": 0.74, "r-lif": 0.74, "r-iwta-lif": 0.73}
"""R1: PD test loss of the paper's best networks"""
LARGEST_PD_LOSS = 0.75
"""of LIF on the PD test flights (G3)"""
LEAST_CORRELATION = 0.9
"""with the integral, of a structure that integrates (G4)"""
COMPARED_ERRORS = 1000
"""random errors on which circuit and kernel are compared"""
SEARCHED_AGAIN = 2
"""seeds of each headline network that surrogate gradients search too"""
FLOWN: dict[Size, int] = {"quick": 1, "shown": 45, "full": 400}
"""generations of evolution in closed loop, beyond the paper"""
IN_CLOSED_LOOP = "full SNN evolved in closed loop"
"""what rows call the pair after this evolution"""
PARTS = {"neutral": ("G5", "G8")}
"""what `--only` measures alone, with the networks of results/blimp"""
WEIGHTS_OF = {
    "R1 ": "pd-lif-0-loss.safetensors",
    "R3 ": "i-iwta-lif-0-loss.safetensors",
    "G3 ": "pd-lif-0-loss.safetensors",
    "G4 ": "i-iwta-lif-0-loss.safetensors",
    "R5 PD law + lif I": "i-lif-1.safetensors",
    "R5 PD law + r-lif I": "i-r-lif-1.safetensors",
    "R5 PD law + r-iwta-lif I": "i-r-iwta-lif-1.safetensors",
    "beyond: surrogate gradients over evolution, PD": "pd-lif-0-surrogate.safetensors",
    "beyond: surrogate gradients over evolution, I": "i-iwta-lif-0-surrogate.safetensors",
}
"""beginning of a row's name -> weights that it can be measured with again (`Study.weights_of`)"""
SUPERSEDED = (
    Superseded(
        beginning="G5 neutral",
        words="+-7.0 cm against +-4.8 cm of PD; 5 steps, 10 starts each",
        reason=(
            "not run since it is judged on the interval over trainings: 1.453 held only pooled over 5 of them; "
            "`lancelet reproduce blimp --only neutral` tells each training and structure"
        ),
    ),
)
SEEDS_OF = {
    "": "networks; of one, its flights are resampled",
    "R7 PID": "control laws; its flights are resampled",
}
"""what the rows' seeds count (`Study.seeds_of`)"""

JobsOf = dict[tuple[Role, str], list[Job]]
"""role and structure -> trainings, by seed"""
Figures = dict[str, np.ndarray]
"""each of `networks.FIGURES`, (networks,)"""
ByStructure = dict[str, list[Controller]]
"""structure -> its networks, by seed"""


def run(study: Study) -> None:
    """Add all rows; a quick study measures the committed networks again and trains two briefly."""
    # There is one part that can be measured alone: the neutral flights.
    if study.only is not None:
        closed.neutral(
            study, {structure: kept_trainings("pd", structure) for structure in STRUCTURES}
        )
        return
    neurons(study)
    plant(study)
    todo = jobs(study.size)
    train_all(todo, fresh=not study.resume)
    by_pair: JobsOf = {}
    for role in HEADLINE:
        for structure in STRUCTURES:
            by_pair[role, structure] = []
    for job in todo:
        by_pair[job.role, job.structure].append(job)
    held: dict[Role, Flights] = {role: held_flights(role) for role in HEADLINE}
    imitation(study, by_pair, held)

    networks = networks_that_fly(study, by_pair)
    if networks is None:
        note = "not run: the networks of results/blimp are not here"
        study.add(Row("closed loop", "info", note=note))
        return
    # The order of these stages is the order of the rows in the table.
    closed.neutral(study, networks["pd"])
    closed.integral(study, networks["i"])
    full = full_pair(study, by_pair, networks)
    closed.full_controller(study, [full])
    closed.buoyancies(study, [full])
    closed.calibrated(study, [full])
    closed.costs(study, full)
    flown = beyond(study, by_pair, full, held)
    logs: dict[tuple[Role, str], list[Log]] = {}
    for pair, of_pair in by_pair.items():
        logs[pair] = [read_log(job.folder) for job in of_pair]
    draw(study, Results(curves=logs, held=held, full=full, flown=flown))


def networks_that_fly(study: Study, by_pair: JobsOf) -> dict[Role, ByStructure] | None:
    """The networks whose flights are measured: committed ones in a quick study, else those that were trained here.

    Args:
        study: takes the weights of what was trained.
        by_pair: what was trained.

    Returns:
        Role -> structure -> networks; a quick study has PD networks of the headline structure only. None where a
        committed network is not there.
    """
    if study.size == "quick":
        return _committed_networks()
    result: dict[Role, ByStructure] = {"pd": {}, "i": {}}
    for (role, structure), of_pair in by_pair.items():
        result[role][structure] = [trained(job) for job in of_pair]
        for job in of_pair:
            name = f"{role}-{structure}-{job.seed}"
            study.weights(name, trained(job))
            study.weights(f"{name}-loss", trained(job, BEST_LOSS))
    return result


def _committed_networks() -> dict[Role, ByStructure] | None:
    """The committed networks of seed 0: for PD of the headline structure, for I of every one; None: one is not there."""
    wanted: dict[Role, Sequence[str]] = {"pd": (HEADLINE["pd"],), "i": STRUCTURES}
    result: dict[Role, ByStructure] = {}
    for role, structures in wanted.items():
        result[role] = {}
        for structure in structures:
            network = kept(f"{role}-{structure}-0")
            if network is None:
                return None
            result[role][structure] = [network]
    return result


def full_pair(study: Study, by_pair: JobsOf, networks: Mapping[Role, ByStructure]) -> Sum:
    """The full spiking controller: the committed one in a quick study, else the pair that flies best.

    Args:
        study: takes the weights of the pair, and R6 of all pairs of equal seed.
        by_pair: what was trained.
        networks: role -> structure -> networks that fly.
    """
    headline = [networks[role][structure] for role, structure in HEADLINE.items()]
    pairs = [Sum.of(pd, i) for pd, i in zip(*headline, strict=True)]
    if study.size == "quick":
        full = kept("full")
        if full is None:
            return pairs[0]
        assert isinstance(full, Sum)
        return full
    full = choose(study, by_pair)
    study.weights("full", full, chosen_by="closed-loop flights of validation starts")
    closed.pairs(study, pairs)
    return full


def choose(study: Study, by_pair: JobsOf) -> Sum:
    """The pair of PD and I networks, of any seeds, that flies best on validation starts under drawn ballast.

    The paper too flew one pair, of 30 runs each. Candidates: the best of every run in closed loop, and by loss.

    Args:
        study: says how the pairs fly.
        by_pair: what was trained.
    """
    candidates = []
    for pair in HEADLINE.items():
        networks = []
        for job in by_pair[pair]:
            networks += [trained(job, BEST), trained(job, BEST_LOSS)]
        candidates.append(networks)
    pd_candidates, i_candidates = candidates
    pairs = []
    for pd in pd_candidates:
        pairs += [Sum.of(pd, i) for i in i_candidates]
    errors = closed.validation(pairs)
    study.say(
        f"  best of {len(pairs)} pairs: {errors.min():.4f} m on validation flights, "
        f"median {np.median(errors):.4f} m"
    )
    return pairs[int(np.argmin(errors))]


def kept(name: str) -> Controller | None:
    """A network that an earlier study left in results/blimp; None where it is not."""
    path = KEPT / f"{name}.safetensors"
    return controllers.load(path) if path.exists() else None


def kept_trainings(role: Role, structure: str) -> list[Controller]:
    """The trainings of a structure that are in results/blimp, by seed.

    Raises:
        LanceletError: there are none.
    """
    networks = []
    network = kept(f"{role}-{structure}-0")
    while network is not None:
        networks.append(network)
        network = kept(f"{role}-{structure}-{len(networks)}")
    if not networks:
        raise LanceletError(
            f"no results/blimp/{role}-{structure}-0.safetensors here: run the whole study first"
        )
    return networks


def neurons(study: Study) -> None:
    """G1: torch circuit and numba kernel against each other, spike for spike (the plain loop is in the tests)."""
    largest = 0.0
    wrong_counts = 0
    random = np.random.default_rng(0)
    errors = random.normal(0, 0.5, COMPARED_ERRORS).astype(np.float32)
    forms = ("shared", "literal")
    for structure in STRUCTURES:
        for form in forms:
            # Both read the same genes: the kernel from a flat row, the circuit from its parameters.
            circuit = controllers.make("snn", closed.spaces(), hidden=structure, form=form)
            assert isinstance(circuit, SNN)
            genes = parameters_to_vector(circuit.parameters()).detach()[None]
            kernel_outputs, kernel_spikes = open_loop(circuit, genes, errors)
            outputs, spikes = _step_by_step(circuit, errors)
            largest = max(largest, float((outputs - kernel_outputs[0]).abs().max()))
            wrong_counts += int((spikes.long() != kernel_spikes[0]).any())
    note = (
        f"{len(STRUCTURES)} structures, {len(forms)} forms, {COMPARED_ERRORS:,} random errors; "
        f"spike counts differ in {wrong_counts}"
    )
    name = "G1 circuit against kernel: largest difference of output"
    study.add(at_most(name, "gate", largest, 1e-5, note=note))


@torch.no_grad()
def _step_by_step(circuit: SNN, errors: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the torch circuit over errors (steps,) from rest.

    Returns:
        Its outputs, (steps,), and the spikes of encoder and hidden layer, (2,).
    """
    state = circuit.initial_state(1)
    outputs = []
    spikes = torch.zeros(2)
    for error in torch.from_numpy(errors):
        action, state = circuit(error.reshape(1, 1), state)
        outputs.append(action[0, 0])
        spikes += torch.stack([state["encoder"].sum(), state["hidden"].sum()])
    return torch.stack(outputs), spikes


def imitation(study: Study, by_pair: JobsOf, held: Mapping[Role, Flights]) -> None:
    """R1, R3, G3, G4: how well each structure imitates on test flights.

    Args:
        study: takes the rows.
        by_pair: what was trained; pairs without a training have no rows.
        held: test flights of each role.
    """
    figures: dict[Role, dict[str, Figures]] = {"pd": {}, "i": {}}
    for role in HEADLINE:
        gain, static_loss = static_gain(held[role])
        name = f"best static gain on the {role.upper()} test flights: loss"
        note = f"u = {gain:.3g} e, clipped; {TESTS} flights"
        study.add(Row(name, "info", static_loss, note=note))
        for structure in STRUCTURES:
            of_pair = by_pair[role, structure]
            if of_pair:
                networks = [trained(job, BEST_LOSS) for job in of_pair]
                figures[role][structure] = losses(role, networks, held[role])
                _add_test_loss(study, role, structure, figures[role][structure])
        if role == "pd":
            _add_imitation_gate(study, by_pair, figures["pd"]["lif"]["loss"], static_loss)
    _add_lif_against_others(study, figures["pd"])
    _add_integration(study, by_pair, figures["i"])


def _add_test_loss(study: Study, role: Role, structure: str, figures: Figures) -> None:
    """R1 or R3: the test loss of a structure.

    Args:
        study: takes the row.
        role: that is imitated.
        structure: of the networks.
        figures: of its trainings.
    """
    loss = figures["loss"]
    code = "R1" if role == "pd" else "R3"
    note = (
        "best of the seeds (by test, as in the paper: optimistic); "
        f"median {np.median(loss):.3f}; correlation {figures['correlation'].max():.3f}"
    )
    study.add(
        Row(
            f"{code} {role.upper()} test loss, {structure}",
            "info",
            float(loss.min()),
            seeds=len(loss),
            interval=interval(loss),
            reference=PUBLISHED[structure] if role == "pd" else None,
            note=note,
        )
    )


def _add_imitation_gate(
    study: Study, by_pair: JobsOf, loss: np.ndarray, static_loss: float
) -> None:
    """G3: LIF imitates PD well, and better than the best static gain.

    Args:
        study: takes the rows.
        by_pair: what was trained.
        loss: of LIF on the PD test flights, (networks,).
        static_loss: of the best static gain there.
    """
    best = float(loss[_best_by_validation(by_pair["pd", "lif"])])
    study.add(
        at_most(
            "G3 LIF PD test loss",
            "gate",
            best,
            LARGEST_PD_LOSS,
            seeds=len(loss),
            reference=PUBLISHED["lif"],
            note="best by validation; targets clipped to +-10, derivative 0 at reference steps",
        )
    )
    name = "G3 LIF PD test loss over the best static gain's"
    study.add(at_most(name, "gate", best / static_loss, 1.0, seeds=len(loss), note="goal: 0.75"))


def _add_lif_against_others(study: Study, by_structure: Mapping[str, Figures]) -> None:
    """G3: LIF imitates PD at least as well as any other structure; no row where no other was trained.

    Args:
        study: takes the row.
        by_structure: structure -> figures of its trainings in the role PD.
    """
    others = [
        figures["loss"].min() for structure, figures in by_structure.items() if structure != "lif"
    ]
    if not others:
        return
    study.add(
        at_most(
            "G3 PD loss, LIF over the best other structure",
            "claim",
            float(by_structure["lif"]["loss"].min() / min(others)),
            1.0,
            reference=PUBLISHED["lif"] / PUBLISHED["r-iwta-lif"],
        )
    )


def _add_integration(study: Study, by_pair: JobsOf, by_structure: Mapping[str, Figures]) -> None:
    """G4: structures with adaptation or recurrence integrate, plain LIF does not.

    Args:
        study: takes the rows.
        by_pair: what was trained.
        by_structure: structure -> figures of its trainings in the role I.
    """
    integrating = {name: figures for name, figures in by_structure.items() if name != "lif"}
    for structure, figures in integrating.items():
        correlation = figures["correlation"]
        study.add(
            at_least(
                f"G4 I: correlation, {structure}",
                "claim",
                float(correlation.max()),
                LEAST_CORRELATION,
                seeds=len(correlation),
                interval=interval(correlation),
            )
        )
    if "lif" not in by_structure:
        return
    least = min(figures["loss"].min() for figures in integrating.values())
    networks = [trained(job, BEST_LOSS) for job in by_pair["i", "lif"]]
    decays = ", ".join(f"{_slowest_decay(network):.3f}" for network in networks)
    study.add(
        at_least(
            "G4 I: plain LIF's loss over the best of the others",
            "claim",
            float(by_structure["lif"]["loss"].min() / least),
            1.5,
            reference="fails (R3)",
            note=f"largest decay of its hidden neurons: {decays}",
        )
    )


def _best_by_validation(of_pair: Sequence[Job]) -> int:
    """Place of the training whose loss on validation flights is least."""
    notes = [describe(job.folder / f"{BEST_LOSS}.safetensors")["notes"] for job in of_pair]
    return int(np.argmin([note["validation"] for note in notes]))


def _slowest_decay(circuit: Controller) -> float:
    """Decay a step of the slowest membrane or synapse of the hidden layer.

    This audits a plain LIF that integrates: a decay near 1 does it in secret (docs/systems/blimp.md, "The neurons").
    """
    assert isinstance(circuit, SNN)
    values = {name: value.detach() for name, value in circuit.values().items()}
    return float(torch.maximum(values["membrane"], values["synapse"]).max())


def beyond(
    study: Study, by_pair: JobsOf, full: Sum, held: Mapping[Role, Flights]
) -> Controller | None:
    """Beyond the paper: surrogate gradients at equal wall clock, and evolution in closed loop from the imitators.

    Args:
        study: takes the rows.
        by_pair: what was evolved.
        full: the pair that evolution in closed loop begins with.
        held: test flights of each role.

    Returns:
        The pair after evolution in closed loop; None in a quick study, which flies the committed one again.
    """
    if study.size == "quick":
        committed = kept("full-closed-loop")
        if committed is not None:
            closed.full_controller(study, [committed], f"{IN_CLOSED_LOOP} (committed)")
        return None
    searches = _surrogate_searches(study, by_pair)
    todo = [*searches["pd"], *searches["i"]]
    train_all(todo, fresh=not study.resume)
    for role, of_role in searches.items():
        evolved = by_pair[role, HEADLINE[role]][: len(of_role)]
        _add_surrogate(study, role, of_role, evolved, held[role])
    flown = in_closed_loop(study, full)
    closed.full_controller(study, [flown], IN_CLOSED_LOOP)
    closed.buoyancies(study, [flown], IN_CLOSED_LOOP)
    study.weights("full-closed-loop", flown, started_from="full.safetensors")
    return flown


def _surrogate_searches(study: Study, by_pair: JobsOf) -> dict[Role, list[Job]]:
    """Searches by surrogate gradients of the headline networks, each as long as an evolution took on average."""
    result: dict[Role, list[Job]] = {}
    for role, structure in HEADLINE.items():
        # Equal wall clock on this machine, not equal updates: a gradient costs more than a trial.
        evolved = by_pair[role, structure]
        seconds = float(np.mean([read_log(job.folder)[-1]["seconds"] for job in evolved]))
        result[role] = [
            Job(role=role, structure=structure, seed=job.seed, size=study.size, seconds=seconds)
            for job in evolved[:SEARCHED_AGAIN]
        ]
    return result


def _add_surrogate(
    study: Study, role: Role, searches: Sequence[Job], evolved: Sequence[Job], held: Flights
) -> None:
    """Add the row of surrogate gradients against evolution, and keep the weights.

    Args:
        study: takes the row.
        role: that is imitated.
        searches: by surrogate gradients.
        evolved: by evolution, of the same seeds.
        held: test flights of the role.
    """
    structure = HEADLINE[role]
    for job in searches:
        name = f"{role}-{structure}-{job.seed}-surrogate"
        study.weights(name, trained(job, BEST_LOSS))
    ours = losses(role, [trained(job, BEST_LOSS) for job in searches], held)["loss"].mean()
    theirs = losses(role, [trained(job, BEST_LOSS) for job in evolved], held)["loss"].mean()
    study.add(
        at_most(
            f"beyond: surrogate gradients over evolution, {role.upper()} {structure} test loss",
            "claim",
            float(ours / theirs),
            1.0,
            seeds=len(searches),
            note=f"{searches[0].seconds:.0f} s of search each; {ours:.3f} against {theirs:.3f}",
        )
    )


def in_closed_loop(study: Study, start: Sum) -> Controller:
    """Evolve the whole network in the task itself: references from 0.4 to 1.8 m, ballast from -4 to 4 units.

    Args:
        study: whose size says for how many generations.
        start: where the evolution begins.
    """
    folder = Path("runs") / f"reproduce-blimp-{study.size}" / "closed-loop"
    start_file = folder.parent / "closed-loop-start.safetensors"
    # A resumed run must begin where it began before.
    if not start_file.exists() or not study.resume:
        controllers.save(start, start_file)
    trainer = training.algorithms.get("snes")(
        seed=0,
        generations=FLOWN[study.size],
        population=32,
        episodes=8,
        validation=32,
        validate_every=4,
        stdev=0.02,
        start=str(start_file),
        folder=str(folder),
        resume=study.resume,
        test=0,
    )
    task_options: dict[str, Any] = {"ballast": None}
    result = trainer.train(TASK, "sum", task_options, {"terms": start.options.terms})
    return result.controller
