"""Signals of many forearms, stride by stride: `Stream`.

A stream holds nothing that changes: all state is rows of a task's memory, whose names begin with ``emg_``. What each of
them is, `state.Rows` tells.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ...checks import whole_number, whole_numbers
from ...emg_layout import (
    BAND_NOISE,
    CHANNEL_COUNT,
    GESTURE_COUNT,
    REST,
    SAMPLE_RATE,
    SENSOR_NOISE,
    STRIDE,
)
from ...errors import LanceletError, unknown
from ...threads import in_threads
from . import draws, faults, forearm, generator, spectrum, state, units
from .settings import Settings

LARGEST_USER = 2**31 - 1
LARGEST_EFFORT = 10.0
LIMB_STRENGTH = 0.2
"""by which a muscle's strength changes at either end of the limb's positions, at most"""
LIMB_SHIFT = 0.005
"""m by which the skin is turned at either end of the limb's positions"""
MONTAGE_NOISE = {
    "monopolar": 1.0,
    "average": float(np.sqrt(1 - 1 / CHANNEL_COUNT)),
    "longitudinal": float(np.sqrt(2)),
}
"""root mean square of a channel's own noise after the montage, in that before it"""
LONGEST_RUN = 0.12
"""m along the arm from a territory to an electrode, at most"""
Memory = dict[str, np.ndarray]
_ROW_NAMES = tuple(f"emg_{name}" for name in state.Rows._fields)
_NO_ROWS = np.zeros((0, 0, 0), np.float32)
_NO_UNITS = np.zeros((0, 0))
_NO_POWER = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A generator of high-density EMG for n simulations (docs/systems/hdemg.md, "Signals")."""

    level: Literal["power", "signal"] = "power"
    """power: the mean square of each channel in each stride, from a few white samples; signal: every sample"""
    settings: Settings = field(default_factory=Settings)
    """disturbances"""
    users: tuple[int, ...] | None = None
    """simulation i is of user ``users[i % len(users)]``; none: drawn at each reset"""
    threads: int = 1
    """threads that `advance` works with; 0: one a core"""

    def __post_init__(self) -> None:
        if self.level not in ("power", "signal"):
            raise unknown("level", self.level, ("power", "signal"))
        if not isinstance(self.settings, Settings):
            raise LanceletError(f"settings = {self.settings!r}: must be Settings of EMG")
        if self.users is not None:
            users = whole_numbers("users", self.users, 0, LARGEST_USER)
            if not users:
                raise LanceletError("users = (): must be at least one user, or none to draw them")
            object.__setattr__(self, "users", users)
        whole_number("threads", self.threads, 0, 1024)
        if self.settings.propagation > 0 and self.level == "power":
            raise LanceletError(
                f"propagation = {self.settings.propagation}: needs level = 'signal'; white samples have no delays"
            )
        if self.settings.carrier == "units" and self.level == "power":
            raise LanceletError(
                "carrier = 'units': needs level = 'signal'; white samples have no potentials"
            )

    # -- an episode -------------------------------------------------------------------------------

    def memory(self, n: int) -> Memory:
        """All rows of `n` simulations, before their first reset."""
        rows: Memory = {}
        for name, (shape, kind) in state.ROW_SHAPES.items():
            rows[f"emg_{name}"] = np.zeros((n, *shape), kind)
        rows["emg_user"] = np.zeros(n, np.int64)
        # s; how long after its end the stride arrived, infinite where it never did
        rows["emg_delay"] = np.zeros(n)
        if self.level == "power":
            rows["emg_power"] = np.zeros((n, CHANNEL_COUNT), np.float32)
        else:
            rows["emg_signal"] = np.zeros((n, CHANNEL_COUNT, self.samples), np.float32)
            filters = (n, state.FILTER_ROWS, forearm.TERRITORY_COUNT)
            rows["emg_filters"] = np.zeros(filters, np.float32)
            past = (n, self._longest_delay, forearm.TERRITORY_COUNT)
            rows["emg_past"] = np.zeros(past, np.float32)
            if self.settings.carrier == "units":
                tail = (n, self._tail, forearm.TERRITORY_COUNT)
                rows["emg_tail"] = np.zeros(tail, np.float32)
                rows["emg_waiting_units"] = np.zeros((n, units.UNIT_COUNT))
        rows.update(faults.memory(self.settings, rows[self.output]))
        return rows

    def reset(self, memory: Memory, ids: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Put new forearms at rest in simulations `ids`, and make their first stride.

        Args:
            memory: rows of `memory`; those of `ids` are written.
            ids: (k,) simulations.
            rngs: their k generators.
        """
        ids = np.asarray(ids, np.int64)
        for name in state.ROW_SHAPES:
            memory[f"emg_{name}"][ids] = 0
        for name in ("emg_filters", "emg_past", "emg_tail"):
            if name in memory:
                memory[name][ids] = 0
        if "emg_waiting_units" in memory:
            # No unit is recruited yet.
            memory["emg_waiting_units"][ids] = -1.0
        for i, rng in zip(ids.tolist(), rngs, strict=True):
            # Both are drawn whether they are used or not: one seed gives one noise, whoever the user is.
            memory["emg_key"][i] = rng.integers(2**64, dtype=np.uint64)
            drawn_user = int(rng.integers(LARGEST_USER))
            user = drawn_user if self.users is None else self.users[i % len(self.users)]
            self._put_on(memory, i, user)
        at_rest = np.full(len(ids), REST, np.int64)
        self._make(memory, ids, at_rest, np.ones(len(ids)))
        faults.reset(memory, ids, self.output)

    def _put_on(self, memory: Memory, i: int, user: int) -> None:
        """Write forearm and sleeve of simulation `i`."""
        settings = self.settings
        memory["emg_user"][i] = user
        memory["emg_territories"][i] = forearm.territories(user, settings.user_variation)
        sleeve = forearm.sleeve(user, settings.session)
        shift = np.array([settings.rotation, settings.slide])
        shift += sleeve.shift * (settings.donning_rotation, settings.donning_slide)
        shift[state.ROTATION] += LIMB_SHIFT * settings.limb
        memory["emg_shift"][i] = shift
        gain = np.exp(settings.gain_drift * sleeve.log_gain)
        key = int(memory["emg_key"][i])
        order = np.random.default_rng((forearm.DROPPED_SEED, key)).permutation(CHANNEL_COUNT)
        gain[order[: settings.dropped]] = 0.0
        memory["emg_gain"][i] = gain
        memory["emg_fatigue"][i] = settings.initial_fatigue

    def advance(self, memory: Memory, gesture: np.ndarray, effort: np.ndarray) -> None:
        """Make the next stride of all simulations.

        Args:
            memory: rows of `memory`, written: ``emg_power`` or ``emg_signal``, ``emg_delay``, and all state.
            gesture: (n,) gestures that are asked for; a new one begins a contraction.
            effort: (n,) overall strength, usually 1; a new one begins a contraction, too.

        Raises:
            LanceletError: a gesture that is none, or an effort that is not from 0 to 10.
        """
        n = len(memory["emg_key"])
        gestures = np.broadcast_to(np.asarray(gesture, np.int64), (n,))
        efforts = np.broadcast_to(np.asarray(effort, np.float64), (n,))
        is_unknown = (gestures < 0) | (gestures >= GESTURE_COUNT)
        if is_unknown.any():
            raise LanceletError(
                f"gesture = {gestures[is_unknown][0]}: must be from 0 to {GESTURE_COUNT - 1}"
            )
        # NaN is within no range: it is refused, too.
        is_outside = ~((efforts >= 0) & (efforts <= LARGEST_EFFORT))
        if is_outside.any():
            raise LanceletError(
                f"effort = {efforts[is_outside][0]}: must be from 0 to {LARGEST_EFFORT:g}"
            )
        self._make(memory, np.arange(n), gestures, efforts)

    def _make(
        self, memory: Memory, ids: np.ndarray, gestures: np.ndarray, efforts: np.ndarray
    ) -> None:
        """Make one stride of simulations `ids`, whose gestures and efforts are given."""
        rows = state.Rows(*[memory[name] for name in _ROW_NAMES])
        values = (ids, gestures, efforts, rows, self._plan, draws.QUANTILES)
        work = state.Work(
            filters=memory.get("emg_filters", _NO_ROWS),
            past=memory.get("emg_past", _NO_ROWS),
            waiting=memory.get("emg_waiting_units", _NO_UNITS),
            tail=memory.get("emg_tail", _NO_ROWS),
            signal=memory.get("emg_signal", _NO_ROWS),
            power=memory.get("emg_power", _NO_POWER),
        )
        in_threads(generator.make, len(ids), self.threads, *values, work)
        faults.inject(self.settings, memory, ids, self.output)

    def weights(self, memory: Memory, simulation: int) -> np.ndarray:
        """What each channel hears of each territory, (territory, channel), as the sleeve of a simulation sits now."""
        rows = state.Rows(*[memory[name] for name in _ROW_NAMES])
        weights = np.zeros((forearm.TERRITORY_COUNT, CHANNEL_COUNT), np.float32)
        generator.fill_weights(rows, self._plan, simulation, weights)
        return weights

    # -- what is fixed ----------------------------------------------------------------------------

    @property
    def output(self) -> str:
        """Name of the row that a stride writes."""
        return f"emg_{self.level}"

    @property
    def samples(self) -> int:
        """Samples of a stride of the signal."""
        return STRIDE * self.settings.rate // SAMPLE_RATE

    @property
    def _longest_delay(self) -> int:
        """Samples that a potential runs along the arm, at most; 0 where potentials do not run."""
        if self.settings.propagation == 0:
            return 0
        return int(np.ceil(LONGEST_RUN / self.settings.propagation * self.settings.rate))

    @property
    def _tail(self) -> int:
        """Samples for which a motor unit's potential goes on after a stride, at most."""
        return int(np.ceil(units.TAIL_SECONDS * self.settings.rate)) + 1

    @functools.cached_property
    def _plan(self) -> state.Plan:
        """What the compiled loops are told."""
        settings = self.settings
        is_power = self.level == "power"
        if is_power:
            samples = spectrum.independent_samples(settings.initial_fatigue)
            carrier = np.sqrt(spectrum.carrier_share(settings.initial_fatigue))
            noise = BAND_NOISE * MONTAGE_NOISE[settings.montage]
        else:
            samples = self.samples
            carrier = 1.0
            # The density of a channel's own noise is the same at every rate.
            noise = SENSOR_NOISE * np.sqrt(settings.rate / SAMPLE_RATE)
        is_first_session = settings.session == 1
        return state.Plan(
            is_power=is_power,
            has_units=settings.carrier == "units",
            samples=samples,
            templates=forearm.activations(),
            limb=limb_factors(settings.limb),
            electrodes=forearm.electrodes(),
            noise=float(noise),
            carrier=float(carrier),
            effort_spread=settings.effort_spread,
            muscle_spread=settings.muscle_spread,
            baseline=settings.baseline,
            walk=settings.walk,
            jitter=settings.jitter,
            fatigue_grows=settings.fatigue_grows,
            settling=settings.settling,
            age=0.0 if is_first_session else generator.SETTLING_TIME,
            mains=float(settings.mains),
            mains_level=settings.mains_level,
            artefacts=settings.artefacts / 60,
            montage=generator.MONTAGES.index(settings.montage),
            propagation=settings.propagation,
        )


def limb_factors(limb: float) -> np.ndarray:
    """Factor of each muscle's strength at a position of the limb from -1 to 1: smooth around the arm."""
    angles = np.array([muscle.angle for muscle in forearm.MUSCLES.values()])
    return 1 + LIMB_STRENGTH * limb * np.cos(np.radians(angles))
