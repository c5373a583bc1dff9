"""A drawn box is found again where the thing is, and not where it is not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from signloop.core.boxes import iou
from signloop.review.follow import Corners, follow

Image = NDArray[np.uint8]
THING = np.kron(np.random.default_rng(1).integers(0, 255, (6, 6, 3)), np.ones((4, 4, 1))).astype(np.uint8)  # 24 px, not like anything else


def corners(index: int) -> Corners:
    """Where the thing is: it comes nearer, moves to the right and grows."""
    side = 24 * 1.12**index
    x, y = 60 + 9.0 * index, 50 - 1.5 * index
    return x, y, x + side, y + side


def film(frames: int, there: range) -> dict[int, Image]:
    import cv2

    ground = np.random.default_rng(0).integers(60, 120, (160, 240, 3)).astype(np.uint8)
    made = {}
    for index in range(frames):
        image = ground.copy()
        if index in there:
            x1, y1, x2, y2 = (round(v) for v in corners(index))
            image[y1:y2, x1:x2] = cv2.resize(THING, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA)
        made[index] = image
    return made


@pytest.mark.parametrize("start", [0, 4, 8])
def test_it_is_found_in_all_frames_before_and_after(start: int) -> None:
    frames = film(9, range(9))
    found = follow(frames.get, sorted(frames), start, corners(start))
    assert list(found) == list(range(9))
    assert found[start] == corners(start)
    for index, box in found.items():
        assert iou([box], [corners(index)])[0, 0] >= 0.6, index


def test_it_ends_where_the_thing_ends() -> None:
    frames = film(9, range(2, 6))
    assert list(follow(frames.get, sorted(frames), 4, corners(4))) == [2, 3, 4, 5]


def test_it_ends_at_a_frame_that_is_not_there_or_of_another_size() -> None:
    frames = film(9, range(9))
    del frames[6]
    frames[2] = frames[2][:100]
    assert list(follow(frames.get, range(9), 4, corners(4))) == [3, 4, 5]


def test_a_box_outside_of_the_frame_or_too_small_is_only_itself() -> None:
    frames = film(3, range(3))
    for box in ((500.0, 500.0, 520.0, 520.0), (60.0, 50.0, 64.0, 54.0)):
        assert follow(frames.get, sorted(frames), 1, box) == {1: box}
