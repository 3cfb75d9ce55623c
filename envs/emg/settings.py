"""What disturbs the signals and what breaks the sensors: `Settings`, one field each (docs/systems/hdemg.md, "Disturbances")."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...checks import check_fields, finite_number, whole_number
from ...emg_layout import CHANNEL_COUNT
from ...errors import LanceletError, check_names

LARGEST_SHIFT = 0.13
"""m, half way around the arm"""
LARGEST_SD = 2.0
"""of a logarithm"""
LARGEST_FAULT_DELAY = 1.0
"""s"""
FOREVER = 1e6
"""s, longer than any episode"""

Montage = Literal["monopolar", "average", "longitudinal"]
Fault = Literal["none", "nan", "flat", "saturated", "missing", "late"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every disturbance of the signals, each with a switch: 0 (or "none") turns it off.

    The defaults are those of a first session with a healthy sleeve. ``Settings(session=2)`` is the session after the
    sleeve was donned anew.
    """

    rate: Literal[2000, 4000] = 2000
    """Hz, samples of the signal"""
    montage: Montage = "monopolar"
    """what a channel is measured against: a far reference, the mean of all channels, or the next row of electrodes"""
    carrier: Literal["noise", "units"] = "noise"
    """what muscles give: noise of the usual spectrum, or the potentials of 96 motor units a muscle"""
    propagation: float = 0.0
    """m/s, speed at which potentials run along the fibres; 0: they appear everywhere at once (4 m/s is usual)"""

    session: int = 1
    """number of the session, from 1: donning and gains are drawn for each session after the first"""
    rotation: float = 0.0
    """m along the skin, by which the sleeve is turned, beside what donning it turns"""
    slide: float = 0.0
    """m, by which the sleeve is moved towards the elbow, beside what donning it moves"""
    donning_rotation: float = 0.005
    """m, standard deviation of the turn over sessions after the first"""
    donning_slide: float = 0.004
    """m, standard deviation of the slide over sessions after the first"""
    jitter: float = 0.004
    """m, standard deviation of the skin's shift over contractions, in both directions"""
    gain_drift: float = 0.15
    """standard deviation of the logarithm of each channel's gain over sessions after the first"""
    settling: float = 0.13
    """part of the amplitude that is lost while the electrodes settle, in the first 15 minutes of the first session"""

    fatigue: float | None = None
    """from 0 to 1, at the beginning; none: 0 in the first session, 0.5 in later ones"""
    fatigue_grows: bool = True
    """whether effort tires and rest recovers"""

    effort_spread: float = 0.2
    """standard deviation of the logarithm of a contraction's strength"""
    muscle_spread: float = 0.2
    """standard deviation of the logarithm of each muscle's strength in a contraction"""
    baseline: float = 0.03
    """standard deviation of each muscle's activation at rest, of which the absolute value is taken"""
    walk: float = 0.03
    """standard deviation of the change of log strength from one stride of 50 ms to the next"""
    limb: float = 0.0
    """from -1 to 1, position of the limb: it changes the muscles' strengths and shifts the skin"""
    user_variation: bool = True
    """whether muscles lie elsewhere in each user"""

    mains: Literal[0, 50, 60] = 0
    """Hz of the mains' hum; 0: none"""
    mains_level: float = 0.05
    """root mean square of the hum, in the units of the signal"""
    artefacts: float = 0.0
    """bursts of motion a minute (1 is usual)"""
    dropped: int = 0
    """channels that have lost contact and give their own noise only (3 is usual)"""

    fault: Fault = "none"
    """what breaks: values that are no numbers, all 0, or at the rail; strides that do not arrive, or arrive late"""
    fault_begin: float = 0.0
    """s after the reset at which it breaks"""
    fault_seconds: float = FOREVER
    """s that it stays broken"""
    fault_channels: int = CHANNEL_COUNT
    """channels that break, where the fault is one of channels"""
    fault_delay: float = 0.2
    """s that strides arrive late"""

    def __post_init__(self) -> None:
        check_fields(self)
        whole_number("session", self.session, 1, 1000)
        finite_number("propagation", self.propagation, least=0.0, most=20.0, unit="m/s")
        if 0 < self.propagation < 1:
            raise LanceletError(
                f"propagation = {self.propagation}: must be 0 or from 1 to 20 (m/s)"
            )
        for name in ("rotation", "slide"):
            finite_number(
                name, getattr(self, name), least=-LARGEST_SHIFT, most=LARGEST_SHIFT, unit="m"
            )
        for name in ("donning_rotation", "donning_slide", "jitter"):
            finite_number(name, getattr(self, name), least=0.0, most=LARGEST_SHIFT, unit="m")
        for name in ("gain_drift", "effort_spread", "muscle_spread", "baseline", "walk"):
            finite_number(name, getattr(self, name), least=0.0, most=LARGEST_SD)
        finite_number("settling", self.settling, least=0.0, most=1.0)
        if self.fatigue is not None:
            finite_number("fatigue", self.fatigue, least=0.0, most=1.0)
        finite_number("limb", self.limb, least=-1.0, most=1.0)
        finite_number("mains_level", self.mains_level, least=0.0, most=10.0)
        finite_number("artefacts", self.artefacts, least=0.0, most=600.0, unit="1/min")
        whole_number("dropped", self.dropped, 0, CHANNEL_COUNT)
        finite_number("fault_begin", self.fault_begin, least=0.0, most=FOREVER, unit="s")
        finite_number("fault_seconds", self.fault_seconds, least=0.0, most=FOREVER, unit="s")
        whole_number("fault_channels", self.fault_channels, 1, CHANNEL_COUNT)
        finite_number(
            "fault_delay", self.fault_delay, above=0.0, most=LARGEST_FAULT_DELAY, unit="s"
        )

    @property
    def initial_fatigue(self) -> float:
        """Fatigue at the beginning, from 0 to 1."""
        if self.fatigue is not None:
            return self.fatigue
        return 0.0 if self.session == 1 else 0.5

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | Settings) -> Settings:
        """The settings from JSON values by name; fields that are not named keep their defaults.

        Raises:
            LanceletError: `values` is no mapping, or has a name or a value that is not right.
        """
        if isinstance(values, Settings):
            return values
        if not isinstance(values, Mapping):
            raise LanceletError(
                f"settings of EMG = {values!r}: must be a table of settings by name"
            )
        names = [field.name for field in dataclasses.fields(cls)]
        check_names("setting of EMG", values, names)
        return cls(**values)
