import numpy as np
import pytest

from signloop.core.boxes import Boxes
from signloop.core.errors import DataError
from signloop.measure.matching import IGNORED, UNMATCHED, TruthFrame, match, match_boxes


def test_the_surest_box_gets_the_sign_and_ignore_regions_take_any_number() -> None:
    truth = TruthFrame.from_xyxy([[0, 0, 10, 10], [100, 100, 200, 200]], [3, 0], [False, True])
    boxes = Boxes(
        np.array([[0, 0, 10, 9], [0, 0, 10, 10], [110, 110, 120, 120], [150, 150, 160, 160], [50, 50, 60, 60]], np.float32),
        np.array([0.5, 0.9, 0.3, 0.2, 0.99], np.float32),
    )
    assert match_boxes(truth, boxes).tolist() == [UNMATCHED, 0, IGNORED, IGNORED, UNMATCHED]


def test_a_real_sign_goes_before_the_ignore_region_around_it() -> None:
    truth = TruthFrame.from_xyxy([[0, 0, 100, 100], [0, 0, 10, 10]], [0, 1], [True, False])
    boxes = Boxes(np.array([[0, 0, 10, 8], [0, 0, 10, 10]], np.float32), np.array([0.9, 0.8], np.float32))
    assert match_boxes(truth, boxes).tolist() == [1, IGNORED]


@pytest.mark.parametrize("boxes", [Boxes.empty(), Boxes(np.array([[0, 0, 5, 5]], np.float32), np.array([1.0], np.float32))])
def test_a_frame_without_signs(boxes: Boxes) -> None:
    nothing = TruthFrame.from_xyxy([], [])
    assert match_boxes(nothing, boxes).tolist() == [UNMATCHED] * len(boxes)
    matches = match({"a": nothing}, {"a": boxes})
    assert matches.truth.tolist() == [0]
    assert matches.misses.shape == (10, len(boxes))


def test_only_the_hundred_surest_boxes_of_a_frame_count() -> None:
    truth = {"a": TruthFrame.from_xyxy([[0, 0, 10, 10]], [0])}
    far = np.tile(np.array([[50, 50, 60, 60]], np.float32), (100, 1))
    boxes = Boxes(np.vstack([np.array([[0, 0, 10, 10]], np.float32), far]), np.append(0.1, np.full(100, 0.9)).astype(np.float32))
    assert not match(truth, {"a": boxes}).hits.any()
    assert match(truth, {"a": boxes[:100]}).hits.all(axis=0).sum() == 1


def test_frames_that_the_truth_does_not_have_do_not_count() -> None:
    assert not len(match({}, {"b": Boxes(np.array([[0, 0, 5, 5]], np.float32), np.array([1.0], np.float32))}).scores)


def test_a_truth_frame_is_checked() -> None:
    with pytest.raises(DataError, match="differ in length"):
        TruthFrame.from_xyxy([[0, 0, 1, 1]], [1, 2])
    with pytest.raises(DataError, match="no area"):
        TruthFrame.from_xyxy([[0, 0, 0, 1]], [1])
    frame = TruthFrame.from_xyxy([[1, 2, 4, 8]], [1])
    assert frame.xywh.tolist() == [[1, 2, 3, 6]]
    assert frame.xyxy.tolist() == [[1, 2, 4, 8]]
