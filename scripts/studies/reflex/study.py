"""Beyond NCAP: the best circuit of at most 40 shared weights found in 2e6 environment steps (a goal of this project).

The claim: a circuit whose weights are shared by all joints, so that it moves to other bodies unchanged, is trained at
N = 5 and held against our own best NCAP (results/ncap) and our own best perceptron of 73,221 weights
(results/reinforcement), each chosen by validation, start state by start state, on states that neither training nor
design ever saw (seeds 0 to 63). The circuit is `lancelet.controllers.reflex`.

How its options were chosen: 29 searches of 0.2e6 to 2e6 steps in a compiled twin of the swimmer (its returns agree
with MuJoCo's to 0.1) and a dozen shorter ones in MuJoCo, judged on 64 start states from seed 5000. Of the 69 points
that trained NCAP loses there, 44 go in the first 300 steps and the rest in dips of head speed within the steady
cycle. Returns at N = 5, one seed unless said:

- NCAP's chain, Hopf oscillator of learned period, phase reset by stretch, for the clock: 929. Learned period alone
  does not help.
- B neurons that hear front, own and behind, with rates: 894 to 980 (6 circuits); in 3 of them some starts never swim
  (14 of 1000), and in 5 many or most do not at N = 9 (130 to 700). Without the joint behind, all starts swim.
- Front and own with rates, head, flow, 11 weights: 970; with the membrane 978, 976 (2 seeds); with an oscillator 967.
- The same without rates, with the membrane, 9 weights: 976.9 to 978.1 (5 seeds); with 500-step episodes 978.6, 977.7;
  and two joints in front 978.0; and an oscillator 977.2; and forward speed as gain 973.8; without flow 960.1; without
  the head's own reception 968.8; without the own joint 905.3; without self-excitation 979.2.
- Without the membrane at all, 7 weights: 978.5 to 979.5 (5 seeds), the circuit kept.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any, TypedDict

import gymnasium as gym
import numpy as np
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lancelet import controllers, training
from lancelet.controllers import Controller, lesion
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.reflex.pictures import WHOLE, Results, draw
from lancelet.scripts.studies.swimming import com_speed, kept
from lancelet.scripts.study import Study
from lancelet.training.rollout import Score
from lancelet.training.runs.folder import read_log
from lancelet.training.statistics import interval, paired_difference
from lancelet.training.trainer import VALIDATION

TITLE = "Reflex chain: at most 40 shared weights against NCAP and a perceptron"
TASK = "lancelet/Swim-v0"
TRAINED_JOINTS = 5
"""number of joints of the swimmer that all searches train"""
BODIES = (3, 5, 7, 9, 11, 13)
"""numbers of joints"""
STARTS = 64
"""held-out start states, seeds 0 .. 63"""
QUICK_STARTS = 8
"""held-out start states of a quick study"""
BUDGET = 2_000_000
"""environment steps of a search, those of validation included"""
WEIGHTS = 40
"""most weights of the circuit"""
NCAP_CEILING = 927.0
"""return of the best NCAP of fixed period found with the published code (docs/systems/ncap.md, "Reference figures")"""
REFERENCE_PERCEPTRON = 976.0
"""return of a third party's perceptron of 73,221 weights, on other start states (docs/systems/ncap.md, "Reference figures")"""

STEPS = 300
"""control steps of a training episode"""
EPISODES = 2
"""start states of a generation"""
POPULATION = 32
"""candidates of a generation"""
VALIDATED = 32
"""validation start states"""
EVERY = 10
"""generations between validations"""
STDEV = 0.3
"""standard deviation of the search's first candidates"""
SEARCHES = 5
"""seeds that the circuit is searched from"""
VARIANT_GENERATIONS = 30
"""generations of a search of a variant, a third of the budget"""

