"""NCAP and a perceptron under PPO and DDPG: A7, A9, A10 of the NCAP paper's study (arXiv 2201.05242).

The runs are those of training/configs (swim-ncap-ppo, swim-mlp-ppo, swim-ncap-ddpg, swim-mlp-ddpg), which `lancelet
bench table` reads too: runs/configs. PPO has the settings of docs/systems/ncap.md, "Algorithms":
one segment of 4,096 steps, up to 80 whole-batch passes that stop at a divergence of 0.015, gamma
0.99, lambda 0.97, no gradient clipping. DDPG makes a fifth of the updates given there (10 for every
50 steps), since 2e5 updates of (256, 256) networks take half an hour each here.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Controller
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.reinforcement.pictures import Curve, draw
from lancelet.scripts.studies.swimming import com_speed, kept
from lancelet.scripts.study import Study
from lancelet.training.config import Config, committed, folder, train_all
from lancelet.training.runs.folder import read_log
from lancelet.training.statistics import interval

TITLE = "NCAP and a perceptron under PPO and DDPG (arXiv 2201.05242, A7, A9, A10)"
PARTS = {"kept": ("A9 MLP, best by validation, held-out starts",)}
"""what `--only` measures alone: the perceptron of results/reinforcement"""
WEIGHTS_OF = {
    "A7 PPO on NCAP, best by validation": "ncap-ppo-0.safetensors",
    "A9 MLP, best by validation": "mlp-ppo.safetensors",
    "DDPG on NCAP, best by validation": "ncap-ddpg-0.safetensors",
    "DDPG on MLP (256, 256), best by validation": "mlp-ddpg.safetensors",
}
"""beginning of a row's name -> the weights that it could be measured with again"""
SEEDS_OF = {
    "": "trainings",
    "A9 MLP, best by validation": "start states",
    "DDPG on MLP (256, 256), best": "start states",
}
"""beginning of a row's name -> what its seeds count"""

TASK = "lancelet/Swim-v0"
HELD_OUT = 64
"""start states, seeds 0 .. 63, that no training and no choice saw"""
CHOSEN_BY = "validation start states"
"""how the best controller of a training is chosen, as the files of weights say it"""
QUICK_STEPS = 20_000
"""control steps of the quick study's training"""
KEPT_PERCEPTRON = "reinforcement/mlp-ppo"
"""the committed perceptron under results/"""

CONFIGS = {
    "ppo": {"ncap": "swim-ncap-ppo", "mlp": "swim-mlp-ppo"},
    "ddpg": {"ncap": "swim-ncap-ddpg", "mlp": "swim-mlp-ddpg"},
}
"""algorithm -> controller -> name of the committed configuration"""

EARLY_STEPS = 20_000
"""control steps after which the perceptron still cannot swim (A9)"""
LATE_STEPS = 200_000
"""control steps within which the perceptron swims (A9)"""
LAST_STEPS = 500_000
"""control steps of the perceptron's training (A9)"""
SWIMS = 800
"""return of a perceptron that swims (A9)"""
LEAST_TRAINED_RETURN = 950
"""return of the perceptron at the end of its training (A9)"""
PUBLISHED_TRAINED_RETURN = 976.0
"""return of the perceptron at its end in a replication by others"""
EFFICIENCY_RETURN = 750
"""test mean whose steps are counted (A10)"""


@dataclass
class Learned:
    """Trainings of one configuration, and the best controller of each by validation."""

    curve: Curve
    """tests of all trainings"""
    best: list[Controller]
    """one a training, as its run folder holds it"""

    @property
    def best_of_all(self) -> Controller:
        """The best of all trainings by validation: the one that is kept where all would be too large."""
        best_tests = self.curve.validation.max(axis=1)
        return self.best[int(np.argmax(best_tests))]


def run(study: Study) -> None:
    """All rows; a quick study trains the circuit once and briefly, and measures the committed perceptron again."""
    if study.only is not None:
        _run_kept(study)
    elif study.size == "quick":
        _run_quick(study)
    else:
        _run_whole(study)


def _run_kept(study: Study) -> None:
    """The row of the committed perceptron."""
    perceptron = kept(KEPT_PERCEPTRON)
    if perceptron is None:
        raise LanceletError(
            f"reproduce reinforcement: --only needs results/{KEPT_PERCEPTRON}.safetensors"
        )
    _best_perceptron(study, perceptron)


def _run_quick(study: Study) -> None:
    """One brief training of the circuit, and the row of the committed perceptron where it is there."""
    config = committed()[CONFIGS["ppo"]["ncap"]].shorter(steps=QUICK_STEPS)
    path = Path("runs") / "reproduce-reinforcement" / "ncap"
    shutil.rmtree(path, ignore_errors=True)
    config.train(seed=0, folder=str(path), test=0)
    _circuit(study, _gather([path]))
    perceptron = kept(KEPT_PERCEPTRON)
    if perceptron is not None:
        _best_perceptron(study, perceptron)


