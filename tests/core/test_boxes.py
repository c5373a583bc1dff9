"""Geometry of boxes: known values, and what must hold for any box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.core import boxes
from signloop.core.boxes import Boxes
from signloop.core.errors import DataError

Corners = tuple[int, int, int, int]


@st.composite
def corners(draw: st.DrawFn) -> Corners:
    x, y = draw(st.integers(-50, 50)), draw(st.integers(-50, 50))
    return x, y, x + draw(st.integers(1, 60)), y + draw(st.integers(1, 60))


def pixels(box: Corners) -> set[tuple[int, int]]:
    """The px of a box with whole corners: an independent way to its area."""
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


@given(corners(), corners())
def test_overlap_counts_pixels(a: Corners, b: Corners) -> None:
    both, either = len(pixels(a) & pixels(b)), len(pixels(a) | pixels(b))
    assert boxes.intersection(a, b)[0, 0] == both
    assert boxes.iou(a, b)[0, 0] == pytest.approx(both / either)
    assert boxes.inside_share(a, b)[0, 0] == pytest.approx(both / len(pixels(a)))
    assert boxes.area(a)[0] == len(pixels(a))


@given(corners())
def test_overlap_with_itself_is_one_and_corners_survive_the_way_over_sizes(a: Corners) -> None:
    assert boxes.iou(a, a)[0, 0] == 1
    assert boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(a))[0].tolist() == list(a)


@given(corners(), st.integers(1, 80), st.integers(1, 80))
def test_a_clipped_box_is_what_lies_inside(a: Corners, width: int, height: int) -> None:
    inside = pixels(a) & pixels((0, 0, width, height))
    assert boxes.area(boxes.clip(a, width, height))[0] == len(inside)


def test_growing_is_by_a_share_of_each_side() -> None:
    assert boxes.expand([10, 20, 30, 60], 0.25)[0].tolist() == [5, 10, 35, 70]


def test_no_boxes_give_empty_results() -> None:
    assert boxes.iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert boxes.area([]).shape == (0,)
    assert len(Boxes.empty()) == 0
    assert Boxes.empty().xyxy.shape == (0, 4)


def test_a_box_without_area_overlaps_nothing() -> None:
    assert boxes.iou([5, 5, 5, 9], [0, 0, 10, 10])[0, 0] == 0
    assert boxes.iou([5, 5, 5, 5], [5, 5, 5, 5])[0, 0] == 0


def test_a_selection_keeps_boxes_and_scores_together() -> None:
    both = Boxes(np.array([[0, 0, 1, 1], [2, 2, 5, 5]], np.float32), np.array([0.2, 0.9], np.float32))
    best = both[both.scores > 0.5]
    assert (best.xyxy.tolist(), best.scores.tolist()) == ([[2, 2, 5, 5]], [pytest.approx(0.9)])


@pytest.mark.parametrize(
    ("xyxy", "scores", "message"),
    [
        ([[0, 0, 1, 1]], [0.5, 0.5], "differ in number"),
        ([[0, 0, 0, 1]], [0.5], "no area"),
        ([[0, 0, np.inf, 1]], [0.5], "not finite"),
        ([[0, 0, 1, 1]], [1.5], "out of range"),
        ([[0, 0, 1, 1]], [np.nan], "out of range"),
    ],
)
def test_wrong_boxes_are_refused(xyxy: list[list[float]], scores: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Boxes(np.array(xyxy, np.float32), np.array(scores, np.float32))
