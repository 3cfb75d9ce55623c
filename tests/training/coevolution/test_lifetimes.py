"""An individual is worth the same alone and beside any mates, and nothing is done for it twice."""

from collections import Counter

import numpy as np
import pytest
import torch

from lancelet import LanceletError, morphology
from lancelet.envs import arena
from lancelet.morphology.genome import Genome, kind_of, kinds, signature
from lancelet.training.coevolution import driver, lifetimes
from lancelet.training.coevolution.lifetimes import Life, together
from lancelet.training.distributed.pools import Outcome

LIFE = Life(
    kind="creature",
    task="lancelet/Crawl-v0",
    task_options={},
    episodes=1,
    steps=30,
    seed=0,
    learning=0,
    folder="unused",
)


def mates(count):
    """Genomes of one layout, of other bodies and weights."""
    kind = kinds.get("creature")
    rng = np.random.default_rng(0)
    genome = kind.usual()
    found = [genome]
    while len(found) < count:
        child, _ = kind.mutate(found[-1], rng)
        if signature(child) == signature(genome):
            found.append(child)
    return list(enumerate(found))


def test_creatures_are_worth_the_same_alone_and_beside_mates():
    torch.set_num_threads(1)
    members = mates(17)
    whole = together(LIFE, members)
    assert len({one.fitness for one in whole.values()}) > 5
    for number in (0, 3, 16):
        alone = together(LIFE, [members[number]])
        assert alone[number].fitness == whole[number].fitness
        assert alone[number].figures == whole[number].figures


@pytest.fixture
def counts(monkeypatch):
    """Times that something is done, by what: a genome or a body to JSON and back, checked, built, compiled."""
    counts = Counter()

    def counted(owner, name, what, **wrap):
        original = getattr(owner, name)

        def call(*arguments, **options):
            counts[what] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, wrap.get("as_", lambda function: function)(call))

    counted(Genome, "to_json", "genome to JSON")
    counted(Genome, "from_json", "genome from JSON", as_=staticmethod)
    counted(morphology, "to_json", "body to JSON")
    counted(morphology, "from_json", "body from JSON")
    for name in ("swimmer", "creature"):
        kind = type(kind_of(name))
        counted(kind, "check", "checked")
        counted(kind, "body", "decoded")
        counted(morphology.bodies.known(name), "build", "built")
    original = arena.compiled

    def compiled(specs):
        counts["compiled"] += len(specs)
        return original(specs)

    monkeypatch.setattr(arena, "compiled", compiled)
    return counts


@pytest.mark.parametrize("kind", ["swimmer", "creature"])
def test_an_individual_is_checked_built_compiled_and_parsed_once(tmp_path, counts, kind):
    options = driver.Coevolve(evaluations=100, steps=3, quiet=True, folder=str(tmp_path))
    session = driver.Driver(options, kind, tmp_path)
    (individual,) = session._births(slots=2)
    session.individuals[individual.id] = individual
    counts.clear()
    call = session.work([individual.id])
    value = call.function(call.argument)
    assert counts == {
        "genome from JSON": 1,
        "checked": 1,
        "decoded": 1,
        "built": 1,
        "compiled": 1,
    }
    counts.clear()
    session.under_way[0] = [individual.id]
    done, champions = session._take([Outcome(0, value)])
    assert done == champions == [individual] and individual.state == "evaluated"
    assert counts["genome from JSON"] == counts["checked"] == 0
    session.store.close()


def test_a_body_that_does_not_compile_is_invalid_and_its_mates_are_not(monkeypatch):
    # Children whose weights alone have changed share the body of their parent.
    different = {id(genome.decoded): genome for _, genome in mates(17)}
    members = list(enumerate(different.values()))[:3]
    expected = together(LIFE, members)
    bad = members[1][1].decoded
    original = type(bad).build

    def build(self):
        if self is bad:
            raise LanceletError("it cannot be")
        return original(self)

    monkeypatch.setattr(type(bad), "build", build)
    lives = together(LIFE, members)
    assert lives[1].reason == "it cannot be" and lives[1].fitness == lifetimes.FAILED
    for number in (0, 2):
        assert lives[number].fitness == expected[number].fitness


def test_a_body_that_cannot_live_is_invalid_and_its_mates_are_not(monkeypatch):
    members = mates(3)
    expected = together(LIFE, members)
    original = lifetimes.fault
    answers = iter([None, "it cannot live"])
    monkeypatch.setattr(lifetimes, "fault", lambda model: next(answers, None) or original(model))
    lives = together(LIFE, members)
    assert lives[1].reason == "it cannot live" and lives[1].fitness == lifetimes.FAILED
    for number in (0, 2):
        assert lives[number].fitness == expected[number].fitness
