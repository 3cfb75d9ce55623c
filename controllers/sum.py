"""The sum of controllers: PD beside I, spiking beside conventional (arXiv 2309.12937)."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import yaml
from gymnasium import spaces
from torch import Tensor, nn

from .. import foreign
from ..errors import LanceletError, check_names
from .core import Controller, Observation, Options, State

_BRACKETS = r"\[[^\]]*\]"
_QUOTES = r'"(?:\\.|[^"\\])*"'
_OTHER_CHARACTER = r'[^\s\["]'
_WORD = re.compile(f"(?:{_BRACKETS}|{_QUOTES}|{_OTHER_CHARACTER})+")
"""a word of a term's text: no white space, but within brackets and quotes"""
_PLAIN_TEXT = re.compile(r"[A-Za-z][\w-]*")
"""text that a term may hold without quotes, unless YAML takes it for something else"""


@dataclass(frozen=True, kw_only=True)
class SumOptions(Options):
    """Options of the sum; the default is the published pair of spiking networks."""

    terms: tuple[str, ...] = ("snn", "snn hidden=iwta-lif decoder_decay=[0,0.3]")
    """what is added: a controller's name, then its options, ``name=value`` with YAML values"""

    def __post_init__(self) -> None:
        super().__post_init__()
        is_given = isinstance(self.terms, tuple) and len(self.terms) > 0
        if not is_given or not all(_is_term(term) for term in self.terms):
            raise LanceletError(
                f"sum terms = {self.terms!r}: needs one or more of 'name option=value ...'"
            )

    @classmethod
    def of_first_format(cls, saved: dict[str, Any], action_space: spaces.Space) -> dict[str, Any]:
        """Options of a file of format 1, as `Options.of_first_format`: what the terms' defaults meant is spelled out.

        Args:
            saved: options as the file has them.
            action_space: of the saved controller.
        """
        from . import controllers

        terms = []
        for term in saved.get("terms", cls.terms):
            words = [term]
            name = _WORD.findall(term)[0]
            term_options = controllers.known(name).Options.of_first_format({}, action_space)
            for key, value in term_options.items():
                if f" {key}=" not in term:
                    words.append(f"{key}={json.dumps(value)}")
            terms.append(" ".join(words))
        return {**saved, "terms": terms}


def _is_term(value: Any) -> bool:
    """Whether a value may spell a term: text with at least one word."""
    return isinstance(value, str) and len(value.split()) > 0


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
        terms = [_build(term, observation_space, action_space) for term in options.terms]
        # Before the base class, which asks `parts` for them. A lesion takes no part away.
        self._parts = _numbered_parts(terms)
        super().__init__(observation_space, action_space, options)
        for index in range(len(terms)):
            lesions = self._lesions_of(number=index + 1)
            if lesions:
                terms[index] = _build(
                    options.terms[index], observation_space, action_space, lesions=lesions
                )
        self.terms = nn.ModuleList(terms)

    def _lesions_of(self, number: int) -> list[str]:
        """Parts to silence in the term of a number (from 1), by the names that the term gives them."""
        prefix = f"{number}."
        own = [part for part in self.options.lesions if part.startswith(prefix)]
        return [part.removeprefix(prefix) for part in own]

    @classmethod
    def of(cls, *controllers: Controller) -> Sum:
        """The sum of existing controllers, with copies of their weights.

        Raises:
            LanceletError: none given, or their spaces differ.
        """
        if not controllers:
            raise LanceletError("sum: needs one or more controllers")
        observation_space = controllers[0].observation_space
        action_space = controllers[0].action_space
        for controller in controllers:
            has_same_spaces = (
                controller.observation_space == observation_space
                and controller.action_space == action_space
            )
            if not has_same_spaces:
                name = type(controller).__name__
                raise LanceletError(
                    f"sum: terms need equal spaces, {name} has others than the first"
                )
        texts = tuple(_spell(controller) for controller in controllers)
        total = cls(observation_space, action_space, SumOptions(terms=texts))
        for term, controller in zip(total.terms, controllers, strict=True):
            term.load_state_dict(controller.state_dict())
        return total

    def parts(self) -> list[str]:
        """The terms' parts, the term's number before."""
        return self._parts

    def initial_state(self, batch: int) -> State:
        """The terms' states."""
        return tuple(term.initial_state(batch) for term in self._controllers())

    def reset(self, state: State, mask: Tensor) -> State:
        """`state` with the agents of `mask` (batch,) back at the start of an episode, in every term."""
        return tuple(term.reset(own_state, mask) for term, own_state in self._with_states(state))

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Actions (batch, m), not clipped, and next states."""
        results = [term(observation, own_state) for term, own_state in self._with_states(state)]
        return _added(results)

    def unroll(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Actions of many steps (steps, batch, m), and the last state, as `Controller.unroll`."""
        results = [
            term.unroll(observation, own_state) for term, own_state in self._with_states(state)
        ]
        return _added(results)

    def learn(
        self,
        observation: Observation,
        action: Tensor,
        reward: Tensor,
        ended: Tensor,
        next_observation: Observation,
        state: State,
    ) -> State:
        """Change within an episode, term by term; each is told the sum of all actions as its own.

        Args:
            observation: before the step, (batch, k) or a dict of such.
            action: of the sum, (batch, m).
            reward: of the step, (batch,).
            ended: (batch,) True from an agent's last step on.
            next_observation: after the step, as `observation`.
            state: what `forward` gave in the step.

        Returns:
            The state for the next step.
        """
        return tuple(
            term.learn(observation, action, reward, ended, next_observation, own_state)
            for term, own_state in self._with_states(state)
        )

    def signals(self, state: State) -> dict[str, Tensor]:
        """The terms' signals, the term's number before."""
        signals = {}
        for number, (term, own_state) in enumerate(self._with_states(state), start=1):
            for name, value in term.signals(own_state).items():
                signals[f"{number}.{name}"] = value
        return signals

    def _controllers(self) -> list[Controller]:
        """The terms; torch's list says only that they are modules."""
        return cast(list[Controller], list(self.terms))

    def _with_states(self, state: State) -> list[tuple[Controller, State]]:
        """Each term with its own state."""
        return list(zip(self._controllers(), state, strict=True))


