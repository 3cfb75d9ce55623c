"""No OpenGL, one torch thread, warnings of MuJoCo's own kept out; helpers that several folders use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("MUJOCO_GL", "disable")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault(
    "RAY_worker_niceness", "0"
)  # Ray's 15 would starve its workers beside the other test process

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

torch.set_num_threads(1)

SWIM = "lancelet/Swim-v0"
NAVIGATE = "lancelet/SwimNavigate-v0"
BLIMP = "lancelet/BlimpAltitude-v0"
MAZE = "lancelet/PointMaze-v0"
NAVIGATORS = ("search", "random-edge", "lrta", "oracle")
HOMES = {"pid": BLIMP, "snn": BLIMP, "sum": BLIMP, "search-momentum": "MountainCarContinuous-v0"}
HOMES |= {"bilateral": "lancelet/ArmReach-v0"}
HOMES |= dict.fromkeys(NAVIGATORS, MAZE)
HOMES |= {"braitenberg": "lancelet/Phototaxis-v0"}
ASSIST = {
    "reach": "lancelet/AssistReach-v0",
    "scratch": "lancelet/AssistScratch-v0",
    "feed": "lancelet/AssistFeed-v0",
    "drink": "lancelet/AssistDrink-v0",
    "wipe": "lancelet/AssistWipe-v0",
    "fetch": "lancelet/AssistFetch-v0",
    "drawer": "lancelet/AssistDrawer-v0",
}
"""short name of an assistive task -> its id"""
HOMES |= {f"{name}-expert": id for name, id in ASSIST.items()}
"""controllers that read no swimmer -> a task that they read"""


class Gestures(gym.Env):
    """Nothing but the spaces of an assistive task that is steered by gestures."""

    def __init__(self, key: str, shape: tuple[int, ...]) -> None:
        observed = {
            key: spaces.Box(-np.inf, np.inf, shape),
            "robot": spaces.Box(-np.inf, np.inf, (24,)),
        }
        self.observation_space = spaces.Dict(observed)
        self.action_space = spaces.Box(0, 1, (10,))


GESTURES = {
    "features": ("test/GestureFeatures-v0", (65,)),
    "emg": ("test/GestureSignal-v0", (64, 100)),
    "intent": ("test/GestureIntent-v0", (10,)),
}
"""what is observed -> id and shape of an environment that has the spaces for it"""
for key, (id, shape) in GESTURES.items():
    gym.register(id, entry_point=Gestures, kwargs={"key": key, "shape": shape})
HOMES |= {name: GESTURES["features"][0] for name in ("emg-lda", "emg-cnn", "emg-centroid")}
HOMES |= {"emg-covariance": GESTURES["emg"][0], "gesture-labels": GESTURES["intent"][0]}
NEEDS = {
    "oracle": {"maze_map": ("#####", "#...#", "###.#", "#...#", "#####")},
    "bilateral": {"callosum": True},
}
"""controllers that cannot be made without options -> such options"""


def observations(space: spaces.Space, n: int, scale: float = 0.0) -> Any:
    """Observations of `n` agents, always the same, Gaussian times `scale`."""
    if isinstance(space, spaces.Dict):
        return {name: observations(part, n, scale) for name, part in space.items()}
    assert space.shape is not None
    return torch.randn(n, *space.shape, generator=torch.Generator().manual_seed(0)) * scale


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python code in a fresh process, in an empty folder: `python(code).stdout`; it must end well."""

    def run(code: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **env},
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run
