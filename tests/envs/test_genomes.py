"""Genomes in their task: gates, batches of one signature, weights that follow their segments, worlds as XML."""

import dataclasses

import mujoco
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lancelet import controllers, morphology
from lancelet.controllers import Population
from lancelet.envs.genomes import fault, reason, task_of, to_xml
from lancelet.morphology.genome import Genome, decode, kind_of, signature
from lancelet.scripts.benches._decode import CREATURE_PARTS, creatures, decode_bench
from lancelet.training.rollout import make_env, rollout

KINDS = ("swimmer", "creature")


def grown(name, seed, mutations):
    rng, kind = np.random.default_rng(seed), kind_of(name)
    genome = kind.random(rng)
    for _ in range(mutations):
        genome = kind.mutate(genome, rng)[0]
    return genome


def at_work(genomes, steps=60):
    """The genomes' environment, controller and flat weights (genomes, parameters); all of one signature."""
    kind = kind_of(genomes[0])
    id, options = kind.task()
    bodies = [decode(genome) for genome in genomes]
    env = make_env(id, len(genomes), nthread=1, body=bodies, max_episode_steps=steps, **options)
    name, circuit = kind.controller(genomes[0])
    controller = controllers.make(name, env, **circuit)
    shapes = [(name, tuple(weights.shape)) for name, weights in controller.named_parameters()]
    return (
        env,
        controller,
        torch.as_tensor(np.stack([kind.flat(genome, shapes) for genome in genomes])),
    )


@pytest.mark.parametrize("name", KINDS)
def test_weights_at_birth_are_the_controllers_own(name):
    for seed in range(3):
        bare = dataclasses.replace(grown(name, seed, 5), weights={})
        _, controller, flat = at_work([bare])
        own = torch.nn.utils.parameters_to_vector(controller.parameters()).detach()
        np.testing.assert_array_equal(flat[0], own)


@pytest.mark.parametrize("name", KINDS)
def test_genomes_of_one_signature_share_a_batch_and_nobody_notices(name):
    rng, kind = np.random.default_rng(1), kind_of(name)
    group = [grown(name, 1, 6)]
    while len(group) < 4:
        child, _ = kind.mutate(group[-1], rng)
        if signature(child) == signature(group[0]) and child.body != group[-1].body:
            group.append(child)
    env, controller, flat = at_work(group)
    together = rollout(env, Population(controller, 4, flat), [7] * 4)[0].returns
    assert len(set(together)) == 4
    for genome, shared in zip(group, together, strict=True):
        env, controller, flat = at_work([genome])
        assert rollout(env, Population(controller, 1, flat), [7])[0].returns[0] == shared


def test_a_segments_weights_follow_it_into_the_childs_controller():
    """Learn something, lose a limb, and look into the controller itself: every row is where its segment went."""
    kind, genome = kind_of("creature"), grown("creature", 4, 0)
    _, controller, flat = at_work([genome])
    shapes = [(name, tuple(weights.shape)) for name, weights in controller.named_parameters()]
    learned = kind.learned(genome, shapes, torch.arange(flat.shape[1]) / 7)
    rng, seen = np.random.default_rng(0), set()
    while {"remove segment", "add segment", "copy limb", "mirror segment"} - seen:
        child, operator = kind.mutate(learned, rng)
        if operator in seen or operator == "weights":
            continue
        seen.add(operator)
        _, heir, weights = at_work([child])
        torch.nn.utils.vector_to_parameters(weights[0], heir.parameters())
        body, options = decode(child), kind.controller(child)[1]
        for (part, axis), row in zip(body.joints, options["joint_rows"], strict=True):
            key = f"segment:{body.segments[body.parts[part].segment].id}.{axis}"
            want = learned.weights.get(key) or child.weights.get(key) or kind.start["segment"]
            np.testing.assert_allclose(heir.joints[row].detach(), want, rtol=1e-6)
        assert any(key in learned.weights for key in child.weights if key != "shared")


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_variation_makes_can_be_tried(name, seed):
    assert reason(grown(name, seed, 20)) is None


def test_a_bad_genome_comes_with_its_reason():
    body = {"lengths": [0.1] * 4, "limits": [0.8, float("nan"), 0.8]}
    assert "limits = nan" in (reason(Genome("swimmer", body, {})) or "")


def spec():
    spec = morphology.make("creature").build()
    spec.geom("floor").conaffinity = 1
    return spec


def test_gates_refuse_what_compiles_and_cannot_live():
    assert fault(spec().compile()) is None
    idle = spec()
    for actuator in list(idle.actuators):
        idle.delete(actuator)
    assert "no actuator" in (fault(idle.compile()) or "")
    heavy = spec()
    heavy.geom("part_0").density = 1e7
    assert "weighs" in (fault(heavy.compile()) or "")
    sunk = spec()
    sunk.body("part_0").pos[2] -= 0.05
    assert "overlap by 20.0 mm" in (fault(sunk.compile()) or "")
    wild = spec()
    for joint in wild.joints:
        joint.stiffness = [-1e7, 0, 0]
        joint.springref = 0.3
    assert "blows up" in (fault(wild.compile()) or "")


@pytest.mark.parametrize("name", KINDS)
def test_the_xml_is_the_body_in_its_world(name):
    genome = grown(name, 2, 10)
    ours, theirs = task_of(genome).models()[0], mujoco.MjModel.from_xml_string(to_xml(genome))
    assert (ours.nq, ours.nu, ours.nsensordata) == (theirs.nq, theirs.nu, theirs.nsensordata)
    np.testing.assert_allclose(theirs.body_mass, ours.body_mass, rtol=1e-4)
    np.testing.assert_allclose(theirs.geom_contype, ours.geom_contype)
    assert theirs.opt.density == ours.opt.density


def test_the_bench_decodes_creatures_of_twelve_segments():
    first, second = creatures(2)
    assert (
        first != second
        and [len(decode(genome).parts) for genome in (first, second)] == [CREATURE_PARTS] * 2
    )
    assert 0 < decode_bench(2) < 5
