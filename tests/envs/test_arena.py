"""Memory for contacts: sized per scene, and where it is too small the fault of one episode only."""

import sys
from dataclasses import dataclass

import mujoco
import numpy as np
import pytest
from gymnasium import spaces

from lancelet import envs, morphology, registered, task_id
from lancelet.envs import arena

BOXES = 6
SIDE = 0.4
"""m, of a box"""
DEFAULT = 10_000_000
"""bytes, well below MuJoCo's default arena, and far above one that was sized"""
SIMULATIONS = 4
CROWDED = 1
"""simulation whose boxes are stacked; those of the others fall freely"""
OTHERS = [i for i in range(SIMULATIONS) if i != CROWDED]
CONSTRAINTS_LOST = 60_000
"""bytes that hold the stack's contacts but not their constraints: MuJoCo warns and goes on without them"""
STACK_OVERFLOW = 100_000
"""bytes that hold the constraints as well but not the solver's scratch: MuJoCo raises an error out of the step"""
CONTACTS_OVERFLOW = 20_000
"""bytes that do not hold the scratch of the search for contacts: an error too"""


def boxes(memory=arena.UNSET, shape=mujoco.mjtGeom.mjGEOM_BOX):
    """A floor and six free boxes far above it, far from each other."""
    spec = mujoco.MjSpec()
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.1])
    for i in range(BOXES):
        body = spec.worldbody.add_body(name=f"box{i}", pos=[0, 0, 10 + 2 * i])
        body.add_freejoint()
        body.add_geom(type=shape, size=[SIDE / 2] * 3)
    spec.memory = memory
    return spec


@dataclass(frozen=True)
class Boxes(morphology.Body):
    memory: int = arena.UNSET

    def build(self):
        return boxes(self.memory)


@dataclass(kw_only=True)
class Fall(envs.Task):
    """Boxes that fall; `how` the physics is called."""

    how: str = "step"
    substeps = 3
    reset_options = ("stack",)

    @property
    def observation_space(self):
        return spaces.Box(-np.inf, np.inf, (13 * BOXES,), np.float64)

    @property
    def action_space(self):
        return spaces.Box(-1.0, 1.0, (1,), np.float32)

    def default_body(self):
        return Boxes()

    def reset(self, sim, memory, ids, rngs, options):
        for i in ids:
            if options.get("stack") == i:
                sim.qpos[i].reshape(BOXES, 7)[:, 2] = (
                    SIDE / 2 - 0.05 + (SIDE - 0.05) * np.arange(BOXES)
                )

    def advance(self, sim, memory, action):
        if self.how == "step":
            sim.step(self.substeps)
        elif self.how == "drive":
            sim.drive(np.zeros((sim.n, self.substeps, 0)))
        else:
            sim.move(sim.qpos.copy(), sim.qvel + 0.01, np.zeros((sim.n, sim.model.nv)))

    def observe(self, sim, memory):
        return np.concatenate([sim.qpos, sim.qacc], axis=1)

    def reward(self, sim, memory, action):
        return sim.qpos[:, 2].copy(), {}


def make(memory, how="step", mode="NextStep"):
    return envs.VectorEnv(
        SIMULATIONS, Fall, max_episode_steps=50, autoreset_mode=mode, body=Boxes(memory), how=how
    )


def steps(env, stack=None, count=4):
    """What `count` steps return, after a reset that stacks the boxes of simulation `stack`."""
    rows = [env.reset(seed=0, options={} if stack is None else {"stack": stack})[0]]
    returned = []
    for _ in range(count):
        returned.append(env.step(np.zeros((SIMULATIONS, 1))))
        rows.append(returned[-1][0])
    return np.array(rows), returned


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("how", ["step", "drive", "move"])
@pytest.mark.parametrize("memory", [CONSTRAINTS_LOST, STACK_OVERFLOW, CONTACTS_OVERFLOW])
def test_too_small_an_arena_ends_its_own_episode_and_says_so(memory, how, mode):
    seen, returned = steps(make(memory, how, mode), stack=CROWDED)
    _, reward, terminated, truncated, info = returned[0]
    np.testing.assert_array_equal(terminated, np.arange(SIMULATIONS) == CROWDED)
    np.testing.assert_array_equal(info["diverged"], terminated)
    assert not truncated.any()
    assert reward[CROWDED] == 0.0
    reasons = info["diverged_reason"]
    assert reasons[CROWDED].startswith("arena too small")
    assert f"{memory} bytes" in reasons[CROWDED]
    assert "memory" in reasons[CROWDED].split(";")[1]
    assert all(reasons[i] is None for i in OTHERS)
    last = info["final_obs"][CROWDED] if mode == "SameStep" else seen[1][CROWDED]
    np.testing.assert_array_equal(last, seen[0][CROWDED])
    for *_, later in returned[1:]:
        assert "diverged" not in later


