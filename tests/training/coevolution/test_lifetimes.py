"""An individual is worth the same alone and beside any mates."""

import numpy as np
import torch

from lancelet.morphology.genome import kinds, signature
from lancelet.training.coevolution.lifetimes import Life, together

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
