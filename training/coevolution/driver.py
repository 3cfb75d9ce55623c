"""Bodies and controllers evolved together: asynchronous, steady-state, and nothing lost when processes die.

Every birth is on disk before it is sent out, with the results that it was bred from. A run is replayable from its
database, not from its seed alone: which results come first depends on who computes them; each evaluation depends on
its genome and the settings only. Spec codesign 9.
"""

from __future__ import annotations

import math
import re
import shutil
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...checks import check_fields, seed_number
from ...envs.genomes import to_xml
from ...errors import LanceletError, unknown
from ...files import make_folder, write_atomic
from ...foreign import check_links
from ...morphology.genome import kinds
from ...tasks import short_name, task_id
from ..distributed.pools import Call, Outcome, Pool, check_workers, pool, refuse_without_guard
from ..runs import interrupt
from ..runs.folder import hold
from ..runs.progress import progress
from .champions import as_run, filmed, grown, parsed
from .individuals import NAME, Individual, Individuals
from .lifetimes import Group, Life, Lifetime, classes_of, forget, live
from .parents import Candidate, parents

SHORT, LONG = 3.0, 10.0
"""s of a call below which the next ones take twice as many individuals, and above which half as many: most of a cheap
evaluation is the same for one and for many side by side"""
LARGEST = 32
"""individuals in a call at most"""
LOSSES = 10
"""times that an individual may be lost through nobody's fault (its node, the node's memory) before the run ends"""
BEST = "best"
"""folder of the best individual, in the run's"""


