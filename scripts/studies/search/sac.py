"""The baseline: SAC with hindsight (stable-baselines3's own) on the UMaze's far pair, by the steps of the simulator.

``python -m lancelet.scripts.studies.search.sac`` trains what `results/search/sac.json` lacks, one seed after the
other, and writes after each; the study reads that file. Recipe: 4 'future' goals, batch 256, 2 x 128 units,
reward -1 a step and 0 at the goal, which ends the episode; at 100 Hz (discount 0.99, one update in two steps) and with
every action repeated 5 times (0.97, one update a decision). Learning rate 1e-3 and evaluation every 2,500 steps, which
serve the baseline well. The policy is stable-baselines3's, since the workbench's own SAC actor (a noise that does not
depend on the state) had not solved the maze after 33,000 steps, and a weak baseline would flatter the search.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lancelet.files import to_json, write_atomic
from lancelet.scripts.rows import Row, at_least
from lancelet.scripts.studies.search.lives import FAR, TASK, Lives
from lancelet.scripts.study import Study
from lancelet.training.reinforcement.sb3 import SB3VecEnv, make_sb3_env
from lancelet.training.runs.folder import versions
from lancelet.training.statistics import interval

FILE = Path(__file__).resolve().parents[3] / "results" / "search" / "sac.json"
SEEDS = 3
"""runs of each repeat"""
EVERY = 2_500
"""environment steps between two evaluations"""
EPISODES = 20
"""episodes of an evaluation, side by side"""
EPISODE_STEPS = 300
"""simulator steps of an episode, at most"""
JUDGE_SEED = 2**31
"""of the start states of every evaluation"""
TRAINING_SEED = 2**32
"""of the start states of run 0; runs share none with the evaluations"""
SEEDS_OF_A_RUN = 1000
"""seeds of start states between two runs"""
BUDGET = {5: 150_000, 1: 100_000}
"""environment steps at most, by action repeat"""
REPEAT_OF_THE_REFERENCE = 5
"""action repeat of the prototype's figure for the first success"""
RELIABLE = 0.9
"""share of an evaluation's episodes that must reach the goal, twice running"""
SETTINGS: dict[int, dict[str, Any]] = {
    5: {"gamma": 0.97, "train_freq": 10, "gradient_steps": 10, "learning_starts": 120},
    1: {"gamma": 0.99, "train_freq": 10, "gradient_steps": 5, "learning_starts": 600},
}
"""options of SAC, by action repeat"""
COMMAND = "python -m lancelet.scripts.studies.search.sac"


