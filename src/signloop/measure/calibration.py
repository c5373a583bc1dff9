"""Confidences and whether they were right enter; how far the two are apart leaves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from signloop.core.errors import DataError
from signloop.measure.classification import check_probs

Floats = NDArray[np.float64]
BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of about equally many answers, by rising confidence; (bins,) each, no bin is empty.

    Attributes:
        confidence: mean confidence, in [0, 1].
        accuracy: share of right answers.
        count: answers, >= 1.
    """

    confidence: Floats
    accuracy: Floats
    count: NDArray[np.int64]


def reliability(confidences: ArrayLike, right: ArrayLike, bins: int = BINS) -> Reliability:
    """Put answers into bins of equal mass; equal confidences share a bin, so that the order of the answers does not matter.

    Args:
        confidences: in [0, 1], (answers,).
        right: (answers,), bool.
        bins: at most so many come back; no answers give none.

    Raises:
        DataError: the two differ in length, or a confidence is out of range.
    """
    c, r = np.asarray(confidences, np.float64).reshape(-1), np.asarray(right, np.float64).reshape(-1)
    if len(c) != len(r) or not ((c >= 0) & (c <= 1 + 1e-6)).all():
        raise DataError("confidences do not fit", expected=f"{len(r)} numbers in [0, 1]", found=(len(c), c[:5].tolist()))
    edges = np.sort(c)[[len(c) * i // bins for i in range(1, bins)]] if len(c) else np.zeros(0)
    place = np.searchsorted(edges, c, side="right")
    count = np.bincount(place, minlength=bins)
    keep = count > 0
    return Reliability(
        np.bincount(place, c, minlength=bins)[keep] / count[keep],
        np.bincount(place, r, minlength=bins)[keep] / count[keep],
        count[keep],
    )


def ece(confidences: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error: mean |confidence - accuracy| over equal-mass bins (Nguyen and O'Connor 2015); 0 for none."""
    r = reliability(confidences, right, bins)
    return float((np.abs(r.confidence - r.accuracy) * r.count).sum() / max(1, r.count.sum()))


def brier(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean squared distance of probabilities from the truth (Brier 1950), in [0, 2]; 0 without answers.

    Args:
        probs: (answers, columns), rows sum to 1.
        labels: true column, (answers,).
    """
    p, y = check_probs(probs, labels)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean()) if len(y) else 0.0