@dataclass(kw_only=True)
class Coevolve:
    """Steady-state evolution of bodies with their controllers."""

    evaluations: int | None = None
    """individuals to evaluate, those of earlier sessions counted; none: as many as the budget allows"""
    budget: str | None = None
    """time to spend, earlier sessions counted: 90s, 5m, 2h; none: as long as the evaluations take"""
    steps: int | None = None
    """control steps of an episode; none: the task's own limit"""
    episodes: int = 2
    """start states that every individual is scored on, the same for all"""
    learning: int = 0
    """generations of SNES that each individual's controller learns for, inherited by its children; 0: none"""
    population: int = 32
    """random individuals at the beginning"""
    selection: str = "tournament"
    """tournament: the best of four among the youngest; map-elites: niches of bodies; nsga2: fitness against size"""
    window: int = 576
    """evaluated individuals, the youngest, that may breed (tournament, nsga2)"""
    layers: int = 1
    """layers of age in which tournaments are held; fresh random individuals keep coming where there are several"""
    crossover: float = 0.25
    """share of births with two parents"""
    workers: str = "local"
    """local: a process a core; ray: all slots of Ray, here or at the address; a number of processes"""
    address: str | None = None
    """host:port of a running Ray cluster; none: this machine"""
    deadline: float = 60.0
    """s that one evaluation may take before its process is killed"""
    memory: float = 4.0
    """GiB that one evaluation may take"""
    tries: int = 3
    """processes that may die over one individual before it is quarantined"""
    seed: int = 0
    """of births: individual b is drawn from (seed, b) and from what had been evaluated when it was born"""
    folder: str | None = None
    """run folder; none: a new one under runs/"""
    resume: bool = False
    """continue the run in the folder (or begin there)"""
    quiet: bool = False
    """no progress bar"""

    def check(self) -> None:
        """Refuse options that make no sense, before anything is written."""
        check_fields(self)
        seed_number(self.seed)
        if self.evaluations is None and self.budget is None:
            raise LanceletError("coevolve needs an end: give --budget 5m, or --evaluations N")
        for name in ("evaluations", "population", "window", "layers", "episodes", "tries", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise LanceletError(f"{name} = {value}: must be 1 or more")
        for name in ("deadline", "memory"):
            if not 0 < getattr(self, name) < math.inf:
                raise LanceletError(f"{name} = {getattr(self, name)}: must be finite and > 0")
        if self.learning < 0 or not 0 <= self.crossover <= 1:
            raise LanceletError(
                f"learning = {self.learning}, crossover = {self.crossover}: must be >= 0, and within [0, 1]"
            )
        check_workers(self.workers, self.address)
        self.seconds()

    def seconds(self) -> float:
        """The budget in seconds."""
        if self.budget is None:
            return math.inf
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|)", self.budget.strip())
        seconds = float(found[1]) * {"s": 1, "": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
        if seconds <= 0:
            raise LanceletError(
                f"budget = {self.budget!r}: must be a time above 0, as in 90s, 5m or 2h"
            )
        return seconds

    def run(self, task: str) -> Evolved:
        """Evolve individuals for a task until the budget is spent.

        Raises:
            LanceletError: a task without a kind of genome, options that make no sense, a folder that cannot be used or
                that is deleted meanwhile, workers that do not come up, a Ray that is gone.
        """
        refuse_without_guard()
        self.check()
        kind = kind_for(task)
        given = (
            self.folder
            or f"runs/{short_name(task_id(task))}-coevolve-{time.strftime('%Y%m%d-%H%M%S')}"
        )
        folder = make_folder(given)
        lock = hold(folder)
        try:
            check_links(folder, "best", "champions", "learning")
            if (folder / NAME).exists() and not self.resume:
                raise LanceletError(
                    f"{folder} already holds a run: give --resume to continue it, or another --folder"
                )
            driver = Driver(self, kind, folder)
            try:
                driver.drive()
            finally:
                driver.store.close()
            return driver.evolved()
        finally:
            lock.close()


@dataclass(frozen=True)
class Evolved:
    """A finished, or interrupted, run."""

    folder: Path
    best: Individual | None
    evaluated: int
    quarantined: int
    seconds: float
    """of all sessions"""
    stopped: bool
    """by SIGTERM, before the budget was spent"""


def kind_for(task: str) -> str:
    """The kind of genome whose bodies live in a task.

    Raises:
        LanceletError: there is none.
    """
    homes = {task_id(kinds.known(name).task()[0]): name for name in kinds}
    if task_id(task) not in homes:
        raise unknown(
            "task with a kind of genome",
            short_name(task_id(task)),
            [short_name(home) for home in homes],
        )
    return homes[task_id(task)]


class Driver:
    """One session of a run."""

    def __init__(self, options: Coevolve, kind: str, folder: Path) -> None:
        self.o, self.folder, self.kind = options, folder, kinds.known(kind)
        task, task_options = self.kind.task()
        self.life = Life(
            kind, task_id(task), task_options, options.episodes, options.steps, options.seed, options.learning,
            str(folder.absolute()),
        )  # fmt: skip
        names = ("population", "selection", "window", "layers", "crossover", "tries")
        settings = {name: getattr(options, name) for name in names}
        # before anything is written: it refuses what it does not know
        self.selection = parents(
            options.selection, options.seed, options.window, options.layers, self.kind.niches
        )
        self.people: dict[int, Individual] = {}
        self.waiting: deque[list[int]] = deque()
        """groups of the born that are to be sent (again)"""
        self.out: dict[int, list[int]] = {}
        """calls under way -> their individuals"""
        self.calls, self.size = 0, 1
        self.evaluated = self.quarantined = 0
        self.why: str | None = None
        """how the last quarantined one ended its processes"""
        self.best: Individual | None = None
        self.stopped = False
        self.classes = classes_of(self.life, self.kind.random(np.random.default_rng(0)))
        self._traits: deque[tuple[float, ...]] = deque(maxlen=64)
        self._losses: dict[int, int] = {}
        """individuals that were lost through nobody's fault -> how often since this session began"""
        self._evaluated_at_loss: dict[int, int] = {}
        """individuals that were lost -> how many had been evaluated when it happened first"""
        self._told: set[str] = set()
        """ways in which individuals were lost that the user has been told of"""
        self.store = Individuals(folder, {**settings, **self.life.settings()})
        try:
            for one in self.store.all():
                self.people[one.id] = one
                if one.state == "born":
                    self.waiting.append([one.id])
                else:
                    self._count(one)
            self._check_quarantine()
            self.before = self.store.get("seconds")
        except BaseException:
            self.store.close()
            raise
        self.begun = time.monotonic()

    def drive(self) -> None:
        """Until the budget is spent, or somebody stops it; then the best individual is filmed."""
        with _sigterm() as asked:
            if self.waiting or not self._spent():
                self._evolve(asked)
            self._film()
            self.store.check()

    def _evolve(self, asked: _Asked) -> None:
        total = self.o.evaluations or max(1, round(self.o.seconds()))
        done = self._shown()
        unit = "eval" if self.o.evaluations else "s"
        workers = pool(self.o.workers, self.o.address)
        with interrupt.deferred(), workers as crew:
            asked.listen()  # again: Ray, when it starts, puts in a handler of its own, which ends the process
            with progress("co-evolving", total, unit, done, self.o.quiet) as advance:
                self.loop(crew, advance, asked.event)
            self.stopped = asked.event.is_set() and not self._spent()
            self.store.record(seconds=self._seconds())

    def loop(
        self, crew: Pool, advance: Callable[..., None], asked: threading.Event | None = None
    ) -> None:
        """Births out, results in, until the budget is spent or `asked` is set."""
        shown, told = self._shown(), 0.0
        done, champions = list[Individual](), list[Individual]()
        while True:
            over = not (self.out or self.waiting) and self._spent()
            over = over or (asked is not None and asked.is_set())
            groups, births = ([], []) if over else self._next(crew.slots)
            self._record(done, champions, births)
            self._send(crew, groups)
            interrupt.check()
            now, when = self._shown(), time.monotonic()
            if now > shown and (over or when > told + 0.1):
                advance(now - shown, **self._figures())
                shown, told = now, when
            if over:
                return
            done, champions = self._take(crew.outcomes(0.2))

    def _shown(self) -> int:
        return self.evaluated if self.o.evaluations else round(self._seconds())

    def work(self, members: list[int]) -> Call:
        """The call that evaluates a group."""
        group = Group(
            self.life, [(k, self.people[k].genome) for k in members], self.classes, self.kind
        )
        return Call(live, group, self.o.deadline * len(members), int(self.o.memory * 2**30))

    def evolved(self) -> Evolved:
        """What the run came to."""
        best, seconds = self.best, self._seconds()
        return Evolved(self.folder, best, self.evaluated, self.quarantined, seconds, self.stopped)

    def _seconds(self) -> float:
        return self.before + time.monotonic() - self.begun

    def _spent(self) -> bool:
        enough = self.o.evaluations is not None and self.evaluated >= self.o.evaluations
        return enough or self._seconds() >= self.o.seconds()

    def _next(self, slots: int) -> tuple[list[list[int]], list[Individual]]:
        """Groups that keep half as many calls again under way as there are slots, and the newly born among them."""
        births: list[Individual] = []
        groups: list[list[int]] = []
        while len(self.out) + len(groups) < math.ceil(1.5 * slots):
            if self.waiting:
                groups.append(self.waiting.popleft())
                continue
            fresh = self._births(slots)
            if not fresh:
                break
            births += fresh
            groups.append([one.id for one in fresh])
        return groups, births

    def _record(
        self, done: list[Individual], champions: list[Individual], births: list[Individual]
    ) -> None:
        """Results, and who was bred from them, in one transaction; then what the results made superfluous goes."""
        if done or births:
            self.store.record(done, births, self._seconds())
        for one in champions:
            self._keep(one)
        for one in done if self.o.learning else ():
            if one.state != "born":
                forget(self.life, one.id)
        self._check_quarantine()

    def _send(self, crew: Pool, groups: list[list[int]]) -> None:
        for members in groups:
            crew.submit(self.calls, self.work(members))
            self.out[self.calls] = members
            self.calls += 1

    def _births(self, slots: int) -> list[Individual]:
        """The next individuals, as many as share a call; none where the budget allows no more."""
        if self._seconds() >= self.o.seconds():
            return []
        room = self.size
        if self.o.evaluations is not None:
            left = self.o.evaluations - (len(self.people) - self.quarantined)
            room = min(room, left, max(1, left // slots))  # none idle at the end
        first = len(self.people)
        fresh = [self._birth(number) for number in range(first, first + room)]
        self.people |= {one.id: one for one in fresh}
        return fresh

    def _birth(self, number: int) -> Individual:
        rng = np.random.default_rng([self.o.seed, number])
        newcomer = (
            self.o.layers > 1 and rng.random() < 1 / self.o.population
        )  # the lowest layer stays young
        if number < self.o.population or newcomer or self.best is None:
            return Individual(number, [], "random", self.kind.random(rng).to_json())
        mother = self.people[self.selection.draw(rng)]
        genome, operator, family = grown(mother), "", [mother]
        if rng.random() < self.o.crossover:
            father = self.people[self.selection.draw(rng)]
            if father.id != mother.id:
                genome, operator, family = (
                    self.kind.cross(genome, grown(father), rng),
                    "cross, ",
                    [mother, father],
                )
        genome, how = self.kind.mutate(genome, rng)
        layer = 1 + max(one.layer for one in family)
        return Individual(
            number, [one.id for one in family], operator + how, genome.to_json(), layer
        )

    def _take(self, outcomes: list[Outcome]) -> tuple[list[Individual], list[Individual]]:
        """Results into the archive, and those that were the best; groups of dead processes to be sent one by one."""
        done: list[Individual] = []
        for outcome in outcomes:
            members = self.out.pop(outcome.key)
            if isinstance(outcome.error, LanceletError):
                raise outcome.error
            if outcome.died is None and outcome.error is None:
                done += [self._lived(self.people[k], outcome.value[k]) for k in members]
                spent = sum(self.people[k].seconds or 0.0 for k in members)
                if spent < SHORT and len(members) >= self.size:
                    self.size = min(2 * self.size, LARGEST)
                elif spent > LONG:
                    self.size = max(self.size // 2, 1)
            else:
                done += self._failed(members, outcome)
        champions: list[Individual] = []
        for one in done:
            if one.state != "born":
                self._count(one)
            if one is self.best:
                champions.append(one)
        return done, champions

    def _keep(self, one: Individual) -> None:
        """A champion's genome, and its model as MuJoCo's XML, which needs no decoder of ours."""
        genome = grown(one)
        folder = self.folder / "champions"
        try:
            write_atomic(folder / f"{one.id}.json", genome.to_json())
            write_atomic(folder / f"{one.id}.xml", to_xml(genome))
        except LanceletError:
            self.store.check()  # where the run's folder has gone, that is the reason
            raise

    def _lived(self, one: Individual, life: Lifetime) -> Individual:
        one.state = "evaluated" if life.reason is None else "invalid"
        one.fitness, one.figures, one.learned = life.fitness, life.figures, life.learned
        one.reason, one.seconds, one.done = life.reason, life.seconds, time.time()
        return one

    def _failed(self, members: list[int], outcome: Outcome) -> list[Individual]:
        """One more try for each by itself, so that the innocent of a group get away; or quarantine."""
        why = outcome.died or f"{type(outcome.error).__name__}: {outcome.error}"
        if not outcome.blamed:
            return self._lost(members, why, outcome.out_of_memory)
        for k in members:
            one = self.people[k]
            one.tries += 1
            one.reason = why
            if one.tries >= self.o.tries:
                self._quarantine(one)
            else:
                self.waiting.append([k])
        return [self.people[k] for k in members]

    def _lost(self, members: list[int], why: str, out_of_memory: bool) -> list[Individual]:
        """Send those again who were lost through no fault of theirs: so many times, and not without a word.

        Returns:
            Who is quarantined: it alone had its node out of memory again and again, while others were evaluated.
        """
        advice = (
            "fewer workers or a smaller --memory would fit" if out_of_memory else "mend the cause"
        )
        if why not in self._told:
            self._told.add(why)
            print(
                f"warning: {why}: {len(members)} individuals are sent again, unblamed; {advice}",
                file=sys.stderr,
            )
        quarantined = []
        for k in members:
            one = self.people[k]
            self._losses[k] = self._losses.get(k, 0) + 1
            first = self._evaluated_at_loss.setdefault(k, self.evaluated)
            others_live = self.evaluated >= first + LOSSES // 2
            if self._losses[k] < LOSSES:
                self.waiting.append([k])
            elif out_of_memory and len(members) == 1 and others_live:
                one.reason = f"{why} {LOSSES} times, while others were evaluated"
                self._quarantine(one)
                quarantined.append(one)
            else:
                raise LanceletError(
                    f"individual {k} was lost {LOSSES} times, no fault of its own: {why}; "
                    f"every result so far is on disk: {advice}, and --resume"
                )
        return quarantined

    def _quarantine(self, one: Individual) -> None:
        one.state, one.done = "quarantined", time.time()

    def _count(self, one: Individual) -> None:
        """Into the archive with an individual that is done."""
        if one.state == "quarantined":
            self.quarantined, self.why = self.quarantined + 1, one.reason
            return
        self.evaluated += 1
        if one.state != "evaluated" or one.fitness is None:
            return
        features = self.kind.features(parsed(one.genome))
        traits = tuple(features.values())
        self._traits.append(traits)
        objectives = (one.fitness, -features.get("length", float(sum(traits))))
        self.selection.add(Candidate(one.id, one.fitness, one.layer, traits, objectives))
        if self.best is None or self.best.fitness is None or one.fitness > self.best.fitness:
            self.best = one

    def _check_quarantine(self) -> None:
        """Stop, with everything recorded, where hardly anything survives its evaluation."""
        if self.quarantined >= max(100, self.evaluated + 100):
            raise LanceletError(
                f"{self.quarantined} individuals killed whoever evaluated them; the last: {self.why}"
            )

    def _figures(self) -> dict[str, float]:
        traits = np.array(self._traits)
        bounds = np.array(list(self.kind.niches.values()))
        spread = (traits.std(0) / (bounds[:, 1] - bounds[:, 0])).mean() if len(traits) > 1 else 0.0
        rate = self.evaluated / max(self._seconds(), 1e-9)
        best = {} if self.best is None or self.best.fitness is None else {"best": self.best.fitness}
        counts = (
            {} if self.o.evaluations else {"evaluations": self.evaluated, "per s": rate}
        )  # else the bar's own
        return {**counts, **best, "diversity": float(spread)}

    def _film(self) -> None:
        """The best individual as a run folder that `lancelet render` films; none is made anew that is there.

        It is made beside its place and moved there whole, so that a kill leaves a whole folder or none, and the next
        session makes it.
        """
        if self.best is None or filmed(self.folder / BEST, self.best):
            return
        fresh, old = self.folder / f".{BEST}.new", self.folder / f".{BEST}.old"
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)
        as_run(fresh, grown(self.best), self.life, self.best.id)
        if (self.folder / BEST).exists():
            (self.folder / BEST).rename(old)
        fresh.rename(self.folder / BEST)
        shutil.rmtree(old, ignore_errors=True)


class _Asked:
    """SIGTERM as an event: the node is going away."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def listen(self) -> Any:
        """Let SIGTERM set the event; the handler that was there before. Only the main thread may."""
        if threading.current_thread() is threading.main_thread():
            return signal.signal(signal.SIGTERM, lambda number, frame: self.event.set())
        return None


@contextmanager
def _sigterm() -> Iterator[_Asked]:
    """Inside, SIGTERM sets an event instead of ending the process."""
    asked = _Asked()
    before = asked.listen()
    try:
        yield asked
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
