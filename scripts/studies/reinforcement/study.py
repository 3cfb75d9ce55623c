"""NCAP and a perceptron under PPO and DDPG: A7, A9, A10 of the NCAP paper's study (arXiv 2201.05242).

The runs are those of training/configs (swim-ncap-ppo, swim-mlp-ppo, swim-ncap-ddpg, swim-mlp-ddpg), which `lancelet
bench table` reads too: runs/configs. PPO has the settings of docs/systems/ncap.md, "Algorithms":
one segment of 4,096 steps, up to 80 whole-batch passes that stop at a divergence of 0.015, gamma
0.99, lambda 0.97, no gradient clipping. DDPG makes a fifth of the updates given there (10 for every
50 steps), since 2e5 updates of (256, 256) networks take half an hour each here.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Controller
from lancelet.scripts.rows import Row, at_least, at_most
from lancelet.scripts.studies.swimming import com_speed, kept
from lancelet.scripts.study import Study
from lancelet.training.config import Config, committed, folder, train_all
from lancelet.training.runs.folder import read_log
from lancelet.training.statistics import interval

TITLE = "NCAP and a perceptron under PPO and DDPG (arXiv 2201.05242, A7, A9, A10)"
NAMES = {name: {who: f"swim-{who}-{name}" for who in ("ncap", "mlp")} for name in ("ppo", "ddpg")}
REFERENCE = {
    "ncap": {20: 780, 40: 783, 60: 796, 80: 798, 100: 808},
    "mlp": {
        20: 174,
        40: 397,
        60: 591,
        80: 667,
        100: 758,
        140: 853,
        200: 925,
        300: 965,
        400: 971,
        500: 976,
    },
}
"""thousands of steps -> test mean of one PPO run, sampled actions"""


PARTS = {"kept": ("A9 MLP, best by validation, held-out starts",)}
"""what `--only` measures alone: the perceptron of results/reinforcement"""
WEIGHTS_OF = {
    "A7 PPO on NCAP, best by validation": "ncap-ppo-0.safetensors",
    "A9 MLP, best by validation": "mlp-ppo.safetensors",
    "DDPG on NCAP, best by validation": "ncap-ddpg-0.safetensors",
    "DDPG on MLP (256, 256), best by validation": "mlp-ddpg.safetensors",
}
SEEDS_OF = {
    "": "trainings",
    "A9 MLP, best by validation": "start states",
    "DDPG on MLP (256, 256), best": "start states",
}
TASK = "lancelet/Swim-v0"
HELD_OUT = 64
"""start states, seeds 0 .. 63, that no training and no choice saw"""


def run(study: Study) -> None:
    """All rows; a quick study trains the circuit once and briefly, and measures the committed perceptron again."""
    if study.only is not None:
        perceptron = kept("reinforcement/mlp-ppo")
        if perceptron is None:
            raise LanceletError(
                "reproduce reinforcement: --only needs results/reinforcement/mlp-ppo.safetensors"
            )
        _best_perceptron(study, perceptron)
        return
    if study.size == "quick":
        brief = committed()[NAMES["ppo"]["ncap"]].shorter(steps=20_000)
        path = Path("runs") / "reproduce-reinforcement" / "ncap"
        shutil.rmtree(path, ignore_errors=True)
        brief.train(seed=0, folder=str(path), test=0)
        _circuit(study, _gather(brief, [path]))
        perceptron = kept("reinforcement/mlp-ppo")
        if perceptron is not None:
            _best_perceptron(study, perceptron)
        return
    names = [name for pair in NAMES.values() for name in pair.values()]
    for name in names if not study.resume else ():
        shutil.rmtree(folder(name, 0).parent, ignore_errors=True)
    train_all(names)
    data = {
        algorithm: {who: _curves(name) for who, name in pair.items()}
        for algorithm, pair in NAMES.items()
    }
    _circuit(study, data["ppo"]["ncap"])
    _perceptron(study, data["ppo"]["mlp"])
    _efficiency(study, data["ppo"])
    _ddpg(study, data["ddpg"])
    _picture(study, data)


def _curves(name: str) -> dict[str, Any]:
    """Learning curves of a committed configuration, all seeds."""
    config = committed()[name]
    return _gather(config, [folder(name, seed) for seed in range(config.seeds)])


def _gather(config: Config, folders: list[Path]) -> dict[str, Any]:
    """Tests (trainings, tests) of the learning curves, and the best controller of each training, by validation."""
    logs = [[line for line in read_log(path) if "validation" in line] for path in folders]
    best = [controllers.load(path) for path in folders]
    tests = {
        name: np.array([[line[name] for line in log] for log in logs])
        for name in ("validation", "sampled")
    }
    steps = np.array([line["steps"] for line in logs[0]])
    return {**tests, "steps": steps, "best": best, "parameters": best[0].parameter_count}


def _held_out(study: Study, name: str, file: str, trained: list[Controller]) -> None:
    """The row of small networks, all of which are kept, on held-out start states."""
    scores = []
    for seed, one in enumerate(trained):
        study.weights(f"{file}-{seed}", one, chosen_by="validation start states")
        scores.append(training.evaluate(one, TASK, HELD_OUT))
    means = np.array([score.returns.mean() for score in scores])
    note = (
        f"deterministic, {HELD_OUT} start states; {com_speed(*scores)}; {file}-0.safetensors and on"
    )
    study.add(
        Row(
            name, "info", float(means.mean()), seeds=len(means), interval=interval(means), note=note
        )
    )


def _best(found: dict[str, Any]) -> Controller:
    """The best of all trainings by validation: the one that is kept where all would be too large."""
    return found["best"][int(np.argmax(found["validation"].max(1)))]


def _best_perceptron(study: Study, perceptron: Controller) -> None:
    """A9 at its end, from weights that are kept."""
    found = training.evaluate(perceptron, TASK, HELD_OUT)
    note = f"5e5 steps of PPO, the best training of 5; deterministic; {com_speed(found)}; mlp-ppo.safetensors"
    rest: dict[str, Any] = {"interval": interval(found.returns), "seeds": HELD_OUT, "note": note}
    name = "A9 MLP, best by validation, held-out starts"
    study.add(at_least(name, "gate", float(found.returns.mean()), 950, reference=976.0, **rest))


def _at(found: dict[str, Any], steps: int, name: str = "sampled") -> np.ndarray:
    """The test at `steps` (the first at or after it), one a seed."""
    return found[name][:, int(np.searchsorted(found["steps"], steps))]


def _first(found: dict[str, Any], level: float) -> np.ndarray:
    """Steps until the sampled test first reaches `level`, one a seed; infinite where it never does."""
    reached = found["sampled"] >= level
    return np.where(reached.any(1), found["steps"][reached.argmax(1)], np.inf)


def _list(values: np.ndarray) -> str:
    return ", ".join(f"{value:,.0f}" for value in values)


def _circuit(study: Study, found: dict[str, Any]) -> None:
    """A7: the default start survives PPO, and gains a little."""
    seeds, sampled = len(found["sampled"]), found["sampled"]
    note = f"sampled actions, 5 episodes a test; {found['parameters']} parameters; lowest of each seed: "
    study.add(at_least("A7 PPO on NCAP, lowest test of all seeds", "gate", float(sampled.min()), 760, seeds=seeds,
                       note=note + _list(sampled.min(1))))  # fmt: skip
    if study.size == "quick":
        return
    last = sampled[:, -1]
    study.add(at_least("A7 PPO on NCAP, 1e5 steps, last test", "claim", float(last.mean()), 795, seeds=seeds,
                       reference=808.0, interval=interval(last), note=f"sampled actions; {_list(last)}"))  # fmt: skip
    _held_out(
        study, "A7 PPO on NCAP, best by validation, held-out starts", "ncap-ppo", found["best"]
    )


def _perceptron(study: Study, found: dict[str, Any]) -> None:
    """A9: what a perceptron needs."""
    seeds, count = len(found["sampled"]), f"{found['parameters']:,} parameters, gamma 0.99"
    early, late, last = (_at(found, steps) for steps in (20_000, 200_000, 500_000))
    rest: dict[str, Any] = {"seeds": seeds}
    study.add(at_most("A9 MLP (256, 256) under PPO, 20k steps", "gate", float(early.mean()), 300, reference=174.0,
                      interval=interval(early), note=f"{count}; sampled; {_list(early)}", **rest))  # fmt: skip
    crossed = _first(found, 800)
    study.add(at_most("A9 MLP, steps to 800, slowest seed", "gate", float(crossed.max()), 200_000, reference=140_000.0,
                      note=f"mean at 200k {late.mean():.0f}; {_list(crossed)}", **rest))  # fmt: skip
    study.add(at_least("A9 MLP, 5e5 steps, sampled", "gate", float(last.mean()), 950, reference=976.0,
                       interval=interval(last), note=f"with its noise; {_list(last)}", **rest))  # fmt: skip
    final = _at(found, 500_000, "validation")
    study.add(at_least("A9 MLP, 5e5 steps, deterministic", "gate", float(final.mean()), 950, reference=968.0,
                       interval=interval(final), note=_list(final), **rest))  # fmt: skip
    best = _best(found)
    study.weights("mlp-ppo", best, chosen_by="validation start states")
    _best_perceptron(study, best)


def _efficiency(study: Study, found: dict[str, Any]) -> None:
    """A10: steps until the test mean first reaches 750."""
    start = found["ncap"]["sampled"][:, 0]
    needed = _first(found["ncap"], 750).max()
    study.add(Row("A10 NCAP, steps to 750", "claim", float(needed), "0", bool(needed == 0), len(start),
                  note=f"untrained, sampled: {_list(start)}"))  # fmt: skip
    needed = _first(found["mlp"], 750)
    study.within("A10 MLP, steps to 750", "claim", float(needed.mean()), 60_000, 160_000, reference=100_000.0,
                 interval=interval(needed), seeds=len(needed), note=_list(needed))  # fmt: skip


def _ddpg(study: Study, found: dict[str, Any]) -> None:
    """The DDPG columns: no reference figures are known."""
    for name, curve in found.items():
        last = curve["validation"][:, -1]
        who = f"DDPG on {'NCAP' if name == 'ncap' else 'MLP (256, 256)'}"
        rest: dict[str, Any] = {"seeds": len(last)}
        note = f"deterministic; lowest test {curve['validation'].min():.0f}; {curve['parameters']:,} parameters; "
        study.add(Row(f"{who}, 2e5 steps, last test", "info", float(last.mean()), interval=interval(last),
                      note=note + _list(last), **rest))  # fmt: skip
        label = f"{who}, best by validation, held-out starts"
        if name == "ncap":
            _held_out(study, label, "ncap-ddpg", curve["best"])
            continue
        best = _best(curve)
        study.weights("mlp-ddpg", best, chosen_by="validation start states")
        score = training.evaluate(best, TASK, HELD_OUT)
        note = f"deterministic; {com_speed(score)}; the best training, mlp-ddpg.safetensors"
        study.add(Row(label, "info", float(score.returns.mean()), seeds=HELD_OUT, interval=interval(score.returns),
                      note=note))  # fmt: skip


def _picture(study: Study, data: dict[str, Any]) -> None:
    """Learning curves over the reference points."""
    plot, both = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True)
    for axes, algorithm, figure in zip(
        both, ("ppo", "ddpg"), ("sampled", "validation"), strict=True
    ):
        for (name, curve), color in zip(
            data[algorithm].items(), ("#1f6f8b", "#e09f3e"), strict=True
        ):
            x, y = curve["steps"] / 1000, curve[figure]
            axes.fill_between(x, y.min(0), y.max(0), color=color, alpha=0.2, linewidth=0)
            label = f"{'NCAP' if name == 'ncap' else 'MLP (256, 256)'}, {curve['parameters']:,} parameters"
            axes.plot(x, y.mean(0), color=color, linewidth=2, label=label)
            if algorithm == "ppo":
                points = REFERENCE[name]
                axes.plot(list(points), list(points.values()), "x", color=color, markeredgewidth=2)
        seeds, how = (
            len(data[algorithm]["ncap"][figure]),
            "sampled" if figure == "sampled" else "deterministic",
        )
        axes.set_title(
            f"A7, A9, A10: {algorithm.upper()}, {how} actions, {seeds} seeds",
            loc="left",
            fontsize=10,
        )
        axes.set_xlabel("thousand control steps")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(0, 1000)
    both[0].plot([], [], "x", color="gray", label="reference (one run)")
    both[0].set_ylabel("return")
    for axes in both:
        axes.legend(frameon=False, loc="lower right")
    study.picture(
        "trainers",
        "Mean and range over seeds of tests of 5 episodes; crosses: a replication by others.",
        plot,
    )
