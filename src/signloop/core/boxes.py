"""Axis-aligned boxes in pixels: one frozen, validated struct of arrays, and the geometry that everyone shares.

Coordinate frame: origin at the upper left corner of the frame, x to the right, y down; `x2` and `y2` are exclusive edges, so that
width = x2 - x1 without a + 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from signloop.core.errors import DataError

Floats = NDArray[np.float32]
CORNERS = ("x1", "y1", "x2", "y2")  # of a box, as tables name them
SAME_IOU = 0.5  # two boxes of one frame that overlap this much show the same object


@dataclass(frozen=True, eq=False)
class Boxes:
    """Scored boxes of one frame.

    Attributes:
        xyxy: corners in px, (boxes, 4), float32, x1 < x2 and y1 < y2, finite.
        scores: raw scores, (boxes,), float32, in [0, 1].
    """

    xyxy: Floats
    scores: Floats

    def __post_init__(self) -> None:
        xyxy = np.asarray(self.xyxy, np.float32).reshape(-1, 4)
        scores = np.asarray(self.scores, np.float32).reshape(-1)
        if len(xyxy) != len(scores):
            raise DataError("boxes and scores differ in number", expected=f"{len(xyxy)} scores", found=len(scores))
        if not np.isfinite(xyxy).all() or (xyxy[:, 2:] <= xyxy[:, :2]).any():
            raise DataError("a box has no area or is not finite", expected="x1 < x2 and y1 < y2", found=xyxy[:5].tolist())
        if not ((scores >= 0) & (scores <= 1)).all():
            raise DataError("a score is out of range", expected="[0, 1]", found=scores[:5].tolist())
        object.__setattr__(self, "xyxy", xyxy)
        object.__setattr__(self, "scores", scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, keep: slice | NDArray[np.bool_] | NDArray[np.intp]) -> "Boxes":
        return Boxes(self.xyxy[keep], self.scores[keep])

    @classmethod
    def empty(cls) -> "Boxes":
        """No boxes: arrays of shape (0, 4) and (0,)."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def _four(xyxy: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(xyxy, np.float64).reshape(-1, 4)


def area(xyxy: ArrayLike) -> NDArray[np.float64]:
    """Return areas in px², (boxes,); a box with x2 <= x1 or y2 <= y1 has area 0."""
    boxes = _four(xyxy)
    return np.asarray(np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1))


def intersection(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the shared area in px² of every pair, (len(a), len(b))."""
    left, right = _four(a)[:, None], _four(b)[None]
    sides = np.minimum(left[..., 2:], right[..., 2:]) - np.maximum(left[..., :2], right[..., :2])
    return np.asarray(np.prod(np.clip(sides, 0, None), axis=-1))


def iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return intersection over union of every pair, (len(a), len(b)), in [0, 1]; 0 where both are empty."""
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def inside_share(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the share of each box of `a` that lies inside each box of `b`, (len(a), len(b)), in [0, 1]."""
    shared, own = intersection(a, b), area(a)[:, None]
    return np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)


def clip(xyxy: ArrayLike, width: int, height: int) -> Floats:
    """Move corners into a frame of `width` x `height` px; a box outside becomes one without area."""
    return np.clip(_four(xyxy), 0, [width, height, width, height]).astype(np.float32)


def xywh_to_xyxy(xywh: ArrayLike) -> Floats:
    """Turn left, top, width, height into corners, (boxes, 4) px."""
    boxes = _four(xywh)
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]).astype(np.float32)


def xyxy_to_xywh(xyxy: ArrayLike) -> Floats:
    """Turn corners into left, top, width, height, (boxes, 4) px."""
    boxes = _four(xyxy)
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).astype(np.float32)


def expand(xyxy: ArrayLike, margin: float) -> Floats:
    """Grow each box by `margin` times its own width and height on every side; the result may leave the frame."""
    boxes = _four(xyxy)
    grow = (boxes[:, 2:] - boxes[:, :2]) * margin
    return np.hstack([boxes[:, :2] - grow, boxes[:, 2:] + grow]).astype(np.float32)
