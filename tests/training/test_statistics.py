"""Intervals of shares: known values, and a width at both ends."""

import pytest

from lancelet.training.statistics import share_interval


def test_the_score_interval_is_wilsons():
    assert share_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert share_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_all_and_none_mirror_each_other():
    low, high = share_interval(0, 300)
    other_low, other_high = share_interval(300, 300)
    assert low == 0.0
    assert other_high == 1.0
    assert high == pytest.approx(1 - other_low)
    assert 0.012 < high < 0.013
