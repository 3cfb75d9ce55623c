"""The mind of a navigator: where to go next.

It is told of events alone, and keeps what it learns from them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .graph import Cell, Graph

TRAIL = 0.1
"""m, spacing of the points of the lived trail"""
WORD = 64
"""bits of the integers in which the state of a generator, 128 bits long, is written down"""
GRAPH_PREFIX = "graph."
"""what the names of a graph's arrays begin with among those of its mind"""


class Target(NamedTuple):
    """What a mind wants next: that its agent drives to a point."""

    point: np.ndarray
    """(2,) m"""
    radius: float
    """m from the point within which it is reached; 0: only success will do"""
    limit: int
    """most steps of 0.01 s on the way"""
    patience: int
    """steps of 0.01 s without progress that are a stall"""


class Mind:
    """Where to go: one an agent. Subclasses choose.

    Args:
        options: of the navigator.
        agent: number of the agent in its batch; with the seed it decides what is drawn.
    """

    def __init__(self, options: Any, agent: int) -> None:
        self.options = options
        self.rng = np.random.default_rng([options.seed, agent])
        self.stalls = 0
        """stalls in its life"""
        self.life = 0
        """steps lived up to the last event"""

    def begin(self, x: np.ndarray) -> None:
        """The agent stands at x (2,) m, and not by its own doing: a trial begins, or another goal."""

    def arrived(self, x: np.ndarray) -> None:
        """The target was reached; the agent is at x (2,) m."""

    def stalled(self, x: np.ndarray) -> None:
        """The target cannot be reached from x (2,) m, it seems."""
        self.stalls += 1

    def succeeded(self) -> None:
        """The goal was reached."""

    def lived(self, start: np.ndarray, end: np.ndarray) -> None:
        """The agent went straight from `start` to `end` (2,) m, about `TRAIL` apart."""

    def propose(self, x: np.ndarray, goal: np.ndarray) -> Target | None:
        """The next target from x (2,) m; None: the mind gives up, and its agent rests."""
        raise NotImplementedError

    def signals(self) -> dict[str, float]:
        """Numbers to record."""
        return {"stalls": self.stalls}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The whole mind as arrays, the generator's position included."""
        generator = self.rng.bit_generator.state
        state = generator["state"]["state"]
        increment = generator["state"]["inc"]
        words = [
            *_high_and_low(state),
            *_high_and_low(increment),
            generator["has_uint32"],
            generator["uinteger"],
        ]
        return {
            "generator": np.array(words, np.uint64),
            "lived": np.array([self.stalls, self.life]),
        }

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Become the mind that `to_arrays` wrote down."""
        words = [int(word) for word in arrays["generator"]]
        # In the order in which `to_arrays` lists them.
        state_high, state_low, increment_high, increment_low, has_uint32, uinteger = words
        self.rng.bit_generator.state = {
            "bit_generator": self.rng.bit_generator.state["bit_generator"],
            "state": {
                "state": state_high << WORD | state_low,
                "inc": increment_high << WORD | increment_low,
            },
            "has_uint32": has_uint32,
            "uinteger": uinteger,
        }
        self.stalls, self.life = arrays["lived"].tolist()


def _high_and_low(number: int) -> tuple[int, int]:
    """A number of 128 bits as two of 64."""
    return number >> WORD, number & (2**WORD - 1)


def graph_to_arrays(graph: Graph) -> dict[str, np.ndarray]:
    """A graph as arrays, named so that they can stand among those of its mind."""
    return {GRAPH_PREFIX + name: values for name, values in graph.to_arrays().items()}


def graph_from_arrays(arrays: dict[str, np.ndarray]) -> Graph:
    """The graph that `graph_to_arrays` wrote down, from the arrays of its mind."""
    own = {
        name.removeprefix(GRAPH_PREFIX): values
        for name, values in arrays.items()
        if name.startswith(GRAPH_PREFIX)
    }
    return Graph.from_arrays(own)


def edge_to_row(edge: tuple[Cell, int] | None) -> tuple[bool, int, int, int]:
    """An edge that may run as a row of numbers: whether it does, its place, its index in `STEPS`."""
    if edge is None:
        return False, -1, -1, -1
    (i, j), index = edge
    return True, i, j, index


def edge_from_row(row: list[int]) -> tuple[Cell, int] | None:
    """The edge that `edge_to_row` wrote down."""
    runs, i, j, index = row
    return ((i, j), index) if runs else None
