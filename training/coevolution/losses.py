"""Individuals whose process ended over them: sent again, or quarantined, or a reason to end the run."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import LanceletError
from ..distributed.pools import Outcome
from .individuals import Individual

MOST_LOSSES = 10
"""times that an individual may be lost through nobody's fault (its node, the node's memory) before the run ends"""
OTHERS_EVALUATED = MOST_LOSSES // 2
"""individuals that must have been evaluated meanwhile for one to be blamed for its node's lack of memory"""


@dataclass
class Verdict:
    """What becomes of the individuals of a call that gave no result."""

    again: list[Individual] = field(default_factory=list)
    """are to be sent again, each by itself"""
    record: list[Individual] = field(default_factory=list)
    """have changed, and must be recorded: another try, or the quarantine"""


class Losses:
    """Counts what individuals cost, and decides who is to be tried again.

    Args:
        most_tries: processes that may die over one individual before it is quarantined.
    """

    def __init__(self, most_tries: int) -> None:
        self._most_tries = most_tries
        self._count: dict[int, int] = {}
        """individual -> times that it was lost through nobody's fault since this session began"""
        self._evaluated_at_first: dict[int, int] = {}
        """individual -> how many had been evaluated when it was lost first"""
        self._announced: set[str] = set()
        """ways of being lost that the user has been told of"""

    def judge(self, members: Sequence[Individual], outcome: Outcome, evaluated: int) -> Verdict:
        """Decide about the members of a call that died, or that raised an error.

        Members are changed in place: their tries, reason and state.

        Args:
            members: of the call.
            outcome: what became of the call.
            evaluated: number of individuals evaluated so far.

        Raises:
            LanceletError: an individual was lost too often through no fault of its own.
        """
        reason = outcome.died or f"{type(outcome.error).__name__}: {outcome.error}"
        if outcome.blamed:
            return self._blamed(members, reason)
        return self._unblamed(members, reason, outcome.out_of_memory, evaluated)

    def _blamed(self, members: Sequence[Individual], reason: str) -> Verdict:
        """Every member has cost a try.

        One of them is guilty, and nobody knows which: from now on each is sent by itself, so that
        the innocent get away.
        """
        verdict = Verdict(record=list(members))
        for member in members:
            member.tries += 1
            member.reason = reason
            if member.tries >= self._most_tries:
                quarantine(member)
            else:
                verdict.again.append(member)
        return verdict

    def _unblamed(
        self,
        members: Sequence[Individual],
        reason: str,
        out_of_memory: bool,
        evaluated: int,
    ) -> Verdict:
        """Nobody is at fault, but it must not go on for ever, nor without a word."""
        advice = "mend the cause"
        if out_of_memory:
            advice = "fewer workers or a smaller --memory would fit"
        self._announce(reason, len(members), advice)
        verdict = Verdict()
        for member in members:
            count = self._count.get(member.id, 0) + 1
            self._count[member.id] = count
            first = self._evaluated_at_first.setdefault(member.id, evaluated)
            others_live = evaluated >= first + OTHERS_EVALUATED
            was_alone = len(members) == 1
            if count < MOST_LOSSES:
                verdict.again.append(member)
            elif out_of_memory and was_alone and others_live:
                # It alone has its node out of memory again and again, while others are evaluated.
                member.reason = f"{reason} {MOST_LOSSES} times, while others were evaluated"
                quarantine(member)
                verdict.record.append(member)
            else:
                raise LanceletError(
                    f"individual {member.id} was lost {MOST_LOSSES} times, no fault of its own: "
                    f"{reason}; every result so far is on disk: {advice}, and --resume"
                )
        return verdict

    def _announce(self, reason: str, count: int, advice: str) -> None:
        """Tell the user, once for every reason."""
        if reason in self._announced:
            return
        self._announced.add(reason)
        print(
            f"warning: {reason}: {count} individuals are sent again, unblamed; {advice}",
            file=sys.stderr,
        )


def quarantine(individual: Individual) -> None:
    """Mark an individual as one that is never evaluated again; it is changed in place."""
    individual.state = "quarantined"
    individual.done = time.time()
