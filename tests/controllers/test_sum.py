"""The sum of controllers: what it adds, names, saves and refuses."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Population
from lancelet.controllers.pid import PID, PIDOptions
from lancelet.controllers.spiking.snn import SNN, SNNOptions
from lancelet.controllers.sum import Sum, SumOptions

BLIMP = "lancelet/BlimpAltitude-v0"
SPACE = spaces.Box(-12, 12, (1,), np.float32)


def pid(**options):
    return PID(SPACE, SPACE, PIDOptions(**options))


def snn(**options):
    return SNN(SPACE, SPACE, SNNOptions(**options))


def through(controller, seen):
    with torch.no_grad():
        return controller.unroll(seen, controller.initial_state(seen.shape[1]))[0]


SEEN = torch.randn(60, 4, 1, generator=torch.Generator().manual_seed(0))


def test_the_action_is_the_sum_of_the_terms_actions():
    terms = pid(ki=0.0), snn(seed=3, hidden="iwta-lif"), pid(kp=0, kd=0)
    total = Sum.of(*terms)
    torch.testing.assert_close(
        through(total, SEEN), sum(through(term, SEEN) for term in terms), rtol=0, atol=1e-5
    )
    state, actions = total.initial_state(4), []
    with torch.no_grad():
        for now in SEEN:
            action, state = total(now, state)
            actions.append(action)
    assert torch.equal(torch.stack(actions), through(total, SEEN))
    assert total.parameter_count == sum(term.parameter_count for term in terms)


def test_the_default_is_the_published_pair_of_160_neurons():
    total = controllers.make("sum", gym.make(BLIMP))
    assert total.parameter_count == 321 + 341
    assert [term.options.hidden for term in total.terms] == ["lif", "iwta-lif"]
    assert total.terms[1].options.decoder_decay == (0.0, 0.3)


def odd():
    """Terms whose options are not the defaults, whose weights are not the initial ones."""
    terms = (
        pid(kp=1e-5, integral_limit=None, derivative="mean", lesions=("d",)),
        snn(hidden="r-iwta-lif", neurons=6, trace="code", form="literal", decoder_decay=(0.1, 0.3), seed=5,
            lesions=("pair:2", "recurrent")),
    )  # fmt: skip
    with torch.no_grad():
        for term in terms:
            for weight in term.parameters():
                weight.add_(0.01)
    return terms


def test_a_sum_of_existing_controllers_keeps_options_and_weights():
    terms = odd()
    total = Sum.of(*terms)
    for mine, term in zip(total.terms, terms, strict=True):
        assert mine.options == term.options and mine is not term
        assert all(
            torch.equal(value, mine.state_dict()[name]) for name, value in term.state_dict().items()
        )


def test_what_is_saved_comes_back_from_its_options_alone(tmp_path):
    total = Sum.of(*odd())
    controllers.save(total, tmp_path)
    again = controllers.load(tmp_path)
    assert again.options == total.options
    assert [term.options for term in again.terms] == [term.options for term in total.terms]
    assert torch.equal(through(again, SEEN), through(total, SEEN))


def test_parts_and_signals_carry_the_number_of_their_term():
    total = Sum.of(pid(), snn(neurons=4), snn(neurons=4, hidden="iwta-lif"))
    assert total.parts() == [
        "1.p",
        "1.i",
        "1.d",
        "2.pair:1",
        "2.pair:2",
        "3.threshold",
        "3.pair:1",
        "3.pair:2",
    ]
    signals = total.signals(total.initial_state(5))
    assert sorted(signals) == [
        f"{i}.{name}" for i in (2, 3) for name in ("encoder", "hidden", "operations")
    ]
    assert signals["3.hidden"].shape == (5, 4)


def test_a_lesion_reaches_its_term_alone(tmp_path):
    total = Sum.of(pid(), pid(kp=2.0, ki=0.0, kd=0.0))
    hurt = controllers.lesion(total, "1.p", "1.i", "1.d")
    torch.testing.assert_close(through(hurt, SEEN), 2 * SEEN)
    controllers.save(hurt, tmp_path)
    assert torch.equal(through(controllers.load(tmp_path), SEEN), through(hurt, SEEN))
    with pytest.raises(LanceletError, match=r"3\.p"):
        controllers.lesion(total, "3.p")


def test_a_population_of_sums_acts_as_its_members():
    total = Sum.of(pid(), snn(neurons=4))
    genomes = torch.nn.utils.parameters_to_vector(total.parameters()).detach().repeat(2, 1)
    genomes[1, :3] = 0.0
    population = Population(total, 2, genomes)
    state = population.initial_state()
    for now in SEEN[:20, :1]:
        action, state = population(now.expand(2, 1), state)
    torch.testing.assert_close(torch.as_tensor(action[0]), through(total, SEEN[:20, :1])[-1, 0])
    torch.testing.assert_close(
        torch.as_tensor(action[1]), through(snn(neurons=4), SEEN[:20, :1])[-1, 0]
    )


def test_a_reset_puts_back_only_the_masked_agents_of_every_term():
    total = Sum.of(pid(), snn(neurons=4))
    _, state = total.unroll(SEEN[:, :2], total.initial_state(2))
    after = total.reset(state, torch.tensor([True, False]))
    assert not after[0][1][0].any() and torch.equal(after[0][1][1], state[0][1][1])
    assert torch.equal(after[1]["potential"][1], state[1]["potential"][1])


@pytest.mark.slow
def test_on_the_blimp_it_flies_as_the_pid_that_it_splits():
    env = gym.make(BLIMP)
    options = {"terms": ("pid ki=0", "pid kp=0 kd=0")}
    split, whole = controllers.make("sum", env, **options), controllers.make("pid", env)
    errors = [
        training.evaluate(c, BLIMP, episodes=1, reference=1.2, ballast=2.0).metrics[
            "steady_state_error"
        ][0]
        for c in (split, whole)
    ]
    assert abs(errors[0] - errors[1]) < 0.05


@pytest.mark.parametrize(("terms", "match"), [
    ((), "needs one or more"), (("",), "needs one or more"), (("pidd",), "unknown controller 'pidd'"),
    (("pid kq=3",), "unknown option of controller pid 'kq'"), (("pid kp",), "'kp' must be option=value"),
    (("pid kp=nan",), "kp"), (("snn neurons=[1",), "option=value|neurons"), (("snn neurons=odd",), "neurons = 'odd'"),
    (("sum",), "a sum itself"), (("os:system",), "unknown controller 'os:system'"), (('"',), "unknown controller"),
    (("pid kp={",), "is not YAML"), (("pid kp=&a{a:*a}",), "levels deep|is not YAML"),
])  # fmt: skip
def test_bad_terms_are_refused_in_one_line(terms, match):
    with pytest.raises(LanceletError, match=match) as caught:
        Sum(SPACE, SPACE, SumOptions(terms=terms))
    assert "\n" not in str(caught.value)


def test_terms_of_other_spaces_are_refused():
    other = spaces.Box(-1, 1, (1,), np.float32)
    with pytest.raises(LanceletError, match="equal spaces"):
        Sum.of(pid(), PID(other, other, PIDOptions()))
    with pytest.raises(LanceletError, match="one or more"):
        Sum.of()
