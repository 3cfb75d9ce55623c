"""The compiled gradient against torch's own, through the same networks."""

import itertools

import pytest
import torch
from gymnasium import spaces
from torch.nn.utils import parameters_to_vector

from lancelet.controllers.spiking.gradient import differentiable
from lancelet.controllers.spiking.kernel import run
from lancelet.controllers.spiking.snn import SNN, SNNOptions

SPACE = spaces.Box(-12, 12, (1,))
STRUCTURES = ("lif", "r-lif", "iwta-lif", "r-iwta-lif")


def network(**options):
    return SNN(SPACE, SPACE, SNNOptions(neurons=8, **options))


@pytest.mark.parametrize(
    ("hidden", "form", "trace"),
    list(itertools.product(STRUCTURES, ("shared", "literal"), ("paper", "code"))),
)
def test_gradients_are_those_of_torch(hidden, form, trace):
    random = torch.Generator().manual_seed(1)
    errors, wanted = torch.randn(2, 3, 40, generator=random)
    for seed in range(3):
        circuit = network(hidden=hidden, form=form, trace=trace, seed=seed, lesions=("pair:2",))
        outputs, _ = circuit.unroll(errors.T[..., None], circuit.initial_state(3))
        (outputs[..., 0].T * wanted).sum().backward()
        theirs = torch.cat([gene.grad.flatten() for gene in circuit.parameters()])
        genes = parameters_to_vector(circuit.parameters()).detach()[None].requires_grad_()
        (differentiable(circuit, genes, errors)[0] * wanted).sum().backward()
        assert torch.allclose(
            genes.grad[0], theirs, rtol=1e-3, atol=1e-5 * float(theirs.abs().max())
        )
        assert float(theirs.abs().max()) > 0.1


def test_outputs_are_the_kernels_to_the_bit_and_gradients_do_not_depend_on_threads():
    circuit = network(hidden="r-iwta-lif")
    random = torch.Generator().manual_seed(2)
    genomes = torch.rand(4, circuit.parameter_count, generator=random)
    errors = torch.randn(3, 30, generator=random)
    grown = []
    for threads in (1, 2):
        genes = genomes.clone().requires_grad_()
        outputs = differentiable(circuit, genes, errors, threads)
        outputs.square().sum().backward()
        grown.append(genes.grad)
        assert torch.equal(outputs, run(circuit, genomes, errors)[0])
    assert torch.equal(*grown)
