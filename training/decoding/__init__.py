"""Recordings of EMG, how they are split, and what fits decoders to them: begin with `recordings`."""

from __future__ import annotations

from .fit import fit, recalibrate
from .measures import Figures, accuracy
from .readers import load
from .splits import Split, by_session, by_trial

__all__ = ["Figures", "Split", "accuracy", "by_session", "by_trial", "fit", "load", "recalibrate"]