def _numbered_parts(terms: list[Controller]) -> list[str]:
    """Parts of all terms, ``i.`` before those of term i, from 1."""
    parts = []
    for number, term in enumerate(terms, start=1):
        parts += [f"{number}.{part}" for part in term.parts()]
    return parts


def _added(results: list[tuple[Tensor, State]]) -> tuple[Tensor, State]:
    """The sum of the terms' actions, from the first to the last, and their states."""
    action, _ = results[0]
    for next_action, _ in results[1:]:
        action = action + next_action
    return action, tuple(state for _, state in results)


def _build(
    text: str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    lesions: Sequence[str] = (),
) -> Controller:
    """The controller that a term's text spells.

    A term must be pure: its weights and its state are tensors that `forward` leaves as they are (`Controller.pure`).
    One that is not, such as a search whose graph grows in place, is called plastic. Nor may a term be a sum: its own
    terms can stand here instead.

    Args:
        text: a controller's name, then its options.
        observation_space: of the sum.
        action_space: of the sum.
        lesions: parts to silence besides those of the text, by the names in the term's own `parts`.

    Raises:
        LanceletError: see `Sum`.
    """
    from . import controllers

    words = _WORD.findall(text)
    if not words:
        # Only brackets or quotes that never close: the text as a whole is no name either, and the error shows it.
        words = [text]
    name, *option_words = words
    # Looked up and never imported: texts come from files.
    cls = controllers.known(name)
    if issubclass(cls, Sum):
        raise LanceletError(f"sum term {text!r}: {name} is a sum itself")
    if not cls.pure:
        raise LanceletError(f"sum term {text!r}: {name} is plastic")
    options = _options(text, option_words)
    known_options = [field.name for field in dataclasses.fields(cls.Options)]
    check_names(f"option of controller {name}", options, known_options)
    if lesions:
        options["lesions"] = (*options.get("lesions", ()), *lesions)
    try:
        return cls(observation_space, action_space, cls.Options(**options))
    # Not every controller checks the types of its options: of a value of another type, ``units=many``, the first
    # operation with it complains. A user who wrote it wants one line; whoever looks for a bug finds the cause chained.
    except (TypeError, AttributeError) as error:
        raise LanceletError(f"sum term {text!r}: {error}") from error


def _options(text: str, words: list[str]) -> dict[str, Any]:
    """Options that the words of a term's text spell, ``name=value`` each; `text` is for the error."""
    options = {}
    for word in words:
        name, equals_sign, value = word.partition("=")
        if not equals_sign:
            raise LanceletError(f"sum term {text!r}: {word!r} must be option=value")
        options[name] = _value(text, value)
    return options


def _value(text: str, value: str) -> Any:
    """The value that a word of a term's text spells; `text` is for the error."""
    # JSON first: YAML 1.1 takes 1e-05 for a word.
    with contextlib.suppress(ValueError):
        return json.loads(value)
    return foreign.parse_yaml(value, f"sum term {text!r}: {value!r}")


def _spell(controller: Controller) -> str:
    """The text that `_build` makes this controller of: its name and the options that are not the defaults."""
    from . import controllers

    words = [controllers.name_of(type(controller))]
    for field in dataclasses.fields(controller.options):
        value = getattr(controller.options, field.name)
        if value != field.default:
            words.append(f"{field.name}={_spell_value(value)}")
    return " ".join(words)


def _spell_value(value: Any) -> str:
    """A value as `_value` reads it, without white space: plain where YAML reads the same text, else as JSON."""
    is_plain = isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) is not None
    # YAML takes words such as ``on`` and ``null`` for other things than text.
    if is_plain and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, separators=(",", ":"))