def arena(repeat: int, n: int) -> SB3VecEnv:
    """The far pair of the UMaze, `EPISODE_STEPS` simulator steps an episode.

    Args:
        repeat: steps that each action is held.
        n: environments side by side.
    """
    start, goal = FAR["umaze"]
    task: dict[str, Any] = {
        "maze": "umaze",
        "reset_cell": start,
        "goal_cell": goal,
        "frame_skip": repeat,
    }
    return make_sb3_env(TASK, n, EPISODE_STEPS // repeat, nthread=1, reward_type="cost", **task)


def evaluate(model: Any, env: SB3VecEnv) -> float:
    """Share of one episode each, acted on without noise, that reached the goal."""
    env.seed(JUDGE_SEED)
    observation = env.reset()
    ended = np.zeros(env.num_envs, bool)
    solved = np.zeros(env.num_envs, bool)
    while not ended.all():
        observation, _, done, infos = env.step(model.predict(observation, deterministic=True)[0])
        for number in np.flatnonzero(done & ~ended):
            solved[number] = infos[number]["is_success"]
        ended |= done
    return float(solved.mean())


def train(repeat: int, seed: int, budget: int, every: int = EVERY) -> dict[str, Any]:
    """One run, until two evaluations running are reliable, or its budget is spent.

    Args:
        repeat: steps that each action is held, a key of `SETTINGS`.
        seed: number of the run.
        budget: environment steps, at most.
        every: environment steps between two evaluations.

    Returns:
        The run as `results/search/sac.json` holds it: environment steps to the ``first`` success while
        exploring and to a ``reliable`` solution (None: never), the ``curve`` of (steps, share of
        success), and ``seconds``.
    """
    from stable_baselines3 import SAC, HerReplayBuffer
    from stable_baselines3.common.callbacks import BaseCallback

    curve: list[tuple[int, float]] = []
    steps_to: dict[str, int] = {}
    judge = arena(repeat, EPISODES)

    class Look(BaseCallback):
        """Evaluates, and ends the run when it has been reliable twice."""

        def _on_step(self) -> bool:
            steps = self.num_timesteps * repeat
            if any(info.get("is_success") for info in self.locals["infos"]):
                steps_to.setdefault("first", steps)
            if steps % every:
                return True
            share = evaluate(self.model, judge)
            curve.append((steps, share))
            print(
                f"repeat {repeat}, seed {seed}: {share:.2f} at {steps:,} of {budget:,} steps",
                flush=True,
            )
            return not _reliable(curve)

    begun = time.monotonic()
    env = arena(repeat, 1)
    env.seed(TRAINING_SEED + SEEDS_OF_A_RUN * seed)
    model = SAC(
        "MultiInputPolicy",
        env,
        learning_rate=1e-3,
        batch_size=256,
        buffer_size=budget // repeat,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
        policy_kwargs={"net_arch": [128, 128]},
        seed=seed,
        device="cpu",
        **SETTINGS[repeat],
    )
    model.learn(budget // repeat, Look())
    return {
        "repeat": repeat,
        "seed": seed,
        "budget": budget,
        "first": steps_to.get("first"),
        "curve": curve,
        "reliable": curve[-1][0] if _reliable(curve) else None,
        "seconds": round(time.monotonic() - begun, 1),
    }


def _reliable(curve: list[tuple[int, float]]) -> bool:
    """Whether the last two evaluations of a curve of (steps, share of success) were reliable."""
    if len(curve) < 2:
        return False
    (_, last_but_one), (_, last) = curve[-2:]
    return min(last, last_but_one) >= RELIABLE


def train_all(path: Path = FILE) -> None:
    """Train what the file lacks, and write it after each run."""
    torch.set_num_threads(1)
    for repeat in SETTINGS:
        for seed in range(SEEDS):
            if (repeat, seed) in _trained(path):
                continue
            run = train(repeat, seed, BUDGET[repeat])
            # Read again: another process may have added runs in the meantime.
            content = _read(path)
            content["runs"].append(run)
            content |= {
                "command": COMMAND,
                "versions": versions(),
                "evaluation": f"{EPISODES} episodes without noise",
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, to_json(content, indent=1) + "\n")
            print({name: run[name] for name in ("repeat", "seed", "first", "reliable", "seconds")})


def _trained(path: Path) -> set[tuple[int, int]]:
    """Action repeat and seed of the runs that a file holds."""
    return {(run["repeat"], run["seed"]) for run in _read(path)["runs"]}


def _read(path: Path) -> dict[str, Any]:
    """The content of a file of runs; none where there is no file."""
    if not path.exists():
        return {"runs": []}
    return json.loads(path.read_text())


def rows(study: Study, ours: Lives) -> list[dict[str, Any]]:
    """Add the rows of SAC's steps over those of the search, to first success and to a reliable solution.

    Args:
        study: gets the rows.
        ours: lives of the search on the same pair; they are solved from their first success on.

    Returns:
        The runs that were read, as `train` returns them; none where there is no file.
    """
    runs = _read(FILE)["runs"]
    for repeat in SETTINGS:
        runs_of_repeat = [run for run in runs if run["repeat"] == repeat]
        name = "SAC+HER over search, umaze, steps to {until}, action repeat " + str(repeat)
        _row(
            study,
            name.format(until="a reliable solution"),
            runs_of_repeat,
            until="reliable",
            ours=ours,
            target=30,
            reference="about 90",
        )
        _row(
            study,
            name.format(until="first success"),
            runs_of_repeat,
            until="first",
            ours=ours,
            target=4,
            reference=8 if repeat == REPEAT_OF_THE_REFERENCE else None,
        )
    return runs


def _row(
    study: Study,
    name: str,
    runs: list[dict[str, Any]],
    *,
    until: str,
    ours: Lives,
    target: float,
    reference: float | str | None,
) -> None:
    """Add the row of one ratio; a run that never came so far counts as its budget.

    Args:
        study: gets the row.
        name: of the row.
        runs: of one action repeat.
        until: key of `runs` that holds the steps, ``first`` or ``reliable``.
        ours: lives of the search.
        target: ratio that is claimed, at least.
        reference: the prototype's ratio.
    """
    if not runs:
        missing = f"not run: not in results/search/{FILE.name}; {COMMAND}"
        study.add(Row(name, "claim", None, f">= {target}", note=missing))
        return
    steps = []
    steps_in_words = []
    censored = 0
    for run in runs:
        if run[until]:
            steps.append(run[until])
            steps_in_words.append(f"{run[until]:,}")
        else:
            steps.append(run["budget"])
            steps_in_words.append(f">= {run['budget']:,}")
            censored += 1
    ratios = np.array(steps, float) / ours.median()
    note = (
        f"SAC {', '.join(steps_in_words)} environment steps; "
        f"search {ours.median():,.0f}, which is solved from then on"
    )
    if censored:
        note += f"; {censored} censored: the ratio is a lower bound"
    row = at_least(
        name,
        "claim",
        float(np.median(ratios)),
        target,
        reference=reference,
        seeds=len(runs),
        interval=interval(ratios, np.median),
        note=note,
    )
    study.add(row)


if __name__ == "__main__":
    train_all()
