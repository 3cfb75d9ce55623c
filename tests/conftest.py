"""No OpenGL, one torch thread, warnings of MuJoCo's own kept out; helpers that several folders use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "disable")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)

SWIM = "lancelet/Swim-v0"
NAVIGATE = "lancelet/SwimNavigate-v0"


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python code in a fresh process, in an empty folder: `python(code).stdout`; it must end well."""

    def run(code: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **env}
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    return run
