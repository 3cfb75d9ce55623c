"""The champions' silhouettes and film of a co-evolution."""

import mujoco
import numpy as np
import pytest

from lancelet import morphology
from lancelet.morphology.genome import kinds
from lancelet.training.coevolution import family
from lancelet.training.coevolution.individuals import Individual
from lancelet.training.coevolution.lifetimes import Life
from lancelet.training.video import opengl as gl


@pytest.mark.slow
@pytest.mark.skipif(gl.probe() is None, reason="no OpenGL here")
@pytest.mark.parametrize("link", [".champions.tmp.mp4", "champions.mp4"])
def test_a_strangers_link_is_replaced_and_what_it_leads_to_stays(tmp_path, link):
    genome = kinds.known("swimmer").random(np.random.default_rng(0)).to_json()
    best = Individual(
        id=0, parents=[], operator="random", genome=genome, state="evaluated", fitness=1.0
    )
    life = Life(
        kind="swimmer",
        task="lancelet/Swim-v0",
        task_options={},
        episodes=1,
        steps=2,
        seed=0,
        learning=0,
        folder=str(tmp_path),
    )
    precious = tmp_path / "precious"
    precious.write_text("mine")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / link).symlink_to(precious)
    film = theirs / "champions.mp4"
    assert family.film([best], life, film) == [best]
    assert precious.read_text() == "mine"
    assert not film.is_symlink()
    assert b"ftyp" in film.read_bytes()[:16]


def test_an_ellipsoid_is_drawn_with_its_own_half_axes():
    model = morphology.make("swimmer").build().compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    head = model.geom("head_visual")
    shape = family._shape(model, data, head.id, centre=np.zeros(3), view=[1, 0])
    assert len(shape.places) == 1
    np.testing.assert_allclose(shape.half_sizes, head.size[[1, 0]])