@pytest.mark.parametrize("how", ["step", "drive", "move"])
@pytest.mark.parametrize("memory", [CONSTRAINTS_LOST, STACK_OVERFLOW, CONTACTS_OVERFLOW])
def test_the_others_go_on_as_if_nothing_had_happened(memory, how):
    disturbed, _ = steps(make(memory, how), stack=CROWDED)
    alone, _ = steps(make(memory, how))
    plenty, _ = steps(make(DEFAULT, how))
    np.testing.assert_array_equal(disturbed[:, OTHERS], alone[:, OTHERS])
    np.testing.assert_array_equal(alone, plenty)


def test_the_single_environment_says_so_too_and_can_be_reset():
    env = envs.SingleEnv(Fall, body=Boxes(STACK_OVERFLOW))
    env.reset(seed=0, options={"stack": 0})
    _, reward, terminated, _, info = env.step(np.zeros(1))
    assert terminated
    assert reward == 0.0
    assert info["diverged"]
    assert info["diverged_reason"].startswith("arena too small")
    env.reset(seed=0)
    *_, terminated, _, info = env.step(np.zeros(1))
    assert not terminated
    assert "diverged" not in info


@pytest.mark.parametrize("shape", ["BOX", "CAPSULE", "CYLINDER", "SPHERE", "ELLIPSOID"])
def test_a_sized_arena_holds_every_heap_of_the_bodies(shape):
    kind = getattr(mujoco.mjtGeom, f"mjGEOM_{shape}")
    (model,) = arena.compiled([boxes(shape=kind)])
    assert model.narena < DEFAULT
    random = np.random.default_rng(0)
    for _ in range(100):
        data = mujoco.MjData(model)
        places = data.qpos.reshape(BOXES, 7)
        places[:, :3] = random.uniform(-SIDE / 4, SIDE / 4, (BOXES, 3))
        places[:, 3:] = random.normal(size=(BOXES, 4))
        mujoco.mj_step(model, data)  # an overflow of the stack would raise
        assert data.ncon > BOXES
        assert data.warning[mujoco.mjtWarning.mjWARN_CONTACTFULL].number == 0
        assert data.warning[mujoco.mjtWarning.mjWARN_CNSTRFULL].number == 0


def test_the_size_changes_nothing_else_of_a_model():
    assert morphology.model_hash(arena.compiled([boxes()])[0]) == morphology.model_hash(
        boxes().compile()
    )


def test_a_body_may_set_its_own_size():
    assert arena.compiled([boxes(memory=123_456)])[0].narena == 123_456


def test_bodies_of_one_environment_get_arenas_of_one_size():
    quiet = boxes()
    for geom in quiet.geoms:
        geom.contype = 0
    crowded, alone = arena.compiled([boxes(), quiet])
    assert crowded.narena == alone.narena
    assert arena.compiled([quiet])[0].narena < crowded.narena


def test_a_scene_of_very_many_geoms_keeps_mujocos_default():
    spec = boxes()
    for i in range(120):
        body = spec.worldbody.add_body(name=f"ball{i}", pos=[0, i, 50])
        body.add_freejoint()
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1, 0, 0])
    assert arena.compiled([spec])[0].narena == spec.compile().narena


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", registered())
def test_a_thousand_simulations_of_any_task_take_under_500_mb_of_address_space(name, python):
    """In a process of its own: all that they reserve, stacks of threads included, beyond what one simulation loads."""
    code = f"""
import re
import gymnasium as gym
import lancelet.envs

def size():
    with open("/proc/self/status") as file:
        return int(re.search(r"VmSize:\\s+(\\d+) kB", file.read())[1]) / 1000

one = gym.make_vec("{task_id(name)}", num_envs=1)
one.reset(seed=0)
one.step(one.action_space.sample())
before = size()
env = gym.make_vec("{task_id(name)}", num_envs=1024, nthread=2)
env.reset(seed=0)
env.step(env.action_space.sample())
print(size() - before)
"""
    assert float(python(code).stdout) < 500
