"""The baseline: SAC with hindsight (stable-baselines3's own) on the UMaze's far pair, by the steps of the simulator.

``python -m lancelet.scripts.studies.search.sac`` trains what `results/search/sac.json` lacks, one seed after the
other, and writes after each; the study reads that file. Recipe (spec 8.3): 4 'future' goals, batch 256, 2 x 128 units,
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
SEEDS, EVERY, EPISODES = 3, 2_500, 20
"""runs of each repeat; environment steps between two evaluations; episodes of one"""
BUDGET = {5: 150_000, 1: 100_000}
"""environment steps at most, by action repeat"""
RELIABLE = 0.9
"""share of an evaluation's episodes that must reach the goal, twice running"""
SETTINGS: dict[int, dict[str, Any]] = {
    5: {"gamma": 0.97, "train_freq": 10, "gradient_steps": 10, "learning_starts": 120},
    1: {"gamma": 0.99, "train_freq": 10, "gradient_steps": 5, "learning_starts": 600},
}
"""by action repeat"""
COMMAND = "python -m lancelet.scripts.studies.search.sac"


def arena(repeat: int, n: int) -> SB3VecEnv:
    """The far pair of the UMaze, 300 simulator steps an episode."""
    start, goal = FAR["umaze"]
    task: dict[str, Any] = {
        "maze": "umaze",
        "reset_cell": start,
        "goal_cell": goal,
        "frame_skip": repeat,
    }
    return make_sb3_env(TASK, n, 300 // repeat, nthread=1, reward_type="cost", **task)


def evaluate(model: Any, env: SB3VecEnv) -> float:
    """Share of one episode each, acted on without noise, that reached the goal."""
    env.seed(2**31)
    observation, ended, solved = (
        env.reset(),
        np.zeros(env.num_envs, bool),
        np.zeros(env.num_envs, bool),
    )
    while not ended.all():
        observation, _, done, infos = env.step(model.predict(observation, deterministic=True)[0])
        for i in np.flatnonzero(done & ~ended):
            solved[i] = infos[i]["is_success"]
        ended |= done
    return float(solved.mean())


def train(repeat: int, seed: int, budget: int, every: int = EVERY) -> dict[str, Any]:
    """One run, until two evaluations running are reliable: steps to first success and to that, and its curve."""
    from stable_baselines3 import SAC, HerReplayBuffer
    from stable_baselines3.common.callbacks import BaseCallback

    curve: list[tuple[int, float]] = []
    found: dict[str, int] = {}
    judge = arena(repeat, EPISODES)

    class Look(BaseCallback):
        """Evaluates, and ends the run when it has been reliable twice."""

        def _on_step(self) -> bool:
            steps = self.num_timesteps * repeat
            if any(info.get("is_success") for info in self.locals["infos"]):
                found.setdefault("first", steps)
            if steps % every:
                return True
            curve.append((steps, evaluate(self.model, judge)))
            print(
                f"repeat {repeat}, seed {seed}: {curve[-1][1]:.2f} at {steps:,} of {budget:,} steps",
                flush=True,
            )
            return not _reliable(curve)

    env, begun = arena(repeat, 1), time.monotonic()
    env.seed(2**32 + 1000 * seed)
    model = SAC(
        "MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, batch_size=256, learning_rate=1e-3,
        replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"}, buffer_size=budget // repeat,
        policy_kwargs={"net_arch": [128, 128]}, seed=seed, device="cpu", **SETTINGS[repeat],
    )  # fmt: skip
    model.learn(budget // repeat, Look())
    run = {
        "repeat": repeat,
        "seed": seed,
        "budget": budget,
        "first": found.get("first"),
        "curve": curve,
    }
    run["reliable"] = curve[-1][0] if _reliable(curve) else None
    return run | {"seconds": round(time.monotonic() - begun, 1)}


def _reliable(curve: list[tuple[int, float]]) -> bool:
    return len(curve) > 1 and min(curve[-1][1], curve[-2][1]) >= RELIABLE


def train_all(path: Path = FILE) -> None:
    """Train what the file lacks, and write it after each run."""
    torch.set_num_threads(1)
    for repeat in SETTINGS:
        for seed in range(SEEDS):
            if any((run["repeat"], run["seed"]) == (repeat, seed) for run in _read(path)["runs"]):
                continue
            run = train(repeat, seed, BUDGET[repeat])
            told = _read(path)  # as it is by now
            told["runs"].append(run)
            told |= {
                "command": COMMAND,
                "versions": versions(),
                "evaluation": f"{EPISODES} episodes without noise",
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, to_json(told, indent=1) + "\n")
            print({name: run[name] for name in ("repeat", "seed", "first", "reliable", "seconds")})


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {"runs": []}


def rows(study: Study, ours: Lives, data: dict[str, Any]) -> None:
    """SAC's steps over those of the search: to the first success, and to a solution that can be relied upon."""
    runs = _read(FILE)["runs"]
    data["sac"] = runs
    for repeat in SETTINGS:
        mine = [run for run in runs if run["repeat"] == repeat]
        how = f"action repeat {repeat}"
        for what, target, reference in (
            ("reliable", 30, "about 90"),
            ("first", 4, 8 if repeat == 5 else None),
        ):
            until = "a reliable solution" if what == "reliable" else "first success"
            name = f"SAC+HER over search, umaze, steps to {until}, {how}"
            if not mine:
                missing = f"not run: not in results/search/{FILE.name}; {COMMAND}"
                study.add(Row(name, "claim", None, f">= {target}", note=missing))
                continue
            steps = np.array([run[what] or run["budget"] for run in mine], float)
            censored = sum(run[what] is None for run in mine)
            values = steps / ours.median()
            listed = ", ".join(
                f"{'>= ' if run[what] is None else ''}{run[what] or run['budget']:,}"
                for run in mine
            )
            note = f"SAC {listed} environment steps; search {ours.median():,.0f}, which is solved from then on"
            note += f"; {censored} censored: the ratio is a lower bound" if censored else ""
            shown: dict[str, Any] = {
                "seeds": len(mine),
                "interval": interval(values, np.median),
                "note": note,
            }
            study.add(
                at_least(
                    name, "claim", float(np.median(values)), target, reference=reference, **shown
                )
            )


if __name__ == "__main__":
    train_all()