BARE: dict[str, Any] = {"hears": "front", "head": False, "flow": False}
"""options of a circuit that hears as NCAP's chain does"""
VARIANTS: dict[str, dict[str, Any]] = {
    WHOLE: {},
    "front joint alone": {"hears": "front"},
    "joint behind as well": {"hears": "behind"},
    "no reception of the head's own": {"head": False},
    "no flow": {"flow": False},
    "membrane (delay, self-excitation) as well": {"membrane": True},
    "stretch rate as well": {"rate": True},
    "Hopf oscillator of learned period as well": {"oscillator": True},
    "forward speed as gain as well": {"speed": True},
    "NCAP's chain, Hopf oscillator in place of the clock": {**BARE, "oscillator": True},
}
"""what was tried: options of the circuit, each searched anew from its weights at birth"""

PARTS = {
    "searches": ("search ", "reflex chain", "environment steps of a search", "seconds of a search"),
    "variants": ("tried: ",),
    "against": ("reflex less ", "reflex, N = 5", "reflex chain, 5 searches: level with the MLP"),
    "transfer": ("N = 5 -> ",),
    "lesions": ("trained, then without ",),
}
"""what `--only` measures alone -> beginnings of the names of its rows"""
WEIGHTS_OF = {
    "search ": "search-0.safetensors",
    "reflex chain, 5 searches": "search-0.safetensors",
    "tried: ": "tried-0-0.safetensors",
}
"""beginning of a row's name -> weights that it can be measured with again (`Study.weights_of`)"""
SEEDS_OF = {
    "search": "start states",
    "reflex chain": "searches",
    "seconds": "searches",
    "tried": "searches",
    "reflex": "start states",
    "N = 5": "start states",
    "trained, then": "start states",
}
"""what the rows' seeds count (`Study.seeds_of`)"""


@dataclass(frozen=True)
class Rival:
    """A controller that the circuit is held against."""

    name: str
    path: str
    """Its weights under results/, without their ending."""
    reference: float
    """Return that was reported for its kind, on other start states."""


RIVALS = (
    Rival(name="NCAP", path="ncap/best", reference=NCAP_CEILING),
    Rival(name="the perceptron", path="reinforcement/mlp-ppo", reference=REFERENCE_PERCEPTRON),
)


class Search(TypedDict):
    """What a search leaves; a dict, since `Study.stage` keeps it on disk."""

    weights: Tensor
    """(parameters,) of its best circuit by validation."""
    returns: np.ndarray
    """Returns of the best on whole episodes, (`STARTS`,)."""
    validation: float
    """Mean return of the best on whole episodes of validation start states."""
    steps: float
    """Environment steps, those of validation included."""
    seconds: float
    """Wall time."""
    curve: np.ndarray
    """Environment steps of training, and return on validation start states then: (validations, 2)."""


def run(study: Study) -> None:
    """Add all rows; `study.size` decides how much is searched."""
    is_quick = study.size == "quick"
    results = Results(validation_starts=VALIDATED, validation_steps=STEPS)
    if study.only is None:
        counts(study)
    # The committed circuit; a study that searches replaces it by its own best.
    best = kept("reflex/best")
    if is_quick and study.only is None:
        glimpse(study)
    if not is_quick and study.wants("searches"):
        best = searches(study, results, seeds=SEARCHES)
    if not is_quick and study.wants("variants"):
        variants(study, results, seeds=3 if study.size == "full" else 1)
    if best is None:
        note = "not run: results/reflex/best.safetensors is not here"
        study.add(Row("trained circuit", "info", note=note))
        return
    starts = QUICK_STARTS if is_quick else STARTS
    if study.wants("against"):
        against(study, best, starts)
    if study.wants("transfer"):
        transfer(study, results, best, kept("ncap/best"), starts)
    if study.wants("lesions"):
        lesions(study, results, best, starts)
    if study.only is None:
        results.record = training.evaluate(best, TASK, 1, seed=0, record=True).record
    draw(study, results)


def circuit(joints: int = TRAINED_JOINTS, **options: Any) -> Controller:
    """The reflex chain for a swimmer of `joints` joints, its weights as they are at birth."""
    return controllers.make("reflex", gym.make(TASK, joints=joints), **options)


