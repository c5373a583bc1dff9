import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from signloop.core.errors import DataError
from signloop.prelabel.vote import TOP, trust, vote


def test_the_trusted_crop_outvotes_the_others() -> None:
    probs = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    assert vote(probs, np.ones(3)).class_index == 1
    assert vote(probs, [5.0, 1.0, 1.0]).class_index == 0


def test_an_undecided_crop_changes_the_answer_less_than_in_a_mean_of_probabilities() -> None:
    probs = np.array([[0.96, 0.02, 0.02], [1 / 3, 1 / 3, 1 / 3]])
    assert vote(probs, np.ones(2)).confidence > probs.mean(axis=0)[0]


def test_many_equal_crops_are_no_surer_than_one() -> None:
    one = np.array([[0.7, 0.2, 0.1]])
    few, many = vote(one, np.ones(1)), vote(np.repeat(one, 20, axis=0), np.ones(20))
    assert few.confidence == pytest.approx(0.7)
    assert many.confidence == pytest.approx(0.7)
    assert many.margin == pytest.approx(0.5)


def test_one_sure_and_wrong_crop_cannot_silence_the_others() -> None:
    probs = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.9, 0.1, 0.0]])
    assert vote(probs, np.ones(4)).class_index == 0


def test_crops_that_agree_may_be_sure() -> None:
    probs = np.full((3, 44), 1e-5)
    probs[:, 7] = 1 - 43e-5
    assert vote(probs, np.ones(3)).confidence > 0.999
    assert vote(np.eye(44)[[3, 3]], np.ones(2)).confidence == pytest.approx(1)


def test_the_last_column_is_no_class() -> None:
    result = vote(np.array([[0.1, 0.2, 0.7]]), np.ones(1))
    assert result.class_index is None
    assert result.confidence == pytest.approx(0.7)
    assert result.nothing == pytest.approx(0.7)
    assert result.top_indices == (1, 0)
    np.testing.assert_allclose(result.top_confidences, [0.2, 0.1])


def test_at_most_five_classes_are_named() -> None:
    assert len(vote(np.full((2, 44), 1 / 44), np.ones(2)).top_indices) == TOP == 5


