"""Recordings in files: HDF5, MATLAB, int16 with a header, and csv (docs/systems/hdemg.md, "Recordings").

Nothing is downloaded. A file may come from a stranger: it is a regular file of bounded size, sizes are read before
arrays are, links to other files are refused, and nothing in it is run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy import io, signal

from ... import foreign
from ...checks import finite_number, whole_number
from ...emg_layout import COLUMNS, GESTURES, ROWS, SAMPLE_RATE, Recording
from ...errors import LanceletError, first_line, unknown
from ...optional import extras
from .recordings import check_recording, joined

RECORDING_BYTES = 2 * foreign.GIB
"""largest recording, as a file and as an array in memory"""
HEADER_BYTES = 1 * foreign.MIB
"""largest header of an int16 file"""
MOST_DATASETS = 1000
"""trials or gestures in a file, at most"""
LARGEST_RATE = 1e6
"""Hz"""

PUBLIC_NAMES = {
    "abduct_p1": "wrist_abduction",
    "adduct_p1": "wrist_adduction",
    "extend_p1": "finger_extension",
    "grip_p1": "fist",
    "pronate_p1": "pronation",
    "rest_p1": "rest",
    "supinate_p1": "supination",
    "tripod_p1": "tripod",
    "wextend_p1": "wrist_extension",
    "wflex_p1": "wrist_flexion",
}
"""key of the public recordings FlexWear-HD -> our name; a third-party page pairs them otherwise, by position"""

RATE = "rate"
SESSION = "session"
LAYOUT = "layout"
GESTURE = "gesture"
TRIAL = "trial"


@dataclass(frozen=True, kw_only=True)
class Raw:
    """What a file holds, before it is checked and resampled."""

    trials: list[np.ndarray]
    """(channels, samples) each"""
    labels: list[str]
    """gesture of each trial, by the file's own name"""
    about: dict[str, Any]
    """what the file says of itself: ``rate`` in Hz, ``session``, ``layout``; or less"""


def load(
    path: str | Path,
    *,
    rate: float | None = None,
    session: int | None = None,
    layout: tuple[int, int] | None = None,
    gesture: str | None = None,
) -> Recording:
    """Read a recording, resampled to 2 kHz.

    ==========  ========================================================================================
    file        what it holds
    ==========  ========================================================================================
    .h5 .hdf5   one array (trials, channels, samples) a gesture, named as the gesture; attributes
                ``rate``, ``session``, ``layout``
    .mat        the same as variables (MATLAB 5; newer ones are HDF5 files)
    .dat        one trial of int16 numbers, sample by sample all channels, with a PhysioNet header
                ``.hea`` of the same name beside it; a comment ``# gesture: NAME`` there
    .csv        a header ``gesture,trial,1,2,...`` and one line a sample; ``# rate: HZ`` above it
    a folder    all files of these kinds in it, in the order of their names
    ==========  ========================================================================================

    Gestures are known by name: ours, or the keys of the public recordings (`PUBLIC_NAMES`).

    Args:
        path: of the file or folder.
        rate: Hz; None: what the file says.
        session: number from 1; None: what the file says, or 1.
        layout: rows and columns of the electrodes; None: what the file says, or 4 x 16.
        gesture: of all trials, where a file does not say it.

    Raises:
        LanceletError: a file that cannot be read, or holds something else.
    """
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if file.suffix.lower() in _READERS)
        if not files:
            raise LanceletError(f"{path} holds no recording: needs {', '.join(_READERS)}")
        whole_number(f"files in {path}", len(files), most=MOST_DATASETS)
    else:
        files = [place]
    given = {RATE: rate, SESSION: session, LAYOUT: layout}
    parts = [_recording(file, given, gesture) for file in files]
    total = sum(part.signal.nbytes for part in parts)
    foreign.check_size(f"{path}, unpacked,", total, RECORDING_BYTES)
    return joined(parts)


