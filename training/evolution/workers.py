"""Scores of many weights: in this process, or in chunks by Ray workers. Who computes them changes no bit."""

from __future__ import annotations

import contextlib
import math
import uuid
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...controllers import Controller, Population, controllers
from ...envs import VectorEnv
from ...envs.simulation import Simulation
from ...errors import LanceletError
from ..distributed.cluster import connected
from ..distributed.pools import Call, Cluster, Outcome, Pool
from ..distributed.shipping import Names
from ..rollout import FAILED, Score, make_env, rollout
from ..runs import interrupt

BATCH = 1024
"""simulations that this process runs side by side: whole chunks, or one chunk that is larger"""
WAIT_SECONDS = 0.1
"""s that one look for outcomes waits at most, so that Ctrl-C is heard between two looks"""
TRIES = 4
"""attempts before a chunk is blamed for its workers' deaths"""


class Arena:
    """Rows of flat weights -> mean returns, on environments that are kept for the next call.

    Args:
        controller: whose weights they are.
        task: its id.
        task_options: of the task.
        nthread: physics threads, 0 for all.
    """

    def __init__(
        self, controller: Controller, task: str, task_options: dict[str, Any], nthread: int = 0
    ) -> None:
        self.controller = controller
        self.task = task
        self.task_options = task_options
        self._nthread = nthread
        self._envs: dict[int, VectorEnv] = {}
        """number of simulations -> the environment of that many, kept for the next call"""

    def score(self, genomes: Tensor, seeds: list[int]) -> tuple[Tensor, int]:
        """Score candidates by whole episodes.

        Args:
            genomes: flat weights, one row a candidate (p, parameters).
            seeds: of the episodes; every candidate meets all of them.

        Returns:
            Mean `worth` of each candidate over the episodes, (p, ...) float32, and the control steps taken in all.
        """
        candidate_count = len(genomes)
        episode_count = len(seeds)
        simulations = candidate_count * episode_count
        # A candidate's simulations lie side by side, in `agents`, in the seeds and in `by_candidate` alike: all
        # seeds of the first candidate, then all of the second one.
        agents = self.agents(simulations, genomes)
        seeds_of_simulations = seeds * candidate_count
        score, _ = rollout(self._env(simulations), agents, seeds_of_simulations)
        worth = self.worth(score, agents)
        by_candidate = worth.reshape(candidate_count, episode_count, *worth.shape[1:])
        means = torch.as_tensor(by_candidate.mean(1), dtype=torch.float32)
        # Nothing is worse than to fail: a return that is finite may still lie below `FAILED`, and one beyond float32
        # has become minus infinity here, which no search could calculate with.
        means = means.clamp(min=FAILED)
        return means, int(score.lengths.sum())

    def agents(self, n: int, genomes: Tensor) -> Population:
        """The agents of `n` simulations; each row of `genomes` has an equal share of them, side by side.

        `score` relies on this order: with 2 rows and 6 simulations the rows are 0, 0, 0, 1, 1, 1.
        """
        return Population(self.controller, n, genomes)

    def worth(self, score: Score, agents: Population) -> np.ndarray:
        """What each episode is worth, (episodes,); with further figures beside it, (episodes, 1 + figures)."""
        return score.comparable

    def rows(self, chunk: int, episodes: int) -> int:
        """Candidates in a chunk of about `chunk` simulations.

        Simulation i has body i modulo their number, so that a chunk of candidates must end where the bodies begin
        anew: only then does a candidate meet the same bodies whatever the chunk.
        """
        env = self._env(1)
        bodies = len(env.task.bodies()) if isinstance(env.sim, Simulation) else 1
        # The fewest candidates whose simulations fill whole rounds of the bodies.
        round_of_candidates = bodies // math.gcd(bodies, episodes)
        wanted = max(1, chunk // episodes)
        rounds = math.ceil(wanted / round_of_candidates)
        return rounds * round_of_candidates

    def _env(self, n: int) -> VectorEnv:
        """The environment of `n` simulations, made at its first use."""
        if n not in self._envs:
            self._envs[n] = make_env(self.task, n, nthread=self._nthread, **self.task_options)
        return self._envs[n]


class Scorer(ABC):
    """Any number of candidates, cut into chunks of a fixed size and put together again in order."""

    def __init__(self, arena: Arena, chunk: int) -> None:
        self._arena = arena
        self._chunk = chunk

    def score(self, genomes: Tensor, seeds: list[int]) -> tuple[Tensor, int]:
        """Score candidates by whole episodes.

        Args:
            genomes: weights, (candidates, parameters).
            seeds: of the episodes that every candidate lives through.

        Returns:
            Fitness, (candidates,), in the order of `genomes`, and the control steps of all episodes.
        """
        rows = self.rows(len(seeds))
        chunks = [genomes[first : first + rows] for first in range(0, len(genomes), rows)]
        fitness_of_chunks = []
        total_steps = 0
        for fitness, steps in self.compute(chunks, seeds):
            fitness_of_chunks.append(fitness)
            total_steps += steps
        return torch.cat(fitness_of_chunks), total_steps

    def rows(self, episodes: int) -> int:
        """Candidates in a chunk."""
        return self._arena.rows(self._chunk, episodes)

    @abstractmethod
    def compute(self, chunks: list[Tensor], seeds: list[int]) -> list[tuple[Tensor, int]]:
        """`Arena.score` of every chunk, in order."""


class Here(Scorer):
    """In this process, on all cores; several chunks make one batch, up to `BATCH` simulations."""

    def rows(self, episodes: int) -> int:
        """Candidates in a batch of whole chunks: as many as `BATCH` has room for, at least one."""
        rows = super().rows(episodes)
        return rows * max(1, BATCH // (rows * episodes))

    def compute(self, chunks: list[Tensor], seeds: list[int]) -> list[tuple[Tensor, int]]:
        """`Arena.score` of every chunk, in order."""
        return [self._arena.score(chunk, seeds) for chunk in chunks]


@dataclass(frozen=True)
class Plan:
    """What a worker builds its arena from; the classes are registered there first."""

    kind: type[Arena]
    """class of the arena"""
    names: Names
    """task, controller and bodies, each with its class"""
    controller: str
    """its name"""
    options: Any
    """of the controller"""
    observation_space: spaces.Space
    """of the controller"""
    action_space: spaces.Space
    """of the controller"""
    buffers: dict[str, np.ndarray]
    """the controller's tensors that are no weights: a fixed random matrix cannot be built again"""
    task_options: dict[str, Any]
    """of the task"""

    @classmethod
    def of(cls, arena: Arena) -> Plan:
        """The plan of an arena in this process."""
        controller = arena.controller
        name = controllers.name_of(type(controller))
        return cls(
            kind=type(arena),
            names=Names.of(arena.task, name, arena.task_options),
            controller=name,
            options=controller.options,
            observation_space=controller.observation_space,
            action_space=controller.action_space,
            buffers={name: value.numpy() for name, value in controller.named_buffers()},
            task_options=arena.task_options,
        )

    @torch.no_grad()
    def build_arena(self) -> Arena:
        """Make the arena anew, in a worker process that does nothing else.

        Changes the process: torch has one thread from here on, as physics has, and the names of the plan are
        registered. The weights are left as they were born, since every chunk brings its own.
        """
        torch.set_num_threads(1)
        # Before the names are looked up: those of the user's own classes are known only then.
        self.names.register()
        make = controllers.get(self.controller)
        controller: Controller = make(self.observation_space, self.action_space, self.options)
        for name, value in controller.named_buffers():
            value.copy_(torch.tensor(self.buffers[name]))
        return self.kind(controller, self.names.task, self.task_options, nthread=1)


class _Job(NamedTuple):
    """A chunk for a worker process."""

    key: str
    """tells the arena that it is for from those of other runs"""
    plan: list[Any]
    """one reference to the arena's `Plan`, which is fetched where the key is new"""
    genomes: np.ndarray
    """flat weights, one row a candidate"""
    seeds: list[int]
    """of the episodes"""


class Crew(Scorer):
    """In Ray workers: a bounded number of chunks at once; a chunk whose worker died is computed again.

    Args:
        ray: the connected module.
        arena: what to compute, as this process would.
        chunk: simulations in a chunk, about.
        at_once: chunks handed out at a time.
    """

    def __init__(self, ray: ModuleType, arena: Arena, chunk: int, at_once: int) -> None:
        super().__init__(arena, chunk)
        self._pool = Cluster(ray, at_once)
        self._key = uuid.uuid4().hex
        self._plan = ray.put(Plan.of(arena))

    def compute(self, chunks: list[Tensor], seeds: list[int]) -> list[tuple[Tensor, int]]:
        """`Arena.score` of every chunk, in order."""
        calls = []
        for chunk in chunks:
            # The plan goes as a reference, which each worker fetches once: most chunks need none of it.
            job = _Job(key=self._key, plan=[self._plan], genomes=chunk.numpy(), seeds=seeds)
            calls.append(Call(_compute, job))
        results: dict[int, tuple[Tensor, int]] = {}
        for number, (fitness, steps) in computed(self._pool, calls, "the same candidates"):
            results[number] = (torch.tensor(fitness), steps)
        return [results[number] for number in range(len(chunks))]


def computed(pool: Pool, calls: list[Call], what: str) -> Iterator[tuple[int, Any]]:
    """Number and value of every call, as they come; one whose worker died goes out again, `TRIES` times in all.

    Args:
        pool: of workers; what still runs in it when this ends is ended.
        calls: of any number; no more are handed out at a time than the pool has slots.
        what: is computed, for the error.

    Raises:
        LanceletError: workers died `TRIES` times over the same call; why they did is told.
        Exception: what a call raised.
    """
    waiting = deque(range(len(calls)))
    deaths = Counter[int]()
    running = 0
    remaining = len(calls)
    try:
        while remaining:
            while waiting and running < pool.slots:
                number = waiting.popleft()
                pool.submit(number, calls[number])
                running += 1
            outcomes = pool.outcomes(WAIT_SECONDS)
            interrupt.check()
            for outcome in outcomes:
                running -= 1
                if outcome.error is not None:
                    raise outcome.error
                if outcome.died is None:
                    remaining -= 1
                    yield outcome.key, outcome.value
                    continue
                deaths[outcome.key] += 1
                if deaths[outcome.key] == TRIES:
                    raise _too_many_deaths(what, outcome)
                # At the front, since it is the oldest: `parallel` hands results on in order.
                waiting.appendleft(outcome.key)
    finally:
        pool.close()


def _too_many_deaths(what: str, last: Outcome) -> LanceletError:
    """The error where `TRIES` workers have died over one call; `last` is the last of its outcomes."""
    advice = "; fewer workers would need less memory" if last.out_of_memory else ""
    return LanceletError(f"{TRIES} workers died over {what}; the last: {last.died}{advice}")


def parallel(function: Callable[..., Any], items: Iterable[Any], workers: int = 2) -> Iterator[Any]:
    """``function(item)`` of every item in processes side by side, one torch thread each; results in order.

    Args:
        function: of a module (workers import it); called again where its process dies.
        items: arguments, one a call; anything that Ray can send.
        workers: processes.

    Raises:
        LanceletError: Ray does not start, or processes died `TRIES` times over an item.
        Exception: what a call raised.
    """
    calls = [Call(_alone, (function, item)) for item in items]
    with connected(workers) as ray:
        results: dict[int, Any] = {}
        next_number = 0
        for number, value in computed(Cluster(ray, workers), calls, "the same item"):
            results[number] = value
            while next_number in results:
                yield results.pop(next_number)
                next_number += 1


def _alone(work: tuple[Callable[..., Any], Any]) -> Any:
    """One call of `parallel`, in a worker process."""
    torch.set_num_threads(1)
    function, item = work
    return function(item)


_arena: tuple[str, Arena] | None = None
"""in a worker process: key and arena of the chunk that it computed last"""


def _compute(job: _Job) -> tuple[np.ndarray, int]:
    """Score a chunk in a worker process: fitness of each candidate, and the control steps taken."""
    global _arena
    if _arena is None or _arena[0] != job.key:
        _arena = (job.key, _fetched(job.plan[0]))
    _, arena = _arena
    fitness, steps = arena.score(torch.tensor(job.genomes), job.seeds)
    return fitness.numpy(), steps


def _fetched(plan: Any) -> Arena:
    """The arena of the plan that a reference of Ray's stands for.

    Raises:
        LanceletError: task or controller cannot be imported here.
    """
    import ray
    from ray.exceptions import RayError

    try:
        fetched: Plan = ray.get(plan)
    except RayError as error:
        reason = str(error).splitlines()[0]
        raise LanceletError(f"a worker cannot load task or controller: {reason}") from error
    return fetched.build_arena()


@contextlib.contextmanager
def scorer(
    arena: Arena, chunk: int, workers: int = 0, address: str | None = None
) -> Iterator[Scorer]:
    """`arena` in this process, or its twins in Ray workers while the context lasts.

    Args:
        arena: what to compute.
        chunk: simulations in a chunk, about: whole candidates, at least one.
        workers: processes; 0: this one, or with an address all slots of the cluster.
        address: host:port of a running cluster; None: this machine.

    Raises:
        LanceletError: the address does not answer, or Ray does not start.
    """
    if not workers and address is None:
        yield Here(arena, chunk)
        return
    with connected(workers, address) as ray:
        slots = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        # Twice the slots, so that a worker that is done finds the next chunk; but a number of workers on a cluster
        # of more slots is kept to: the chunks that wait would run on the other ones.
        at_once = workers if workers and address else 2 * slots
        yield Crew(ray, arena, chunk, at_once)
