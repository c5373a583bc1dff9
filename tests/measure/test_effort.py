"""How well a person looks, against numbers worked out by hand."""

import pytest

from signloop.core.bounds import clopper_pearson
from signloop.measure.effort import Effort, Rate, agreement

NONE = Rate(0, 0)


def test_a_share_has_exact_bounds() -> None:
    rate = Rate(8, 10)
    assert rate.value == 0.8
    assert rate.interval is not None
    assert [rate.interval.low, rate.interval.high] == pytest.approx([0.4439, 0.9748], abs=1e-4)
    assert rate.interval == clopper_pearson(8, 10)


def test_no_trial_has_no_share() -> None:
    assert NONE.value is None
    assert NONE.interval is None


def test_signs_a_minute() -> None:
    assert Effort(45, 0, 90.0, NONE, NONE).signs_per_minute == 30.0
    assert Effort(0, 0, 0.0, NONE, NONE).signs_per_minute is None


def test_who_finds_four_of_five_planted_mistakes_has_found_four_of_five_real_ones() -> None:
    left = Effort(100, 12, 60.0, Rate(8, 10), NONE).mistakes_left
    assert left is not None
    expected, low, high = left
    assert expected == pytest.approx(3.0)  # 12 are 80 % of 15
    assert low == pytest.approx(12 * (1 - 0.9748) / 0.9748, rel=1e-2)
    assert high == pytest.approx(12 * (1 - 0.4439) / 0.4439, rel=1e-3)


def test_who_finds_all_of_them_has_perhaps_not_found_all_real_ones() -> None:
    left = Effort(100, 10, 60.0, Rate(5, 5), NONE).mistakes_left
    assert left is not None
    assert left[:2] == (0.0, 0.0)
    assert left[2] == pytest.approx(10 * (1 - 0.4782) / 0.4782, rel=1e-3)


def test_without_a_mistake_that_was_found_nothing_is_known() -> None:
    assert Effort(100, 12, 60.0, Rate(0, 10), NONE).mistakes_left is None
    assert Effort(100, 12, 60.0, NONE, NONE).mistakes_left is None


def test_no_more_mistakes_are_left_than_signs_were_accepted() -> None:
    assert Effort(153, 82, 60.0, Rate(1, 1), NONE).mistakes_left == (0.0, 0.0, 71)
    assert Effort(100, 90, 60.0, Rate(1, 10), NONE).mistakes_left == pytest.approx((10, 10, 10))


def test_nothing_corrected_leaves_nothing() -> None:
    assert Effort(100, 0, 60.0, Rate(8, 10), NONE).mistakes_left == (0.0, 0.0, 0.0)


def test_agreement_counts_equal_answers() -> None:
    assert agreement([(("sign", 3), ("sign", 3)), (("sign", 3), ("sign", 8)), (("nothing", None), ("nothing", None))]) == Rate(2, 3)
    assert agreement([]) == NONE
