"""A body, a task and a controller from one file outside the repository: evaluated, trained, loaded."""

import json

import pytest

OUTSIDE = '''
from dataclasses import dataclass

import mujoco, numpy as np, torch
from gymnasium import spaces

import lancelet
from lancelet import controllers, morphology
from lancelet.envs import Task


@dataclass(frozen=True)
class Cart(morphology.Body):
    """A mass on a rail."""

    mass: float = 1.0
    """kg"""

    def build(self):
        spec = mujoco.MjSpec()
        spec.option.timestep = 0.01
        cart = spec.worldbody.add_body(name="cart")
        cart.add_joint(name="rail", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0], damping=[1.0, 0, 0])
        cart.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.1, 0.1, 0.1], mass=self.mass)
        spec.add_actuator(name="push", target="rail", trntype=mujoco.mjtTrn.mjTRN_JOINT, gear=[3, 0, 0, 0, 0, 0])
        return spec


@dataclass(kw_only=True)
class Home(Task):
    """Bring the cart to the origin."""

    span: float = 1.0
    """m, of the start"""

    substeps = 2
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def default_body(self):
        return Cart()

    def reset(self, sim, memory, ids, rngs, options):
        for i, rng in zip(ids, rngs):
            sim.qpos[i] = rng.uniform(-self.span, self.span)

    def observe(self, sim, memory):
        return np.concatenate([sim.qpos, sim.qvel], axis=1)

    def reward(self, sim, memory, action):
        near = np.exp(-4 * np.abs(sim.qpos[:, 0]))
        return near, {"near": near}


class Pull(controllers.Controller):
    """Two gains."""

    def __init__(self, observation_space, action_space, options):
        super().__init__(observation_space, action_space, options)
        self.gains = torch.nn.Parameter(torch.zeros(2))

    def forward(self, observation, state):
        return torch.tanh(observation @ self.gains)[:, None], state


lancelet.register("outside/Home-v0", "outside:Home", max_episode_steps=40)
morphology.register("cart", "outside:Cart")
controllers.register("pull", "outside:Pull")
'''

USE = """
import json
from pathlib import Path
import outside, numpy, torch
import gymnasium as gym
from lancelet import controllers, morphology, registered, training

assert not Path(outside.__file__).is_relative_to({repository!r})
body = morphology.make("cart", mass=0.5)
env = gym.make("outside/Home-v0", body=body)
pull = controllers.make("pull", env)
before = training.evaluate(pull, "outside/Home-v0", episodes=4, body=body)
run = training.evolve(
    "outside/Home-v0", "pull", generations=2, population=4, folder="run",
    task_options=dict(body=morphology.to_json(body), span=0.8),
)
again = controllers.load(run.folder)
assert type(again) is outside.Pull and torch.equal(again.gains, run.controller.gains)
after = training.evaluate(again, "outside/Home-v0", episodes=4, body=body)
print(json.dumps(dict(
    registered=registered()["home"],
    before=before.returns.tolist(),
    after=after.returns.tolist(),
    files=sorted(path.name for path in Path("run").iterdir()),
    generations=len(Path("run/metrics.jsonl").read_text().splitlines()),
)))
"""

BY_NAME = """
import gymnasium as gym
from lancelet import task_id, controllers, morphology
env = gym.make("outside:outside/Home-v0")
assert task_id("outside:home") == "outside:outside/Home-v0"
print(type(controllers.make("pull", env)).__name__, morphology.make("cart", mass=2.0))
"""


@pytest.mark.slow
def test_one_file_outside_the_repository_is_enough(python, tmp_path, request):
    (tmp_path / "outside.py").write_text(OUTSIDE)
    out = json.loads(
        python(USE.format(repository=str(request.config.rootpath)), PYTHONPATH=str(tmp_path)).stdout
    )
    assert out["registered"] == "outside/Home-v0"
    assert len(out["before"]) == len(out["after"]) == 4 and all(
        0 < value < 40 for value in out["before"]
    )
    assert {"config.yaml", "metrics.jsonl", "best.safetensors"} <= set(out["files"])
    assert out["generations"] == 2


@pytest.mark.slow
def test_the_module_form_imports_the_file(python, tmp_path):
    (tmp_path / "outside.py").write_text(OUTSIDE)
    assert python(BY_NAME, PYTHONPATH=str(tmp_path)).stdout.strip() == "Pull Cart(mass=2.0)"


@pytest.mark.slow
def test_a_short_name_with_its_module_leads_to_body_and_controller(python, tmp_path):
    (tmp_path / "outside.py").write_text(OUTSIDE)
    code = """
from lancelet import controllers, morphology
import gymnasium as gym
print(morphology.make("outside:cart").mass)
print(type(controllers.make("outside:pull", gym.make("outside:outside/Home-v0"))).__name__)
"""
    assert python(code, PYTHONPATH=str(tmp_path)).stdout.split() == ["1.0", "Pull"]


def test_a_file_that_cannot_be_imported_is_one_line(python):
    code = """
import lancelet
from lancelet import morphology
for ask in (lambda: lancelet.task_id("nowhere:home"), lambda: morphology.make("nowhere:cart")):
    try:
        ask()
    except lancelet.LanceletError as error:
        print(error)
"""
    lines = python(code).stdout.splitlines()
    assert len(lines) == 2 and all("cannot import 'nowhere'" in line for line in lines)