def with_weights(weights: Tensor, **options: Any) -> Controller:
    """The reflex chain at N = 5 with weights (parameters,) that a search found."""
    network = circuit(**options)
    vector_to_parameters(weights, network.parameters())
    return network


def whole(controller: Controller, starts: int, seed: int, joints: int = TRAINED_JOINTS) -> Score:
    """Run whole episodes, which are longer than those of training.

    Args:
        controller: what acts.
        starts: how many episodes.
        seed: of the first start state, the next ones follow; 0 for those held out.
        joints: of the swimmer.
    """
    return training.evaluate(controller, TASK, starts, seed=seed, joints=joints)


def counts(study: Study) -> None:
    """Add the gate that the circuit is as small as claimed, in every body, with every mechanism there is."""
    by_body = [circuit(joints).parameter_count for joints in BODIES]
    largest_by_body = [
        circuit(joints, oscillator=True, speed=True).parameter_count for joints in BODIES
    ]
    is_equal_in_all = len(set(by_body)) == 1 and len(set(largest_by_body)) == 1
    bodies = ", ".join(str(joints) for joints in BODIES)
    note = f"equal for N = {bodies}: {by_body}; with every mechanism {largest_by_body[0]}"
    study.add(
        Row(
            name="weights of the circuit",
            kind="gate",
            value=by_body[BODIES.index(TRAINED_JOINTS)],
            target=f"<= {WEIGHTS}",
            holds=is_equal_in_all and largest_by_body[0] <= WEIGHTS,
            note=note,
        )
    )


