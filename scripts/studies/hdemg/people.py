"""The synthetic users of the study, each with the decoder that was fitted to their first session.

Nothing was chosen on them: constants of the decoder were set on users 100 to 105, those of the operator without signals.
"""

from __future__ import annotations

from typing import NamedTuple

from lancelet.controllers import Controller
from lancelet.scripts.studies.hdemg.decoder import first_decoder

FIRST_USER = 1000
"""number of the first user"""
USER_COUNT = 20


class People(NamedTuple):
    """Users and their decoders, in the same order."""

    users: tuple[int, ...]
    decoders: list[Controller]


def users(count: int = USER_COUNT) -> tuple[int, ...]:
    """Numbers of the first `count` users."""
    return tuple(range(FIRST_USER, FIRST_USER + count))


def fitted_people() -> People:
    """All users, with a decoder for each."""
    numbers = users()
    return People(users=numbers, decoders=[first_decoder(user) for user in numbers])
