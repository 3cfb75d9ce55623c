"""Check this machine: versions, physics, OpenGL, video, cores and memory; what to install where something lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lancelet import LanceletError
from lancelet.optional import NO_DM_CONTROL, expects_dm_control, why_no_dm_control
from lancelet.scripts import cli

if TYPE_CHECKING:
    from lancelet.scripts.rows import Row
    from lancelet.training.distributed.listening import Listener

NEEDED = ("mujoco", "gymnasium", "torch", "numpy")
"""distributions that everything needs"""
EXTRAS = {"stable-baselines3": "rl", "ray": "cluster", "evotorch": "evolution"}
"""distribution -> the extra that brings it"""
PAIR = {"mujoco": ("3.17", "4"), "dm-control": ("1.0.50", "2")}
"""versions known to fit one another: from, and below"""
PYTHON = ("3.11", "3.14")
"""versions of Python that Lancelet runs under: from, and below"""
RUN_SETUP = "run `make setup`"
GIB = 2**30
"""bytes"""


@dataclass
class Doctor:
    """Output."""

    json: str | None = None
    """also write the rows here"""


@dataclass(frozen=True)
class Mark:
    """How the verdict of a row is shown."""

    word: str
    style: str


MARKS = {
    True: Mark("ok", "green"),
    False: Mark("no", "bold red"),
    None: Mark("--", "dim"),
}


def main(argv: list[str] | None = None) -> int | None:
    """Print one line a check; the exit status is 0 whatever they say."""
    cli.shield_gl()
    from rich.console import Console
    from rich.text import Text

    from lancelet.scripts.rows import to_json

    _, flags = cli.words("doctor", __doc__ or "", argv)
    options = cli.parse("doctor", __doc__ or "", flags, options=Doctor).options
    console = Console()
    rows = []
    for row in checks():
        rows.append(row)
        mark = MARKS[row.holds]
        note = f"   {row.note}" if row.note else ""
        line = Text.assemble(
            (f"{mark.word}  ", mark.style),
            (f"{row.name:18}", "cyan"),
            f" {row.value}{note}",
        )
        console.print(line, soft_wrap=True)
    if options.json:
        to_json(rows, options.json)
    return 0


def checks() -> Iterator[Row]:
    """All checks, one after the other."""
    yield from _versions()
    yield _physics()
    yield from _drawing()
    yield _ffmpeg()
    yield from _machine()
    yield from _network()


# Versions


def _versions() -> Iterator[Row]:
    """Python, what everything needs, what the extras bring, and whether MuJoCo and dm_control fit."""
    from lancelet.scripts.rows import Row

    version = platform.python_version()
    low, high = PYTHON
    fits = _within(version, low, high)
    note = "" if fits else "use Python 3.11, 3.12 or 3.13"
    yield Row("python", "gate", version, f">= {low}, < {high}", fits, note=note)
    for name in NEEDED:
        yield _installed(name, RUN_SETUP)
    for name, extra in EXTRAS.items():
        yield _installed(name, f"pip install 'lancelet[{extra}]', or {RUN_SETUP}")
    yield _pair()


def _installed(name: str, advice: str) -> Row:
    """Whether a distribution is installed; `advice` says how to come by it."""
    from lancelet.scripts.rows import Row

    version = _version(name)
    if version is None:
        return Row(name, "gate", "missing", holds=False, note=advice)
    return Row(name, "gate", version, holds=True)


def _pair() -> Row:
    """Whether MuJoCo and dm_control fit one another; without dm_control, whether MuJoCo is one that Lancelet takes."""
    from lancelet.scripts.rows import Row

    needed = dict(PAIR)
    note = ""
    if why_no_dm_control() is not None and not expects_dm_control():
        del needed["dm-control"]
        note = NO_DM_CONTROL
    installed = {name: _version(name) for name in needed}
    faults = []
    for name, (low, high) in needed.items():
        if not _within(installed[name], low, high):
            faults.append(f"{name} {installed[name]} (needs >= {low}, < {high})")
    if faults:
        note = f"{', '.join(faults)}: {RUN_SETUP}"
    value = " + ".join(f"{name} {version}" for name, version in installed.items())
    return Row("dm-control pair", "gate", value, holds=not faults, note=note)


def _within(version: str | None, low: str, high: str) -> bool:
    """Whether a version is `low` or later, and before `high`; None is no version."""
    if version is None:
        return False
    return _release(low) <= _release(version) < _release(high)


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version that are compared: "3.17.0rc1" -> (3, 17, 0)."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    if numbers is None:
        return ()
    return tuple(int(number) for number in numbers[0].split("."))


def _version(name: str) -> str | None:
    """Version of an installed distribution; None where it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


