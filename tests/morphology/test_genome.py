"""Genomes of every kind: JSON, variation, inheritance of weights by lineage, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lancelet.training  # noqa: F401 - registers the brains of the kinds
from lancelet import LanceletError, morphology
from lancelet.morphology.genome import SCHEMA, Genome, decode, kind_of, kinds, signature

KINDS = ("swimmer", "creature")
SEEDS = st.integers(0, 2**32 - 1)


def grown(name, seed, mutations):
    """A random genome after some mutations, and every genome on the way with the operator that made it."""
    rng = np.random.default_rng(seed)
    kind = kind_of(name)
    genome, way = kind.random(rng), []
    for _ in range(mutations):
        child, operator = kind.mutate(genome, rng)
        way.append((genome, child, operator))
        genome = child
    return genome, way


def names(genome):
    """Parameters that a controller of this body has: the shared ones first, then a row a lineage."""
    kind = kind_of(genome)
    rows = {
        name: (len(keys), len(kind.start[keys[0].partition(":")[0]]))
        for name, keys in kind.lineages(genome).items()
    }
    return [("whole", (len(kind.start["shared"]),)), *rows.items()]


def test_both_kinds_are_registered():
    assert set(KINDS) <= set(kinds)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, mutations=st.integers(0, 12))
def test_any_mutations_give_genomes_that_pass_and_go_through_json_exactly(name, seed, mutations):
    genome, way = grown(name, seed, mutations)
    for before, after, operator in way:
        assert after != before and operator
        kind_of(name).check(after)
    again = Genome.from_json(genome.to_json())
    assert again == genome and again.to_json() == genome.to_json() and again.digest == genome.digest
    features, niches = kind_of(name).features(genome), kind_of(name).niches
    assert features.keys() == niches.keys() and all(
        np.isfinite(value) for value in features.values()
    )


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_decoding_is_deterministic(name, seed):
    genome = grown(name, seed, 5)[0]
    bodies = [decode(genome), decode(Genome.from_json(genome.to_json()))]
    assert (
        bodies[0]
        == bodies[1]
        == morphology.from_json(json.loads(json.dumps(morphology.to_json(bodies[0]))))
    )
    first, second = (morphology.model_hash(body.build().compile()) for body in bodies)
    assert first == second


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_a_surviving_part_keeps_its_weights_through_every_change_of_the_body(name, seed):
    rng = np.random.default_rng(seed)
    kind = kind_of(name)
    genome = kind.random(rng)
    for _ in range(8):
        # what learning leaves behind: every number its own
        total = sum(int(np.prod(shape)) for _, shape in names(genome))
        genome = kind.learned(genome, names(genome), rng.normal(size=total).astype(np.float32))
        child, operator = kind.mutate(genome, rng)
        if operator == "weights":
            continue
        common = genome.weights.keys() & child.weights.keys()
        assert "shared" in common and all(
            child.weights[key] == genome.weights[key] for key in common
        )
        alive = {key for keys in kind.lineages(child).values() for key in keys}
        assert genome.weights.keys() & alive <= child.weights.keys(), "none is forgotten"
        flat, first = kind.flat(child, names(child)), len(kind.start["shared"])
        for keys in kind.lineages(child).values():
            for key in keys:
                row = flat[first : first + len(kind.start[key.partition(":")[0]])]
                first += len(row)
                want = (
                    genome.weights.get(key)
                    or child.weights.get(key)
                    or kind.start[key.partition(":")[0]]
                )
                np.testing.assert_array_equal(row, np.array(want, np.float32))
        genome = child


@pytest.mark.parametrize("name", KINDS)
def test_flat_weights_and_back_is_nothing(name):
    genome = grown(name, 5, 10)[0]
    kind, wanted = kind_of(name), names(genome)
    flat = np.random.default_rng(0).normal(size=len(kind.flat(genome, wanted))).astype(np.float32)
    np.testing.assert_array_equal(kind.flat(kind.learned(genome, wanted, flat), wanted), flat)
    bare = replace(genome, weights={})
    assert kind.flat(bare, wanted)[: len(kind.start["shared"])].tolist() == kind.start["shared"]


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_children_of_any_two_pass_and_have_nothing_of_a_third(name, seed):
    rng = np.random.default_rng(seed)
    kind = kind_of(name)
    one, other = grown(name, seed, 4)[0], grown(name, seed + 1, 4)[0]
    cousin = one
    for _ in range(4):
        cousin = kind.mutate(cousin, rng)[0]
    for mate in (other, cousin):
        child = kind.cross(one, mate, rng)
        kind.check(child)
        pool = [*one.weights.values(), *mate.weights.values()]
        if name == "creature":
            assert all(row in pool for row in child.weights.values())
            ids = {segment["id"] for parent in (one, mate) for segment in parent.body["segments"]}
            assert {segment["id"] for segment in child.body["segments"]} <= ids


@pytest.mark.parametrize("name", KINDS)
def test_variation_is_decided_by_the_generator(name):
    first, second = (grown(name, 9, 12)[0] for _ in range(2))
    assert first == second and first != grown(name, 10, 12)[0]


@pytest.mark.parametrize("name", KINDS)
def test_the_flat_view_is_exact_and_bounded(name):
    genome = grown(name, 3, 15)[0]
    kind = kind_of(name)
    values, (low, high) = kind.vector(genome), kind.bounds(genome)
    assert (
        values.shape == low.shape == high.shape and (low <= values).all() and (values <= high).all()
    )
    np.testing.assert_allclose(kind.vector(kind.from_vector(genome, values)), values, atol=1e-12)
    with pytest.raises(LanceletError, match="finite numbers"):
        kind.from_vector(genome, values[1:])
    moved = values.copy()
    moved[kind.vector(genome) == values] += 0.001
    kind.check(kind.from_vector(genome, moved))


def test_equal_signatures_are_equal_shapes():
    _, way = grown("creature", 2, 40)
    shapes = {}
    for _, child, _ in way:
        body = decode(child)
        model = body.build().compile()
        shape = (
            model.nq,
            model.nu,
            model.nbody,
            model.nsensordata,
            tuple(model.body_parentid),
            len(body.channels),
        )
        assert shapes.setdefault(signature(child), shape) == shape
    assert 1 < len(shapes) < len(way)


def swimmer(**body):
    return {"lengths": [0.1] * 4, "limits": [0.8] * 3, **body}


def creature(change=None):
    """The body of the usual quadruped, as JSON, changed."""
    body = morphology.to_json(morphology.make("creature"))
    body = json.loads(json.dumps({"segments": body["segments"], "sensors": body["sensors"]}))
    if change is not None:
        change(body)
    return body


def set_gene(sort, index, name, value):
    return lambda body: body[sort][index].__setitem__(name, value)


def deep(body):
    """A chain of eight segments on one another."""
    link = dict(
        body["segments"][1], mirror=False, direction=[1.0, 0.0, 0.0], attach=[1.0, 0.0, 0.0]
    )
    for i in range(8):
        body["segments"].append(
            dict(link, id=100 + i, parent=len(body["segments"]) - 1 if i else 1)
        )


def stiff(body):
    body.update(segments=body["segments"][:2], sensors=body["sensors"][-1:])


def two_tails(body):
    body["segments"].append(dict(body["segments"][2], id=99, axes=[[0.0, 1.0, 0.0]]))


BAD = {
    "cycle": ("creature", creature(set_gene("segments", 1, "parent", 3)), r"segments\[1\].parent = 3.*no cycles"),
    "self": ("creature", creature(set_gene("segments", 2, "parent", 2)), r"segments\[2\].parent = 2"),
    "no root": ("creature", creature(set_gene("segments", 0, "parent", 0)), "must be -1"),
    "too deep": ("creature", creature(deep), "7 joints from the root, at most 6"),
    "zero mass": ("creature", creature(set_gene("segments", 4, "density", 0.0)), r"density = 0.0: must be .* from 500"),
    "NaN gene": ("creature", creature(set_gene("segments", 4, "radius", float("nan"))), "radius = nan"),
    "interpenetrating": ("creature", creature(two_tails), r"segments\[2\] and \[7\] run .* mm into one another"),
    "grows inwards": ("creature", creature(set_gene("segments", 1, "direction", [-1.0, 0.0, 0.0])), "into its parent"),
    "no unit vector": ("creature", creature(set_gene("segments", 1, "attach", [1.0, 1.0, 0.0])), "has length 1.41421"),
    "sensor nowhere": ("creature", creature(set_gene("sensors", 0, "segment", 40)), "segment = 40"),
    "sensor of no joint": ("creature", creature(set_gene("sensors", 0, "segment", 1)), "no axes"),
    "unknown sensor": ("creature", creature(set_gene("sensors", 0, "kind", "nose")), "must be joint, touch or imu"),
    "unknown gene": ("creature", creature(set_gene("segments", 0, "colour", "red")), "unknown gene"),
    "lineage twice": ("creature", creature(set_gene("segments", 4, "id", 3)), "lineage id 3 is there twice"),
    "no motor": ("creature", creature(stiff), "no segment has an axis"),
    "segments missing": ("creature", {"sensors": []}, "needs segments, sensors"),
    "not a list": ("creature", {"segments": 3, "sensors": []}, "needs a list"),
    "NaN length": ("swimmer", swimmer(lengths=[0.1, float("nan"), 0.1, 0.1]), "lengths = nan"),
    "zero length": ("swimmer", swimmer(lengths=[0.0, 0.1, 0.1, 0.1]), "lengths = 0.0"),
    "too few limits": ("swimmer", swimmer(limits=[0.5]), "3 of them"),
    "too long": ("swimmer", swimmer(lengths=[0.25] * 6, limits=[0.5] * 5), "1.5 m long"),
    "a word": ("swimmer", swimmer(limits=[0.5, "wide", 0.5]), "limits = 'wide'"),
    "one link": ("swimmer", {"lengths": [0.2, 0.2], "limits": [0.5]}, "needs 3 to 13"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_body_is_refused_in_one_line(case):
    kind, body, message = BAD[case]
    with pytest.raises(LanceletError, match=message) as error:
        kind_of(kind).check(Genome(kind, body, {}))
    assert "\n" not in str(error.value)


TEXT = Genome("swimmer", swimmer(), {}).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace('"schema":1', '"schema":2'), f"schema = 2: this version reads {SCHEMA}"),
        (TEXT.replace('"schema":1', '"schema":"new"'), "schema = 'new'"),
        (TEXT.replace(',"schema":1', ""), "schema = None"),
        (TEXT.replace('"swimmer"', '"swimer"'), "did you mean swimmer"),
        (TEXT.replace('"swimmer"', '"os:system"'), "unknown kind of genome"),
        (TEXT.replace("0.8", "NaN"), "holds NaN"),
        (TEXT.replace("0.8", "1e999"), "limits = inf"),
        (TEXT.replace('"weights":{}', '"weights":{"shared":[1.0]}'), "needs 4 numbers"),
        (TEXT.replace('"weights":{}', '"weights":{"segment:7":[1.0]}'), "no such part"),
        (TEXT.replace('"weights":{}', '"weights":{"shared":[1,2,3,"x"]}'), "'x'"),
        (TEXT.replace('"weights":{}', '"weights":[]'), "JSON objects"),
        (TEXT[:-5], "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("3", "JSON object"),
    ],
)
def test_bad_json_is_refused_in_one_line(text, message):
    with pytest.raises(LanceletError, match=message) as error:
        Genome.from_json(text)
    assert "\n" not in str(error.value)


def test_a_number_that_is_not_finite_never_gets_into_json():
    with pytest.raises(LanceletError, match="not finite"):
        Genome("swimmer", swimmer(limits=[float("inf")] * 3), {}).to_json()


def test_a_controller_of_another_shape_is_refused():
    kind, genome = kind_of("swimmer"), Genome("swimmer", swimmer(), {})
    with pytest.raises(LanceletError, match="4 numbers: the controller needs 7"):
        kind.flat(genome, [("weight", (7,))])
    with pytest.raises(LanceletError, match="finite numbers"):
        kind.learned(genome, [("weight", (4,))], np.array([1, 2, 3, np.nan]))