def _recording(path: Path, given: dict[str, Any], gesture: str | None) -> Recording:
    """One file as a recording.

    Args:
        path: of the file.
        given: what the caller says of ``rate``, ``session`` and ``layout``; None: ask the file.
        gesture: of all trials, where the file does not say it.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise unknown("kind of recording", suffix, _READERS)
    raw = _READERS[suffix](path)
    if not raw.trials:
        raise LanceletError(f"{path} holds no trial: needs arrays that are named as gestures")
    about = {**raw.about, **{name: value for name, value in given.items() if value is not None}}
    if RATE not in about:
        raise LanceletError(f"{path} does not say its rate: give rate= in Hz")
    hertz = finite_number(f"rate of {path}", about[RATE], above=0, most=LARGEST_RATE, unit="Hz")
    labels = []
    for label in raw.labels:
        labels.append(gesture_name(label or gesture or ""))
    recording = Recording(
        signal=_stacked(path, raw.trials),
        labels=tuple(labels),
        sessions=np.full(len(labels), whole_number("session", about.get(SESSION, 1), least=1)),
        rate=float(hertz),
        layout=_layout(path, about.get(LAYOUT, (ROWS, COLUMNS))),
    )
    check_recording(recording)
    return resampled(recording)


def gesture_name(name: str) -> str:
    """Our name of a gesture.

    Raises:
        LanceletError: no such gesture; near names are listed.
    """
    if name in GESTURES:
        return name
    if name in PUBLIC_NAMES:
        return PUBLIC_NAMES[name]
    raise unknown("gesture", name, [*GESTURES, *PUBLIC_NAMES])


def resampled(recording: Recording, rate: float = SAMPLE_RATE) -> Recording:
    """A recording at another rate, by a polyphase filter that has no delay.

    Args:
        recording: of samples.
        rate: Hz.
    """
    if recording.rate == rate:
        return recording
    ratio = Fraction(rate / recording.rate).limit_denominator(10_000)
    values = signal.resample_poly(
        recording.signal.astype(np.float64), ratio.numerator, ratio.denominator, axis=2
    )
    return dataclasses.replace(recording, signal=values.astype(np.float32), rate=float(rate))


def _stacked(path: Path, trials: list[np.ndarray]) -> np.ndarray:
    """Trials (channels, samples) as one array (trials, channels, samples) float32, cut to the shortest."""
    channels = {trial.shape[0] for trial in trials}
    if len(channels) > 1:
        raise LanceletError(
            f"{path}: trials have {sorted(channels)} channels: must have as many each"
        )
    samples = min(trial.shape[1] for trial in trials)
    return np.stack([trial[:, :samples] for trial in trials]).astype(np.float32)


def _layout(path: Path, value: Any) -> tuple[int, int]:
    """Rows and columns of the electrodes, as a file or a caller gives them."""
    numbers = np.asarray(value).ravel().tolist()
    if len(numbers) != 2:
        raise LanceletError(f"{path}: layout = {value}: must be rows and columns")
    rows, columns = numbers
    return whole_number("layout", int(rows), least=1), whole_number("layout", int(columns), least=1)


def _check_array(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse an array that is no (trials, channels, samples) of numbers, or too large, before it is read."""
    if dtype.kind not in "fiu" or len(shape) != 3:
        raise LanceletError(
            f"{path}: {name!r} is {dtype} of shape {shape}: must be numbers (trials, channels, samples)"
        )
    size = 8
    for length in shape:
        size *= length
    foreign.check_size(f"{path}: {name!r}, unpacked,", size, RECORDING_BYTES)
    whole_number(f"trials of {name}", shape[0], most=MOST_DATASETS)


def _is_gesture(name: str) -> bool:
    """Whether an array is named as a gesture."""
    return name in GESTURES or name in PUBLIC_NAMES


# HDF5


def read_hdf5(path: Path) -> Raw:
    """One array a gesture in the file's root; other arrays are left alone, unless their names look like gestures'."""
    with extras():
        import h5py

    with foreign.open_regular(path, RECORDING_BYTES) as file:
        try:
            with h5py.File(file, "r") as archive:
                return _hdf5_arrays(path, h5py, archive)
        except LanceletError:
            raise
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise LanceletError(
                f"{path} is no HDF5 file, or is cut short: {first_line(error)}"
            ) from error


def _hdf5_arrays(path: Path, h5py: Any, archive: Any) -> Raw:
    """The gestures of an open HDF5 file."""
    whole_number(f"arrays in {path}", len(archive), most=MOST_DATASETS)
    trials: list[np.ndarray] = []
    labels: list[str] = []
    total = 0
    for name in archive:
        # A link of another kind may lead to another file.
        if not isinstance(archive.get(name, getlink=True), h5py.HardLink):
            raise LanceletError(f"{path}: {name!r} is a link: put the array itself there")
        dataset = archive[name]
        if not isinstance(dataset, h5py.Dataset):
            raise LanceletError(f"{path}: {name!r} is a group: arrays must stand in the root")
        if dataset.external is not None or dataset.is_virtual:
            raise LanceletError(
                f"{path}: {name!r} lies in another file: put the array itself there"
            )
        gesture_name(name)
        _check_array(path, name, dataset.shape, dataset.dtype)
        total += 8 * dataset.size
        foreign.check_size(f"{path}, unpacked,", total, RECORDING_BYTES)
        values = dataset[()].astype(np.float32)
        trials += list(values)
        labels += [name] * len(values)
    about = {key: archive.attrs[key] for key in (RATE, SESSION, LAYOUT) if key in archive.attrs}
    return Raw(trials=trials, labels=labels, about=_plain_numbers(path, about))