# What must work


def _physics() -> Row:
    """Whether two swimmers compile, move, and move alike."""
    import numpy as np

    from lancelet.scripts.rows import Row

    try:
        from lancelet.envs.swim import Swim

        sim = Swim(joints=3).make(2, 1)
        sim.ctrl[:] = 1.0
        sim.step(100)
        first, second = sim.qpos
        moves = np.ptp(first) > 0
        moves_alike = np.array_equal(first, second)
        is_finite = np.isfinite(sim.state).all()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return Row("physics", "gate", reason, holds=False, note=RUN_SETUP)
    works = bool(moves and moves_alike and is_finite)
    return Row("physics", "gate", "swimmer compiles and moves", holds=works)


def _drawing() -> Iterator[Row]:
    """Which kinds of OpenGL draw a picture here."""
    from lancelet.scripts.rows import Row
    from lancelet.training.video import opengl

    works = []
    for backend in opengl.candidates():
        reason = opengl.why_not(backend)
        if reason is None:
            works.append(backend)
            yield Row(f"opengl {backend}", "info", "draws", holds=True)
        else:
            advice = opengl.INSTALL.get(backend, "")
            yield Row(f"opengl {backend}", "info", reason, holds=False, note=advice)
    if works:
        yield Row("render", "gate", f"by {works[0]}", holds=True)
    else:
        advice = "install one of the above"
        yield Row("render", "gate", "not possible", holds=False, note=advice)


def _ffmpeg() -> Row:
    """Whether there is a program that writes films."""
    from lancelet.optional import MissingExtra, extras
    from lancelet.scripts.rows import Row

    try:
        with extras():
            import imageio_ffmpeg

        version = imageio_ffmpeg.get_ffmpeg_version()
    except MissingExtra as error:
        return Row("ffmpeg", "gate", "missing", holds=False, note=str(error))
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).split("\n")[0]
        return Row("ffmpeg", "gate", reason, holds=False, note=RUN_SETUP)
    return Row("ffmpeg", "gate", version, holds=True)


# The machine and its network


def _machine() -> Iterator[Row]:
    """Cores, memory, and torch's threads."""
    import torch

    from lancelet.scripts.rows import Row

    cores = os.cpu_count()
    if hasattr(os, "sched_getaffinity"):
        # The cores that this process may use, which in a container can be fewer.
        cores = len(os.sched_getaffinity(0))
    yield Row("cores", "info", cores, note=f"{platform.system()} {platform.machine()}")
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
        yield Row("memory", "info", f"{memory:.1f} GiB")
    except (ValueError, OSError, AttributeError):
        yield Row("memory", "info", "unknown")
    threads = torch.get_num_threads()
    note = "the commands set 1: more are slower beside physics" if threads > 1 else ""
    yield Row("torch threads", "info", threads, note=note)


def _network() -> Iterator[Row]:
    """How Ray would be started here, and what of it and of ours listens now."""
    from lancelet.scripts.rows import Row
    from lancelet.training.distributed.cluster import LOOPBACK
    from lancelet.training.distributed.listening import PROC, listeners

    yield Row("ray pools", "info", f"listen on {LOOPBACK} only, with a token of their own")
    yield _ray_token()
    if not PROC.is_dir():
        yield Row("listening", "info", "unknown", note="no /proc here")
        return
    listening = listeners()
    if not listening:
        yield Row("listening", "info", "nothing of Ray or Lancelet")
    for listener in listening:
        yield _listener(listener)


def _ray_token() -> Row:
    """Where the token lies with which a Ray cluster of the user's is joined."""
    from lancelet.scripts.rows import Row
    from lancelet.training.distributed import ray_token

    try:
        token = ray_token.users_token()
    except LanceletError as error:
        return Row("ray token", "info", "none", holds=False, note=str(error))
    if token is None:
        value = "none: a cluster that wants one cannot be joined with --address"
        return Row("ray token", "info", value)
    return Row("ray token", "info", token.source)


def _listener(listener: Listener) -> Row:
    """One process of Ray or Lancelet that listens: who reaches it, and whether it asks for a token."""
    from lancelet.scripts.rows import Row

    place = f"{listener.host} port {listener.port}"
    value = f"{place}: {listener.process} (process {listener.pid})"
    reached_by = (
        "this machine only" if listener.on_loopback else "every machine that reaches this one"
    )
    asks = "asks for a token" if listener.token else "asks for no Ray token"
    is_safe = listener.on_loopback or listener.token
    note = f"reached by {reached_by}; {asks}"
    return Row("listening", "info", value, holds=is_safe, note=note)


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))
