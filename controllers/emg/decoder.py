"""From strides of high-density EMG to posteriors of gestures: what all decoders share.

A decoder is told one stride of 50 ms at a time (docs/systems/hdemg.md, "Decoder"):

    samples or log RMS -> clean, band-pass -> mean square of the stride -> window of 250 ms -> dead channels predicted
    -> features -> score of every gesture -> posterior -> mean of the last 3

Beside this chain the level of the last stride alone is watched: where it is that of rest, or has fallen to half, the
answer is rest at once, and the window begins anew ("Fast rest").
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...checks import finite_number, whole_number
from ...emg_layout import (
    CHANNEL_COUNT,
    FEATURE_COUNT,
    GESTURE_COUNT,
    GESTURES,
    REST,
    SAMPLE_RATE,
    STRIDE,
    STRIDE_RATE,
)
from ...errors import LanceletError
from ..core import Controller, Observation, Options, State
from .bandpass import band_pass, block_matrix, filter_block
from .channels import Channels, Seen
from .window import (
    LARGEST_POWER,
    TINY,
    Stride,
    Window,
    emptied,
    log_rms,
    pooled_power,
    power_of_log_rms,
    pushed,
)

FEATURES = "features"
"""key of an observation that holds a stride's log RMS of each channel less their median, then the median: (65,)"""
SIGNAL = "emg"
"""key of an observation that holds a stride's samples: (64, 100)"""
MOST_STRIDES = 20
"""strides in a window, at most: 1 s"""
FILTER_ORDER = 4
"""of the Butterworth band-pass"""
FALL = 1.1
"""fall of the level (natural logarithm of a mean square) against the window's that tells rest: to a third of the power

In 100 ms a relaxing muscle falls by 1.35. The level of one stride varies by 0.34 while a contraction is held.
"""


@dataclass(frozen=True, kw_only=True)
class DecoderOptions(Options):
    """Options that all decoders have."""

    window: float = 0.25
    """s that features are computed over, a multiple of the stride of 0.05 s"""
    smoothing: int = 3
    """posteriors that are averaged; 1: none is"""
    fast_rest: bool = True
    """rest is told by the level of the last stride as well, not by the window alone"""
    repair: bool = True
    """dead channels are predicted from the others"""
    low: float = 20.0
    """Hz, lower edge of the band-pass; log RMS as observation is not filtered"""
    high: float = 450.0
    """Hz, upper edge of the band-pass"""
    notch: Literal[0, 50, 60] = 0
    """Hz, mains frequency that is taken out; 0: none is"""
    gestures: tuple[str, ...] = GESTURES
    """names of the posteriors in their order: a decoder that was fitted on others is refused"""

    def __post_init__(self) -> None:
        super().__post_init__()
        finite_number("window", self.window, above=0, unit="s")
        strides = self.window * STRIDE_RATE
        is_multiple = abs(strides - round(strides)) < 1e-6
        if not is_multiple or not 1 <= round(strides) <= MOST_STRIDES:
            raise LanceletError(
                f"window = {self.window} s: must be a multiple of {1 / STRIDE_RATE:g} s, "
                f"at most {MOST_STRIDES / STRIDE_RATE:g} s"
            )
        whole_number("smoothing", self.smoothing, least=1, most=MOST_STRIDES)
        finite_number("low", self.low, above=0, unit="Hz")
        finite_number("high", self.high, above=self.low, below=SAMPLE_RATE / 2, unit="Hz")
        if tuple(self.gestures) != GESTURES:
            raise LanceletError(
                f"gestures = {', '.join(map(str, self.gestures))}: this decoder was fitted on others; "
                f"must be {', '.join(GESTURES)}, in this order"
            )

    @property
    def strides(self) -> int:
        """Strides in a window."""
        return round(self.window * STRIDE_RATE)


class DecoderState(NamedTuple):
    """What a decoder remembers from one stride to the next."""

    filter: Tensor
    """(batch, 64, states) of the band-pass, float64; no states where log RMS is observed"""
    window: Window
    """the last strides"""
    recent: Tensor
    """(batch, smoothing, 10) posteriors of the last strides, the newest at the end; 0 where there was none since rest"""
    posterior: Tensor
    """(batch, 10) of the last window, whatever the stride alone told"""
    is_resting: Tensor
    """(batch,) 1 where the last stride alone told rest, else 0"""
    repaired: Tensor
    """(batch,) channels that were predicted from the others"""