def _plain_numbers(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What a file says of itself, as numbers of Python: a single one, or several for the layout."""
    plain: dict[str, Any] = {}
    for name, value in about.items():
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "fiu" or numbers.size not in (1, 2):
            raise LanceletError(
                f"{path}: {name} = {value!r}: must be a number, or two for the layout"
            )
        if name == LAYOUT:
            plain[name] = tuple(numbers.ravel().tolist())
        elif name == SESSION:
            plain[name] = int(numbers.ravel()[0])
        else:
            plain[name] = float(numbers.ravel()[0])
    return plain


# MATLAB


def read_mat(path: Path) -> Raw:
    """One variable a gesture, and the variables ``rate``, ``session``, ``layout``; others are refused."""
    with foreign.open_regular(path, RECORDING_BYTES) as file:
        try:
            variables = io.whosmat(file)
            whole_number(f"variables in {path}", len(variables), most=MOST_DATASETS)
            _check_mat_headers(path, variables)
            file.seek(0)
            # The sizes have been checked: a variable's data can be no larger than its header says.
            values = io.loadmat(file, squeeze_me=False)
        except LanceletError:
            raise
        except NotImplementedError as error:
            raise LanceletError(
                f"{path} is a MATLAB 7.3 file, which is HDF5: rename it to .h5"
            ) from error
        except Exception as error:
            # scipy and zlib have exceptions of their own each.
            raise LanceletError(
                f"{path} is no MATLAB file, or is cut short: {first_line(error)}"
            ) from error
    trials: list[np.ndarray] = []
    labels: list[str] = []
    for name, _, _ in variables:
        if _is_gesture(name):
            array = np.asarray(values[name])
            _check_array(path, name, array.shape, array.dtype)
            trials += list(array.astype(np.float32))
            labels += [name] * len(array)
    about = {name: values[name] for name in (RATE, SESSION, LAYOUT) if name in values}
    return Raw(trials=trials, labels=labels, about=_plain_numbers(path, about))


MAT_NUMBERS = {
    "double",
    "single",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
}
"""classes of MATLAB that hold numbers"""


def _check_mat_headers(path: Path, variables: Iterable[tuple[str, tuple[int, ...], str]]) -> None:
    """Refuse variables that are no gestures and say nothing of the recording, are no numbers, or are too large."""
    total = 0
    for name, shape, kind in variables:
        if name not in (RATE, SESSION, LAYOUT):
            gesture_name(name)
        if kind not in MAT_NUMBERS:
            raise LanceletError(f"{path}: {name!r} is of class {kind}: must be numbers")
        size = 8
        for length in shape:
            size *= int(length)
        total += size
    foreign.check_size(f"{path}, unpacked,", total, RECORDING_BYTES)


# int16 with a header


def read_dat(path: Path) -> Raw:
    """One trial of PhysioNet's format 16: int16, little-endian, all channels of a sample side by side."""
    header_path = path.with_suffix(".hea")
    header = _read_header(header_path)
    content = foreign.read_bytes(path, RECORDING_BYTES)
    sample_bytes = 2 * header.channels
    if len(content) == 0 or len(content) % sample_bytes:
        raise LanceletError(
            f"{path} has {len(content)} bytes: must be a multiple of {sample_bytes} "
            f"({header.channels} channels of int16)"
        )
    numbers = np.frombuffer(content, "<i2").reshape(-1, header.channels)
    values = (numbers.T - header.baselines[:, None]) / header.gains[:, None]
    return Raw(
        trials=[values.astype(np.float32)],
        labels=[header.gesture],
        about={RATE: header.rate},
    )


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a PhysioNet header says of one record."""

    channels: int
    rate: float
    """Hz"""
    gains: np.ndarray
    """(channels,) numbers a physical unit"""
    baselines: np.ndarray
    """(channels,) number that stands for 0"""
    gesture: str
    """of the comment ``# gesture: NAME``; empty without one"""


def _read_header(path: Path) -> Header:
    """The header of a record: a line of the record, one a signal, then comments."""
    lines = foreign.read_text(path, HEADER_BYTES).splitlines()
    gesture = ""
    rows = []
    for line in lines:
        text = line.strip()
        if text.startswith("#"):
            key, _, value = text.lstrip("# ").partition(":")
            if key.strip() == GESTURE:
                gesture = value.strip()
        elif text:
            rows.append(text.split())
    try:
        channels = int(rows[0][1])
        rate = float(rows[0][2].partition("/")[0])
        signals = rows[1 : 1 + channels]
        if channels < 1 or len(signals) != channels:
            raise ValueError(f"{len(signals)} lines of signals for {channels} signals")
        formats = {row[1] for row in signals}
        if formats != {"16"}:
            raise ValueError(f"format {', '.join(sorted(formats))}: only 16 (int16) is read")
        scales = [_gain_and_baseline(row[2] if len(row) > 2 else "") for row in signals]
    except (IndexError, ValueError) as error:
        raise LanceletError(f"{path} is no header of int16 signals: {first_line(error)}") from error
    return Header(
        channels=channels,
        rate=rate,
        gains=np.array([gain for gain, _ in scales]),
        baselines=np.array([baseline for _, baseline in scales]),
        gesture=gesture,
    )


DEFAULT_GAIN = 200.0
"""numbers a physical unit where a PhysioNet header says none, or 0"""


def _gain_and_baseline(text: str) -> tuple[float, float]:
    """Gain and baseline of ``gain(baseline)/units``, as PhysioNet writes them.

    Raises:
        ValueError: they are no finite numbers.
    """
    scale = text.partition("/")[0]
    gain_text, _, baseline_text = scale.partition("(")
    gain = float(gain_text) if gain_text else 0.0
    baseline = float(baseline_text.rstrip(")")) if baseline_text else 0.0
    if not (np.isfinite(gain) and np.isfinite(baseline)):
        raise ValueError(f"gain {text}: must be finite")
    return gain or DEFAULT_GAIN, baseline


# csv


def read_csv(path: Path) -> Raw:
    """A header ``gesture,trial,1,2,...``, and one line a sample; comments ``# rate: HZ`` stand above it."""
    lines = foreign.read_text(path, RECORDING_BYTES // 4).splitlines()
    about: dict[str, Any] = {}
    while lines and lines[0].lstrip().startswith("#"):
        key, _, value = lines.pop(0).lstrip("# ").partition(":")
        if key.strip() in (RATE, SESSION):
            about[key.strip()] = _csv_number(path, key.strip(), value)
    columns = [name.strip() for name in lines[0].split(",")] if lines else []
    if columns[:2] != [GESTURE, TRIAL] or len(columns) < 3:
        raise LanceletError(f"{path}: the first line must be {GESTURE},{TRIAL},1,2,...")
    rows: dict[tuple[str, str], list[str]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        name, trial, numbers = _csv_line(path, number, line)
        rows.setdefault((name, trial), []).append(numbers)
    whole_number(f"trials in {path}", len(rows), most=MOST_DATASETS)
    trials = []
    for (name, trial), samples in rows.items():
        what = f"{path}: trial {trial} of {name}"
        trials.append(_csv_samples(what, samples, channels=len(columns) - 2))
    labels = [name for name, _ in rows]
    return Raw(trials=trials, labels=labels, about=about)


def _csv_number(path: Path, name: str, text: str) -> float | int:
    """A number of a comment of a csv file."""
    try:
        return int(text) if name == SESSION else float(text)
    except ValueError as error:
        raise LanceletError(f"{path}: {name} = {text.strip()!r}: must be a number") from error


def _csv_line(path: Path, number: int, line: str) -> tuple[str, str, str]:
    """Gesture, trial and samples of a line, the samples still as text."""
    parts = line.split(",", 2)
    if len(parts) < 3:
        raise LanceletError(f"{path}, line {number}: must be a gesture, a trial and the samples")
    return parts[0].strip(), parts[1].strip(), parts[2]


def _csv_samples(what: str, samples: list[str], channels: int) -> np.ndarray:
    """The samples (channels, samples) of one trial.

    Args:
        what: file and trial, for the error.
        samples: one text a sample.
        channels: as the header has them.
    """
    try:
        values = np.array([text.split(",") for text in samples], dtype=np.float32)
    except ValueError as error:
        raise LanceletError(
            f"{what}: must be {channels} numbers a line ({first_line(error)})"
        ) from error
    if values.shape[1] != channels:
        raise LanceletError(f"{what} has {values.shape[1]} numbers a line: must be {channels}")
    return values.T


_READERS: dict[str, Callable[[Path], Raw]] = {
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".mat": read_mat,
    ".dat": read_dat,
    ".csv": read_csv,
}
"""suffix of a file -> what reads it"""
