"""Painters share one OpenGL context in a thread of its own: none spoils another, whoever makes, closes or forgets it.

Each test draws in a process of its own, because OpenGL can take the process down with it.
"""

import gc
import os
import weakref

import gymnasium as gym
import pytest
from conftest import SWIM

from lancelet.training.video import opengl as gl

pytestmark = pytest.mark.skipif(gl.probe() is None, reason="no OpenGL here")

PROLOGUE = """
import gc, os, signal, sys, threading
signal.alarm(300)  # a hang becomes a failure
import gymnasium as gym, mujoco, numpy as np, lancelet
from lancelet import LanceletError
from lancelet.envs.rendering import Configuration, Painter

def make(task, seed=0):
    env = gym.make(f"lancelet/{task}-v0", render_mode="rgb_array")
    env.reset(seed=seed)
    env.render()  # MuJoCo lights the first picture of a scene a little differently
    return env

def same(one, two):
    assert one.std() > 1, "a blank picture"
    return bool((one == two).all())
"""


@pytest.fixture
def draws(python):
    """Run code behind the prologue with OpenGL; what it printed, line by line. Nothing may come to stderr."""

    def run(code: str, **env: str) -> list[str]:
        # Python 3.12 and later warn of every fork beside threads: these tests fork on purpose.
        quiet = "ignore:This process:DeprecationWarning"
        done = python(PROLOGUE + code, MUJOCO_GL=gl.probe(), PYTHONWARNINGS=quiet, **env)
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


def test_closing_or_forgetting_one_environment_leaves_the_pictures_of_others_alone(draws):
    code = """
stays = make("Crawl")
want = stays.render()
closed = make("Swim")
print("beside another", same(want, stays.render()))
closed.close()
closed.close()
print("closed twice", same(want, stays.render()))
forgotten = make("PointMaze")
del forgotten
gc.collect()
print("forgotten", same(want, stays.render()))
like = make("Crawl")
print("a second one", same(want, like.render()))
stays.close()
print("the first closed", same(want, like.render()))
"""
    for line in draws(code):
        assert line.endswith("True"), line


def test_painters_of_two_models_and_several_sizes_draw_in_turn(draws):
    code = """
painters = []
sizes = [("Swim", 640, 480, 0), ("Crawl", 64, 32, 4), ("Swim", 320, 240, 4), ("Crawl", 1280, 720, 0)]
for task, width, height, samples in sizes:
    sim = gym.make(f"lancelet/{task}-v0").unwrapped.vector.sim
    alone = Painter(sim.model, width, height, samples=samples)
    alone.of(sim, 0)
    want = alone.of(sim, 0)
    assert want.shape == (height, width, 3)
    alone.close()
    painters.append((Painter(sim.model, width, height, samples=samples), sim, want))
for painter, sim, _ in painters:
    painter.of(sim, 0)
for _ in range(2):
    for painter, sim, want in painters:
        print(same(want, painter.of(sim, 0)))
painters[2][0].close()
print(same(painters[0][2], painters[0][0].of(painters[0][1], 0)))
try:
    painters[2][0].of(painters[2][1], 0)
except LanceletError as error:
    print("closed" in str(error))
"""
    assert draws(code) == ["True"] * 10


def test_a_vector_environment_draws_as_its_single_ones_do(draws):
    code = """
many = gym.make_vec("lancelet/Swim-v0", num_envs=3, render_mode="rgb_array")
many.reset(seed=0)
many.render()
other = make("Crawl")
pictures = many.render()
other.close()
for seed, picture in enumerate(pictures):
    print(same(picture, make("Swim", seed).render()))
many.close()
"""
    assert draws(code) == ["True"] * 3


