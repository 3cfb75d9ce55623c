"""Opens run folders of strangers and watches: ``python strangers.py FOLDER [GROUPS [SHARE]]`` prints what is wrong.

Every case is a copy of a good run in which one thing is something else. Whatever reads it must end in success or in
one line of `LanceletError`, within a time limit, without an import of what the folder names, without opening a file
outside the folder to write, and without a process. A share of 1 tries every value in every place; one of 24, the
default, every 24th, each place beginning with another value.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import itertools
import json
import os
import resource
import shutil
import signal
import sqlite3
import struct
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lancelet import LanceletError, controllers, registered, training
from lancelet.morphology.genome import Genome
from lancelet.scripts import play, sweep
from lancelet.training.coevolution import champions, family, individuals, lifetimes
from lancelet.training.coevolution.driver import Coevolve, Driver
from lancelet.training.rollout import make_env
from lancelet.training.runs import sessions
from lancelet.training.video import video

SECONDS_A_CASE = 60
"""that a case may take: several hundred times what one does"""
MEMORY = 3 * 2**30
"""bytes that the process may grow to"""
SWIM = "lancelet/Swim-v0"
EVIL = "evil_stranger"
"""module that lies on the path and must not be imported"""

DEEP: list[Any] = []
for _ in range(50):
    DEEP = [DEEP]
MODULE = f"{EVIL}:Boom"
"""is tried in every place of a configuration and of a co-evolution's settings"""
VALUES: tuple[Any, ...] = (
    f"{EVIL}:{SWIM}",
    EVIL,
    "os:system",
    "/etc/passwd",
    "../../outside/secret",
    "x" * 5000,
    "\x1b[2J\n",
    "",
    10**9,
    2**70,
    -1,
    0,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    True,
    None,
    [],
    {},
    [f"{EVIL}:Boom"],
    {"name": f"{EVIL}:Boom"},
    {"task": f"{EVIL}:Boom"},
    DEEP,
)

violations: list[str] = []
"""what the audit hook saw in the present case"""
watching: Path | None = None
"""folder that the present case may write to; None: anything goes"""


