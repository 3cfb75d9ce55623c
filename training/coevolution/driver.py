"""The driver of a co-evolution: asynchronous, steady-state, and nothing lost when processes die.

Every birth is on disk before it is sent out, with the results that it was bred from. A run is replayable from its
database, not from its seed alone: which results come first depends on who computes them; each evaluation depends on
its genome and the settings only (docs/systems/coevolve.md, "The loop").
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...errors import LanceletError
from ...morphology.genome import Kind, kinds
from ...tasks import task_id
from ..distributed.pools import Call, Outcome, Pool, pool
from ..runs import interrupt
from ..runs.progress import progress
from .archive import Archive
from .breeding import Breeder
from .champions import film_best, keep_champion
from .individuals import Individual, Individuals
from .lifetimes import Group, Life, Lifetime, Member, classes_of, forget, live
from .losses import Losses
from .options import Coevolve, Evolved, kind_for
from .parents import parents
from .stop import StopRequest, stop_on_sigterm

__all__ = ["Coevolve", "Driver", "Evolved", "kind_for"]

SHORT_CALL = 3.0
"""s of a call below which the next ones take twice as many individuals: most of a cheap evaluation is the same for one
and for many side by side"""
LONG_CALL = 10.0
"""s of a call above which the next ones take half as many individuals"""
LARGEST_CALL = 32
"""individuals in a call at most"""
CALLS_A_SLOT = 1.5
"""calls under way for every slot: a slot that has finished finds the next call waiting"""
WAIT = 0.2
"""s that the driver waits for a result before it looks whether it is to end"""
SHOW_INTERVAL = 0.1
"""s between two changes of the progress bar at least"""
BYTES_OF_GIB = 2**30
"""bytes in a GiB"""
BREEDING_SETTINGS = ("population", "selection", "window", "layers", "crossover", "tries")
"""options that must not change within a run, beside those of `Life`"""


class Driver:
    """One session of a run.

    Args:
        options: of the run, checked.
        kind: name of the kind of genome.
        folder: of the run; what earlier sessions left there is taken up.

    Raises:
        LanceletError: an unknown selection, other settings than those that the run was begun with, a database that
            cannot be used, or a run in which hardly anything survives its evaluation.
    """

    def __init__(self, options: Coevolve, kind: str, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.kind: Kind = kinds.known(kind)
        task, task_options = self.kind.task()
        self.life = Life(
            kind=kind,
            task=task_id(task),
            task_options=task_options,
            episodes=options.episodes,
            steps=options.steps,
            seed=options.seed,
            learning=options.learning,
            folder=str(folder.absolute()),
        )
        # Before anything is written: it refuses a selection that it does not know.
        selection = parents(
            options.selection,
            seed=options.seed,
            window=options.window,
            layers=options.layers,
            bounds=self.kind.niches,
        )
        self.archive = Archive(self.kind, selection)
        self.breeder = Breeder(options, self.kind, selection)
        self.losses = Losses(options.tries)
        self.individuals: dict[int, Individual] = {}
        """by number, all that were ever born; numbers count from 0 without a gap"""
        self.waiting: deque[list[int]] = deque()
        """groups of the born that are to be sent, or sent again"""
        self.under_way: dict[int, list[int]] = {}
        """number of a call -> its individuals"""
        self.calls = 0
        """number of the next call"""
        self.size = 1
        """individuals in the next call"""
        self.stopped = False
        """whether somebody stopped the session before the budget was spent"""
        # The classes of any genome of the kind are those of all.
        self.classes = classes_of(self.life, self.kind.random(np.random.default_rng(0)))
        settings = {name: getattr(options, name) for name in BREEDING_SETTINGS}
        self.store = Individuals(folder, {**settings, **self.life.settings()})
        try:
            # Only now, since it fills the archive, the individuals and the queue from the store.
            self._take_up()
            self.seconds_before = self.store.get("seconds")
        except BaseException:
            self.store.close()
            raise
        self.begun = time.monotonic()

    def _take_up(self) -> None:
        """Go on from the database: results into the archive, and those without one are sent again."""
        for individual in self.store.all():
            self.individuals[individual.id] = individual
            if individual.state == "born":
                self.waiting.append([individual.id])
            else:
                self.archive.add(individual)
        self.archive.check_quarantine()

    # -- the session --------------------------------------------------------------------------------

    def drive(self) -> None:
        """Evolve until the budget is spent or somebody stops it; then film the best individual."""
        with stop_on_sigterm() as stop:
            if self.waiting or not self._is_spent():
                self._evolve(stop)
            film_best(self.folder, self.archive.best, self.life)
            self.store.check()

    def _evolve(self, stop: StopRequest) -> None:
        """Run the loop with workers and a progress bar."""
        if self.options.evaluations is not None:
            total = self.options.evaluations
            unit = "eval"
        else:
            total = max(1, round(self.options.seconds()))
            unit = "s"
        done = self._progress()
        workers = pool(self.options.workers, self.options.address)
        with interrupt.deferred(), workers as crew:
            # Again: Ray, when it starts, puts in a handler of its own, which ends the process.
            stop.listen()
            bar = progress(
                "co-evolving", total=total, unit=unit, done=done, quiet=self.options.quiet
            )
            with bar as advance:
                self.loop(crew, advance, stop.event)
            self.stopped = stop.is_set() and not self._is_spent()
            self.store.record(seconds=self._seconds())

    def loop(
        self,
        crew: Pool,
        advance: Callable[..., None],
        stop: threading.Event | None = None,
    ) -> None:
        """Send births out and take results in until the budget is spent.

        Args:
            crew: evaluates.
            advance: of the progress bar: takes what was done since, and figures by name.
            stop: ends the loop when it is set; None: nobody stops it.

        Raises:
            LanceletError: what a worker or the database raises; hardly anything survives.
        """
        shown_progress = self._progress()
        shown_at = 0.0
        done: list[Individual] = []
        champions: list[Individual] = []
        while True:
            is_idle = not self.under_way and not self.waiting
            is_over = is_idle and self._is_spent()
            if stop is not None and stop.is_set():
                is_over = True
            groups: list[list[int]] = []
            births: list[Individual] = []
            if not is_over:
                groups, births = self._next_groups(crew.slots)
            # A birth is on disk before it is sent, in one transaction with the results that it was
            # bred from: after a kill nobody is known who has no parents.
            self._record(done, champions, births)
            self._send(crew, groups)
            interrupt.check()

            now = time.monotonic()
            present_progress = self._progress()
            is_due = is_over or now > shown_at + SHOW_INTERVAL
            if present_progress > shown_progress and is_due:
                advance(present_progress - shown_progress, **self._figures())
                shown_progress = present_progress
                shown_at = now
            if is_over:
                return
            done, champions = self._take(crew.outcomes(WAIT))

    def evolved(self) -> Evolved:
        """What the run has come to."""
        return Evolved(
            folder=self.folder,
            best=self.archive.best,
            evaluated=self.archive.evaluated,
            quarantined=self.archive.quarantined,
            seconds=self._seconds(),
            stopped=self.stopped,
        )

    # -- the budget ---------------------------------------------------------------------------------

    def _seconds(self) -> float:
        """Time of all sessions so far, s."""
        return self.seconds_before + time.monotonic() - self.begun

    def _is_spent(self) -> bool:
        """Whether as many are evaluated as were asked for, or the time is over."""
        wanted = self.options.evaluations
        if wanted is not None and self.archive.evaluated >= wanted:
            return True
        return self._seconds() >= self.options.seconds()

    def _progress(self) -> int:
        """How far the progress bar is: evaluations, or seconds where the budget is a time."""
        if self.options.evaluations is not None:
            return self.archive.evaluated
        return round(self._seconds())

    def _figures(self) -> dict[str, float]:
        """What the progress bar says beside its own count."""
        figures: dict[str, float] = {}
        if self.options.evaluations is None:
            figures["evaluations"] = self.archive.evaluated
            figures["per s"] = self.archive.evaluated / max(self._seconds(), 1e-9)
        best_fitness = self.archive.best_fitness
        if best_fitness is not None:
            figures["best"] = best_fitness
        figures["diversity"] = self.archive.diversity()
        return figures

    # -- births out ---------------------------------------------------------------------------------

    def _next_groups(self, slots: int) -> tuple[list[list[int]], list[Individual]]:
        """Groups for new calls, as many as keep the workers busy.

        Args:
            slots: calls that run at one time.

        Returns:
            The groups, each the numbers of its individuals; those among them that are newly born.
        """
        births: list[Individual] = []
        groups: list[list[int]] = []
        most_calls = math.ceil(CALLS_A_SLOT * slots)
        while len(self.under_way) + len(groups) < most_calls:
            if self.waiting:
                groups.append(self.waiting.popleft())
                continue
            newborn = self._births(slots)
            if not newborn:
                break
            births += newborn
            groups.append([individual.id for individual in newborn])
        return groups, births

    def _births(self, slots: int) -> list[Individual]:
        """The next individuals, as many as share a call; none where the budget allows no more."""
        if self._seconds() >= self.options.seconds():
            return []
        count = self.size
        if self.options.evaluations is not None:
            # Those in quarantine do not count as evaluated: others take their places.
            under_budget = len(self.individuals) - self.archive.quarantined
            left = self.options.evaluations - under_budget
            # The last calls are small, so that no worker is idle at the end.
            count = min(count, left, max(1, left // slots))
        first = len(self.individuals)
        # All members of a call are drawn from the same individuals: none is the parent of another.
        newborn = [
            self.breeder.birth(number, self.individuals, self.archive.best is not None)
            for number in range(first, first + count)
        ]
        for individual in newborn:
            self.individuals[individual.id] = individual
        return newborn

    def _send(self, crew: Pool, groups: list[list[int]]) -> None:
        """Submit a call for each group."""
        for members in groups:
            crew.submit(self.calls, self.work(members))
            self.under_way[self.calls] = members
            self.calls += 1

    def work(self, members: list[int]) -> Call:
        """The call that evaluates a group.

        Args:
            members: numbers of its individuals.
        """
        group = Group(
            life=self.life,
            members=[Member(number, self.individuals[number].genome) for number in members],
            classes=self.classes,
            kind=self.kind,
        )
        return Call(
            live,
            group,
            seconds=self.options.deadline * len(members),
            memory=int(self.options.memory * BYTES_OF_GIB),
        )

    # -- results in ---------------------------------------------------------------------------------

    def _take(self, outcomes: list[Outcome]) -> tuple[list[Individual], list[Individual]]:
        """Take results into the archive; groups of dead processes will be sent one by one.

        Args:
            outcomes: of calls.

        Returns:
            Individuals to be recorded, and those among them that were the best when they came.

        Raises:
            LanceletError: what a worker raised, or an individual that was lost too often.
        """
        done: list[Individual] = []
        for outcome in outcomes:
            members = [self.individuals[number] for number in self.under_way.pop(outcome.key)]
            if isinstance(outcome.error, LanceletError):
                raise outcome.error
            if outcome.died is None and outcome.error is None:
                for member in members:
                    _record_lifetime(member, outcome.value[member.id])
                done += members
                self._adapt_size(members)
            else:
                verdict = self.losses.judge(members, outcome, self.archive.evaluated)
                self.waiting.extend([member.id] for member in verdict.again)
                done += verdict.record
        champions: list[Individual] = []
        for individual in done:
            if individual.state == "born":
                continue
            self.archive.add(individual)
            if individual is self.archive.best:
                champions.append(individual)
        return done, champions

    def _adapt_size(self, members: list[Individual]) -> None:
        """Put more individuals into the next calls where this one was short, and fewer where it was long."""
        spent = sum(member.seconds or 0.0 for member in members)
        was_full = len(members) >= self.size
        if spent < SHORT_CALL and was_full:
            self.size = min(2 * self.size, LARGEST_CALL)
        elif spent > LONG_CALL:
            self.size = max(self.size // 2, 1)

    def _record(
        self,
        done: list[Individual],
        champions: list[Individual],
        births: list[Individual],
    ) -> None:
        """Write results, and who was bred from them, in one transaction; then files that belong to them.

        Args:
            done: have a result, or another try.
            champions: those of them that were the best when they came.
            births: newly born.
        """
        if done or births:
            self.store.record(done, births, self._seconds())
        for individual in champions:
            self._keep_champion(individual)
        if self.options.learning:
            for individual in done:
                if individual.state != "born":
                    forget(self.life, individual.id)
        self.archive.check_quarantine()

    def _keep_champion(self, individual: Individual) -> None:
        """Write a champion's files."""
        try:
            keep_champion(self.folder, individual)
        except LanceletError:
            # Where the run's folder has gone, that is the reason, and this says so.
            self.store.check()
            raise


def _record_lifetime(individual: Individual, lifetime: Lifetime) -> None:
    """Put the result of an evaluation into its individual, which is changed in place."""
    individual.state = "evaluated" if lifetime.reason is None else "invalid"
    individual.fitness = lifetime.fitness
    individual.figures = lifetime.figures
    individual.learned = lifetime.learned
    individual.reason = lifetime.reason
    individual.seconds = lifetime.seconds
    individual.done = time.time()
