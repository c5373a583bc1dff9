"""Predictions and truth enter, the keys that `signloop score` promises leave; pure functions, no model runs here."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from signloop.core.bounds import Interval, Statistic, bootstrap, paired_bootstrap, percentiles, resample
from signloop.core.boxes import Boxes
from signloop.core.errors import DataError
from signloop.measure.calibration import ece
from signloop.measure.classification import check_probs, macro_f1, top1, track_accuracy, track_answers
from signloop.measure.detection import (
    AP50,
    AP75,
    ap50_by_height_px,
    end_to_end_ap50,
    precision_by_threshold,
    recall_at_1_fp_per_image,
    resampled_precision,
    summarise,
)
from signloop.measure.matching import Floats, Ints, Matches, TruthFrame, match, match_boxes
from signloop.measure.signs import COUNTS, count_signs, detection_frames, parse_predictions, sample, sign_measures
from signloop.measure.truth import TruthRecordings, read_images

NamedBoxes = tuple[Boxes, NDArray[np.integer[Any]]]
NO_CLASS = -1
PRECISIONS = {"ap50": AP50, "ap75": AP75}
WITH_INTERVAL = ("sign_recall", "sign_class_accuracy", "sign_precision", "tracks_per_sign", "false_signs_per_minute")


def score_images(truth_coco_path: Path, predictions: Mapping[str, NamedBoxes]) -> dict[str, Any]:
    """Score boxes on stills.

    Args:
        truth_coco_path: COCO; all of its images count, and only they; category ids are class ids; iscrowd 1 is ignored.
        predictions: file name -> boxes and the class id of each, -1 for none; a missing image has no boxes.

    Returns:
        images, boxes, ap, ap50, ap75, ap50_by_height_px, recall_at_1_fp_per_image, end_to_end_ap50, class_accuracy; and intervals of
        ap50 and ap75, by bootstrap over images. With nothing to find the precisions are -1 (0 if nothing is predicted either) and None
        by height, the intervals None; all else is 0.

    Raises:
        DataError: the truth is no valid file, or boxes and classes differ in number.
    """
    truth = read_images(truth_coco_path)
    mine = {name: predictions[name] for name in truth if name in predictions}
    boxes = {name: item[0] for name, item in mine.items()}
    class_ids = {name: np.asarray(item[1], np.int64).reshape(-1) for name, item in mine.items()}
    end_to_end = end_to_end_ap50(truth, boxes, class_ids)
    matches = match(truth, boxes)
    return {
        "images": len(truth),
        "boxes": int(matches.truth.sum()),
        **summarise(matches),
        "ap50_by_height_px": ap50_by_height_px(truth, boxes),
        "recall_at_1_fp_per_image": recall_at_1_fp_per_image(matches),
        "end_to_end_ap50": end_to_end,
        "class_accuracy": class_accuracy(truth, boxes, class_ids),
        "intervals": box_intervals(matches, np.arange(len(truth))),
    }


def box_intervals(matches: Matches, clusters: Ints, n: int = 2000, seed: int = 0) -> dict[str, list[float] | None]:
    """Return the 95 % intervals of ap50 and ap75 by bootstrap over clusters of frames.

    Args:
        matches: of all frames.
        clusters: position of each frame's cluster, (frames,), from 0 on without a gap.
        n: bootstrap samples.
        seed: of these samples.

    Returns:
        ap50 and ap75, each [low, high]; None where there is nothing to find, or a single cluster.
    """
    if clusters.max(initial=0) == 0:
        return dict.fromkeys(PRECISIONS)
    drawn = resample(int(clusters.max()) + 1, n, seed)
    values = precision_by_threshold(matches) if matches.truth.any() else np.full(len(matches.hits), np.nan)
    return {
        name: _bounds(percentiles(float(values[at]), resampled_precision(matches, clusters, drawn, at))) for name, at in PRECISIONS.items()
    }


def class_accuracy(truth: Mapping[str, TruthFrame], boxes: Mapping[str, Boxes], class_ids: Mapping[str, Ints]) -> float:
    """Return the share of matched boxes that are named rightly."""
    right, matched = 0, 0
    for name, found in boxes.items():
        target = match_boxes(truth[name], found)
        on_sign = target >= 0
        matched += int(on_sign.sum())
        right += int((truth[name].class_ids[target[on_sign]] == class_ids[name][on_sign]).sum())
    return right / max(1, matched)


def score_recordings(
    truth: TruthRecordings,
    predictions: Mapping[str, Any],
    *,
    n: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Score recordings; the numbers are those of the reference scorer, with intervals beside them.

    Args:
        truth: all of its recordings count.
        predictions: in the format of `signloop.measure.signs`; a recording without entries has no boxes and no signs.
        n: bootstrap samples over recordings.
        seed: of these samples.

    Returns:
        frames, boxes, ap, ap50, ap75, signs, sign_recall, sign_class_accuracy, sign_precision, tracks_per_sign, false_signs,
        false_signs_per_minute, minutes; and intervals: name -> [low, high] at 95 %, None where undefined. Ratios without a
        denominator are 0.

    Raises:
        DataError: the predictions are malformed or speak of recordings that the truth does not have.
    """
    checked = parse_predictions(predictions, truth)
    sampled = sample(truth, checked.fps)
    counts = count_signs(truth, checked, sampled)
    real, boxes, recordings = detection_frames(truth, checked, sampled)
    matches = match(real, boxes)
    total = dict(zip(COUNTS, counts.sum(axis=0).tolist(), strict=True))
    measures = {name: float(np.nan_to_num(value)) for name, value in sign_measures(counts.sum(axis=0)).items()}
    return {
        "frames": int(total["frames"]),
        "boxes": int(total["boxes"]),
        **summarise(matches),
        "signs": int(total["signs"]),
        "sign_recall": measures["sign_recall"],
        "sign_class_accuracy": measures["sign_class_accuracy"],
        "sign_precision": measures["sign_precision"],
        "tracks_per_sign": measures["tracks_per_sign"],
        "false_signs": int(total["false"]),
        "false_signs_per_minute": measures["false_signs_per_minute"],
        "minutes": round(total["seconds"] / 60, 3),
        "intervals": _intervals(counts, matches, recordings, n, seed),
    }


