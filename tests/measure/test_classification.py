import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.core.errors import DataError
from signloop.measure.classification import check_probs, confusion_matrix, macro_f1, top1, track_accuracy, track_answers


def test_macro_f1_weighs_every_class_equally() -> None:
    labels, predicted = [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]
    assert top1(predicted, labels) == 0.8
    assert macro_f1(predicted, labels) == pytest.approx((8 / 9 + 0) / 2)
    assert macro_f1(labels, labels) == 1.0
    assert macro_f1([2, 2], [0, 0]) == 0.0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_measures_follow_from_the_confusion_matrix(pairs: list[tuple[int, int]]) -> None:
    predicted, labels = zip(*pairs, strict=True)
    matrix = confusion_matrix(predicted, labels, 5)
    assert matrix.sum() == len(pairs)
    assert top1(predicted, labels) == pytest.approx(np.trace(matrix) / len(pairs))
    f1 = [2 * matrix[c, c] / (matrix[c].sum() + matrix[:, c].sum()) for c in set(labels)]
    assert macro_f1(predicted, labels) == pytest.approx(np.mean(f1))


def test_a_track_is_named_by_all_of_its_crops() -> None:
    probs = [[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.1, 0.9]]
    tracks = ["a", "a", "a", 7]
    answers = track_answers(probs, tracks)
    assert answers == {"a": 0, 7: 1}
    assert track_accuracy(answers, [0, 0, 0, 1], tracks) == 1.0
    assert track_accuracy(answers, [1, 1, 1, 1], tracks) == 0.5
    assert track_accuracy({}, [0, 0, 0, 1], tracks) == 0.0


def test_one_crop_that_is_certain_does_not_decide_alone() -> None:
    assert track_answers([[1.0, 0.0], *[[0.01, 0.99]] * 4], ["t"] * 5) == {"t": 1}


def test_nothing_gives_zero() -> None:
    assert (top1([], []), macro_f1([], []), track_accuracy({}, [], [])) == (0.0, 0.0, 0.0)
    assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="two classes"):
        track_accuracy({}, [0, 1], ["a", "a"])
    with pytest.raises(DataError, match="do not fit"):
        check_probs([[1.0]], [0, 0])
    with pytest.raises(DataError, match="not distributions"):
        check_probs([[0.5, 0.6]], [0])
    with pytest.raises(DataError, match="not distributions"):
        check_probs([[np.nan, 1]], [0])
    with pytest.raises(DataError, match="tracks differ"):
        track_answers([[1.0]], [])