def cost(generations: int) -> int:
    """Environment steps of a search: those of every candidate, and those of validation."""
    training_episodes = generations * POPULATION * EPISODES
    # The circuit at birth is validated once; then, each time, the generation's best candidate and the search's mean.
    validations = 2 * (generations // EVERY) + 1
    return (training_episodes + validations * VALIDATED) * STEPS


def affordable(budget: int) -> int:
    """Generations, whole rounds of validation, that cost at most `budget` environment steps."""
    rounds = 0
    while cost((rounds + 1) * EVERY) <= budget:
        rounds += 1
    return rounds * EVERY


def search(seed: int, generations: int | None = None, **options: Any) -> Search:
    """Search the circuit once at N = 5.

    Args:
        seed: of the search.
        generations: None: as many as the budget affords.
        **options: of the circuit.
    """
    generations = generations or affordable(BUDGET)
    # The run folder is not kept: what the study needs of it is returned, and kept by its stage.
    with tempfile.TemporaryDirectory() as folder:
        result = training.evolve(
            TASK,
            "reflex",
            generations,
            seed,
            "snes",
            folder,
            quiet=False,
            test=0,
            controller_options=options,
            task_options={"max_episode_steps": STEPS},
            population=POPULATION,
            episodes=EPISODES,
            stdev=STDEV,
            validation=VALIDATED,
            validate_every=EVERY,
        )
        log = read_log(folder)
    best = result.controller
    validations = [line for line in log if "validation" in line]
    # The log counts the steps of training alone.
    validation_steps = (2 * len(validations) + 1) * VALIDATED * STEPS
    return {
        "weights": parameters_to_vector(best.parameters()).detach(),
        "returns": whole(best, STARTS, 0).returns,
        "validation": float(whole(best, VALIDATED, VALIDATION).returns.mean()),
        "steps": log[-1]["steps"] + validation_steps,
        "seconds": log[-1]["seconds"],
        "curve": np.array([[line["steps"], line["validation"]] for line in validations]),
    }


def against(study: Study, best: Controller, starts: int) -> None:
    """Add the rows of the best circuit against our own best NCAP and perceptron, start state by start state.

    Args:
        study: takes the rows.
        best: the circuit.
        starts: how many start states.
    """
    ours = whole(best, starts, 0)
    our_return = float(ours.returns.mean())
    study.add(
        Row(
            name="reflex, N = 5: return",
            kind="info",
            value=our_return,
            interval=interval(ours.returns),
            seeds=starts,
            note=f"{com_speed(ours)}; results/reflex/best.safetensors, chosen by validation",
        )
    )
    for rival in RIVALS:
        label = f"reflex less {rival.name}, return, paired by start state"
        controller = kept(rival.path)
        if controller is None:
            note = f"not run: results/{rival.path}.safetensors is not here"
            study.add(Row(label, "claim", note=note))
            continue
        theirs = whole(controller, starts, 0)
        difference, between = paired_difference(ours.returns[None], theirs.returns[None])
        note = (
            f"results/{rival.path}.safetensors, chosen by validation: return {theirs.returns.mean():.1f}, "
            f"{com_speed(theirs)}; the reflex {our_return:.1f}, {com_speed(ours)}; "
            f'on other start states (docs/systems/ncap.md, "Reference figures"): {rival.reference:g}'
        )
        study.add(
            at_least(label, "claim", difference, 0.0, interval=between, seeds=starts, note=note)
        )


def searches(study: Study, results: Results, seeds: int) -> Controller:
    """Search the circuit within the budget, from several seeds; their weights are kept, and rows measured from them.

    Args:
        study: takes rows and weights.
        results: its `curves` are set.
        seeds: how many searches.

    Returns:
        The best circuit by validation.
    """
    outcomes: list[Search] = []
    for seed in range(seeds):
        # `seed=seed` binds the seed of this turn; a plain closure would see that of the last one.
        outcomes.append(study.stage(f"search-{seed}", lambda seed=seed: search(seed)))
    results.curves = [outcome["curve"] for outcome in outcomes]
    circuits = []
    scores = []
    for seed, outcome in enumerate(outcomes):
        network = with_weights(outcome["weights"])
        study.weights(f"search-{seed}", network, validation=outcome["validation"])
        score = whole(network, STARTS, 0)
        note = f"{com_speed(score)}; validation {outcome['validation']:.1f}; results/reflex/search-{seed}.safetensors"
        mean = float(score.returns.mean())
        study.add(Row(f"search {seed}: return", "info", mean, seeds=STARTS, note=note))
        circuits.append(network)
        scores.append(score)
    means = np.array([score.returns.mean() for score in scores])
    study.add(
        at_least(
            f"reflex chain, {seeds} searches: above the ceiling of NCAP with a fixed period",
            "claim",
            float(means.mean()),
            NCAP_CEILING,
            reference=NCAP_CEILING,
            interval=interval(means),
            seeds=seeds,
            note=f"{STARTS} held-out start states each; {com_speed(*scores)}",
        )
    )
    most_steps = max(outcome["steps"] for outcome in outcomes)
    note = "training and validation; the longest of the searches"
    study.add(at_most("environment steps of a search", "gate", most_steps, BUDGET, note=note))
    most_seconds = max(outcome["seconds"] for outcome in outcomes)
    study.add(Row("seconds of a search", "info", most_seconds, seeds=seeds))
    # Chosen by validation, never by the held-out starts that the rows are measured on.
    best_seed = max(range(seeds), key=lambda seed: outcomes[seed]["validation"])
    chosen_by = f"{VALIDATED} validation start states"
    study.weights("best", circuits[best_seed], seeds=seeds, chosen_by=chosen_by)
    return circuits[best_seed]


def variants(study: Study, results: Results, seeds: int) -> None:
    """Leave out every mechanism, or put it in, and search anew with a third of the budget.

    Args:
        study: takes rows and weights.
        results: its `variants` are set.
        seeds: how many searches of each variant.
    """
    for number, (name, options) in enumerate(VARIANTS.items()):
        options_in_words = "-".join(f"{option}-{value}" for option, value in options.items())
        outcomes: list[Search] = []
        for seed in range(seeds):
            outcome = study.stage(
                f"variant-{options_in_words}-{seed}",
                lambda seed=seed, options=options: search(seed, VARIANT_GENERATIONS, **options),
            )
            outcomes.append(outcome)
        scores = []
        for seed, outcome in enumerate(outcomes):
            network = with_weights(outcome["weights"], **options)
            study.weights(f"tried-{number}-{seed}", network, what=name)
            scores.append(whole(network, STARTS, 0))
        first = outcomes[0]
        results.variants[name] = first["curve"]
        returns = np.array([score.returns.mean() for score in scores])
        # One search has no interval: that over its start states would say nothing of other searches.
        between = interval(returns) if seeds > 1 else None
        note = f"{com_speed(*scores)}; {first['steps']:.2g} steps; {len(first['weights'])} weights"
        study.add(
            Row(
                name=f"tried: {name}",
                kind="info",
                value=float(returns.mean()),
                seeds=seeds,
                interval=between,
                note=note,
            )
        )


def glimpse(study: Study) -> None:
    """Add the gate of the search itself, a few generations of it: from birth it climbs."""
    before = whole(circuit(), QUICK_STARTS, 0).returns
    after = search(0, EVERY)["returns"][:QUICK_STARTS]
    gain = float(after.mean() - before.mean())
    study.add(
        Row(
            name="ten generations: gain in return",
            kind="gate",
            value=gain,
            target="> 0",
            holds=gain > 0,
            note=f"{QUICK_STARTS} start states, before and after {EVERY} generations",
        )
    )


def transfer(
    study: Study, results: Results, best: Controller, ncap: Controller | None, starts: int
) -> None:
    """Put weights trained at N = 5 into other bodies, unchanged; NCAP's beside them on the same start states.

    Args:
        study: takes the rows.
        results: its `reflex_transfer` and `ncap_transfer` are set.
        best: the circuit.
        ncap: the best NCAP; None: its weights are not here.
        starts: how many start states.
    """
    ours = {joints: whole(moved(best, joints), starts, 0, joints) for joints in BODIES}
    results.reflex_transfer = {joints: score.returns for joints, score in ours.items()}
    for joints, score in ours.items():
        study.add(
            Row(
                name=f"N = 5 -> {joints}: return",
                kind="info",
                value=float(score.returns.mean()),
                seeds=starts,
                interval=interval(score.returns),
                note=com_speed(score),
            )
        )
    if ncap is None:
        note = "results/ncap/best.safetensors is not here"
        study.add(Row("N = 5 -> all: reflex less NCAP", "claim", note=note))
        return
    # Paired by start state: a start that is hard for both does not widen the interval.
    theirs = {joints: whole(moved(ncap, joints), starts, 0, joints) for joints in BODIES}
    results.ncap_transfer = {joints: score.returns for joints, score in theirs.items()}
    for joints, score in theirs.items():
        difference, between = paired_difference(ours[joints].returns[None], score.returns[None])
        note = f"NCAP: return {score.returns.mean():.1f}, {com_speed(score)}; results/ncap/best.safetensors"
        name = f"N = 5 -> {joints}: reflex less NCAP, return, paired by start state"
        study.add(
            at_least(name, "claim", difference, 0.0, interval=between, seeds=starts, note=note)
        )


def moved(source: Controller, joints: int) -> Controller:
    """`source` in a body of `joints` joints, its weights as they are."""
    env = gym.make(TASK, joints=joints)
    # The weights are shared by all joints: only the spaces know how many there are.
    copy = type(source)(env.observation_space, env.action_space, source.options)
    copy.load_state_dict(source.state_dict())
    return copy


def lesions(study: Study, results: Results, best: Controller, starts: int) -> None:
    """Silence one mechanism of the trained circuit at a time; it is not trained again.

    Args:
        study: takes the rows.
        results: its `lesions` are set.
        best: the circuit.
        starts: how many start states.
    """
    # Parts with a colon are those of single joints; a mechanism is silenced in all of them at once.
    mechanisms = [part for part in best.parts() if ":" not in part]
    for part in mechanisms:
        score = whole(lesion(best, part), starts, 0)
        mean = float(score.returns.mean())
        results.lesions[part] = mean
        study.add(
            Row(
                name=f"trained, then without {part}",
                kind="info",
                value=mean,
                seeds=starts,
                interval=interval(score.returns),
                note=com_speed(score),
            )
        )
