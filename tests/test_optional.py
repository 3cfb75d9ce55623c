"""A package that is missing is one line that names its extra; the base needs none of them."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from lancelet import optional
from lancelet.scripts import doctor
from lancelet.scripts.benches import envs
from lancelet.scripts.studies.ncap.audit import oracle_row

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

BLOCKER = """
import sys

class Blocker:
    blocked = {blocked!r}

    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in self.blocked - {{"dm_control"}}:
            raise ModuleNotFoundError(f"No module named {{package!r}}", name=package)

sys.meta_path.insert(0, Blocker())
# Lancelet asks whether there is a dm_control: that must find none, and not fail.
if "dm_control" in Blocker.blocked:
    sys.modules["dm_control"] = None
"""
"""code after which some packages cannot be imported, as if they were not installed"""


@pytest.fixture
def python_without_dm_control(monkeypatch):
    """This process as Python 3.13 is: no dm_control to import, and none expected."""
    monkeypatch.setitem(sys.modules, "dm_control", None)
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(optional, "WITHOUT_DM_CONTROL", (3, 0))
    version = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda name: None if name == "dm-control" else version(name)
    )


def test_rows_that_need_it_are_not_run_and_say_why(python_without_dm_control):
    oracle = oracle_row()
    (single,) = envs._single(1)
    for row in (oracle, single):
        assert row.value is None
        assert row.holds is None
        assert "3.13" in row.note
        assert "\n" not in row.note


def test_doctor_takes_mujoco_alone_and_says_why(python_without_dm_control):
    row = doctor._pair()
    assert row.holds
    assert str(row.value).startswith("mujoco ")
    assert "labmaze" in row.note


def test_doctor_asks_for_it_where_it_could_be_had(python_without_dm_control, monkeypatch):
    monkeypatch.setattr(optional, "WITHOUT_DM_CONTROL", (4, 0))
    row = doctor._pair()
    assert not row.holds
    assert "make setup" in row.note


def test_the_dependency_is_left_out_on_python_3_13_only():
    needed = [Requirement(line) for line in PROJECT["optional-dependencies"]["studies"]]
    (marker,) = [one.marker for one in needed if one.name == "dm-control"]
    assert marker is not None
    assert [
        marker.evaluate({"python_version": version}) for version in ("3.11", "3.12", "3.13")
    ] == [True, True, False]


def distribution(package):
    """The name under which a package is installed."""
    other_names = {"sklearn": "scikit-learn"}
    return other_names.get(package, package.replace("_", "-"))


def requirements_of(extra):
    """Names of the distributions that an extra brings itself, and the extras that it includes."""
    needed = [Requirement(line) for line in PROJECT["optional-dependencies"][extra]]
    included = {name for one in needed if one.name == "lancelet" for name in one.extras}
    return {one.name for one in needed if one.name != "lancelet"}, included


def test_every_optional_package_is_brought_by_the_extra_that_is_told():
    for package, extra in optional.EXTRA_OF.items():
        own, _ = requirements_of(extra)
        assert distribution(package) in own, package
    base = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert not base & {distribution(package) for package in optional.EXTRA_OF}


def test_all_is_every_extra_but_dev():
    own, included = requirements_of("all")
    assert not own
    assert included == set(PROJECT["optional-dependencies"]) - {"all", "dev"}


def test_whatever_the_house_imports_is_installed_by_the_base_or_by_an_extra():
    base = {Requirement(line).name for line in PROJECT["dependencies"]}
    known = {*sys.stdlib_module_names, *optional.EXTRA_OF, "lancelet", "yaml"}
    known |= {name.replace("-", "_") for name in base}
    peers = {"motornet", "envpool", "ncps", "sb3_contrib"}
    for folder in ("lancelet", "morphology", "controllers", "envs", "training", "scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            names = set()
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names.add(node.module)
            unknown = {name.partition(".")[0] for name in names} - known
            assert not unknown - peers, path
            assert not unknown or "benches" in path.parts, path


USES = {
    "stable_baselines3": "training.algorithms.get('ppo')",
    "ray": "Sweep(over=('stdev=0.1,0.2',), folder='s').run(SNES_ON_SWIM)",
    "evotorch": "training.evolve('lancelet/Swim-v0', 'ncap')",
    "ribs": "from lancelet.training.coevolution.parents import MapElites; MapElites([(0, 1)], 0)",
    "nir": "import lancelet.controllers.spiking.nir",
    "h5py": "import lancelet.controllers.spiking.nir",
    "matplotlib": "from lancelet.training.runs.report import figure; figure(None)",
    "tensorboard": "Backprop(updates=1, folder='b').train('lancelet/ArmReach-v0', 'mlp')",
    "imageio_ffmpeg": "from lancelet.training.video.video import draw; draw(None, {'qpos': []}, 'a.mp4', 30)",
}
"""package -> what needs it, from Python"""

USE = """
from lancelet import LanceletError, training
from lancelet.training.config import Config
from lancelet.training.sweep.search import Sweep
from lancelet.training.twins.backprop import Backprop
SNES_ON_SWIM = Config("lancelet/Swim-v0", "ncap", "snes")
try:
    {use}
