from typing import Literal

import pytest

from lancelet import LanceletError
from lancelet.training.sweep.ranges import Over, parse

TYPES = {
    "actor_rate": float,
    "gamma": float,
    "epochs": int,
    "std": float | None,
    "learn_std": bool | None,
    "controller.hidden": tuple[int, ...],
    "controller.activation": Literal["tanh", "relu"],
}


def one(text):
    return parse([text], TYPES)[0]


def test_ranges_and_lists_have_the_type_of_their_option():
    assert one("actor_rate=1e-4..1e-2") == Over("actor_rate", (), 1e-4, 1e-2, False)
    assert one("--actor-rate=1e-4..1e-2").name == "actor_rate"
    assert one("epochs=4..40") == Over("epochs", (), 4, 40, True)
    assert one("gamma=0.98,0.99,0.995").choices == (0.98, 0.99, 0.995)
    assert one("epochs=4,8").choices == (4, 8) and type(one("epochs=4,8").choices[0]) is int
    assert one("controller.hidden=32 32,64").choices == ((32, 32), (64,))
    assert one("controller.activation=relu,tanh").choices == ("relu", "tanh")
    assert one("std=None,0.5").choices == (None, 0.5) and one("std=0.1..0.5").high == 0.5
    assert one("learn_std=True,None").choices == (True, None)


@pytest.mark.parametrize(
    ("text", "log"),
    [("gamma=0.1..1", True), ("gamma=0.2..1", False), ("gamma=0..10", False), ("gamma=-1..10", False),
     ("epochs=1..10", True), ("gamma=1,10", False)],
)  # fmt: skip
def test_a_range_above_zero_is_logarithmic_from_a_decade_on(text, log):
    assert one(text).log is log


def test_what_tune_draws_stays_inside_and_integers_stay_integers():
    drawn = [one("epochs=1..3").domain().sample() for _ in range(60)]
    assert set(drawn) == {1, 2, 3} and all(int(value) == value for value in drawn)
    wide = [one("epochs=1..100").domain().sample() for _ in range(200)]
    assert (
        all(float(value).is_integer() and 1 <= value <= 100 for value in wide)
        and sum(v <= 10 for v in wide) > 60
    )
    rates = [one("actor_rate=1e-4..1e-2").domain().sample() for _ in range(200)]
    assert (
        min(rates) >= 1e-4 and max(rates) <= 1e-2 and 60 < sum(rate < 1e-3 for rate in rates) < 140
    )
    assert set(one("gamma=0.9,0.99").domain().sample() for _ in range(40)) == {0.9, 0.99}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "nothing to sweep over: give --over"),
        (["gama=0.9..0.99"], "unknown option to sweep over 'gama'; did you mean gamma"),
        (["controller.hiden=8"], "did you mean controller.hidden"),
        (["gamma"], "must be name=low..high or name=a,b,c"),
        (["gamma="], "must be name=low..high"),
        (
            ["gamma=0.99..0.9"],
            "gamma=0.99..0.9: the range is empty; its end must be above its beginning",
        ),
        (["gamma=0.9..0.9"], "the range is empty"),
        (["gamma=0.9.."], "--over gamma: '' is no value of it; needs float"),
        (["gamma=low..high"], "'low' is no value of it; needs float"),
        (["gamma=0.9..inf"], "only numbers have a range"),
        (["epochs=1.5..4"], "--over epochs: '1.5' is no value of it; needs int"),
        (["controller.activation=tanh,sine"], "'sine' is no value of it"),
        (["controller.activation=relu..tanh"], "only numbers have a range"),
        (["gamma=0.9,0.9"], "twice"),
        (["gamma=0.9,0.99", "gamma=0.95..0.99"], "gamma is given twice"),
    ],
)
def test_bad_ranges_are_one_line(texts, message, capfd):
    with pytest.raises(LanceletError) as error:
        parse(texts, TYPES)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")
