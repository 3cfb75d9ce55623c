"""What the commands do not wait for: libraries of algorithms that they do not run."""

import json

import pytest

from lancelet import training
from lancelet.training.trainer import Trainer

LOADED = (
    "import json, sys; print(json.dumps(sorted(name.partition('.')[0] for name in sys.modules)))"
)


def loaded(python, code):
    """Top-level packages that a fresh process has loaded after `code`."""
    out = python(f"{code}\n{LOADED}").stdout
    return set(json.loads(out.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "from lancelet.scripts.main import main\nmain(['list'])",
        "from lancelet import training\n[training.algorithms.get(name) for name in training.algorithms]",
        "from lancelet.scripts import play, render, train, sweep",
        "import gymnasium, lancelet\nfrom lancelet import controllers, training\n"
        "ncap = controllers.make('ncap', gymnasium.make('lancelet/Swim-v0', joints=3))\n"
        "training.evaluate(ncap, 'lancelet/Swim-v0', 1, joints=3, max_episode_steps=3)",
    ],
    ids=["list", "the table of algorithms", "commands", "evaluate"],
)
def test_nothing_but_evolution_loads_evotorch(python, code):
    packages = loaded(python, code)
    assert "lancelet" in packages
    assert not packages & {"evotorch", "cma"}


def test_evolution_does_load_it(python):
    code = (
        "from lancelet import training\n"
        "training.evolve('lancelet/Swim-v0', 'ncap', generations=1, population=2, validation=1,"
        " validate_every=1, test=0, task_options={'joints': 3, 'max_episode_steps': 3})"
    )
    assert "evotorch" in loaded(python, code)


def test_every_algorithm_is_a_trainer():
    assert all(issubclass(training.algorithms.get(name), Trainer) for name in training.algorithms)