def _intervals(counts: Floats, matches: Matches, recordings: Ints, n: int, seed: int) -> dict[str, list[float] | None]:
    if not len(counts):
        return dict.fromkeys((*PRECISIONS, *WITH_INTERVAL))
    of_signs = {name: _bounds(bootstrap(counts, _measure(name), n, seed)) for name in WITH_INTERVAL}
    return {**box_intervals(matches, recordings, n, seed), **of_signs}


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _measure(name: str) -> Statistic:
    return lambda sums: sign_measures(sums)[name]


def compare_recordings(
    truth: TruthRecordings,
    predictions_a: Mapping[str, Any],
    predictions_b: Mapping[str, Any],
    *,
    n: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two predictions for the same recordings, b against a, by a bootstrap over recordings that pairs them.

    Returns:
        recordings, signs, right_signs (share of the signs found and rightly named) and errors (missed + false + misnamed signs, a
        number), each with a, b, difference (b - a) and interval [low, high] at 95 %, None where undefined.

    Raises:
        DataError: either is malformed, or they were made at different rates.
    """
    a, b = parse_predictions(predictions_a, truth), parse_predictions(predictions_b, truth)
    if a.fps != b.fps:
        raise DataError("two predictions made at different rates cannot be compared", expected=a.fps, found=b.fps)
    counts = [count_signs(truth, p, sample(truth, p.fps)) for p in (a, b)]
    signs = int(counts[0][:, COUNTS.index("signs")].sum())
    rows = {name: _difference(name, counts[0], counts[1], n, seed) for name in ("right_signs", "errors")}
    return {"recordings": len(truth.videos), "signs": signs, **rows}


def _difference(name: str, a: Floats, b: Floats, n: int, seed: int) -> dict[str, Any]:
    values = [float(np.nan_to_num(sign_measures(counts.sum(axis=0))[name])) for counts in (a, b)]
    bounds = _bounds(paired_bootstrap(a, b, _measure(name), n, seed)) if len(a) else None
    return {"a": values[0], "b": values[1], "difference": values[1] - values[0], "interval": bounds}


def score_crops(
    rows: Sequence[Mapping[str, Any]],
    probs: ArrayLike,
    class_ids: Sequence[int] | None = None,
    *,
    n: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Score a classifier on labelled crops.

    Args:
        rows: one per crop, with class_id and, where known, track_id (empty or None: a track of its own).
        probs: calibrated probabilities, (crops, columns), rows sum to 1.
        class_ids: class of each column; one column more is "not an object", always wrong. None: column i is class i.
        n: bootstrap samples over tracks.
        seed: of these samples.

    Returns:
        crops, tracks, top1, macro_f1, track_accuracy (by mean log-probability over the track), ece; all 0 without crops. And intervals
        of top1 and track_accuracy: name -> [low, high] at 95 %, None without crops.

    Raises:
        DataError: the arguments do not fit, or a track has two classes.
    """
    if not rows:
        nothing = {"crops": 0, "tracks": 0, "top1": 0.0, "macro_f1": 0.0, "track_accuracy": 0.0, "ece": 0.0}
        return {**nothing, "intervals": {"top1": None, "track_accuracy": None}}
    width = np.asarray(probs).shape[-1]
    columns = {c: i for i, c in enumerate(range(width) if class_ids is None else class_ids)}
    if not width - 1 <= len(columns) <= width:
        raise DataError("probabilities and classes do not fit", expected=f"{len(columns)} columns or one more", found=width)
    strangers = sorted({int(row["class_id"]) for row in rows} - columns.keys())
    if strangers:
        raise DataError("crops have classes that the classifier does not know", expected=sorted(columns)[:5], found=strangers[:5])
    p, labels = check_probs(probs, [columns[int(row["class_id"])] for row in rows])
    tracks = [("track", row["track_id"]) if row.get("track_id") not in (None, "") else ("crop", i) for i, row in enumerate(rows)]
    predicted, answers = p.argmax(axis=1), track_answers(p, tracks)
    return {
        "crops": len(rows),
        "tracks": len(answers),
        "top1": top1(predicted, labels),
        "macro_f1": macro_f1(predicted, labels),
        "track_accuracy": track_accuracy(answers, labels, tracks),
        "ece": ece(np.minimum(p.max(axis=1), 1), predicted == labels),
        "intervals": _crop_intervals(predicted == labels, answers, labels, tracks, n, seed),
    }


def _crop_intervals(
    right: NDArray[np.bool_], answers: Mapping[Hashable, int], labels: Ints, tracks: Sequence[Hashable], n: int, seed: int
) -> dict[str, list[float] | None]:
    """Bound the shares of right crops and right tracks by drawing whole tracks: the crops of one are nearly the same picture."""
    place = {track: i for i, track in enumerate(answers)}
    of = np.array([place[track] for track in tracks])
    is_right = np.zeros(len(place))
    is_right[of] = labels == np.array([answers[track] for track in tracks])
    sums = np.column_stack([np.bincount(of, right), np.bincount(of), is_right, np.ones(len(place))])
    return {
        "top1": _bounds(bootstrap(sums, lambda s: s[..., 0] / s[..., 1], n, seed)),
        "track_accuracy": _bounds(bootstrap(sums, lambda s: s[..., 2] / s[..., 3], n, seed)),
    }