def _run_whole(study: Study) -> None:
    """All rows and the picture, from trainings of every committed configuration."""
    names = []
    for configs in CONFIGS.values():
        names += configs.values()
    if not study.resume:
        for name in names:
            shutil.rmtree(folder(name, 0).parent, ignore_errors=True)
    train_all(names)

    configurations = committed()
    ppo = _learned(configurations, CONFIGS["ppo"])
    ddpg = _learned(configurations, CONFIGS["ddpg"])
    _circuit(study, ppo["ncap"])
    _perceptron(study, ppo["mlp"])
    _circuit_efficiency(study, ppo["ncap"].curve)
    _perceptron_efficiency(study, ppo["mlp"].curve)
    _ddpg_circuit(study, ddpg["ncap"])
    _ddpg_perceptron(study, ddpg["mlp"])
    draw(
        study,
        ppo={controller: learned.curve for controller, learned in ppo.items()},
        ddpg={controller: learned.curve for controller, learned in ddpg.items()},
    )


# From run folders to figures


def _learned(configurations: dict[str, Config], names: dict[str, str]) -> dict[str, Learned]:
    """Trainings of one algorithm, by controller.

    Args:
        configurations: all committed ones.
        names: controller -> name of its configuration.
    """
    learned = {}
    for controller, name in names.items():
        seeds = range(configurations[name].seeds)
        learned[controller] = _gather([folder(name, seed) for seed in seeds])
    return learned


def _gather(folders: list[Path]) -> Learned:
    """Tests and best controllers of the trainings in `folders`, which all have the same steps between tests."""
    best = [controllers.load(path) for path in folders]
    validation = []
    sampled = []
    steps = np.empty(0)
    for path in folders:
        # Other lines of a log hold figures of the training between two tests.
        tests = [line for line in read_log(path) if "validation" in line]
        validation.append([line["validation"] for line in tests])
        sampled.append([line["sampled"] for line in tests])
        steps = np.array([line["steps"] for line in tests])
    curve = Curve(
        steps=steps,
        validation=np.array(validation),
        sampled=np.array(sampled),
        parameter_count=best[0].parameter_count,
    )
    return Learned(curve=curve, best=best)


def _in_words(values: np.ndarray) -> str:
    """Figures for a note, without digits behind the point."""
    return ", ".join(f"{value:,.0f}" for value in values)


# Rows


def _held_out(study: Study, name: str, file: str, best: list[Controller]) -> None:
    """The row of small networks, all of which are kept, on held-out start states.

    Args:
        study: takes the row and the weights.
        name: of the row.
        file: beginning of the names of the weights' files.
        best: controllers, one a training.
    """
    scores = []
    for seed, controller in enumerate(best):
        study.weights(f"{file}-{seed}", controller, chosen_by=CHOSEN_BY)
        scores.append(training.evaluate(controller, TASK, HELD_OUT))
    means = np.array([score.returns.mean() for score in scores])
    note = (
        f"deterministic, {HELD_OUT} start states; {com_speed(*scores)}; {file}-0.safetensors and on"
    )
    study.add(
        Row(
            name=name,
            kind="info",
            value=float(means.mean()),
            seeds=len(means),
            interval=interval(means),
            note=note,
        )
    )


def _best_perceptron(study: Study, perceptron: Controller) -> None:
    """A9 at its end, from weights that are kept."""
    score = training.evaluate(perceptron, TASK, HELD_OUT)
    note = (
        f"5e5 steps of PPO, the best training of 5; deterministic; {com_speed(score)}; "
        "mlp-ppo.safetensors"
    )
    study.add(
        at_least(
            "A9 MLP, best by validation, held-out starts",
            "gate",
            float(score.returns.mean()),
            LEAST_TRAINED_RETURN,
            reference=PUBLISHED_TRAINED_RETURN,
            interval=interval(score.returns),
            seeds=HELD_OUT,
            note=note,
        )
    )


def _circuit(study: Study, learned: Learned) -> None:
    """A7: the default start survives PPO, and gains a little."""
    sampled = learned.curve.sampled
    seeds = len(sampled)
    note = (
        f"sampled actions, 5 episodes a test; {learned.curve.parameter_count} parameters; "
        f"lowest of each seed: {_in_words(sampled.min(axis=1))}"
    )
    study.add(
        at_least(
            "A7 PPO on NCAP, lowest test of all seeds",
            "gate",
            float(sampled.min()),
            760,
            seeds=seeds,
            note=note,
        )
    )
    if study.size == "quick":
        return
    last = sampled[:, -1]
    study.add(
        at_least(
            "A7 PPO on NCAP, 1e5 steps, last test",
            "claim",
            float(last.mean()),
            795,
            seeds=seeds,
            reference=808.0,
            interval=interval(last),
            note=f"sampled actions; {_in_words(last)}",
        )
    )
    name = "A7 PPO on NCAP, best by validation, held-out starts"
    _held_out(study, name, "ncap-ppo", learned.best)


