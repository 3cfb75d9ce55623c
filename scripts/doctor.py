"""Check this machine: versions, physics, OpenGL, video, cores and memory; what to install where something lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lancelet import LanceletError
from lancelet.optional import NO_DM_CONTROL, expects_dm_control, why_no_dm_control
from lancelet.scripts import cli

if TYPE_CHECKING:
    from lancelet.scripts.rows import Row

NEEDED = ("mujoco", "gymnasium", "torch", "numpy", "stable-baselines3", "ray", "evotorch")
PAIR = {"mujoco": ("3.17", "4"), "dm-control": ("1.0.50", "2")}
"""versions known to fit one another: from, and below"""


@dataclass
class Doctor:
    """Output."""

    json: str | None = None
    """also write the rows here"""


def main(argv: list[str] | None = None) -> int | None:
    """Print one line a check; the exit status is 0 whatever they say."""
    cli.shield_gl()
    from rich.console import Console
    from rich.text import Text

    from lancelet.scripts.rows import to_json

    _, flags = cli.words("doctor", __doc__ or "", argv)
    options = cli.parse("doctor", __doc__ or "", flags, options=Doctor).options
    console, rows = Console(), []
    for row in checks():
        rows.append(row)
        mark, style = {True: ("ok", "green"), False: ("no", "bold red"), None: ("--", "dim")}[
            row.holds
        ]
        note = f"   {row.note}" if row.note else ""
        line = Text.assemble(
            (f"{mark}  ", style), (f"{row.name:18}", "cyan"), f" {row.value}{note}"
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


def _versions() -> Iterator[Row]:
    from lancelet.scripts.rows import Row

    python = platform.python_version()
    fits = _within(python, "3.11", "3.14")
    yield Row(
        "python",
        "gate",
        python,
        ">= 3.11, < 3.14",
        fits,
        note="" if fits else "use Python 3.11, 3.12 or 3.13",
    )
    for name in NEEDED:
        found = _version(name)
        yield Row(
            name,
            "gate",
            found or "missing",
            holds=found is not None,
            note="" if found else "run `make setup`",
        )
    yield _pair()


def _pair() -> Row:
    """Whether MuJoCo and dm_control fit one another; without dm_control, whether MuJoCo is one that Lancelet takes."""
    from lancelet.scripts.rows import Row

    needed = dict(PAIR)
    remark = ""
    if why_no_dm_control() is not None and not expects_dm_control():
        del needed["dm-control"]
        remark = NO_DM_CONTROL
    installed = {name: _version(name) for name in needed}
    faults = []
    for name, (low, high) in needed.items():
        if not _within(installed[name], low, high):
            faults.append(f"{name} {installed[name]} (needs >= {low}, < {high})")
    if faults:
        remark = f"{', '.join(faults)}: run `make setup`"
    value = " + ".join(f"{name} {version}" for name, version in installed.items())
    return Row("dm-control pair", "gate", value, holds=not faults, note=remark)


def _within(version: str | None, low: str, high: str) -> bool:
    from packaging.version import Version

    if version is None:
        return False
    return Version(low) <= Version(version) < Version(high)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _physics() -> Row:
    import numpy as np

    from lancelet.scripts.rows import Row

    try:
        from lancelet.envs.swim import Swim

        sim = Swim(joints=3).make(2, 1)
        sim.ctrl[:] = 1.0
        sim.step(100)
        moved = (
            np.ptp(sim.qpos[0]) > 0
            and np.array_equal(sim.qpos[0], sim.qpos[1])
            and np.isfinite(sim.state).all()
        )
    except Exception as error:
        return Row(
            "physics",
            "gate",
            f"{type(error).__name__}: {error}",
            holds=False,
            note="run `make setup`",
        )
    return Row("physics", "gate", "swimmer compiles and moves", holds=bool(moved))


def _drawing() -> Iterator[Row]:
    from lancelet.scripts.rows import Row
    from lancelet.training.video import opengl as gl

    works = []
    for backend in gl.candidates():
        reason = gl.why_not(backend)
        works += [backend] if reason is None else []
        note = "" if reason is None else gl.INSTALL.get(backend, "")
        yield Row(
            f"opengl {backend}",
            "info",
            "draws" if reason is None else reason,
            holds=reason is None,
            note=note,
        )
    value = f"by {works[0]}" if works else "not possible"
    yield Row(
        "render", "gate", value, holds=bool(works), note="" if works else "install one of the above"
    )


def _ffmpeg() -> Row:
    from lancelet.scripts.rows import Row

    try:
        import imageio_ffmpeg

        return Row("ffmpeg", "gate", imageio_ffmpeg.get_ffmpeg_version(), holds=True)
    except (ImportError, RuntimeError, OSError) as error:
        return Row(
            "ffmpeg", "gate", str(error).split("\n")[0], holds=False, note="run `make setup`"
        )


def _machine() -> Iterator[Row]:
    import torch

    from lancelet.scripts.rows import Row

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Row("cores", "info", usable, note=f"{platform.system()} {platform.machine()}")
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        yield Row("memory", "info", f"{memory:.1f} GiB")
    except (ValueError, OSError, AttributeError):
        yield Row("memory", "info", "unknown")
    threads = torch.get_num_threads()
    note = "the commands set 1: more are slower beside physics" if threads > 1 else ""
    yield Row("torch threads", "info", threads, note=note)


def _network() -> Iterator[Row]:
    """How Ray would be started here, and what of it and of ours listens now."""
    from lancelet.scripts.rows import Row
    from lancelet.training.distributed import ray_token
    from lancelet.training.distributed.cluster import LOOPBACK
    from lancelet.training.distributed.listening import PROC, listeners

    yield Row("ray pools", "info", f"listen on {LOOPBACK} only, with a token of their own")
    try:
        token = ray_token.users_token()
    except LanceletError as error:
        yield Row("ray token", "info", "none", holds=False, note=str(error))
    else:
        source = "none: a cluster that wants one cannot be joined with --address"
        if token is not None:
            source = token.source
        yield Row("ray token", "info", source)
    if not PROC.is_dir():
        yield Row("listening", "info", "unknown", note="no /proc here")
        return
    found = listeners()
    if not found:
        yield Row("listening", "info", "nothing of Ray or Lancelet")
    for one in found:
        reached = "this machine only" if one.on_loopback else "every machine that reaches this one"
        asks = "asks for a token" if one.token else "asks for no Ray token"
        value = f"{one.host} port {one.port}: {one.process} (process {one.pid})"
        safe = one.on_loopback or one.token
        yield Row("listening", "info", value, holds=safe, note=f"reached by {reached}; {asks}")


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))
