"""Pictures of the EMG study: what is confused with what, how long tasks take, and a film of signals beside the robot."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import imageio_ffmpeg
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.stats import CensoredData, ecdf

from lancelet.assist_layout import MODES
from lancelet.controllers import Population
from lancelet.emg_layout import CHANNEL_COUNT, COLUMNS, GESTURES, ROWS, STRIDE_RATE
from lancelet.scripts.studies.assist.experts import task_id
from lancelet.scripts.studies.axes import tidy
from lancelet.scripts.studies.hdemg.decoder import DecoderFigures
from lancelet.scripts.studies.hdemg.people import People
from lancelet.scripts.studies.hdemg.steering import FIRST_START, Steered
from lancelet.scripts.study import Study
from lancelet.training.rollout import make_env
from lancelet.training.video import opengl
from lancelet.training.video.video import draw

WORDS = tuple(name.replace("_", " ") for name in GESTURES)
"""names of the gestures as they are read"""
COLOR_OF = {
    "decoder": "#1f6f8b",
    "labels": "#222222",
    "keyboard": "#c8792b",
    "noise": "#9a4b9a",
}
"""condition -> colour"""
FILM_TASK = "drawer"
FILM_STEPS = 600
"""control steps that the film shows at most, of 50 ms"""
FILM_EVERY = 2
"""control steps between two pictures"""
SCENE_SIZE = (480, 400)
"""pixels of the robot's picture"""
FILM_INCHES = (8.0, 4.0)
FILM_DOTS = 100
"""pixels an inch"""
LOWEST_LEVEL = -2.6
"""natural logarithm of a root mean square: the heat map is darkest"""
HIGHEST_LEVEL = -0.2
"""the heat map is brightest"""


def draw_confusion(study: Study, figures: Sequence[DecoderFigures]) -> None:
    """Windows by cued gesture and the gesture that was told."""
    counts = np.sum([figure.confusion for figure in figures], axis=0)
    shares = counts / counts.sum(axis=1, keepdims=True)
    plot, axes = plt.subplots(figsize=(6.2, 5.2))
    # The diagonal is nearly 1 everywhere: what is confused shows by the logarithm.
    image = axes.imshow(np.log10(np.maximum(shares, 1e-4)), cmap="viridis", vmin=-4, vmax=0)
    axes.set_xticks(range(len(WORDS)), WORDS, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(WORDS)), WORDS, fontsize=8)
    axes.set_xlabel("told")
    axes.set_ylabel("cued")
    bar = plot.colorbar(image, ticks=range(-4, 1))
    bar.ax.set_yticklabels(["0.01 % or less", "0.1 %", "1 %", "10 %", "100 %"], fontsize=8)
    plot.tight_layout()
    caption = f"Test windows of {len(figures)} users within a session, by cued gesture."
    study.picture("confusion", caption, plot)


def draw_times(study: Study, episodes: Mapping[str, Mapping[str, Steered]]) -> None:
    """Share of episodes that are not done yet, over time (Kaplan and Meier 1958)."""
    plot, grid = plt.subplots(1, len(episodes), figsize=(5 * len(episodes), 3.4), squeeze=False)
    for axes, (task, by_condition) in zip(grid.flat, episodes.items(), strict=True):
        tidy(axes, task, "time (s)", "share of episodes not done")
        for condition, done in by_condition.items():
            is_done = done.success.ravel() > 0
            seconds = done.seconds.ravel()
            times = CensoredData(uncensored=seconds[is_done], right=seconds[~is_done])
            curve = ecdf(times).sf
            axes.step(
                np.concatenate([[0.0], curve.quantiles]),
                np.concatenate([[1.0], curve.probabilities]),
                where="post",
                color=COLOR_OF[condition],
                linewidth=1.4,
                label=condition,
            )
        axes.set_ylim(0, 1.02)
        axes.legend(frameon=False, fontsize=8)
    plot.tight_layout()
    study.picture("times", "Kaplan-Meier curves; censored at the time limit.", plot)


