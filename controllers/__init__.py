"""Circuits: ``(observation, state) -> (action, state)``, for evolution, back-propagation and reinforcement alike."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..errors import check_names
from ..registry import Registry
from .core import Controller, Options, interval_of, lesion
from .population import Population
from .store import load, save

__all__ = [
    "Controller",
    "Options",
    "Population",
    "controllers",
    "lesion",
    "load",
    "make",
    "register",
    "save",
]

controllers = Registry("controller")
register = controllers.register

register("ncap", "lancelet.controllers.ncap:NCAP")
register("mlp", "lancelet.controllers.mlp:MLP")
register("gru", "lancelet.controllers.recurrent:GRU")
register("lstm", "lancelet.controllers.recurrent:LSTM")
register("reflex", "lancelet.controllers.reflex:Reflex")
register("search", "lancelet.controllers.search.systematic:Search")
register("search-momentum", "lancelet.controllers.search.momentum:MomentumSearch")
register("random-held", "lancelet.controllers.search.baselines:RandomHeld")
register("random-edge", "lancelet.controllers.search.baselines:RandomEdge")
register("lrta", "lancelet.controllers.search.baselines:LRTA")
register("oracle", "lancelet.controllers.search.baselines:Oracle")
register("pid", "lancelet.controllers.pid:PID")
register("bilateral", "lancelet.controllers.bilateral:Bilateral")
register("braitenberg", "lancelet.controllers.braitenberg:Braitenberg")
register("snn", "lancelet.controllers.spiking.snn:SNN")
register("sum", "lancelet.controllers.sum:Sum")
register("zero", "lancelet.controllers.baselines:Zero")
register("oscillator", "lancelet.controllers.oscillator:Oscillator")
register("random", "lancelet.controllers.baselines:Random")


def make(name: str, env: Any, **options: Any) -> Controller:
    """The controller called `name` for the spaces of `env` (a Gymnasium environment, single or vector).

    A controller that counts time has the option `interval`, s from one action to the next. Where it is not given, it
    is the environment's `control_dt`; where that has none, the option's default.

    Raises:
        LanceletError: unknown name or option, or spaces that the controller cannot read.
    """
    cls = controllers.get(name)
    check_names(
        f"option of controller {name}",
        options,
        [field.name for field in dataclasses.fields(cls.Options)],
    )
    if "interval" not in options:
        options |= interval_of(cls.Options, env)
    observation = getattr(env, "single_observation_space", env.observation_space)
    return cls(
        observation, getattr(env, "single_action_space", env.action_space), cls.Options(**options)
    )
