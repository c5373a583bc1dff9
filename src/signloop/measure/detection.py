"""Truth boxes and predicted boxes per frame enter, detection measures leave; average precision as COCO defines it.

Nothing predicted gives 0; with predictions but nothing to find a precision is undefined and -1, as in COCO.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signloop.core.errors import DataError
from signloop.measure.matching import THRESHOLDS, Detections, Floats, Ints, Matches, Scored, TruthFrame, match

RECALLS: Floats = np.linspace(0, 1, 101)
HEIGHT_BANDS_PX: dict[str, tuple[float, float]] = {
    "0-16": (0, 16),
    "16-32": (16, 32),
    "32-64": (32, 64),
    "64-128": (64, 128),
    "128+": (128, np.inf),
}
AP50, AP75 = 0, 5  # positions in THRESHOLDS
UNDEFINED = -1.0


@dataclass(frozen=True, eq=False)
class Curve:
    """What every score threshold gives at IoU >= 0.5, the highest first; (thresholds,) each.

    Attributes:
        scores: the threshold: boxes with this score or more are taken.
        recall: in [0, 1]; 0 where there is nothing to find.
        precision: in [0, 1].
        false_per_frame: false alarms per frame, >= 0.
    """

    scores: Floats
    recall: Floats
    precision: Floats
    false_per_frame: Floats


def _area_under(hits: Floats, misses: Floats, truth: float) -> float:
    """AP from the weights of hits and misses in falling order of score: 101 recalls, precision made monotone from the right."""
    found, false = np.cumsum(hits), np.cumsum(misses)
    precision = found / (found + false + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.append(best, 0.0)[np.searchsorted(found / truth, RECALLS, side="left")].mean())


def precision_by_threshold(matches: Matches) -> Floats:
    """Return AP at each overlap threshold that was matched, (thresholds,)."""
    total = float(matches.truth.sum())
    if not len(matches.scores) or not total:
        return np.full(len(matches.hits), UNDEFINED if len(matches.scores) else 0.0)
    rows = zip(matches.hits.astype(np.float64), matches.misses.astype(np.float64), strict=True)
    return np.array([_area_under(hits, misses, total) for hits, misses in rows])


def resampled_precision(matches: Matches, clusters: Ints, counts: NDArray[np.int64], threshold: int = AP50) -> Floats:
    """Return AP of bootstrap samples without matching again.

    Args:
        matches: of all frames.
        clusters: position of each frame's cluster, (frames,).
        counts: how often each cluster was drawn, (samples, clusters).
        threshold: position in the thresholds that were matched.

    Returns:
        (samples,), NaN where a sample has nothing to find.
    """
    hits = matches.hits[threshold]
    last = int(np.flatnonzero(hits)[-1]) + 1 if hits.any() else 0  # what follows the last hit changes nothing
    hits, misses, of = hits[:last], matches.misses[threshold][:last], clusters[matches.frames[:last]]
    truth = counts @ np.bincount(clusters, matches.truth, minlength=counts.shape[1])
    result = np.full(len(counts), np.nan)
    for i in np.flatnonzero(truth > 0).tolist():
        weights = counts[i][of].astype(np.float64)
        result[i] = _area_under(weights * hits, weights * misses, float(truth[i]))
    return result


def summarise(matches: Matches) -> dict[str, float]:
    """Return ap (mean over ten overlaps from 0.50 to 0.95), ap50 and ap75 of matches at `THRESHOLDS`."""
    values = precision_by_threshold(matches)
    return {"ap": float(values.mean()), "ap50": float(values[AP50]), "ap75": float(values[AP75])}


def average_precision(truth: Mapping[str, TruthFrame], predicted: Mapping[str, Scored]) -> dict[str, float]:
    """Return ap, ap50 and ap75, whatever the classes; at most 100 boxes a frame (Lin et al. 2014)."""
    return summarise(match(truth, predicted))


def ap50_by_height_px(truth: Mapping[str, TruthFrame], predicted: Mapping[str, Scored]) -> dict[str, float | None]:
    """Return ap50 of the signs of each height; None where there is no such sign.

    Signs of other heights are ignored, and so are false alarms of other heights, as COCO does with areas.
    """
    result: dict[str, float | None] = {}
    for name, band in HEIGHT_BANDS_PX.items():
        matches = match(truth, predicted, THRESHOLDS[:1], band)
        result[name] = float(precision_by_threshold(matches)[0]) if matches.truth.any() else None
    return result


def precision_recall_curve(matches: Matches) -> Curve:
    """Return recall, precision and false alarms per frame at every distinct score, at IoU >= 0.5; empty without predictions."""
    last = np.flatnonzero(np.append(matches.scores[1:] != matches.scores[:-1], True)[: len(matches.scores)])
    found = np.cumsum(matches.hits[AP50])[last]
    false = np.cumsum(matches.misses[AP50])[last]
    return Curve(
        matches.scores[last],
        found / max(1, int(matches.truth.sum())),
        found / np.maximum(1, found + false),
        false / max(1, len(matches.truth)),
    )


def recall_at_1_fp_per_image(matches: Matches) -> float:
    """Return the highest recall that a score threshold reaches with at most one false alarm per image on average; 0 without any."""
    curve = precision_recall_curve(matches)
    return float(curve.recall[curve.false_per_frame <= 1].max(initial=0.0))


def end_to_end_ap50(truth: Mapping[str, TruthFrame], predicted: Mapping[str, Scored], class_ids: Mapping[str, Ints]) -> float:
    """Return ap50 of boxes that are also named rightly: the mean over the classes that the truth has.

    Args:
        truth: frame -> what is there; an ignore region is one for every class.
        predicted: frame -> boxes.
        class_ids: frame -> class of each predicted box, (boxes,); one that is no class (-1) never counts.

    Returns:
        In [0, 1]; -1 (0 where nothing is predicted) if the truth has no box.

    Raises:
        DataError: a frame has another number of classes than of boxes.
    """
    for name, boxes in predicted.items():
        if len(class_ids[name]) != len(boxes.scores):
            raise DataError("boxes and classes differ in number", where=name, expected=len(boxes.scores), found=len(class_ids[name]))
    known = sorted({int(c) for frame in truth.values() for c in frame.class_ids[~frame.ignore]})
    if not known:
        return UNDEFINED if any(len(boxes.scores) for boxes in predicted.values()) else 0.0
    return float(np.mean([_class_ap50(c, truth, predicted, class_ids) for c in known]))


def _class_ap50(
    class_id: int,
    truth: Mapping[str, TruthFrame],
    predicted: Mapping[str, Scored],
    class_ids: Mapping[str, Ints],
) -> float:
    real: dict[str, TruthFrame] = {}
    named: dict[str, Scored] = {}
    for name, frame in truth.items():
        keep = frame.ignore | (frame.class_ids == class_id)
        real[name] = TruthFrame(frame.xywh[keep], frame.class_ids[keep], frame.ignore[keep], frame.void[keep])
        if name in predicted:
            mine = np.asarray(class_ids[name]) == class_id
            named[name] = Detections(np.asarray(predicted[name].xyxy)[mine], np.asarray(predicted[name].scores)[mine])
    return float(precision_by_threshold(match(real, named, THRESHOLDS[:1]))[0])
