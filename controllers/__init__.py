"""Circuits: ``(observation, state) -> (action, state)``, for evolution, back-propagation and reinforcement alike."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..errors import check_names
from ..registry import Registry
from .core import Controller, Options, agent_spaces, interval_of, lesion
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
    "size_for",
]

controllers = Registry("controller")
register = controllers.register

# Circuits.
register("ncap", "lancelet.controllers.ncap:NCAP")
register("reflex", "lancelet.controllers.reflex:Reflex")
register("oscillator", "lancelet.controllers.oscillator:Oscillator")
register("braitenberg", "lancelet.controllers.braitenberg:Braitenberg")
register("bilateral", "lancelet.controllers.bilateral:Bilateral")
register("snn", "lancelet.controllers.spiking.snn:SNN")
register("sum", "lancelet.controllers.sum:Sum")
# Systematic search, and what it is compared with.
register("search", "lancelet.controllers.search.systematic:Search")
register("search-momentum", "lancelet.controllers.search.momentum:MomentumSearch")
register("random-held", "lancelet.controllers.search.baselines:RandomHeld")
register("random-edge", "lancelet.controllers.search.baselines:RandomEdge")
register("lrta", "lancelet.controllers.search.baselines:LRTA")
register("oracle", "lancelet.controllers.search.baselines:Oracle")
# What every circuit is compared with.
register("mlp", "lancelet.controllers.mlp:MLP")
register("gru", "lancelet.controllers.recurrent:GRU")
register("lstm", "lancelet.controllers.recurrent:LSTM")
register("window-mlp", "lancelet.controllers.liquid.window:WindowMLP")
register("ltc", "lancelet.controllers.liquid.ltc:LTC")
register("cfc", "lancelet.controllers.liquid.cfc:CfC")
register("pid", "lancelet.controllers.pid:PID")
register("reach-expert", "lancelet.controllers.assist.reach:ReachExpert")
register("scratch-expert", "lancelet.controllers.assist.scratch:ScratchExpert")
register("feed-expert", "lancelet.controllers.assist.feed:FeedExpert")
register("drink-expert", "lancelet.controllers.assist.drink:DrinkExpert")
register("wipe-expert", "lancelet.controllers.assist.wipe:WipeExpert")
register("fetch-expert", "lancelet.controllers.assist.fetch:FetchExpert")
register("drawer-expert", "lancelet.controllers.assist.drawer:DrawerExpert")
# Decoders of gestures from high-density EMG.
register("emg-lda", "lancelet.controllers.emg.linear:LinearDecoder")
register("emg-cnn", "lancelet.controllers.emg.cnn:CNNDecoder")
register("emg-centroid", "lancelet.controllers.emg.linear:CentroidDecoder")
register("emg-covariance", "lancelet.controllers.emg.covariance:CovarianceDecoder")
register("gesture-labels", "lancelet.controllers.emg.labels:GestureLabels")
register("random", "lancelet.controllers.baselines:Random")
register("zero", "lancelet.controllers.baselines:Zero")


def size_for(name: str, env: Any, *, parameters: int, **options: Any) -> dict[str, Any]:
    """Options with the width at which the controller called `name` has about `parameters` trainable numbers.

    ``make(name, env, **size_for(name, env, parameters=11_700))`` makes it.

    Args:
        name: of a registered controller with an option `hidden`: units of a layer, or of each of several.
        env: a Gymnasium environment, single or vector.
        parameters: number of trainable numbers to come nearest to.
        **options: further options of the controller.

    Returns:
        `options`, and ``hidden``.

    Raises:
        LanceletError: a controller without a width, or fewer parameters than its smallest network has.
    """
    from .sizing import width_for

    return width_for(name, env, parameters, options)


def make(name: str, env: Any, **options: Any) -> Controller:
    """The controller called `name` for the spaces of `env`.

    A controller that counts time has the option `interval`, s from one action to the next. Where it is not given, it
    is the environment's `control_dt`; where that has none, the option's default.

    Args:
        name: of a registered controller; ``"module:name"`` imports the module, which registers it, first.
        env: a Gymnasium environment, single or vector.
        **options: fields of the controller's `Options`.

    Raises:
        LanceletError: unknown name or option, or spaces that the controller cannot read.
    """
    cls = controllers.get(name)
    known_options = [field.name for field in dataclasses.fields(cls.Options)]
    check_names(f"option of controller {name}", options, known_options)
    if "interval" not in options:
        options |= interval_of(cls.Options, env)
    agent = agent_spaces(env)
    return cls(agent.observation, agent.action, cls.Options(**options))
