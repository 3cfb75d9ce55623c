"""The sum of controllers: PD beside I, spiking beside conventional (arXiv 2309.12937)."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml
from gymnasium import spaces
from torch import Tensor, nn

from .. import foreign
from ..errors import LanceletError, check_names
from .core import Controller, Options, State

_WORD = re.compile(r'(?:\[[^\]]*\]|"(?:\\.|[^"\\])*"|[^\s\["])+')
"""no white space, but within brackets and quotes"""


@dataclass(frozen=True, kw_only=True)
class SumOptions(Options):
    """Options of the sum; the default is the published pair of spiking networks."""

    terms: tuple[str, ...] = ("snn", "snn hidden=iwta-lif decoder_decay=[0,0.3]")
    """what is added: a controller's name, then its options, ``name=value`` with YAML values"""

    def __post_init__(self) -> None:
        super().__post_init__()
        good = isinstance(self.terms, tuple) and all(
            isinstance(term, str) and term.split() for term in self.terms
        )
        if not good or not self.terms:
            raise LanceletError(
                f"sum terms = {self.terms!r}: needs one or more of 'name option=value ...'"
            )

    @classmethod
    def of_first_format(cls, saved: dict[str, Any], action_space: spaces.Space) -> dict[str, Any]:
        """See `Options.of_first_format`; what the terms' defaults meant is spelled out."""
        from . import controllers

        terms = []
        for term in saved.get("terms", cls.terms):
            name = _WORD.findall(term)[0]
            meant = controllers.known(name).Options.of_first_format({}, action_space)
            missing = [
                f"{key}={json.dumps(value)}"
                for key, value in meant.items()
                if f" {key}=" not in term
            ]
            terms.append(" ".join([term, *missing]))
        return {**saved, "terms": terms}


class Sum(Controller):
    """Adds the actions of its terms; each sees the whole observation and keeps its own state.

    State: a tuple of the terms' states. Signals and parts of term i are theirs with ``i.`` before, i from 1.

    Raises:
        LanceletError: an unknown controller or option, options that it refuses, or a term that is plastic or a sum.
    """

    Options: ClassVar[type[Options]] = SumOptions

    def __init__(
        self, observation_space: spaces.Space, action_space: spaces.Space, options: SumOptions
    ) -> None:
        built = [_build(term, observation_space, action_space) for term in options.terms]
        self._parts = [
            f"{i}.{part}" for i, term in enumerate(built, start=1) for part in term.parts()
        ]
        super().__init__(observation_space, action_space, options)
        for i in range(len(built)):
            hurt = [
                part.partition(".")[2] for part in options.lesions if part.startswith(f"{i + 1}.")
            ]
            if hurt:
                built[i] = _build(options.terms[i], observation_space, action_space, *hurt)
        self.terms = nn.ModuleList(built)

    @classmethod
    def of(cls, *controllers: Controller) -> Sum:
        """The sum of existing controllers, with copies of their weights.

        Raises:
            LanceletError: none given, or their spaces differ.
        """
        if not controllers:
            raise LanceletError("sum: needs one or more controllers")
        seen, done = controllers[0].observation_space, controllers[0].action_space
        for term in controllers:
            if (term.observation_space, term.action_space) != (seen, done):
                raise LanceletError(
                    f"sum: terms need equal spaces, {type(term).__name__} has others than the first"
                )
        total = cls(seen, done, SumOptions(terms=tuple(_spell(term) for term in controllers)))
        for mine, term in zip(total.terms, controllers, strict=True):
            mine.load_state_dict(term.state_dict())
        return total

    def parts(self) -> list[str]:
        """The terms' parts, the term's number before."""
        return self._parts

    def initial_state(self, batch: int) -> State:
        """The terms' states."""
        return tuple(term.initial_state(batch) for term in self._each())

    def reset(self, state: State, mask: Tensor) -> State:
        """See `Controller.reset`."""
        return tuple(term.reset(own, mask) for term, own in zip(self._each(), state, strict=True))

    def forward(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m), not clipped."""
        return _added(
            [term(observation, own) for term, own in zip(self._each(), state, strict=True)]
        )

    def unroll(self, observation: Any, state: State) -> tuple[Tensor, State]:
        """See `Controller.unroll`."""
        return _added(
            [term.unroll(observation, own) for term, own in zip(self._each(), state, strict=True)]
        )

    def learn(
        self,
        observation: Any,
        action: Tensor,
        reward: Tensor,
        ended: Tensor,
        next_observation: Any,
        state: State,
    ) -> State:
        """See `Controller.learn`; each term is told the action of all."""
        step = (observation, action, reward, ended, next_observation)
        return tuple(term.learn(*step, own) for term, own in zip(self._each(), state, strict=True))

    def signals(self, state: State) -> dict[str, Tensor]:
        """The terms' signals, the term's number before."""
        each = enumerate(zip(self._each(), state, strict=True), start=1)
        return {
            f"{i}.{name}": value
            for i, (term, own) in each
            for name, value in term.signals(own).items()
        }

    def _each(self) -> list[Controller]:
        return list(self.terms)  # pyright: ignore[reportReturnType]


def _added(results: list[tuple[Tensor, State]]) -> tuple[Tensor, State]:
    action = results[0][0]
    for more, _ in results[1:]:
        action = action + more
    return action, tuple(state for _, state in results)


def _build(
    text: str, observation_space: spaces.Space, action_space: spaces.Space, *lesions: str
) -> Controller:
    """The controller that a term's text spells."""
    from . import controllers

    name, *words = _WORD.findall(text) or [text]
    cls = controllers.known(name)  # never an import: texts come from files
    if issubclass(cls, Sum) or not cls.pure:
        raise LanceletError(
            f"sum term {text!r}: {name} is {'a sum itself' if issubclass(cls, Sum) else 'plastic'}"
        )
    options = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise LanceletError(f"sum term {text!r}: {word!r} must be option=value")
        options[key] = _value(text, value)
    check_names(
        f"option of controller {name}",
        options,
        [field.name for field in dataclasses.fields(cls.Options)],
    )
    if lesions:
        options["lesions"] = (*options.get("lesions", ()), *lesions)
    try:
        return cls(observation_space, action_space, cls.Options(**options))
    except (TypeError, AttributeError) as error:  # a value of a type that the options do not expect
        raise LanceletError(f"sum term {text!r}: {error}") from error


def _value(text: str, value: str) -> Any:
    try:
        return json.loads(value)  # first: YAML 1.1 takes 1e-05 for a word
    except ValueError:
        pass
    return foreign.parse_yaml(value, f"sum term {text!r}: {value!r}")


def _spell(term: Controller) -> str:
    """The text that `_build` makes this controller of: its name and the options that are not the defaults."""
    from . import controllers

    words = [controllers.name_of(type(term))]
    for field in dataclasses.fields(term.options):
        value = getattr(term.options, field.name)
        if value != field.default:
            plain = (
                isinstance(value, str)
                and re.fullmatch(r"[A-Za-z][\w-]*", value)
                and yaml.safe_load(value) == value
            )
            words.append(
                f"{field.name}={value if plain else json.dumps(value, separators=(',', ':'))}"
            )
    return " ".join(words)
