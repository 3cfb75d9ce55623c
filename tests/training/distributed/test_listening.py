"""What listens here, as the doctor tells it."""

import subprocess
import sys

import pytest

from lancelet.training.distributed import listening

SERVER = """
import socket, sys
server = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def serve():
    """Start a process called `name` that listens at `host`; its number and its port."""
    started = []

    def start(host, name):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, host, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process.pid, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("0.0.0.0", False), ("::1", True), ("::", False)]
)
def test_a_listener_of_ours_is_found_with_its_address(serve, host, loopback):
    pid, port = serve(host, "lancelet")
    found = [one for one in listening.listeners() if one.pid == pid]
    assert [(one.host, one.port, one.on_loopback, one.token) for one in found] == [
        (host, port, loopback, False)
    ]


def test_processes_of_other_programs_are_none_of_ours(serve):
    if "lancelet" in sys.executable or "/ray/" in sys.executable:
        pytest.skip("this interpreter's own path names it")
    pid, _ = serve("127.0.0.1", "another")
    assert pid not in {one.pid for one in listening.listeners()}
