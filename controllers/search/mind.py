"""The mind of a navigator: where to go next. It is told of events alone, and keeps what it learns from them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

TRAIL = 0.1
"""m, spacing of the points of the lived trail"""


class Target(NamedTuple):
    """What a mind wants next: drive to `point` (2,) m; reached within `radius` m, 0 where only success will do."""

    point: np.ndarray
    radius: float
    limit: int
    patience: int


class Mind:
    """Where to go: one an agent, told of events alone. Subclasses choose."""

    def __init__(self, options: Any, agent: int) -> None:
        self.options, self.rng = options, np.random.default_rng([options.seed, agent])
        self.stalls = self.life = 0
        """in its life: stalls, and steps up to the last event"""

    def begin(self, x: np.ndarray) -> None:
        """It stands at x (2,) for another reason than its own doing: a trial begins, or the goal has moved."""

    def arrived(self, x: np.ndarray) -> None:
        """The target was reached."""

    def stalled(self, x: np.ndarray) -> None:
        """The target cannot be reached from here, it seems."""
        self.stalls += 1

    def succeeded(self) -> None:
        """The goal was reached."""

    def lived(self, start: np.ndarray, end: np.ndarray) -> None:
        """It went straight from `start` to `end` (2,) m, about `TRAIL` apart."""

    def propose(self, x: np.ndarray, goal: np.ndarray) -> Target | None:
        """The next target from x; None: it gives up and rests."""
        raise NotImplementedError

    def signals(self) -> dict[str, float]:
        """Numbers to record."""
        return {"stalls": self.stalls}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything in it, the generator's position included."""
        inner = self.rng.bit_generator.state
        words = [
            inner["state"]["state"] >> 64,
            inner["state"]["state"],
            inner["state"]["inc"] >> 64,
        ]
        words = [word & (2**64 - 1) for word in [*words, inner["state"]["inc"]]]
        spare = [inner["has_uint32"], inner["uinteger"]]
        return {
            "generator": np.array([*words, *spare], np.uint64),
            "lived": np.array([self.stalls, self.life]),
        }

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` took down."""
        high, low, inc_high, inc_low, has, uinteger = (int(word) for word in arrays["generator"])
        inner = {"state": high << 64 | low, "inc": inc_high << 64 | inc_low}
        kind = self.rng.bit_generator.state["bit_generator"]
        self.rng.bit_generator.state = {
            "bit_generator": kind,
            "state": inner,
            "has_uint32": has,
            "uinteger": uinteger,
        }
        self.stalls, self.life = arrays["lived"].tolist()