@pytest.mark.parametrize(
    ("probs", "weights", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0), "at least one crop"),
        (np.full((2, 3), 1 / 3), np.ones(3), "a weight for each"),
        (np.ones((2, 1)), np.ones(2), "two columns"),
        (np.full((2, 3), 1 / 3), np.zeros(2), "not all zero"),
        (np.full((2, 3), 1 / 3), np.array([1, -1]), "weights >= 0"),
        (np.full((2, 3), np.nan), np.ones(2), "finite"),
    ],
)
def test_a_vote_needs_voters(probs: np.ndarray, weights: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        vote(probs, weights)


@given(arrays(np.float64, (4, 6), elements=st.floats(0.001, 1)), arrays(np.float64, 4, elements=st.floats(0.01, 1)))
def test_a_vote_is_a_probability_and_does_not_depend_on_the_order(raw: np.ndarray, weights: np.ndarray) -> None:
    probs = raw / raw.sum(axis=1, keepdims=True)
    result = vote(probs, weights)
    assert (0 if result.class_index is None else 1 / 6 - 1e-9) <= result.confidence <= 1  # "not an object" may win as second
    assert 0 <= result.margin <= (1 if result.class_index is None else result.confidence)
    assert sum(result.top_confidences) <= 1 + 1e-9
    assert list(result.top_confidences) == sorted(result.top_confidences, reverse=True)
    turned = vote(probs[::-1], weights[::-1])
    assert turned.confidence == pytest.approx(result.confidence)
    assert (turned.class_index is None) == (result.class_index is None)


def test_large_and_sure_boxes_are_trusted_most() -> None:
    sides = np.array([8, 16, 32, 64, 128, 256])
    boxes = np.column_stack([sides * 0, sides * 0, sides, sides])
    rising = trust(boxes, np.ones(6))
    assert (np.diff(rising) > 0).all()
    assert rising[1] / rising[0] > 2 > rising[5] / rising[4]
    assert rising.max() < 1
    np.testing.assert_allclose(trust(boxes, np.full(6, 0.5)), rising / 2)
    assert trust(np.zeros((0, 4)), np.zeros(0)).shape == (0,)


def test_the_crop_that_says_something_else_than_the_most_trusted_one_is_told() -> None:
    agreed, other, nothing = [0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.2, 0.1, 0.7]
    assert vote(np.array([agreed, agreed]), np.ones(2)).contrary is None
    assert vote(np.array([agreed, other, agreed]), np.ones(3)).contrary == 1
    assert vote(np.array([agreed, nothing, agreed]), np.ones(3)).contrary == 1  # "not an object" is something else, too
    assert vote(np.array([agreed, [0.5, 0.5, 0.0]]), np.ones(2)).contrary is None  # undecided, not against
    assert vote(np.array([agreed, other, [0.0, 0.1, 0.9], agreed]), np.ones(4)).contrary == 2  # the farthest
    assert vote(np.array([agreed, other, other]), [0.5, 1, 1]).contrary == 0  # than what is trusted most, whoever wins
    assert vote(np.array([agreed, other]), [1, 0.1]).contrary is None  # too little trusted to be heard


@given(arrays(np.float64, (4, 6), elements=st.floats(0.001, 1)))
def test_crops_that_say_the_same_are_never_contrary(raw: np.ndarray) -> None:
    probs = raw / raw.sum(axis=1, keepdims=True)
    assert vote(np.repeat(probs[:1], 4, axis=0), np.ones(4)).contrary is None
    assert vote(probs, np.ones(4)).contrary != 0


def test_a_class_that_is_not_likelier_than_not_loses_to_no_class_only() -> None:
    unknown = vote(np.array([[0.49, 0.03, 0.48]]), np.ones(1))
    assert (unknown.class_index, unknown.top_indices[0]) == (None, 0)
    assert [unknown.confidence, unknown.margin] == pytest.approx([0.48, 0.01])
    assert vote(np.array([[0.51, 0.01, 0.48]]), np.ones(1)).class_index == 0
    assert vote(np.array([[0.49, 0.48, 0.03]]), np.ones(1)).class_index == 0  # which of two classes it is can be told from the crop


def test_a_sign_whose_crops_are_strange_for_its_class_has_none() -> None:
    probs, even = np.array([[0.8, 0.1, 0.1]] * 2), np.ones(2)
    known = vote(probs, even, [[-9, 9], [-9, 9]])
    assert known.class_index == 0
    assert known.confidence == pytest.approx(0.8, abs=1e-3)
    strange = vote(probs, even, [[9, -9], [9, -9]])
    assert (strange.class_index, strange.top_indices) == (None, (1, 0))
    assert [strange.confidence, strange.nothing] == pytest.approx([0.9, 0.1], abs=1e-3)
    assert vote(probs, even).nothing == pytest.approx(0.1)


def test_one_odd_look_at_a_sign_is_outweighed() -> None:
    probs = np.array([[0.9, 0.05, 0.05]] * 3)
    odd = np.array([[-3, 0], [-3, 0], [4, 0]])
    assert vote(probs, np.ones(3), odd).class_index == 0
    assert vote(probs, [1, 1, 5], odd).class_index is None
    half = vote(probs, np.ones(3), np.zeros((3, 2)))  # as likely as not
    assert half.top_confidences == pytest.approx((0.45, 0.025))


@pytest.mark.parametrize("strange", [np.zeros((2, 3)), np.zeros((3, 2)), np.full((2, 2), np.nan)])
def test_odds_that_do_not_fit_are_refused(strange: np.ndarray) -> None:
    with pytest.raises(DataError, match="for each crop and class"):
        vote(np.full((2, 3), 1 / 3), np.ones(2), strange)
