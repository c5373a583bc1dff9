"""The opinions of a classifier about the crops of one sign in, one class with a confidence out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, rel_entr

from signloop.core.errors import DataError

TOP = 5
FLOOR = 0.01  # one crop cannot press a class below this share of what another one gives it: a sure, wrong crop is outvoted
TINY = 1e-12
TRUSTED_PX = 24.0  # side of a crop that is trusted a quarter as much as a very large one
LIKELY = 0.5  # a class below it, with no class as its first rival, is no class: an object of a kind that nobody taught looks so
SAME = 1e-9  # probabilities that differ by less are equal: what is left of their sums depends on the order of the crops
CONTRARY = 0.2  # nats between two opinions, of 0.69 at most, from which on two crops seem to show two things
HEARD = 0.15  # of the most trusted crop's weight: what a crop says that is trusted less is no reason for doubt


@dataclass(frozen=True)
class Vote:
    """What one sign shows.

    Attributes:
        class_index: position of the class among the classifier's outputs; None if no class won, or nearly did (`LIKELY`).
        confidence: calibrated probability of the class, of there being none if there is none, in [0, 1].
        nothing: probability of "not an object", in [0, 1]; where there is no class, the rest is that it is an object of another kind.
        margin: how far the runner-up is behind, in [0, 1].
        top_indices: the likeliest classes, best first, at most five.
        top_confidences: their probabilities.
        contrary: position of the crop whose opinion is the farthest from that of the most trusted one, where they are so far apart that
            the track may hold two things; None if all say much the same.
    """

    class_index: int | None
    confidence: float
    nothing: float
    margin: float
    top_indices: tuple[int, ...]
    top_confidences: tuple[float, ...]
    contrary: int | None


def trust(xyxy: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Return how much each crop counts in a vote, (crops,), in [0, 1].

    The detector's score, times a share that grows with the area of small crops and levels off where more pixels add nothing.

    Args:
        xyxy: boxes of the crops, px, (crops, 4).
        scores: of the detector, (crops,).
    """
    boxes = np.asarray(xyxy, np.float64).reshape(-1, 4)
    side = np.sqrt(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1))
    return np.asarray(np.asarray(scores, np.float64).reshape(-1) * (side / (side + TRUSTED_PX)) ** 2)


def vote(probs: ArrayLike, weights: ArrayLike, strange: ArrayLike | None = None) -> Vote:
    """Choose one class for a sign from the opinions of its crops.

    Probabilities are fused as a weighted mean of their logarithms (a logarithmic opinion pool, Genest & Zidek 1986): a crop that is
    undecided changes little, where a mean of probabilities would let it water down the others. It is a mean, not a sum, because the
    crops of one sign are nearly the same picture: ten of them are no ten independent witnesses, and the confidence must not say so.

    Args:
        probs: calibrated probabilities, (crops, classes + 1), rows sum to 1; the last column is "not an object".
        weights: trust in each crop, (crops,), >= 0, as `trust` gives.
        strange: logarithm of the odds that a crop shows an object of another kind than each class, were it called that, (crops, classes):
            their weighted mean takes from the probability of a class. One odd look at a sign does not make a stranger of it. None: no
            crop is strange.

    Returns:
        The class and how sure it is.

    Raises:
        DataError: no crops, numbers that do not fit or are not finite, or no weight above zero.
    """
    opinions, trusted = np.asarray(probs, np.float64), np.asarray(weights, np.float64)
    if opinions.ndim != 2 or not len(opinions) or opinions.shape[1] < 2 or trusted.shape != (len(opinions),):
        raise DataError(
            "a vote needs at least one crop, two columns and a weight for each crop",
            found=f"probabilities {opinions.shape}, weights {trusted.shape}",
        )
    if not (np.isfinite(opinions).all() and np.isfinite(trusted).all() and (trusted >= 0).all() and trusted.sum() > 0):
        raise DataError("a vote needs finite probabilities and weights >= 0 that are not all zero", found=trusted[:5].tolist())
    odds = None if strange is None else np.asarray(strange, np.float64)
    if odds is not None and (odds.shape != (len(opinions), opinions.shape[1] - 1) or not np.isfinite(odds).all()):
        raise DataError(
            "odds of being strange are finite, for each crop and class", expected=(len(opinions), opinions.shape[1] - 1), found=odds.shape
        )
    bounded = np.maximum(opinions, np.maximum(FLOOR * opinions.max(axis=0), TINY))
    pooled = np.exp(trusted @ np.log(bounded) / trusted.sum())
    pooled /= pooled.sum()
    nothing = float(pooled[-1])
    if odds is not None:
        pooled[:-1] *= expit(-trusted @ odds / trusted.sum())
        pooled[-1] = 1 - pooled[:-1].sum()
    order = np.argsort(-pooled, kind="stable")
    best, second = int(order[0]), int(order[1])
    none = len(pooled) - 1
    top = tuple(int(i) for i in order if i != none)[:TOP]
    is_none = best == none or (pooled[none] >= pooled[second] - SAME and pooled[best] < LIKELY)
    return Vote(
        None if is_none else best,
        float(pooled[none if is_none else best]),
        nothing,
        float(pooled[best] - pooled[second]),
        top,
        tuple(float(pooled[i]) for i in top),
        _contrary(opinions, trusted),
    )


def _contrary(opinions: NDArray[np.float64], weights: NDArray[np.float64]) -> int | None:
    """Return the crop that is farthest from the most trusted one by the divergence of Jensen and Shannon (Lin 1991), if it is far."""
    trusted = opinions[np.argmax(weights)]
    middle = (opinions + trusted) / 2
    apart = (rel_entr(opinions, middle) + rel_entr(np.broadcast_to(trusted, middle.shape), middle)).sum(axis=1) / 2
    far = np.where(weights >= HEARD * weights.max(), apart, 0)
    return int(np.argmax(far)) if far.max() >= CONTRARY else None
