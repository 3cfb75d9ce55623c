"""Run episodes of a task: `lancelet play swim --agent zero|random|ncap|RUN`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lancelet import LanceletError, task_id
from lancelet.scripts import cli

if TYPE_CHECKING:
    from lancelet.training.rollout import Score


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
    play = parsed.play
    id = task_id(task)
    task_options = parsed.task.options()
    if play.max_episode_steps is not None:
        task_options["max_episode_steps"] = play.max_episode_steps

    from lancelet.training import evaluate
    from lancelet.training.rollout import make_env

    env = make_env(id, 1, nthread=1, **task_options)
    # Asked before anything is played: the episodes may take long.
    if play.video and not hasattr(env.sim, "model"):
        raise LanceletError(f"{id} is not a MuJoCo task: it has no picture")
    agent = _agent(play.agent, env, play.trust)
    score = evaluate(agent, id, play.episodes, play.seed, record=bool(play.video), **task_options)
    _print(score, play.seed)
    if play.video:
        from lancelet.training.runs.progress import progress
        from lancelet.training.video.video import draw

        frame_count = len(score.record["qpos"])
        frames_per_second = 1 / env.task.control_dt(env.sim)
        with progress("drawing", frame_count, "frames") as advance:
            draw(
                env.sim.model,
                record=score.record,
                out=play.video,
                fps=frames_per_second,
                progress=advance,
            )
        print(play.video)
    return 0


def _agent(name: str, env: Any, trust: bool) -> Any:
    """The controller called `name`, or the one that is saved at this path.

    Args:
        name: name of a controller, or path of a saved one.
        env: environment that it is to act in.
        trust: open archives of other libraries, which can run anything.
    """
    from lancelet import controllers
    from lancelet.training.reinforcement.archives import open_archive

    is_registered = name in controllers.controllers
    # A path that does not exist is one too: the error then speaks of a file, not of a name.
    looks_like_a_path = Path(name).exists() or "/" in name
    if looks_like_a_path and not is_registered:
        return open_archive(name, env, trust)
    return controllers.make(name, env)


def _print(score: Score, seed: int) -> None:
    """Print a line an episode, and their means where there are several; `seed` is that of the first."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for heading in ("seed", "return", "steps", *score.metrics, "failed"):
        table.add_column(heading, justify="right")
    for episode in range(len(score.returns)):
        cells = [
            str(seed + episode),
            f"{score.returns[episode]:.2f}",
            str(score.lengths[episode]),
        ]
        cells += [_number(values[episode]) for values in score.metrics.values()]
        cells.append("yes" if score.failed[episode] else "")
        table.add_row(*cells)
    if len(score.returns) > 1:
        # Of the episodes that did not fail: a state that blew up measures nothing.
        means = score.means
        cells = ["mean", _number(means["return"], ".2f"), f"{score.lengths.mean():.0f}"]
        cells += [_number(means[name]) for name in score.metrics]
        failed_count = int(score.failed.sum())
        cells.append(f"{failed_count} of {len(score.failed)}" if failed_count else "")
        table.add_section()
        table.add_row(*cells)
    Console().print(table)


def _number(value: float, form: str = ".4g") -> str:
    """A number as text, in a format of Python's; empty where it is NaN, since there is none."""
    if math.isnan(value):
        return ""
    return f"{value:{form}}"


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))
