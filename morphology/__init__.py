"""Bodies: frozen dataclasses of physical parameters that build a `mujoco.MjSpec`."""

from __future__ import annotations

from ..registry import Registry
from .core import Body, create, from_json, model_hash, quantity, ranges, to_json

__all__ = [
    "Body",
    "bodies",
    "from_json",
    "make",
    "model_hash",
    "quantity",
    "ranges",
    "register",
    "to_json",
]

bodies = Registry("body")
register = bodies.register

register("swimmer", "lancelet.morphology.swimmer:Swimmer")
register("blimp", "lancelet.morphology.blimp:Blimp")
register("ball", "lancelet.morphology.ball:Ball")
register("arm", "lancelet.morphology.arm:Arm")
register("arm-native", "lancelet.morphology.arm:NativeArm")
register("braitenberg", "lancelet.morphology.braitenberg:Braitenberg")
register("manipulator", "lancelet.morphology.manipulator:MobileManipulator")
register("creature", "lancelet.morphology.creature:Creature")


def make(name: str, **parameters: object) -> Body:
    """The body called `name` with the given parameters."""
    return create(bodies.get(name), parameters)
