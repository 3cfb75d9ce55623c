"""What the swimmers' studies share: committed weights, and how far a swimmer came beside what it was paid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lancelet import controllers
from lancelet.controllers import Controller
from lancelet.training.rollout import Score

RESULTS = Path(__file__).resolve().parents[2] / "results"


def kept(path: str) -> Controller | None:
    """Trained weights that a study left under results/ (`path` without its ending); None where they are not."""
    file = RESULTS / f"{path}.safetensors"
    return controllers.load(file) if file.exists() else None


def com_speed(*scores: Score) -> str:
    """Mean speed of the centre of mass, in words for a note.

    The reward is paid for the head's forward speed: a head that beats on the spot is paid too. A return says that a
    swimmer swims only together with the speed at which its centre of mass leaves the start.
    """
    speeds = np.concatenate([score.metrics["com_speed"] for score in scores])
    return f"centre of mass {speeds.mean():.3f} m/s"
