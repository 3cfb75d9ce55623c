"""Which token of the user's a cluster is joined with, and what the environment holds meanwhile."""

import os
import re

import pytest

from lancelet import LanceletError
from lancelet.training.distributed import ray_token


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty home folder, and no variable of Ray's."""
    for name in (ray_token.MODE, ray_token.TOKEN, ray_token.TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_without_variables_and_file_there_is_none(home):
    assert ray_token.users_token() is None


def test_it_is_looked_for_where_ray_does_and_in_its_order(home, monkeypatch):
    default = home / ".ray/auth_token"
    default.parent.mkdir()
    default.write_text("of the home folder\n")
    default.chmod(0o600)
    assert ray_token.users_token() == ray_token.Token("of the home folder", f"file {default}")
    named = home / "named"
    named.write_text("named")
    named.chmod(0o600)
    monkeypatch.setenv(ray_token.TOKEN_PATH, str(named))
    assert ray_token.users_token() == ray_token.Token("named", f"file {named}")
    monkeypatch.setenv(ray_token.TOKEN, "given")
    assert ray_token.users_token() == ray_token.Token("given", "variable RAY_AUTH_TOKEN")


def test_a_file_that_others_may_read_is_said(home, monkeypatch):
    file = home / "token"
    file.write_text("x")
    file.chmod(0o644)
    monkeypatch.setenv(ray_token.TOKEN_PATH, str(file))
    found = ray_token.users_token()
    assert found is not None and found.source.endswith(
        f"(other users may read it: chmod 600 {file})"
    )


def test_a_file_that_is_missing_or_empty_is_one_line(home, monkeypatch):
    monkeypatch.setenv(ray_token.TOKEN_PATH, str(home / "none"))
    with pytest.raises(
        LanceletError, match=re.escape(f"token file {home / 'none'} cannot be read")
    ):
        ray_token.users_token()
    (home / "none").touch()
    with pytest.raises(LanceletError, match="is empty"):
        ray_token.users_token()


def test_ray_reads_what_stands_there_inside_and_the_environment_is_put_back(monkeypatch):
    from ray._raylet import AuthenticationMode, AuthenticationTokenLoader, get_authentication_mode

    monkeypatch.setenv(ray_token.MODE, "disabled")
    monkeypatch.setenv(ray_token.TOKEN, "the user's")
    token = ray_token.new_token()
    assert len(token.secret) == 64 and token.secret != ray_token.new_token().secret
    with ray_token.used(token.variables):
        assert get_authentication_mode() == AuthenticationMode.TOKEN
    assert os.environ[ray_token.MODE] == "disabled" and os.environ[ray_token.TOKEN] == "the user's"
    header = AuthenticationTokenLoader.instance().get_token_for_http_header()
    assert token.secret in str(header), "Ray goes on with what it has read"
    ray_token.forget()
    assert get_authentication_mode() == AuthenticationMode.DISABLED
