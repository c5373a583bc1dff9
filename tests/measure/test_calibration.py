import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.core.errors import DataError
from signloop.measure.calibration import brier, ece, reliability


def test_ece_of_a_known_gap() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 0.8, 60_000)
    right = rng.random(60_000) < confidence
    assert ece(confidence, right) < 0.01
    assert ece(confidence + 0.15, right) == pytest.approx(0.15, abs=0.01)


def test_equal_confidences_share_a_bin() -> None:
    confidence, right = np.full(100, 0.9), np.arange(100) < 90
    assert ece(confidence, right) == pytest.approx(0)
    assert reliability(confidence, right).count.tolist() == [100]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=80))
def test_the_order_of_answers_does_not_matter_and_none_is_lost(rows: list[tuple[float, bool]]) -> None:
    points = reliability([c for c, _ in rows], [r for _, r in rows])
    assert points.count.sum() == len(rows)
    assert len(points.count) <= 15
    assert (np.diff(points.confidence) >= 0).all()
    assert 0 <= ece([c for c, _ in rows], [r for _, r in rows]) <= 1
    backwards = rows[::-1]
    assert ece([c for c, _ in backwards], [r for _, r in backwards]) == pytest.approx(ece([c for c, _ in rows], [r for _, r in rows]))


def test_bins_have_equal_mass() -> None:
    assert set(reliability(np.linspace(0, 1, 150), np.ones(150, bool)).count.tolist()) == {10}


def test_brier() -> None:
    assert brier([[1, 0], [0, 1]], [0, 1]) == 0
    assert brier([[0, 1]], [0]) == 2
    assert brier([[0.5, 0.5]], [0]) == 0.5
    assert brier(np.zeros((0, 2)), []) == 0
    assert ece([], []) == 0


def test_what_is_no_confidence_is_refused() -> None:
    with pytest.raises(DataError, match="confidences do not fit"):
        ece([1.5], [True])
    with pytest.raises(DataError, match="confidences do not fit"):
        ece([0.5], [True, False])
