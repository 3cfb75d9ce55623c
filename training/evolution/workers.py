"""Scores of many weights: in this process, or in chunks by Ray workers. Who computes them changes no bit."""

from __future__ import annotations

import contextlib
import math
import uuid
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ...controllers import Controller, Population, controllers
from ...envs import VectorEnv
from ...envs.simulation import Simulation
from ...errors import LanceletError
from ..distributed.cluster import connected
from ..distributed.pools import Call, Cluster, Pool
from ..distributed.shipping import Names
from ..rollout import FAILED, Score, make_env, rollout
from ..runs import interrupt

BATCH = 1024
"""simulations that this process runs side by side: whole chunks, or one chunk that is larger"""
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
        self.controller, self.task, self.task_options, self._nthread = (
            controller,
            task,
            task_options,
            nthread,
        )
        self._envs: dict[int, VectorEnv] = {}

    def score(self, genomes: Tensor, seeds: list[int]) -> tuple[Tensor, int]:
        """Mean `worth` (p, ...) of the rows of `genomes` (p, parameters) over `seeds`, and the control steps taken."""
        n = len(genomes) * len(seeds)
        agents = self.agents(n, genomes)
        score, _ = rollout(self._env(n), agents, seeds * len(genomes))
        worth = self.worth(score, agents)
        means = worth.reshape(len(genomes), len(seeds), *worth.shape[1:]).mean(1)
        return torch.as_tensor(means, dtype=torch.float32).clamp(min=FAILED), int(
            score.lengths.sum()
        )

    def agents(self, n: int, genomes: Tensor) -> Population:
        """Who acts in `n` simulations."""
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
        step = bodies // math.gcd(bodies, episodes)
        return -(-max(1, chunk // episodes) // step) * step

    def _env(self, n: int) -> VectorEnv:
        if n not in self._envs:
            self._envs[n] = make_env(self.task, n, nthread=self._nthread, **self.task_options)
        return self._envs[n]


class Scorer(ABC):
    """Any number of candidates, cut into chunks of a fixed size and put together again in order."""

    def __init__(self, arena: Arena, chunk: int) -> None:
        self._arena, self._chunk = arena, chunk

    def score(self, genomes: Tensor, seeds: list[int]) -> tuple[Tensor, int]:
        """See `Arena.score`."""
        rows = self.rows(len(seeds))
        found = self.compute(
            [genomes[first : first + rows] for first in range(0, len(genomes), rows)], seeds
        )
        return torch.cat([fitness for fitness, _ in found]), sum(steps for _, steps in found)

    def rows(self, episodes: int) -> int:
        """Candidates in a chunk."""
        return self._arena.rows(self._chunk, episodes)

    @abstractmethod
    def compute(self, chunks: list[Tensor], seeds: list[int]) -> list[tuple[Tensor, int]]:
        """`Arena.score` of every chunk, in order."""


class Here(Scorer):
    """In this process, on all cores; several chunks make one batch, up to `BATCH` simulations."""

    def rows(self, episodes: int) -> int:
        """See `Scorer`."""
        rows = super().rows(episodes)
        return rows * max(1, BATCH // (rows * episodes))

    def compute(self, chunks: list[Tensor], seeds: list[int]) -> list[tuple[Tensor, int]]:
        """See `Scorer`."""
        return [self._arena.score(chunk, seeds) for chunk in chunks]


@dataclass(frozen=True)
class Plan:
    """What a worker builds its arena from; the classes are registered there first."""

    kind: type[Arena]
    names: Names
    controller: str
    options: Any
    spaces: tuple[spaces.Space, spaces.Space]
    buffers: dict[str, np.ndarray]
    """the controller's tensors that are no weights: a fixed random matrix cannot be built again"""
    task_options: dict[str, Any]

    @classmethod
    def of(cls, arena: Arena) -> Plan:
        """The plan of an arena in this process."""
        own = arena.controller
        name = controllers.name_of(type(own))
        names = Names.of(arena.task, name, arena.task_options)
        buffers = {name: value.numpy() for name, value in own.named_buffers()}
        return cls(
            type(arena),
            names,
            name,
            own.options,
            (own.observation_space, own.action_space),
            buffers,
            arena.task_options,
        )

    @torch.no_grad()
    def arena(self) -> Arena:
        """The arena in this process, one thread for physics and one for torch."""
        torch.set_num_threads(1)
        self.names.register()
        controller: Controller = controllers.get(self.controller)(*self.spaces, self.options)
        for name, value in controller.named_buffers():
            value.copy_(torch.tensor(self.buffers[name]))
        return self.kind(controller, self.names.task, self.task_options, nthread=1)


class Crew(Scorer):
    """By Ray workers: a bounded number of chunks at once, a chunk whose worker died again.

    Args:
        ray: the connected module.
        arena: what to compute, as this process would.
        chunk: simulations in a chunk, about.
        at_once: chunks handed out at a time.
    """

    def __init__(self, ray: Any, arena: Arena, chunk: int, at_once: int) -> None:
        super().__init__(arena, chunk)
        self._pool, self._key = Cluster(ray, at_once), uuid.uuid4().hex
        self._plan = ray.put(Plan.of(arena))

    def compute(self, chunks: list[Tensor], seeds: list[int]) -> list[tuple[Tensor, int]]:
        """See `Scorer`."""
        calls = [
            Call(_compute, (self._key, [self._plan], chunk.numpy(), seeds)) for chunk in chunks
        ]
        values = computed(self._pool, calls, "the same candidates")
        results = {number: (torch.tensor(fitness), steps) for number, (fitness, steps) in values}
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
            outcomes = pool.outcomes(0.1)
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
                    advice = (
                        "; fewer workers would need less memory" if outcome.out_of_memory else ""
                    )
                    raise LanceletError(
                        f"{TRIES} workers died over {what}; the last: {outcome.died}{advice}"
                    )
                waiting.appendleft(outcome.key)
    finally:
        pool.close()


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
    torch.set_num_threads(1)
    function, item = work
    return function(item)


_arena: tuple[str, Arena] | None = None
"""of a worker process: the one it computed with last"""


def _compute(what: tuple[str, list[Any], np.ndarray, list[int]]) -> tuple[np.ndarray, int]:
    """A chunk in a worker process; the plan in its list is a reference, looked at where the key is new."""
    global _arena
    key, plan, genomes, seeds = what
    if _arena is None or _arena[0] != key:
        import ray
        from ray.exceptions import RayError

        try:
            made: Any = ray.get(plan[0])
        except RayError as error:
            raise LanceletError(
                f"a worker cannot load task or controller: {str(error).splitlines()[0]}"
            ) from error
        _arena = key, made.arena()
    fitness, steps = _arena[1].score(torch.tensor(genomes), seeds)
    return fitness.numpy(), steps


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
        queue = (
            workers if workers and address else 2 * slots
        )  # a queue would run on a cluster's other slots
        yield Crew(ray, arena, chunk, queue)