def test_every_thread_may_make_draw_and_close(draws):
    code = """
made_here = make("Swim")
want = made_here.render()
results = {}

def elsewhere():
    results["drawn elsewhere"] = same(want, made_here.render())
    results["environment"] = make("Crawl")

thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
print(results["drawn elsewhere"])
made_there = results["environment"]
other = made_there.render()
print(same(other, make("Crawl").render()))

def repeatedly(env, picture, name):
    results[name] = all(same(picture, env.render()) for _ in range(10))

threads = [
    threading.Thread(target=repeatedly, args=(made_here, want, "one")),
    threading.Thread(target=repeatedly, args=(made_there, other, "two")),
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(results["one"], results["two"])
thread = threading.Thread(target=made_here.close)
thread.start()
thread.join()
print(same(other, made_there.render()))
"""
    assert draws(code) == ["True", "True", "True True", "True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_after_a_picture_is_refused_in_one_line_and_ends(draws):
    code = """
env = make("Swim")
want = env.render()
child = os.fork()
if child == 0:
    signal.alarm(300)
    for attempt in (env.render, lambda: make("Crawl")):
        try:
            attempt()
        except LanceletError as error:
            print("spawn" in str(error), "\\n" in str(error), flush=True)
    env.close()
    sys.exit(0)  # by the interpreter's own end, which frees what is left
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same(want, env.render()))
"""
    assert draws(code) == ["True False", "True False", "0 True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_forked_before_the_first_picture_draws_its_own(draws):
    code = """
child = os.fork()
signal.alarm(300)
env = make("Swim")
print(env.render().std() > 1, flush=True)
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert draws(code) == ["True", "True", "0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_after_a_renderer_of_mujocos_own_is_refused_too(draws):
    code = """
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='.1'/></worldbody></mujoco>")
renderer = mujoco.Renderer(model, 32, 32)
child = os.fork()
if child == 0:
    signal.alarm(300)
    try:
        make("Swim")
    except LanceletError as error:
        print("spawn" in str(error), flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
renderer.close()
"""
    assert draws(code) == ["True", "0"]


def test_a_renderer_of_mujocos_own_spoils_nothing_and_is_not_spoilt(draws):
    code = """
env = make("Crawl")
want = env.render()
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><light pos='0 0 1'/><geom size='.1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
foreign = mujoco.Renderer(model, 32, 32)
for _ in range(2):
    foreign.update_scene(data)
    ball = foreign.render()
make("Swim").close()
foreign.update_scene(data)
print(same(ball, foreign.render()), same(want, env.render()))
foreign.close()
print(same(want, env.render()))
"""
    assert draws(code) == ["True True", "True"]


@pytest.mark.parametrize(
    "end",
    [
        "env = make('Swim')",
        "make('Swim').close(); env = make('Crawl')",
        "env = make('Swim'); env.itself = env",
        "import atexit; env = make('Swim'); atexit.register(env.close)",
    ],
)
def test_python_ends_without_noise_whatever_is_still_open(draws, end):
    assert draws(end) == []


def test_a_picture_asked_for_while_python_ends_is_refused_and_nothing_hangs(draws):
    code = """
import atexit

def late():  # runs last, being registered first
    env.close()
    try:
        make("Crawl")
    except LanceletError as error:
        print(error)

atexit.register(late)
env = make("Swim")
"""
    (line,) = draws(code)
    assert "Python is ending" in line


@pytest.mark.slow
def test_memory_stays_level_over_environments_made_drawn_and_closed(draws):
    code = """
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

def turns(count, close):
    for _ in range(count):
        env = gym.make("lancelet/Swim-v0", render_mode="rgb_array")
        env.reset(seed=0)
        env.render()
        if close:
            env.close()
        del env

turns(5, close=True)
before = resident()
turns(15, close=True)
turns(15, close=False)
print(resident() - before)
"""
    grown = float(
        draws(code)[0]
    )  # MiB; it was 300 while each environment was a circle of references
    assert grown < 120


def test_an_environment_is_gone_with_its_last_name():
    gc.collect()
    gc.disable()
    try:
        env = gym.make(SWIM)
        env.reset(seed=0)
        env.unwrapped.field("opt.viscosity")[:] = 0.1
        simulation = weakref.ref(env.unwrapped.vector.sim)
        env.close()
        del env
        assert simulation() is None
    finally:
        gc.enable()


def test_a_copy_of_an_environment_that_has_drawn_draws_with_a_painter_of_its_own(draws):
    code = """
import copy, pickle
env = make("Swim")
want = env.render()
for other in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
    other.render()
    print(same(want, other.render()))
    other.close()
    print(same(want, env.render()))
"""
    assert draws(code) == ["True"] * 4
