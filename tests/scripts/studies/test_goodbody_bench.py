import shutil

import numpy as np
import pytest

from lancelet.envs.kinematic import NEAR, distances, grid
from lancelet.morphology.braitenberg import design
from lancelet.scripts.benches import goodbody


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_the_c_loop_does_the_same_arithmetic(tmp_path):
    weights, body = grid(5), design(80)
    call = goodbody._compiled(tmp_path, "-O2", body, weights)
    assert call is not None
    out, ours = call(), distances(body, weights)
    assert ((out < NEAR) != (ours < NEAR)).sum() <= 4
    assert (np.abs(out - ours) < 1e-6).mean() > 0.6


def test_without_a_compiler_rows_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(goodbody.shutil, "which", lambda name: None)
    assert goodbody._compiled(tmp_path, "-O2", design(80), grid(3)) is None
