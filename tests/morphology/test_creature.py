"""Creatures against MuJoCo: where parts are at rest, which of them touch, mirrored copies that move mirrored."""

import dataclasses

import mujoco
import numpy as np
import pytest

import lancelet.training  # noqa: F401 - registers the brains of the kinds
from lancelet import LanceletError, morphology
from lancelet.morphology.creature import Creature
from lancelet.morphology.creature_genes import OVERLAP_TOLERANCE, Segment, Sensor, quadruped
from lancelet.morphology.creature_parts import overlaps, surface
from lancelet.morphology.genome import decode, kind_of


class Unchecked(Creature):
    """A creature that may run into itself."""

    def _check_body(self):
        pass


def random(seed):
    rng, kind = np.random.default_rng(seed), kind_of("creature")
    genome = kind.random(rng)
    for _ in range(10):
        genome = kind.mutate(genome, rng)[0]
    return decode(genome)


def at_rest(body):
    model = body.build().compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


@pytest.mark.parametrize("body", [Creature(), *map(random, range(4))])
def test_the_rest_pose_is_that_of_the_compiled_body(body):
    model, data = at_rest(body)
    base = data.xpos[1]
    for i, radius in enumerate(body.pose.radii):
        assert model.body(i + 1).name == f"part_{i}", "bodies come in the order of parts"
        geom = model.geom(f"part_{i}").id
        along = data.geom_xmat[geom].reshape(3, 3)[:, 2] * model.geom_size[geom, 1]
        ends = np.sort(
            [data.geom_xpos[geom] - along - base, data.geom_xpos[geom] + along - base], axis=0
        )
        np.testing.assert_allclose(ends, np.sort(body.pose.lines[i], axis=0), atol=1e-9)
        assert model.geom_size[geom, 0] == radius
    assert base[2] + body.pose.lowest == pytest.approx(0.03)
    assert model.body_mass.sum() == pytest.approx(body.mass)
    assert (model.nu, model.nq) == (len(body.joints), len(body.joints) + 7)
    assert [model.joint(i + 1).name for i in range(model.nu)] == [
        f"joint_{i}_{axis}" for i, axis in body.joints
    ]
    assert all(contact.dist > -OVERLAP_TOLERANCE for contact in data.contact), (
        "hardly anything touches at the start"
    )


def test_how_deep_two_parts_run_into_one_another_is_what_the_simulator_finds():
    segments, sensors = quadruped()
    wild = np.random.default_rng(0)
    found = 0
    for tries in range(60):
        attach, direction = wild.normal(size=(2, 3))
        tail = dataclasses.replace(
            segments[2], id=50 + tries, parent=int(wild.integers(0, 4)), attach=tuple(attach / np.linalg.norm(attach)),
            direction=tuple(direction / np.linalg.norm(direction)), half_length=0.2, axes=((0.0, 1.0, 0.0),),
        )  # fmt: skip
        try:
            body = Unchecked(segments=(*segments, tail), sensors=sensors)
        except LanceletError:
            continue  # grows inwards
        _, data = at_rest(body)
        depth = -min((contact.dist for contact in data.contact), default=0.0)
        ours = overlaps(body.parts, body.pose)
        assert (0.0 if ours is None else ours[2]) == pytest.approx(depth, abs=1e-6)
        found += ours is not None
    assert found > 5


def test_equal_commands_on_both_sides_move_it_straight_on():
    """A mirror image turned the wrong way would turn the whole creature round."""
    body = Creature()
    spec = body.build()
    spec.geom("floor").conaffinity = 1
    model = spec.compile()
    data = mujoco.MjData(model)
    hinges = [body.parts[i].segment for i, _ in body.joints]
    pairs = {
        segment: [j for j, own in enumerate(hinges) if own == segment] for segment in (3, 4, 5, 6)
    }
    assert all(len(pair) == 2 for pair in pairs.values())
    for step in range(200):
        for k, pair in enumerate(pairs.values()):
            data.ctrl[pair] = np.sin(0.05 * step + k)
        mujoco.mj_step(model, data)
        left, right = (data.qpos[7 + np.array(side)] for side in zip(*pairs.values(), strict=True))
        np.testing.assert_allclose(left, right, atol=1e-3)
    assert abs(data.qpos[1]) < 2e-3 and np.abs(data.qpos[[4, 6]]).max() < 1e-2, (
        "neither aside nor rolled nor turned"
    )


def test_a_servo_goes_to_the_angle_it_is_asked_for_and_pulls_no_harder_than_it_can():
    body = Creature()
    model = body.build().compile()
    model.opt.gravity[:] = 0
    data = mujoco.MjData(model)
    data.ctrl[:] = command = np.linspace(-0.9, 0.9, model.nu)
    forces = []
    for _ in range(600):
        mujoco.mj_step(model, data)
        forces.append(np.abs(data.actuator_force))
    ranges = [body.segments[body.parts[i].segment].range for i, _ in body.joints]
    np.testing.assert_allclose(data.qpos[7:], command * ranges, atol=0.02)
    assert (np.array(forces).max(0) <= np.array(body.torques) + 1e-9).all()


@pytest.mark.parametrize(
    "attach", [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0.6, 0, 0.8), (0.96, 0.28, 0), (-0.8, 0.6, 0)]
)
def test_a_place_lies_on_the_capsules_surface(attach):
    point, normal = (np.array(vector) for vector in surface(attach, 0.2, 0.05))
    core = np.array([np.clip(point[0], -0.2, 0.2), 0, 0])
    assert np.linalg.norm(point - core) == pytest.approx(0.05)
    np.testing.assert_allclose(normal, (point - core) / 0.05, atol=1e-9)


def test_a_mirrored_branch_brings_a_copy_of_all_that_hangs_on_it():
    body = Creature()
    assert [part.segment for part in body.parts] == [0, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6]
    for i, part in enumerate(body.parts):
        if part.mirrored:
            twin = body.pose.lines[i - 2] * [1, -1, 1]
            np.testing.assert_allclose(body.pose.lines[i], twin, atol=1e-12)


def test_too_many_parts_with_mirrored_copies_are_refused():
    segments, sensors = quadruped()
    fans = [
        dataclasses.replace(segments[3], id=90 + i, parent=6 + i, half_length=0.03, radius=0.015)
        for i in range(3)
    ]
    with pytest.raises(LanceletError, match="more than 24 parts"):
        Creature(segments=(*segments, *fans), sensors=sensors)


def test_genes_may_be_given_as_objects_or_json():
    root = Segment(id=0, parent=-1)
    leg = {"id": 7, "parent": 0, "axes": [[0.0, 1.0, 0.0]]}
    body = morphology.make(
        "creature", segments=(root, leg), sensors=[Sensor(id=1, kind="joint", segment=1)]
    )
    assert body.segments[1] == Segment(id=7, parent=0, axes=((0.0, 1.0, 0.0),))
    assert [channel.key for channel in body.channels] == ["sensor:1.0", "sensor:1.1"]
