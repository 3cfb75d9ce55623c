"""Run episodes of a task: `lancelet play swim --agent zero|random|ncap|RUN`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lancelet import LanceletError, task_id
from lancelet.scripts import cli


@dataclass
class Play:
    """Who acts, and how often."""

    agent: str = "random"
    """a controller's name, a run folder, a .safetensors file, or (--trust) an archive of another library"""
    episodes: int = 3
    """start states, the first drawn from the seed, the next from seed + 1 ..."""
    seed: int = 0
    """of the first start state"""
    max_episode_steps: int | None = None
    """control steps of an episode; none: the task's"""
    video: str | None = None
    """draw the first episode to this mp4, gif or png file"""
    trust: bool = False
    """open an agent's zip of stable-baselines3 or RLlib checkpoint, which can run anything that its author put in"""


def main(argv: list[str] | None = None) -> int | None:
    """Play, and print return, length and metrics of every episode."""
    cli.shield_gl()
    (task,), flags = cli.words("play", __doc__ or "", argv, task=cli.tasks())
    parsed = cli.parse(
        f"play {task}", __doc__ or "", flags, play=Play, task=cli.task_defaults(task)
    )
    play, id, options = parsed.play, task_id(task), parsed.task.options()
    if play.max_episode_steps is not None:
        options["max_episode_steps"] = play.max_episode_steps

    from lancelet.training import evaluate
    from lancelet.training.rollout import make_env

    env = make_env(id, 1, nthread=1, **options)
    if play.video and not hasattr(env.sim, "model"):
        raise LanceletError(f"{id} is not a MuJoCo task: it has no picture")
    agent = _agent(play.agent, env, play.trust)
    score = evaluate(agent, id, play.episodes, play.seed, record=bool(play.video), **options)
    _print(score, play.seed)
    if play.video:
        from lancelet.training.runs.progress import progress
        from lancelet.training.video.video import draw

        with progress("drawing", len(score.record["qpos"]), "frames") as advance:
            fps = 1 / env.task.control_dt(env.sim)
            draw(env.sim.model, score.record, play.video, fps, progress=advance)
        print(play.video)
    return 0


def _agent(name: str, env: Any, trust: bool) -> Any:
    """The controller called `name`, or the one saved there."""
    from lancelet import controllers
    from lancelet.training.reinforcement.archives import open_archive

    if name not in controllers.controllers and (Path(name).exists() or "/" in name):
        return open_archive(name, env, trust)
    return controllers.make(name, env)


def _print(score: Any, seed: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for head in ("seed", "return", "steps", *score.metrics, "failed"):
        table.add_column(head, justify="right")
    for i in range(len(score.returns)):
        metrics = [_number(values[i]) for values in score.metrics.values()]
        failed = "yes" if score.failed[i] else ""
        table.add_row(
            str(seed + i), f"{score.returns[i]:.2f}", str(score.lengths[i]), *metrics, failed
        )
    if len(score.returns) > 1:
        # Of the episodes that did not fail: a state that blew up measures nothing.
        means = score.means
        metrics = [_number(means[name]) for name in score.metrics]
        count = int(score.failed.sum())
        failed = f"{count} of {len(score.failed)}" if count else ""
        table.add_section()
        table.add_row(
            "mean", _number(means["return"], ".2f"), f"{score.lengths.mean():.0f}", *metrics, failed
        )
    Console().print(table)


def _number(value: float, form: str = ".4g") -> str:
    """The number as text; nothing where there is none."""
    return "" if math.isnan(value) else f"{value:{form}}"


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))