class Step(NamedTuple):
    """A window one stride later."""

    window: Window
    """what is decoded now"""
    stored: Window
    """what is remembered: nothing of it counts after a stride at the level of rest"""
    is_low: Tensor
    """(batch,) 1 where the stride has the level of rest, else 0"""
    is_resting: Tensor
    """(batch,) 1 where it has, or where the level has fallen, else 0"""


class Decoder(Controller):
    """The chain that this module describes; a subclass says what features are and how they are scored.

    Parts to lesion: ``channel:i``, which is then predicted from the others as a dead one is.
    Signals: ``posterior`` (10,) of the last window, before it is averaged; ``resting`` and ``repaired`` as the state's.

    Raises:
        LanceletError: an observation without ``features`` (65,) and ``emg`` (64, 100), or another action than ten
            posteriors.
    """

    Options: ClassVar[type[Options]] = DecoderOptions
    options: DecoderOptions
    uses_products: ClassVar[bool] = False
    """True: `Window.product` is filled, and samples are needed"""

    rest_power: Tensor
    """(64,) mean square of each channel at rest"""
    rest_level: Tensor
    """(1,) level up to which a stride is one of rest"""
    fall: Tensor
    """(1,) fall of the level, against that of the window, from which a stride is one of rest"""
    filter_matrix: Tensor
    """(samples + states, samples + states) of `block_matrix`, float64"""
    scale: Tensor
    """(1,) what samples are multiplied by, so that rest has the level that generated signals have"""
    intact: Tensor
    """(64,) 1 for a channel that is read, 0 for a lesioned one"""
    certain_rest: Tensor
    """(10,) the posterior that is rest and nothing else"""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        options: DecoderOptions,
    ) -> None:
        self._key = _observed_key(observation_space, type(self).__name__, self.uses_products)
        check_posteriors(action_space, type(self).__name__)
        super().__init__(observation_space, action_space, options)
        self.channels = Channels()
        self.register_buffer("rest_power", torch.zeros(CHANNEL_COUNT))
        # Before it is fitted, no stride is one of rest.
        self.register_buffer("rest_level", torch.full((1,), -1e3))
        self.register_buffer("fall", torch.full((1,), FALL))
        self.register_buffer("filter_matrix", self._filter_matrix(), persistent=False)
        self.register_buffer("scale", torch.ones(1))
        intact = torch.ones(CHANNEL_COUNT)
        intact[self.silenced("channel")] = 0.0
        self.register_buffer("intact", intact, persistent=False)
        certain_rest = torch.zeros(GESTURE_COUNT)
        certain_rest[REST] = 1.0
        self.register_buffer("certain_rest", certain_rest, persistent=False)

    def _filter_matrix(self) -> Tensor:
        """The band-pass of the options as one matrix a stride, float64."""
        sections = band_pass(
            low=self.options.low,
            high=self.options.high,
            order=FILTER_ORDER,
            rate=SAMPLE_RATE,
            notch=self.options.notch or None,
        )
        return torch.as_tensor(block_matrix(sections, STRIDE), dtype=torch.float64)

    def parts(self) -> list[str]:
        """Every channel."""
        return [f"channel:{number}" for number in range(1, CHANNEL_COUNT + 1)]

    @property
    def reads_signal(self) -> bool:
        """Whether samples are observed, and not log RMS."""
        return self._key == SIGNAL

    # What a subclass says.

    @abstractmethod
    def represent(self, window: Window, seen: Seen) -> Tensor:
        """Features (batch, features) of a window.

        Args:
            window: the last strides as they were measured.
            seen: what was made of its channels.
        """

    @abstractmethod
    def score(self, features: Tensor) -> Tensor:
        """Logarithms of the gestures' posteriors, up to a constant, (batch, 10), from features (batch, features)."""

    @abstractmethod
    def fit_scores(self, features: np.ndarray, labels: np.ndarray, seed: int) -> None:
        """Set the weights of `score` in place.

        Args:
            features: (windows, features), as `represent` gives them.
            labels: (windows,) numbers of gestures.
            seed: of what is random in the fit.
        """

    def fit_channels(self, window: Window, is_rest: Tensor) -> None:
        """Learn in place what each channel is like, which finds dead ones and predicts them.

        Args:
            window: training windows, (windows, strides, ...).
            is_rest: (windows,) True for windows of rest.
        """
        self.channels.fit(log_rms(pooled_power(window)), is_rest)

    # The state.

    def initial_state(self, batch: int) -> State:
        """An empty window behind a filter at rest."""
        strides = self.options.strides
        products = CHANNEL_COUNT if self.uses_products else 0
        states = self.filter_matrix.shape[0] - STRIDE if self.reads_signal else 0
        like = self.rest_power
        window = Window(
            power=like.new_zeros(batch, strides, CHANNEL_COUNT),
            weight=like.new_zeros(batch, strides, CHANNEL_COUNT),
            product=like.new_zeros(batch, strides, products, products),
        )
        return DecoderState(
            filter=self.filter_matrix.new_zeros(batch, CHANNEL_COUNT, states),
            window=window,
            recent=like.new_zeros(batch, self.options.smoothing, GESTURE_COUNT),
            posterior=like.new_zeros(batch, GESTURE_COUNT),
            is_resting=like.new_zeros(batch),
            repaired=like.new_zeros(batch),
        )

    def signals(self, state: State) -> dict[str, Tensor]:
        """The last window's posterior, whether the last stride told rest, and how many channels were predicted."""
        return {
            "posterior": state.posterior,
            "resting": state.is_resting,
            "repaired": state.repaired,
        }

    # One stride.

    def forward(self, observation: Observation, state: State) -> tuple[Tensor, State]:
        """Posteriors (batch, 10), which add up to 1, and the next state.

        What is answered is the average over the last strides; the state keeps the last window's own posterior, and what was
        made of the stride, for `signals`.
        """
        stride, filter_state = self.intake(observation, state.filter)
        step = self.next_window(stride, state.window)
        seen = self.look(step.window)
        posterior = torch.softmax(self.score(self.represent(step.window, seen)), dim=-1)

        # A stride of rest forgets the posteriors before it, and its own: averaging starts anew with the next contraction.
        goes_on = (1.0 - step.is_resting)[:, None, None]
        recent = torch.cat([state.recent[:, 1:], posterior[:, None]], dim=1) * goes_on
        # Rest is never averaged with what was before: a filter that delayed it would be a fault of safety.
        rests = step.is_resting[:, None] > 0
        action = torch.where(rests, self.certain_rest, _average(recent))
        next_state = DecoderState(
            filter=filter_state,
            window=step.stored,
            recent=recent,
            posterior=posterior,
            is_resting=step.is_resting,
            repaired=seen.repaired,
        )
        return action, next_state

    def intake(self, observation: Observation, filter_state: Tensor) -> tuple[Stride, Tensor]:
        """What was measured in one stride.

        Args:
            observation: a dict with ``features`` (batch, 65) or ``emg`` (batch, 64, 100).
            filter_state: (batch, 64, states) of the band-pass.

        Returns:
            The stride, and the next state of the band-pass.
        """
        if self.reads_signal:
            return self._intake_of_signal(observation[SIGNAL], filter_state)
        return self._intake_of_features(observation[FEATURES]), filter_state

    def _intake_of_features(self, features: Tensor) -> Stride:
        """The stride whose log RMS is told."""
        channel_log_rms = features[:, :CHANNEL_COUNT] + features[:, CHANNEL_COUNT:]
        is_finite = torch.isfinite(channel_log_rms)
        valid = is_finite.to(features.dtype) * self.intact
        power = power_of_log_rms(torch.where(is_finite, channel_log_rms, -torch.inf))
        return Stride(
            power=power.clamp_max(LARGEST_POWER) * valid,
            valid=valid,
            product=power.new_zeros(len(power), 0, 0),
        )

    def _intake_of_signal(self, samples: Tensor, filter_state: Tensor) -> tuple[Stride, Tensor]:
        """The stride of samples (batch, 64, 100), cleaned and filtered, and the next state of the band-pass."""
        is_finite = torch.isfinite(samples)
        # Before the filter: a single NaN would stay in its state for ever.
        clean = torch.where(is_finite, samples, 0.0) * self.scale
        filtered, next_state = filter_block(self.filter_matrix, clean, filter_state)
        valid = is_finite.all(dim=-1).to(samples.dtype) * self.intact
        filtered = filtered.to(samples.dtype) * valid[:, :, None]
        power = filtered.square().mean(dim=-1).clamp_max(LARGEST_POWER)
        product = power.new_zeros(len(power), 0, 0)
        if self.uses_products:
            product = torch.bmm(filtered, filtered.mT) / STRIDE
        return Stride(power=power, valid=valid, product=product), next_state

    def next_window(self, stride: Stride, window: Window) -> Step:
        """The window with one more stride, and whether that stride alone tells rest.

        Args:
            stride: the new one.
            window: what was stored before.
        """
        level = self.level(stride.power, stride.valid)
        is_low = (level < self.rest_level) | (stride.valid.sum(dim=-1) == 0)
        has_earlier = window.weight.sum(dim=(1, 2)) > 0
        earlier_valid = (window.weight.sum(dim=1) > 0).to(level.dtype)
        earlier_level = self.level(pooled_power(window), earlier_valid)
        has_fallen = has_earlier & (level < earlier_level - self.fall)
        if not self.options.fast_rest:
            is_low = torch.zeros_like(is_low)
            has_fallen = torch.zeros_like(has_fallen)
        low = is_low.to(level.dtype)
        used = pushed(window, stride, keeps=1.0 - low)
        # A fall alone leaves the window: the next strides are compared with it, and if they lie higher it was chance.
        return Step(
            window=used,
            stored=emptied(used, keeps=1.0 - low),
            is_low=low,
            is_resting=(is_low | has_fallen).to(level.dtype),
        )

    def level(self, power: Tensor, valid: Tensor) -> Tensor:
        """Logarithm of the mean square beyond that of rest, averaged over the valid channels, (batch,).

        Args:
            power: (batch, 64).
            valid: (batch, 64) 1 or 0.
        """
        excess = (power - self.rest_power).clamp_min(0.0) * valid
        mean = excess.sum(dim=-1) / valid.sum(dim=-1).clamp_min(1.0)
        return torch.log(mean + TINY)

    def look(self, window: Window) -> Seen:
        """What is made of a window's channels: log RMS, and predictions where one is not good."""
        has_data = (window.weight.sum(dim=1) > 0).to(window.power.dtype)
        measured = log_rms(pooled_power(window))
        if not self.options.repair:
            everything = torch.ones_like(measured)
            return Seen(log_rms=measured, good=everything, repaired=everything.sum(dim=-1) * 0.0)
        good = self.channels.good(measured, has_data)
        return self.channels.repaired(measured, good)


