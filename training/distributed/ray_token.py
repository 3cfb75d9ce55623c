"""Ray's tokens: a new one for every cluster of ours, and the user's own for a cluster that is joined.

Ray reads its mode of authentication and its token from the environment, once a process. Here they stand there only
while Ray starts, and Ray is told to read again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import LanceletError
from . import ray_compat

# Variables of the environment that Ray reads.
MODE = "RAY_AUTH_MODE"
"""``token`` or ``disabled``"""
TOKEN = "RAY_AUTH_TOKEN"
"""the token itself"""
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"
"""the file that holds the token"""

DEFAULT_FILE = Path(".ray") / "auth_token"
"""where Ray looks last, in the home folder"""
TOKEN_BYTES = 32
"""random bytes in a token of ours"""


@dataclass(frozen=True)
class Token:
    """What a cluster asks a process for before it lets it run code."""

    secret: str
    """the token itself, which no message may show"""
    source: str
    """where it stands, in words for the user"""

    @property
    def variables(self) -> dict[str, str]:
        """Variables of the environment of a process that is to use it."""
        return {MODE: "token", TOKEN: self.secret}


NO_TOKEN = {MODE: "disabled"}
"""variables of a process that joins a cluster without authentication"""


def new_token() -> Token:
    """A token for a cluster that this process starts; it stands in no file."""
    return Token(secret=secrets.token_hex(TOKEN_BYTES), source="this process")


def users_token() -> Token | None:
    """The user's token for clusters that are joined, found where Ray itself looks, in its order; None: there is none.

    Raises:
        LanceletError: RAY_AUTH_TOKEN_PATH names a file that cannot be read or holds nothing.
    """
    from_variable = os.environ.get(TOKEN, "").strip()
    if from_variable:
        return Token(secret=from_variable, source=f"variable {TOKEN}")
    named_file = os.environ.get(TOKEN_PATH)
    if named_file:
        return _token_of(Path(named_file))
    default_file = Path.home() / DEFAULT_FILE
    return _token_of(default_file) if default_file.exists() else None


def _token_of(path: Path) -> Token:
    """The token in a file; its source says so where other users may read it."""
    try:
        secret = path.read_text().strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise LanceletError(f"Ray's token file {path} cannot be read: {error}") from error
    if not secret:
        raise LanceletError(f"Ray's token file {path} is empty")
    source = f"file {path}"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        source += f" (other users may read it: chmod 600 {path})"
    return Token(secret=secret, source=source)


@contextlib.contextmanager
def used(variables: Mapping[str, str]) -> Iterator[None]:
    """Ray in this process has read `variables`, and processes that it starts inside inherit them.

    Afterwards the environment is what it was before; Ray goes on with what it has read, until `forget`.
    """
    before = {name: os.environ.get(name) for name in (MODE, TOKEN)}
    os.environ.pop(TOKEN, None)
    os.environ.update(variables)
    try:
        forget()
        # Read now, while it stands there: otherwise Ray reads it when it first needs one.
        ray_compat.load_token()
        yield
    finally:
        # Ray's own start may have changed them as well.
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def forget() -> None:
    """Ray in this process reads mode and token again, from the environment as it is then."""
    ray_compat.forget_token()
