"""The wheel holds the whole library: installed alone in a folder of its own, it steps an environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = (
    "lancelet",
    "morphology",
    "controllers",
    "envs",
    "training",
    "scripts",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)

CODE = """
import sys
from pathlib import Path
import lancelet, gymnasium as gym
from lancelet import controllers, training
import lancelet.envs, lancelet.morphology, lancelet.scripts, lancelet.scripts.studies, lancelet.scripts.benches
home = Path(sys.argv[1])
for name, module in sys.modules.items():
    if name.split(".")[0] == "lancelet" and getattr(module, "__file__", None):
        assert Path(module.__file__).is_relative_to(home), (name, module.__file__)
assert (home / "lancelet" / "py.typed").exists()
env = gym.make("lancelet/Swim-v0", joints=3)
env.reset(seed=0)
print(env.step(env.action_space.sample())[0].shape)
ncap = controllers.make("ncap", env)
print(training.evaluate(ncap, "lancelet/Swim-v0", episodes=2, joints=3, max_episode_steps=5).lengths)
"""


def run(*command, **options):
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wheel_steps_an_environment(tmp_path, request):
    source, wheels, home, elsewhere = (
        tmp_path / name for name in ("source", "wheels", "home", "elsewhere")
    )
    source.mkdir(), elsewhere.mkdir()
    for name in SOURCES:  # a copy: building leaves build/ and egg-info beside the sources
        path = request.config.rootpath / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, source / name)
    run("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, source)
    (wheel,) = wheels.iterdir()
    run("-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", home, wheel)
    assert sorted(
        path.name for path in home.iterdir() if path.suffix != ".dist-info" and path.name != "bin"
    ) == ["lancelet"]
    out = run("-c", CODE, home, cwd=elsewhere, env={**os.environ, "PYTHONPATH": str(home)})
    assert out.split("\n")[:2] == ["(15,)", "[5 5]"]
    help = run(
        "-m",
        "lancelet.scripts.main",
        "--help",
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(home)},
    )
    assert "train" in help
    assert not list(Path(elsewhere).iterdir())
