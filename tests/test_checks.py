"""Checks of options: numbers of numpy become Python's; a wrong value is one line with the rule."""

import math

import numpy as np
import pytest

from lancelet import LanceletError, checks


@pytest.mark.parametrize("value", [3, np.int64(3), np.int32(3), np.uint8(3), np.array(3)])
def test_whole_numbers_of_numpy_become_python_ones(value):
    number = checks.whole_number("joints", value, least=1)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "joints = 0: must be a whole number from 1 to 200"),
        (201, "joints = 201: must be a whole number from 1 to 200"),
        (np.int64(-4), "joints = -4: must be a whole number from 1 to 200"),
        (True, "joints = True (of type bool): must be a whole number from 1 to 200"),
        (3.0, "joints = 3.0 (of type float): must be a whole number from 1 to 200"),
        (np.float64(3), "joints = 3.0 (of type float): must be a whole number from 1 to 200"),
        ("3", "joints = '3' (of type str): must be a whole number from 1 to 200"),
        (None, "joints = None (of type NoneType): must be a whole number from 1 to 200"),
        (math.nan, "joints = nan (of type float): must be a whole number from 1 to 200"),
    ],
)
def test_what_is_no_whole_number_of_the_range_is_refused(value, message):
    with pytest.raises(LanceletError) as raised:
        checks.whole_number("joints", value, least=1, most=200)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "value", [0.5, np.float64(0.5), np.float32(0.5), np.float16(0.5), np.array(0.5)]
)
def test_numbers_of_numpy_become_python_ones(value):
    number = checks.finite_number("stdev", value, above=0)
    assert number == 0.5
    assert type(number) is float


def test_a_whole_number_stays_one_where_any_number_is_right():
    assert type(checks.finite_number("density", np.int64(1000), least=0)) is int


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 0, 0.0, -0.5, np.float64("nan"), np.float32(-1)]
)
def test_a_number_that_must_be_above_zero(value):
    with pytest.raises(LanceletError, match=r"^stdev = .*: must be a finite number above 0 \(m\)$"):
        checks.finite_number("stdev", value, above=0, unit="m")


def test_ends_of_a_range_belong_to_it_or_do_not():
    assert checks.finite_number("gamma", 0, least=0, most=1) == 0
    assert checks.finite_number("gamma", 1, least=0, most=1) == 1
    with pytest.raises(
        LanceletError, match=r"gamma = 1: must be a finite number at least 0 and below 1"
    ):
        checks.finite_number("gamma", 1, least=0, below=1)
    with pytest.raises(LanceletError, match=r"gamma = 1\.01: must be a finite number from 0 to 1"):
        checks.finite_number("gamma", 1.01, least=0, most=1)
    with pytest.raises(LanceletError, match=r"noise = -1: must be a finite number, 0 or more"):
        checks.finite_number("noise", -1, least=0)


@pytest.mark.parametrize("value", ["1e-3", None, [1.0], True, 1j, np.array([1.0, 2.0])])
def test_what_is_no_number_is_refused_with_its_type(value):
    with pytest.raises(LanceletError, match=r"of type .*must be a finite number"):
        checks.finite_number("rate", value)


@pytest.mark.parametrize("value", [0, 2**63, 2**64 - 1, np.uint64(2**64 - 1), np.int64(7)])
def test_seeds_of_64_bits_are_taken(value):
    seed = checks.seed_number(value)
    assert seed == int(value)
    assert type(seed) is int


@pytest.mark.parametrize("value", [-1, 2**64, 2**70, 1.0, True, None, "3", np.int64(-1)])
def test_other_seeds_are_refused(value):
    with pytest.raises(
        LanceletError, match=r"^seed = .*: must be a whole number from 0 to 2\*\*64 - 1$"
    ):
        checks.seed_number(value)


def test_nothing_of_numpy_is_left_however_deep_it_lies():
    given = {
        "a": [np.float64(1.5), {"b": np.arange(3)}],
        "c": (np.int64(2), "text", None),
        "d": np.bool_(False),
    }
    result = checks.plain(given)
    assert result == {"a": [1.5, {"b": (0, 1, 2)}], "c": (2, "text", None), "d": False}
    assert type(result["a"][0]) is float
    assert type(result["a"][1]["b"][0]) is int
    assert type(result["c"][0]) is int
    assert result["d"] is False


@pytest.mark.parametrize("value", [(32, 16), [32, 16], np.array([32, 16])])
def test_whole_numbers_become_a_tuple(value):
    numbers = checks.whole_numbers("hidden", value, least=1)
    assert numbers == (32, 16)
    assert all(type(number) is int for number in numbers)
    assert checks.whole_numbers("hidden", ()) == ()


@pytest.mark.parametrize("value", [(32, 0), (32, 1.5), (True,), 32, "32", None])
def test_a_list_with_anything_but_whole_numbers_is_refused(value):
    with pytest.raises(LanceletError, match=r"hidden = .*must be whole numbers, 1 or more each"):
        checks.whole_numbers("hidden", value, least=1)
