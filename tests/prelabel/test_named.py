"""Single boxes with their classes."""

from pathlib import Path

import numpy as np

from signloop.core.boxes import Boxes
from signloop.prelabel.named import NO_CLASS, Runtime, name_boxes


def test_boxes_are_named_one_by_one_however_weak(seer: Runtime, tmp_path: Path) -> None:
    image = np.full((80, 120, 3), 100, np.uint8)
    image[10:30, 10:30] = (220, 30, 30)
    boxes = Boxes(np.array([[10, 10, 30, 30], [10, 10, 30, 30], [60, 40, 80, 60]], np.float32), np.array([0.9, 0.05, 0.9], np.float32))
    assert name_boxes(seer, image, boxes)[1].tolist() == [4, 4, NO_CLASS]
    assert name_boxes(seer, image, Boxes.empty())[1].tolist() == []