@dataclass
class Case:
    """A folder that is made, and what reads it."""

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], object]


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook."""
    if watching is None:
        return
    if event == "import" and str(arguments[0]).startswith("evil"):
        violations.append(f"imports {arguments[0]}")
    if event in (
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "os.forkpty",
    ):
        violations.append(f"starts a process: {event} {arguments[:2]}")
    if event != "open" or not isinstance(arguments[0], str | bytes):
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))
    flags = arguments[2] or 0
    writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if path.endswith("outside/secret"):
        violations.append("opens a file outside of the folder")
    if writes and not path.startswith((str(watching), "/dev/null")):
        violations.append(f"opens {path} to write")


class TooLong(BaseException):
    """A case that takes longer than it may."""


def too_long(*_: object) -> None:
    """The alarm."""
    raise TooLong


def run(case: Case, folder: Path) -> str | None:
    """What is wrong with a case; None: nothing."""
    global watching
    shutil.rmtree(folder, ignore_errors=True)
    case.make(folder)
    violations.clear()
    wrong = None
    faulthandler.dump_traceback_later(
        3 * SECONDS_A_CASE, exit=True
    )  # where no Python runs, no alarm rings
    signal.alarm(SECONDS_A_CASE)
    watching = folder.parent
    try:
        case.read(folder)
    except LanceletError as error:
        if "\n" in str(error) or len(str(error)) > 20_000:
            wrong = f"more than a line: {str(error)[:200]!r}"
    except TooLong:
        wrong = f"takes more than {SECONDS_A_CASE} s"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        wrong = f"{type(error).__name__}: {str(error)[:100]} ({last.filename}:{last.lineno})"
    finally:
        watching = None
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
    if violations:
        wrong = "; ".join(violations)
    return wrong


# -- the good runs -----------------------------------------------------------------------------------------------------

TRAINED = {"max_episode_steps": 3}
EVOLVED = {
    "evaluations": 3,
    "population": 3,
    "steps": 3,
    "episodes": 1,
    "workers": "1",
    "quiet": True,
}


def train(folder: Path) -> object:
    """A training of one generation, or what is there taken up."""
    return training.evolve(
        SWIM,
        "ncap",
        generations=1,
        population=4,
        validate_every=1,
        validation=2,
        test=0,
        folder=folder,
        resume=True,
        task_options=TRAINED,
    )


def coevolve(folder: Path) -> object:
    """A co-evolution of three individuals, or what is there taken up: it is done then, and starts no process."""
    return Coevolve(**EVOLVED, folder=str(folder), resume=True).run("swim")


def write_evolved(folder: Path) -> None:
    """A finished co-evolution of three individuals, as its driver writes it."""
    folder.mkdir()
    driver = Driver(Coevolve(**EVOLVED, folder=str(folder)), "swimmer", folder)
    people = []
    for number in range(3):
        genome = driver.kind.random(np.random.default_rng(number)).to_json()
        family = [number - 1] if number else []
        people.append(
            individuals.Individual(id=number, parents=family, operator="random", genome=genome)
        )
    driver.store.record(births=people)
    for one in people:
        one.state = "evaluated"
        one.fitness = float(one.id)
        one.figures = {"speed": 0.5}
        one.learned = {}
        one.done = 1000.0 + one.id
    driver.store.record(done=people)
    driver.store.close()


def copied(source: Path, change: Callable[[Path], object]) -> Callable[[Path], None]:
    """Makes a copy of a run, changed."""

    def make(folder: Path) -> None:
        shutil.copytree(source, folder)
        change(folder)

    return make


# -- what reads --------------------------------------------------------------------------------------------------------


def render(folder: Path) -> object:
    """`lancelet render`, without the drawing."""
    video.episode(folder)
    return video.render_run(folder)


def load(folder: Path) -> object:
    """`controllers.load`."""
    return controllers.load(folder)


def play_agent(folder: Path) -> object:
    """`lancelet play --agent RUN`, and `evaluate`."""
    agent = play._agent(str(folder), make_env(SWIM, 1, 3), False)
    return training.evaluate(agent, SWIM, 1, **TRAINED)


def lineage(folder: Path) -> object:
    """`lancelet lineage --video`, without the drawing."""
    people = individuals.read(folder)
    family.tree(people)
    champions.ancestors(people, champions.champions(people)[-1])
    life = lifetimes.life_of(folder)
    return family.film(people, life, folder / "champions.mp4")


def sweep_again(folder: Path) -> object:
    """`lancelet sweep --resume`, which refuses what it is not told to trust."""
    return sweep.main(["swim", "ncap", "--over", "seed=1,2", "--folder", str(folder), "--resume"])


# -- the cases ---------------------------------------------------------------------------------------------------------


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of nested lists and objects in which `value` stands at `path`."""
    changed = copy.deepcopy(tree)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed


def paths(tree: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything in nested objects, and to the first of every list."""
    items: list[tuple[Any, Any]] = []
    if isinstance(tree, dict):
        items = list(tree.items())
    if isinstance(tree, list):
        items = list(enumerate(tree[:1]))
    for step, inner in items:
        yield (*before, step)
        yield from paths(inner, (*before, step))


def some(values: tuple[Any, ...], place: object, share: int) -> list[Any]:
    """Every `share`-th value, beginning where the place's name says."""
    return list(values[zlib.crc32(repr(place).encode()) % share :: share])


def config_cases(run: Path, share: int) -> Iterator[Case]:
    """Every field of `config.yaml`, and options that no task has."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    foreign_options = (
        "task",
        "wrappers",
        "vectorization_mode",
        "vector_kwargs",
        "render_mode",
        "n",
        "id",
        "options",
    )
    fields = [*paths(config), *(("task_options", name) for name in foreign_options)]
    for field in fields:
        for value in (MODULE, *some(VALUES, field, share)):

            def change(folder: Path, field: Any = field, value: Any = value) -> None:
                (folder / "config.yaml").write_text(yaml.safe_dump(replaced(config, field, value)))

            for read in (render, train):
                yield Case(
                    f"config {field} = {str(value)[:30]!r}, {read.__name__}",
                    copied(run, change),
                    read,
                )


def header_cases(run: Path, share: int) -> Iterator[Case]:
    """Every field of the header of `best.safetensors`, for every controller."""
    for name in controllers.controllers:
        source = run.parent / "controllers" / name
        if not source.exists():
            continue
        data = (source / "best.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        weights = data[8 + length :]
        about = json.loads(header["__metadata__"]["lancelet"])
        for field in paths(about):
            for value in some(VALUES, (name, field), share):

                def change(
                    folder: Path,
                    field: Any = field,
                    value: Any = value,
                    rest: Any = (header, about, weights),
                ) -> None:
                    header, about, weights = rest
                    text = json.dumps(replaced(about, field, value))
                    whole = json.dumps({**header, "__metadata__": {"lancelet": text}}).encode()
                    (folder / "best.safetensors").write_bytes(
                        struct.pack("<Q", len(whole)) + whole + weights
                    )

                yield Case(
                    f"header of {name} {field} = {str(value)[:30]!r}", copied(source, change), load
                )
                if name == "ncap":
                    yield Case(
                        f"agent {field} = {str(value)[:30]!r}", copied(source, change), play_agent
                    )


def database_cases(run: Path, share: int) -> Iterator[Case]:
    """Every setting, every column, every gene of a co-evolution."""
    database = sqlite3.connect(run / individuals.NAME)
    (text,) = database.execute("select value from run where name = 'settings'").fetchone()
    genome = database.execute("select genome from individuals where id = 0").fetchone()[0]
    columns = [row[1] for row in database.execute("pragma table_info(individuals)")]
    database.close()

    def statement(words: str, *values: Any) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            own = sqlite3.connect(folder / individuals.NAME)
            with contextlib.suppress(
                sqlite3.IntegrityError
            ):  # what SQLite itself refuses stays as it was
                own.execute(words, values)
            own.commit()
            own.close()

        return copied(run, change)

    settings = json.loads(text)
    for field in [
        *paths(settings),
        ("task_options", "task"),
        ("task_options", "body"),
        ("task_options", "n"),
    ]:
        for value in (MODULE, *some(VALUES, field, share)):
            changed = statement("update run set value = ? where name = 'settings'",
                                json.dumps(replaced(settings, field, value)))  # fmt: skip
            yield Case(f"setting {field} = {str(value)[:30]!r}", changed, lineage)
    plain = [value for value in VALUES if not isinstance(value, dict | list)]
    stored_values = (*plain, b"\xff", "[[0]]", "{", "[1]")
    for column in columns:
        for value in some(stored_values, column, share):
            stored = min(value, 2**63 - 1) if isinstance(value, int) else value
            changed = statement(f"update individuals set {column} = ? where id = 1", stored)
            yield Case(f"column {column} = {str(value)[:30]!r}", changed, lineage)
            yield Case(f"column {column} = {str(value)[:30]!r}, coevolve", changed, coevolve)
    for sort, gene in (("swimmer", genome), ("creature", _creature())):
        whole = json.loads(gene)
        for field in paths(whole):
            for value in some(VALUES, field, share):
                changed = statement(
                    "update individuals set genome = ?", json.dumps(replaced(whole, field, value))
                )
                yield Case(f"gene of {sort} {field} = {str(value)[:30]!r}", changed, lineage)


def _creature() -> str:
    from lancelet.morphology.genome import kinds

    return kinds.known("creature").random(np.random.default_rng(0)).to_json()


def file_cases(trained: Path, evolved: Path, outside: Path) -> Iterator[Case]:
    """Every file of a run as something that is no file, or another one."""

    def pipe(path: Path) -> None:
        os.mkfifo(path)

    def device(path: Path) -> None:
        path.symlink_to("/dev/zero")

    def folder_there(path: Path) -> None:
        path.mkdir()

    def link_out(path: Path) -> None:
        path.symlink_to(outside / "secret")

    def circle(path: Path) -> None:
        path.symlink_to(path.name)

    def empty(path: Path) -> None:
        path.write_bytes(b"")

    def noise(path: Path) -> None:
        path.write_bytes(np.random.default_rng(0).bytes(3000))

    def large(path: Path) -> None:
        with open(path, "wb") as file:
            file.truncate(2**40)

    names = {
        trained: {
            "config.yaml": (render, train),
            "episode.npz": (render,),
            "best.safetensors": (render, load, play_agent, train),
            "metrics.jsonl": (train,),
            "checkpoint/state.safetensors": (train,),
            "lock": (train,),
            "sweep.yaml": (sweep_again,),
        },
        evolved: {
            individuals.NAME: (lineage, coevolve),
            f"{individuals.NAME}-wal": (lineage, coevolve),
            f"{individuals.NAME}-shm": (lineage, coevolve),
            f"{individuals.NAME}-journal": (lineage, coevolve),
            "lock": (coevolve,),
        },
    }
    for source, files in names.items():
        for name, reads in files.items():
            for become in (pipe, device, folder_there, link_out, circle, empty, noise, large):
                for read in reads:

                    def change(folder: Path, name: str = name, become: Any = become) -> None:
                        (folder / name).unlink(missing_ok=True)
                        become(folder / name)

                    yield Case(
                        f"{name} is a {become.__name__}, {read.__name__}",
                        copied(source, change),
                        read,
                    )


def prepare(root: Path) -> tuple[Path, Path]:
    """Good runs to be spoilt, and everything loaded and compiled that they need."""
    trained, evolved = root / "trained", root / "evolved"
    train(trained)
    render(trained)
    shutil.rmtree(trained / "events", ignore_errors=True)
    (trained / "episode.npz").unlink()
    play_agent(trained)
    write_evolved(evolved)
    coevolve(evolved)
    lineage(evolved)
    for name in controllers.controllers:
        controller = _at_home(name)
        if controller is not None:
            (root / "controllers" / name).mkdir(parents=True)
            controllers.save(controller, root / "controllers" / name)
    Genome.from_json(_creature())
    return trained, evolved


def _at_home(name: str) -> Any:
    """The controller for the first task that it reads; None: there is none without options."""
    for task in registered().values():
        with contextlib.suppress(LanceletError):
            return controllers.make(name, make_env(task, 1, 3))
    return None


def quiet() -> None:
    """No drawing and no processes of our own: they would hide those of a stranger."""
    sessions.git_hash = lambda: None
    video.draw = lambda model, record, out, *_, **__: Path(out)
    family.subprocess = _NoFilms()


class _NoFilms:
    """Stands in for `subprocess` where films are joined."""

    def run(self, command: list[str], **_: Any) -> Any:
        """Nothing is joined."""
        Path(command[-1]).write_bytes(b"")
        return self

    returncode = 0


def main(root: Path, groups: str = "files config header database", share: int = 24) -> int:
    """Run the cases of some groups; what is wrong goes to standard output."""
    sys.path.append(str(root / "planted"))
    (root / "planted").mkdir()
    (root / "planted" / f"{EVIL}.py").write_text(f"open({str(root / 'executed')!r}, 'w')\n")
    outside = root / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    quiet()
    trained, evolved = prepare(root)
    found = {
        "config": lambda: config_cases(trained, share),
        "header": lambda: header_cases(trained, share),
        "database": lambda: database_cases(evolved, share),
        "files": lambda: file_cases(trained, evolved, outside),
    }
    cases = itertools.chain.from_iterable(found[group]() for group in groups.split())
    resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, too_long)
    sys.addaudithook(watch)
    sys.dont_write_bytecode = True
    place = root / "cases" / "run"
    place.parent.mkdir()
    os.environ["TMPDIR"] = str(place.parent)
    import tempfile

    tempfile.tempdir = str(place.parent)
    wrong: dict[str, str] = {}
    count = 0
    for case in cases:
        count += 1
        fault = run(case, place)
        if (
            (root / "executed").exists()
            or (outside / "secret").read_text() != "secret"
            or len(os.listdir(outside)) > 1
        ):
            fault = f"{fault}: something was executed or written outside"
            (root / "executed").unlink(missing_ok=True)
        if fault is not None:
            wrong[case.name] = fault
            print(case.name, "->", fault, file=sys.stderr, flush=True)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"cases": count, "wrong": wrong, "memory": grown}))
    return 0


def _size() -> int:
    """Bytes of address space that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    words = sys.argv[1:]
    raise SystemExit(main(Path(words[0]), *words[1:2], *map(int, words[2:])))
