"""Run folders of strangers: whatever is in them, no import, no process, no write elsewhere, no hang, one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MEMORY = 3 * 2**30
"""bytes that all cases together may take"""


@pytest.mark.slow
def test_nothing_of_a_strangers_folder_is_run_followed_or_trusted_to_be_small(tmp_path):
    program = Path(__file__).with_name("strangers.py")
    done = subprocess.run(
        [sys.executable, "-P", str(program), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MUJOCO_GL": "disable"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["wrong"] == {}
    assert told["cases"] >= 400
    assert told["memory"] < MEMORY