def draw_film(study: Study, people: People) -> None:
    """One user opens the drawer: the sleeve's signals, the gesture that was accepted, and the robot."""
    if opengl.probe() is None:
        study.say(f"  no film: {opengl.advice()}")
        return
    shown = _film_episode(people)
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene.mp4"
        env = make_env(task_id(FILM_TASK), 1, nthread=1)
        width, height = SCENE_SIZE
        draw(
            env.sim.model,  # pyright: ignore[reportAttributeAccessIssue] - these are tasks of MuJoCo
            {name: shown[name] for name in ("qpos", "mocap_pos", "mocap_quat")},
            scene,
            fps=STRIDE_RATE / FILM_EVERY,
            width=width,
            height=height,
        )
        env.close()
        _compose(scene, shown, study.folder / "film.mp4")
    study.say(f"  film: {study.folder / 'film.mp4'}")


def _film_episode(people: People) -> dict[str, np.ndarray]:
    """One episode of the first user: configurations, levels (frames, 64), and what was meant and accepted."""
    env = make_env(task_id(FILM_TASK), 1, input="emg", users=people.users[:1])
    agents = Population(people.decoders[0], 1)
    observation, _ = env.reset(seed=FIRST_START)
    state = agents.initial_state()
    frames: dict[str, list[np.ndarray]] = {}
    for step in range(FILM_STEPS):
        action, state = agents(observation, state)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated[0] or truncated[0]:
            break
        if step % FILM_EVERY == 0:
            features = observation["features"][0]
            values = {
                "qpos": env.sim.qpos[0],  # pyright: ignore[reportAttributeAccessIssue] - MuJoCo's
                "mocap_pos": env.sim.mocap_pos[0],  # pyright: ignore[reportAttributeAccessIssue] - MuJoCo's
                "mocap_quat": env.sim.mocap_quat[0],  # pyright: ignore[reportAttributeAccessIssue] - MuJoCo's
                "level": features[:CHANNEL_COUNT] + features[CHANNEL_COUNT],
                "gesture": env.memory["gesture"][0],
                "accepted": env.memory["accepted"][0],
                "mode": env.memory["mode"][0],
            }
            for name, value in values.items():
                frames.setdefault(name, []).append(np.array(value))
    env.close()
    return {name: np.stack(rows) for name, rows in frames.items()}


def _compose(scene: Path, shown: Mapping[str, np.ndarray], path: Path) -> None:
    """Write the film: the robot's picture at the left, the sleeve and the words beside it."""
    reader = imageio_ffmpeg.read_frames(str(scene))
    size = next(reader)["size"]
    plot = plt.figure(figsize=FILM_INCHES, dpi=FILM_DOTS)
    canvas = FigureCanvasAgg(plot)
    robot = plot.add_axes((0.0, 0.0, 0.6, 1.0))
    sleeve = plot.add_axes((0.64, 0.5, 0.33, 0.36))
    for axes in (robot, sleeve):
        axes.axis("off")
    blank = np.zeros((size[1], size[0], 3), np.uint8)
    picture = robot.imshow(blank)
    heat = sleeve.imshow(
        np.zeros((ROWS, COLUMNS)),
        cmap="magma",
        vmin=LOWEST_LEVEL,
        vmax=HIGHEST_LEVEL,
        aspect="auto",
    )
    sleeve.set_title("sleeve: 4 rows of 16 electrodes", fontsize=9, loc="left")
    meant = plot.text(0.64, 0.38, "", fontsize=11)
    accepted = plot.text(0.64, 0.29, "", fontsize=11)
    mode = plot.text(0.64, 0.20, "", fontsize=11)

    width, height = (round(inches * FILM_DOTS) for inches in FILM_INCHES)
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=round(STRIDE_RATE / FILM_EVERY), macro_block_size=2
    )
    writer.send(None)
    for number, frame in enumerate(reader):
        if number == len(shown["level"]):
            break
        picture.set_data(np.frombuffer(frame, np.uint8).reshape(size[1], size[0], 3))
        heat.set_data(shown["level"][number].reshape(ROWS, COLUMNS))
        meant.set_text(f"muscles: {WORDS[shown['gesture'][number]]}")
        accepted.set_text(f"accepted: {WORDS[shown['accepted'][number]]}")
        mode.set_text(f"mode: {MODES[shown['mode'][number]]}")
        canvas.draw()
        writer.send(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    writer.close()
    plt.close(plot)
