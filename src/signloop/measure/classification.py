"""Class probabilities and true classes enter, the measures of a classifier leave; classes are positions in the columns throughout.

A classifier may have more columns than there are classes (the last one for "not an object"); such an answer is simply wrong here.
Without any crop every measure is 0.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from signloop.core.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FLOOR = 1e-6  # no single crop may say more than a million to one against a class


def check_probs(probs: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    """Return probabilities, (crops, columns), and labels, (crops,), as arrays.

    Raises:
        DataError: they differ in length, or a row of `probs` is not a distribution.
    """
    p, y = np.asarray(probs, np.float64), np.asarray(labels, np.int64).reshape(-1)
    if p.ndim != 2 or len(p) != len(y):
        raise DataError("probabilities and labels do not fit", expected=f"({len(y)}, columns)", found=p.shape)
    if not (p >= 0).all() or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise DataError("probabilities are not distributions", expected="rows >= 0 that sum to 1", found=p.sum(axis=1)[:5].tolist())
    return p, y


def top1(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of right answers; (crops,) each."""
    right = np.asarray(predicted) == np.asarray(labels)
    return float(right.mean()) if right.size else 0.0


def macro_f1(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean F1 of the classes that occur in `labels`; (crops,) each."""
    p, y = np.asarray(predicted), np.asarray(labels)
    scores = [2 * ((p == c) & (y == c)).sum() / ((p == c).sum() + (y == c).sum()) for c in np.unique(y)]
    return float(np.mean(scores)) if scores else 0.0


def confusion_matrix(predicted: ArrayLike, labels: ArrayLike, columns: int) -> Ints:
    """Count answers: row = true class, column = answer, (columns, columns)."""
    result = np.zeros((columns, columns), np.int64)
    np.add.at(result, (np.asarray(labels, np.int64), np.asarray(predicted, np.int64)), 1)
    return result


def track_answers(probs: ArrayLike, tracks: Sequence[Hashable]) -> dict[Hashable, int]:
    """Give each track the class with the highest mean log-probability over its crops.

    Args:
        probs: (crops, columns), >= 0.
        tracks: the track of each crop, (crops,).
    """
    if len(np.asarray(probs)) != len(tracks):
        raise DataError("probabilities and tracks differ in number", expected=len(np.asarray(probs)), found=len(tracks))
    sums: dict[Hashable, Floats] = {}
    for track, row in zip(tracks, np.log(np.maximum(np.asarray(probs, np.float64), _FLOOR)), strict=True):
        sums[track] = sums.get(track, 0.0) + row
    return {track: int(np.argmax(total)) for track, total in sums.items()}


def track_accuracy(answers: dict[Hashable, int], labels: ArrayLike, tracks: Sequence[Hashable]) -> float:
    """Return the share of tracks whose answer is the class of their crops.

    Args:
        answers: track -> class, as `track_answers` or any other vote gives it; a missing one is wrong.
        labels: class of each crop, (crops,).
        tracks: the track of each crop, (crops,).

    Raises:
        DataError: the crops of one track have two classes.
    """
    label_of: dict[Hashable, int] = {}
    for track, label in zip(tracks, np.asarray(labels).tolist(), strict=True):
        if label_of.setdefault(track, label) != label:
            raise DataError("a track has two classes", where=f"track {track}", found=(label_of[track], label))
    return sum(answers.get(track) == label for track, label in label_of.items()) / max(1, len(label_of))