except LanceletError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", USES)
def test_what_needs_an_extra_names_it_in_one_line(python, package):
    code = BLOCKER.format(blocked={package}) + USE.format(use=USES[package])
    line = f"{package} is not installed: pip install 'lancelet[{optional.EXTRA_OF[package]}]' brings it"
    assert python(code).stdout.splitlines() == [line]


TRAIN = "train swim mlp --folder run --quiet --max-episode-steps 5"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("stable_baselines3", f"{TRAIN} --algorithm ppo"),
        ("ray", f"{TRAIN} --algorithm rllib"),
        ("evotorch", f"{TRAIN} --algorithm snes"),
        ("ribs", "coevolve crawl --evaluations 1 --folder run --quiet --selection map-elites"),
    ],
)
def test_a_command_that_needs_an_extra_names_it_in_one_line(python, package, words):
    code = f"""
from lancelet.scripts.main import main
raise SystemExit(main({words.split()!r}))
"""
    done = python(BLOCKER.format(blocked={package}) + code, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"pip install 'lancelet[{optional.EXTRA_OF[package]}]'" in line


BASE = """
import lancelet
from lancelet import training
from lancelet.scripts.main import main

for words in (["--help"], ["list"], ["doctor"],
              ["play", "swim", "--agent", "zero", "--episodes", "1", "--max-episode-steps", "5"]):
    assert main(words) == 0, words
    print("done", words[0])
for name in ("mlp", "ncap"):
    env = training.rollout.make_env("lancelet/Swim-v0", 1)
    controller = lancelet.controllers.make(name, env)
    score = training.evaluate(controller, "lancelet/Swim-v0", episodes=2, max_episode_steps=5)
    print("evaluated", name, len(score.returns))
"""


@pytest.mark.slow
def test_the_base_works_without_any_extra(python):
    blocked = set(optional.EXTRA_OF) | {"packaging", "pandas"}
    lines = python(BLOCKER.format(blocked=blocked) + BASE).stdout.splitlines()
    assert not any("does not load" in line for line in lines)
    done = [line for line in lines if line.split()[:1] in (["done"], ["evaluated"])]
    assert done == [
        "done --help",
        "done list",
        "done doctor",
        "done play",
        "evaluated mlp 2",
        "evaluated ncap 2",
    ]


def test_help_loads_no_library_and_list_none_of_an_extra(python):
    code = """
import sys
from lancelet.scripts.main import main
main(["--help"])
print("loaded by help:", *sorted({"mujoco", "torch", "tyro", "rich"} & set(sys.modules)))
main(["list"])
print("loaded by list:", *sorted(EXTRAS & set(sys.modules)))
"""
    lines = python(f"EXTRAS = {set(optional.EXTRA_OF)!r}" + code).stdout.splitlines()
    assert "loaded by help:" in lines
    assert "loaded by list:" in lines
