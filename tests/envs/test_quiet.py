"""MuJoCo's warnings are kept out of our own calls, and left to the user everywhere else."""

import os
import threading

import mujoco
import pytest
from conftest import SWIM

from lancelet.envs.compat import quiet

BLOW_UP = """
import mujoco

def blow_up():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    data.qvel[0] = 1e30
    mujoco.mj_step(model, data)
"""
"""a simulation of the user's own that MuJoCo warns of"""
OURS = f"""
import gymnasium as gym, numpy as np
env = gym.make_vec("lancelet:{SWIM}", num_envs=4)
env.reset(seed=0, options={{"qvel": np.full(8, 1e30)}})
assert env.step(np.zeros((4, 5)))[2].all()
"""
"""simulations of ours that blow up"""


def test_the_import_and_our_simulations_leave_the_users_warnings_alone(python):
    code = f"""
import lancelet.envs, lancelet.envs.core, lancelet.envs.genomes, lancelet.envs.crawl, lancelet.envs.rendering
{OURS}
{BLOW_UP}
assert mujoco.get_mju_user_warning() is None
blow_up()
"""
    done = python(code)
    printed = done.stdout + done.stderr
    assert printed.count("WARNING") == 1, "MuJoCo warns of the user's simulation alone"
    assert "QVEL" in printed


def test_the_users_own_handler_stays_and_hears_of_the_users_simulations_only(python):
    code = f"""
{BLOW_UP}
heard = []
handler = heard.append
mujoco.set_mju_user_warning(handler)
import lancelet.envs
{OURS}
assert mujoco.get_mju_user_warning() is handler
assert heard == []
blow_up()
assert len(heard) == 1
"""
    done = python(code)
    assert done.stdout == done.stderr == ""


@pytest.fixture
def handler():
    """A handler of the user's; what was there before is put back."""
    before = mujoco.get_mju_user_warning()

    def heard(_message):
        pass

    mujoco.set_mju_user_warning(heard)
    yield heard
    mujoco.set_mju_user_warning(before)


def test_blocks_may_be_nested_and_errors_pass_through(handler):
    with pytest.raises(ValueError, match="inner"), quiet:
        with quiet:
            pass
        assert mujoco.get_mju_user_warning() is not handler, "the outer block goes on"
        raise ValueError("inner")
    assert mujoco.get_mju_user_warning() is handler


def test_blocks_of_several_threads_may_overlap(handler):
    first_is_open, second_is_open = threading.Event(), threading.Event()

    def first():
        with quiet:
            first_is_open.set()
            second_is_open.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    first_is_open.wait(10)
    with quiet:
        second_is_open.set()
        thread.join()
        assert mujoco.get_mju_user_warning() is not handler, "the second block goes on"
    assert mujoco.get_mju_user_warning() is handler


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_forgets_the_blocks_of_its_parents_threads(python):
    code = """
import os, mujoco
from lancelet.envs.compat import quiet
with quiet:
    child = os.fork()
    if child == 0:
        os._exit(0 if mujoco.get_mju_user_warning() is None else 1)
    assert os.waitpid(child, 0)[1] == 0
"""
    done = python(code)
    assert done.stdout == done.stderr == ""
