"""Truth boxes and predicted boxes per frame enter; which of the predicted ones are real, false or ignored leaves, as COCO decides it.

The matching is our own, so that one pass serves average precision, curves, heights, classes and thousands of bootstrap samples;
the tests hold it against pycocotools. Frames are keyed by any name; a frame without predictions has no boxes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from signloop.core.boxes import intersection
from signloop.core.errors import DataError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

# linspace, not literals: a threshold that differs in the last bit decides differently from COCO about an overlap that is exactly on it
THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)
MAX_BOXES = 100
UNMATCHED, IGNORED = -1, -2


class Scored(Protocol):
    """Scored boxes of one frame, as `Boxes` are: xyxy in px, (boxes, 4), and scores, (boxes,), the higher the surer."""

    @property
    def xyxy(self) -> NDArray[np.floating]: ...  # noqa: D102
    @property
    def scores(self) -> NDArray[np.floating]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Detections:
    """Scored boxes of one frame in double precision, without the checks of `Boxes`: what a predictions file holds.

    Attributes:
        xyxy: corners in px, (boxes, 4); a box without area is allowed and never found.
        scores: (boxes,), of any range.
    """

    xyxy: Floats
    scores: Floats


NO_BOXES = Detections(np.zeros((0, 4)), np.zeros(0))


@dataclass(frozen=True, eq=False)
class TruthFrame:
    """What is really in one frame.

    Attributes:
        xywh: left, top, width, height in px, (boxes, 4), as COCO stores them; width and height > 0.
        class_ids: (boxes,); of no meaning in ignore regions.
        ignore: (boxes,), True for regions in which nothing counts, neither found nor false.
        void: (boxes,), True for boxes whose match counts as a false alarm; only `score_recordings` says why.
    """

    xywh: Floats
    class_ids: Ints
    ignore: Bools
    void: Bools = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        xywh = np.asarray(self.xywh, np.float64).reshape(-1, 4)
        n = len(xywh)
        void = np.zeros(n, bool) if not len(self.void) else np.asarray(self.void, bool)
        class_ids, ignore = np.asarray(self.class_ids, np.int64).reshape(-1), np.asarray(self.ignore, bool).reshape(-1)
        if not len(class_ids) == len(ignore) == len(void) == n:
            raise DataError("the columns of a truth frame differ in length", expected=n, found=(len(class_ids), len(ignore), len(void)))
        if not np.isfinite(xywh).all() or (xywh[:, 2:] <= 0).any():
            raise DataError("a truth box has no area or is not finite", expected="w > 0 and h > 0", found=xywh[:5].tolist())
        for name, value in {"xywh": xywh, "class_ids": class_ids, "ignore": ignore, "void": void}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_xyxy(cls, xyxy: ArrayLike, class_ids: ArrayLike, ignore: ArrayLike | None = None) -> "TruthFrame":
        """Make a frame from corners in px, (boxes, 4); `ignore` None: nothing is ignored."""
        boxes = np.asarray(xyxy, np.float64).reshape(-1, 4)
        nothing = np.zeros(len(boxes), bool) if ignore is None else np.asarray(ignore, bool)
        return cls(np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]), np.asarray(class_ids, np.int64), nothing)

    @property
    def xyxy(self) -> Floats:
        """Corners in px, (boxes, 4)."""
        return np.hstack([self.xywh[:, :2], self.xywh[:, :2] + self.xywh[:, 2:]])


@dataclass(frozen=True, eq=False)
class Matches:
    """Every predicted box that counts, over all frames, the surest first.

    Attributes:
        frames: position of its frame in the truth, (boxes,).
        scores: (boxes,), falling.
        hits: (thresholds, boxes), True where it is a real sign.
        misses: (thresholds, boxes), True where it is a false alarm; neither where it lies on an ignore region.
        truth: number of real boxes to find per frame, (frames,).
    """

    frames: Ints
    scores: Floats
    hits: Bools
    misses: Bools
    truth: Ints


def _overlaps(truth: TruthFrame, xyxy: Floats) -> Floats:
    """IoU of predicted with real boxes; with an ignore region the share of the predicted box inside it; (predicted, truth)."""
    xywh = np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])
    shared = intersection(np.hstack([xyxy[:, :2], xyxy[:, :2] + xywh[:, 2:]]), truth.xyxy)  # x1 + (x2 - x1): COCO rounds so
    own, real = np.prod(xywh[:, 2:], axis=1), np.prod(truth.xywh[:, 2:], axis=1)
    whole = np.where(truth.ignore[None], own[:, None], own[:, None] + real[None] - shared)
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0))


def _assign(overlaps: Floats, crowd: Bools, skip: Bools, thresholds: Floats) -> Ints:
    """Give each predicted box, the surest first, the truth box that it overlaps most and that is still free.

    Real boxes come before skipped ones whatever the overlap; of equal overlaps the last is taken, as in COCO. Ignore regions never fill up.

    Returns:
        Position of the truth box or UNMATCHED, (thresholds, predicted).
    """
    result = np.full((len(thresholds), len(overlaps)), UNMATCHED, np.int64)
    if not overlaps.size:
        return result
    taken = np.zeros((len(thresholds), len(crowd)), bool)
    rows = np.arange(len(thresholds))
    for i in np.flatnonzero((overlaps >= thresholds.min()).any(axis=1)).tolist():
        free = (overlaps[i] >= thresholds[:, None]) & (~taken | crowd)
        first = free & ~skip
        choice = np.where(first.any(axis=1, keepdims=True), first, free)
        best = len(crowd) - 1 - np.argmax(np.where(choice, overlaps[i], -1.0)[:, ::-1], axis=1)
        got = choice[rows, best]
        result[got, i] = best[got]
        taken[rows[got], best[got]] = True
    return result


def _match(truth: TruthFrame, boxes: Scored, thresholds: Floats, band: tuple[float, float] | None) -> tuple[Ints, Bools, Bools, int]:
    """Match one frame: order of the predicted boxes that count, hits, misses and the number of boxes to find."""
    order = np.argsort(-np.asarray(boxes.scores, np.float64), kind="stable")[:MAX_BOXES]
    xyxy = np.asarray(boxes.xyxy, np.float64).reshape(-1, 4)[order]
    skip, outside = truth.ignore, np.zeros(len(order), bool)
    if band is not None:
        low, high = band
        skip = skip | (truth.xywh[:, 3] < low) | (truth.xywh[:, 3] >= high)
        heights = xyxy[:, 3] - xyxy[:, 1]
        outside = (heights < low) | (heights >= high)
    target = _assign(_overlaps(truth, xyxy), truth.ignore, skip, thresholds)
    on_skipped = np.append(skip, False)[target]  # UNMATCHED = -1 takes the appended one
    on_real = (target != UNMATCHED) & ~on_skipped
    void = on_real & np.append(truth.void, False)[target]
    return order, on_real & ~void, void | ((target == UNMATCHED) & ~outside), int((~skip).sum())


def match_boxes(truth: TruthFrame, boxes: Scored) -> Ints:
    """Say for each predicted box which truth box it is, at IoU >= 0.5, one to one, the surest first.

    Returns:
        Position in `truth`, UNMATCHED (-1) for a false alarm or IGNORED (-2) on an ignore region, in the order of `boxes`, (boxes,).
    """
    order = np.argsort(-np.asarray(boxes.scores, np.float64), kind="stable")
    xyxy = np.asarray(boxes.xyxy, np.float64).reshape(-1, 4)[order]
    target = _assign(_overlaps(truth, xyxy), truth.ignore, truth.ignore, THRESHOLDS[:1])[0]
    result = np.empty(len(order), np.int64)
    result[order] = np.where(np.append(truth.ignore, False)[target], IGNORED, target)
    return result


def match(
    truth: Mapping[str, TruthFrame],
    predicted: Mapping[str, Scored],
    thresholds: Floats = THRESHOLDS,
    band: tuple[float, float] | None = None,
) -> Matches:
    """Match all frames of the truth; frames that only `predicted` has do not count.

    Args:
        truth: frame -> what is there; the order decides between equal scores.
        predicted: frame -> boxes, of which the 100 surest count.
        thresholds: overlaps from which on a box counts as found, (thresholds,).
        band: count only boxes with low <= height < high, in px.
    """
    counts = np.zeros(len(truth), np.int64)
    none = np.zeros((len(thresholds), 0), bool)
    frames, scores, hits, misses = [np.zeros(0, np.int64)], [np.zeros(0)], [none], [none]
    for i, (name, frame) in enumerate(truth.items()):
        boxes = predicted.get(name, NO_BOXES)
        order, hit, miss, counts[i] = _match(frame, boxes, thresholds, band)
        frames.append(np.full(len(order), i))
        scores.append(np.asarray(boxes.scores, np.float64)[order])
        hits.append(hit)
        misses.append(miss)
    all_hits, all_misses = np.hstack(hits), np.hstack(misses)
    falling = np.argsort(-np.concatenate(scores), kind="stable")
    return Matches(np.concatenate(frames)[falling], np.concatenate(scores)[falling], all_hits[:, falling], all_misses[:, falling], counts)