def _average(recent: Tensor) -> Tensor:
    """Mean (batch, 10) of posteriors (batch, strides, 10), those of 0 left out; 0 where all are."""
    total = recent.sum(dim=1)
    # A posterior adds up to 1: the sum of the total is how many there are, and 0 after a stride of rest.
    return total / total.sum(dim=-1, keepdim=True).clamp_min(TINY)


def _observed_key(space: spaces.Space, name: str, needs_signal: bool) -> str:
    """Which part of an observation is read: log RMS where it is there, else samples.

    Args:
        space: of the observation.
        name: of the controller, for the error.
        needs_signal: log RMS is not enough.

    Raises:
        LanceletError: neither is there.
    """
    shapes = {}
    if isinstance(space, spaces.Dict):
        shapes = {key: part.shape for key, part in space.items()}
    if shapes.get(FEATURES) == (FEATURE_COUNT,) and not needs_signal:
        return FEATURES
    if shapes.get(SIGNAL) == (CHANNEL_COUNT, STRIDE):
        return SIGNAL
    wanted = f"'{SIGNAL}' {(CHANNEL_COUNT, STRIDE)}"
    if not needs_signal:
        wanted = f"'{FEATURES}' {(FEATURE_COUNT,)} or {wanted}"
    raise LanceletError(
        f"{name} reads an observation {wanted}, not {space}; the assistive tasks give it with input=emg"
    )


def check_posteriors(space: spaces.Space, name: str) -> None:
    """Refuse an action space that is not ten posteriors.

    Raises:
        LanceletError: it is another one.
    """
    if not isinstance(space, spaces.Box) or space.shape != (GESTURE_COUNT,):
        raise LanceletError(
            f"{name} gives posteriors of {GESTURE_COUNT} gestures, not {space}; the assistive tasks take them "
            "with input=emg or input=gesture"
        )
