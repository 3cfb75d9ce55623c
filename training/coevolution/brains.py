"""Which controller the bodies of each kind of genome carry, and the task that they are tried on.

`morphology/` says how bodies vary and knows no controller. The start weights here are read from the controllers
themselves, so that a changed circuit changes the newborn with it.

A kind of your own registers a `Brain` in `morphology.genome.brains` as this file does, or overrides `controller`,
`task` and `start` of its `Kind`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import numpy as np
from gymnasium import spaces

from ...controllers.ncap import NCAP, NCAPOptions
from ...controllers.oscillator import Oscillator, OscillatorOptions
from ...morphology.creature import Creature
from ...morphology.genome import Brain, Genome, Weights, kind_of

NO_PART = -1
"""what an oscillator without another one upstream follows: the clock"""


class SwimmerBrain(Brain):
    """NCAP as published: four weights that all joints share, the same for any number of them. The task is to swim."""

    @cached_property
    def start(self) -> Weights:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The weights of a new circuit, in the order of its parameters."""
        joints = 2
        circuit = NCAP(
            spaces.Box(-np.inf, np.inf, (4 * joints + 3,)),
            spaces.Box(-1, 1, (joints,)),
            NCAPOptions(),
        )
        shared: list[float] = []
        for parameter in circuit.parameters():
            shared += parameter.detach().flatten().tolist()
        return {"shared": shared}

    def controller(self, genome: Genome) -> tuple[str, dict[str, Any]]:
        """NCAP with its usual options, whatever the body."""
        return "ncap", {}

    def task(self) -> tuple[str, dict[str, Any]]:
        """Swimming forward."""
        return "lancelet/Swim-v0", {}


class CreatureBrain(Brain):
    """Oscillators, coupled as the hinges hang on one another, with a row of weights a hinge. The task is to crawl.

    Weights: ``shared`` (the rhythm), ``segment:<lineage>.<axis>`` (a hinge's row) and ``sensor:<lineage>.<number>``
    (a sensor's row), in the words of `controllers.oscillator.Oscillator`; mirrored copies share them.
    """

    @cached_property
    def start(self) -> Weights:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The weights of a new rhythm, and a row of each sort."""
        rhythm = Oscillator(
            spaces.Box(-np.inf, np.inf, (1,)), spaces.Box(-1, 1, (1,)), OscillatorOptions()
        )
        return {
            "shared": rhythm.rhythm.tolist(),
            "segment": rhythm.joints[0].tolist(),
            "sensor": rhythm.sensors[0].tolist(),
        }

    def controller(self, genome: Genome) -> tuple[str, dict[str, Any]]:
        """Oscillators that follow the hinge next to them towards the trunk.

        A sensor reaches the hinges of its own segment; where that has none, those of the next one towards the trunk.
        Attitude, and what finds no hinge, reaches all.
        """
        body = cast(Creature, genome.decoded)
        rows = kind_of(genome).lineages(genome)
        return "oscillator", {
            "upstream": _upstream(body),
            "joint_rows": [rows["joints"].index(key) for key in body.hinge_lineages],
            "mirrored": [body.parts[hinge.part].mirrored for hinge in body.joints],
            "sensor_rows": [rows["sensors"].index(channel.key) for channel in body.channels],
            "heard_by": _hinges_hearing_channels(body),
        }

    def task(self) -> tuple[str, dict[str, Any]]:
        """Crawling ahead."""
        return "lancelet/Crawl-v0", {}


def _upstream(body: Creature) -> list[int]:
    """The hinge that each hinge follows: the first one of the nearest segment towards the trunk that has any.

    The second hinge of a segment follows the first.
    """
    first_hinge_of_part = {
        hinge.part: index for index, hinge in enumerate(body.joints) if hinge.axis == 0
    }
    upstream = []
    for hinge in body.joints:
        part = hinge.part
        if hinge.axis == 0:
            part = body.carrier(body.parts[hinge.part].parent)
        upstream.append(first_hinge_of_part.get(part, NO_PART))
    return upstream


def _hinges_hearing_channels(body: Creature) -> list[list[int]]:
    """The hinges that hear each channel, which is one number of a sensor, by their indices in `Creature.joints`.

    One list a channel, in the order of `Creature.channels`, which is that of the observation.
    """
    every_hinge = list(range(len(body.joints)))
    hinges_of_part: dict[int, list[int]] = {}
    for index, hinge in enumerate(body.joints):
        hinges_of_part.setdefault(hinge.part, []).append(index)
    heard_by = []
    for channel in body.channels:
        hearing = every_hinge
        # Read from a vector of MuJoCo's, tilt and spin tell the attitude of the whole body: every hinge hears them.
        is_attitude = channel.width > 1
        if not is_attitude:
            carrier = body.carrier(channel.part)
            hearing = hinges_of_part.get(carrier, every_hinge)
        # A list of its own, so that a change of one channel's never is one of another's.
        heard_by.append(list(hearing))
    return heard_by


SWIMMER = SwimmerBrain()
CREATURE = CreatureBrain()