def _perceptron(study: Study, learned: Learned) -> None:
    """A9: what a perceptron needs."""
    curve = learned.curve
    seeds = len(curve.sampled)
    early = curve.at(EARLY_STEPS, curve.sampled)
    late = curve.at(LATE_STEPS, curve.sampled)
    last = curve.at(LAST_STEPS, curve.sampled)
    last_deterministic = curve.at(LAST_STEPS, curve.validation)
    steps_to_swim = curve.steps_to(SWIMS)
    study.add(
        at_most(
            "A9 MLP (256, 256) under PPO, 20k steps",
            "gate",
            float(early.mean()),
            300,
            reference=174.0,
            interval=interval(early),
            seeds=seeds,
            note=f"{curve.parameter_count:,} parameters, gamma 0.99; sampled; {_in_words(early)}",
        )
    )
    study.add(
        at_most(
            f"A9 MLP, steps to {SWIMS}, slowest seed",
            "gate",
            float(steps_to_swim.max()),
            LATE_STEPS,
            reference=140_000.0,
            seeds=seeds,
            note=f"mean at 200k {late.mean():.0f}; {_in_words(steps_to_swim)}",
        )
    )
    study.add(
        at_least(
            "A9 MLP, 5e5 steps, sampled",
            "gate",
            float(last.mean()),
            LEAST_TRAINED_RETURN,
            reference=PUBLISHED_TRAINED_RETURN,
            interval=interval(last),
            seeds=seeds,
            note=f"with its noise; {_in_words(last)}",
        )
    )
    study.add(
        at_least(
            "A9 MLP, 5e5 steps, deterministic",
            "gate",
            float(last_deterministic.mean()),
            LEAST_TRAINED_RETURN,
            reference=968.0,
            interval=interval(last_deterministic),
            seeds=seeds,
            note=_in_words(last_deterministic),
        )
    )
    best = learned.best_of_all
    study.weights("mlp-ppo", best, chosen_by=CHOSEN_BY)
    _best_perceptron(study, best)


def _circuit_efficiency(study: Study, curve: Curve) -> None:
    """A10: steps until the circuit's test mean first reaches 750; it does so untrained."""
    slowest = curve.steps_to(EFFICIENCY_RETURN).max()
    untrained = curve.sampled[:, 0]
    study.add(
        Row(
            name=f"A10 NCAP, steps to {EFFICIENCY_RETURN}",
            kind="claim",
            value=float(slowest),
            target="0",
            holds=bool(slowest == 0),
            seeds=len(untrained),
            note=f"untrained, sampled: {_in_words(untrained)}",
        )
    )


def _perceptron_efficiency(study: Study, curve: Curve) -> None:
    """A10: steps until the perceptron's test mean first reaches 750."""
    steps = curve.steps_to(EFFICIENCY_RETURN)
    study.within(
        f"A10 MLP, steps to {EFFICIENCY_RETURN}",
        "claim",
        float(steps.mean()),
        low=60_000,
        high=160_000,
        reference=100_000.0,
        interval=interval(steps),
        seeds=len(steps),
        note=_in_words(steps),
    )


def _ddpg_circuit(study: Study, learned: Learned) -> None:
    """The circuit under DDPG: no reference figures are known."""
    _ddpg_last(study, "DDPG on NCAP", learned.curve)
    name = "DDPG on NCAP, best by validation, held-out starts"
    _held_out(study, name, "ncap-ddpg", learned.best)


def _ddpg_perceptron(study: Study, learned: Learned) -> None:
    """The perceptron under DDPG, of which only the best training is kept: no reference figures are known."""
    _ddpg_last(study, "DDPG on MLP (256, 256)", learned.curve)
    best = learned.best_of_all
    study.weights("mlp-ddpg", best, chosen_by=CHOSEN_BY)
    score = training.evaluate(best, TASK, HELD_OUT)
    study.add(
        Row(
            name="DDPG on MLP (256, 256), best by validation, held-out starts",
            kind="info",
            value=float(score.returns.mean()),
            seeds=HELD_OUT,
            interval=interval(score.returns),
            note=f"deterministic; {com_speed(score)}; the best training, mlp-ddpg.safetensors",
        )
    )


def _ddpg_last(study: Study, name: str, curve: Curve) -> None:
    """The last test of every training by DDPG.

    Args:
        study: takes the row.
        name: beginning of the row's name.
        curve: tests of all trainings.
    """
    last = curve.validation[:, -1]
    note = (
        f"deterministic; lowest test {curve.validation.min():.0f}; "
        f"{curve.parameter_count:,} parameters; {_in_words(last)}"
    )
    study.add(
        Row(
            name=f"{name}, 2e5 steps, last test",
            kind="info",
            value=float(last.mean()),
            seeds=len(last),
            interval=interval(last),
            note=note,
        )
    )
