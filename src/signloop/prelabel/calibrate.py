"""What a classifier says of labelled crops in; numbers out that make its probabilities mean what they say, and tell it what is strange."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from signloop.core.errors import DataError
from signloop.models.familiar import FAR, Familiarity

RANGE = 0.1, 10.0
TYPICAL = 6.0  # logarithm of the odds that a typical object of a class is one of it: 400 to 1


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Find the divisor of the logits under which the labels are the likeliest (Guo et al. 2017).

    A weak belief in 1, worth about one crop, keeps a handful of crops that are all right from asking for certainty.

    Args:
        logits: raw outputs, (crops, classes), finite.
        labels: true positions, (crops,), in [0, classes).

    Returns:
        The temperature, in [0.1, 10]; above 1 if the classifier was too sure of itself.

    Raises:
        DataError: no crops, or numbers that do not fit.
    """
    raw, truth = _checked(logits), np.asarray(labels, np.int64)
    if not len(raw) or truth.shape != (len(raw),) or truth.min() < 0 or truth.max() >= raw.shape[1]:
        raise DataError(
            "a temperature needs crops and, for each, the position of its class",
            expected=f"{raw.shape} logits",
            found=f"{truth.shape} labels {truth[:5].tolist()}",
        )

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(raw / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(raw)), truth].sum() + log_temperature**2 / 2)

    found = minimize_scalar(loss, bounds=(np.log(RANGE[0]), np.log(RANGE[1])), method="bounded")
    return float(np.exp(found.x))


def fit_familiarity(distances: ArrayLike, labels: ArrayLike, tracks: Sequence[str], strange: float) -> Familiarity | None:
    """Find how far an object may be from a class to be taken for one of it, from objects of known class alone.

    Args:
        distances: of each crop to each class, >= 0, (crops, classes).
        labels: true positions, (crops,). Crops of other positions are of no class, and those of a class that had no crop to be learnt
            from say nothing of how far members lie; both are left out.
        tracks: the physical object that each shows, (crops,).
        strange: share of the objects that may be called of no class, in [0, 1].

    Returns:
        The limit that `strange` of the objects exceed in the mean over their crops; None if that is 0, or without crops.
    """
    far, truth = np.asarray(distances, np.float64), np.asarray(labels, np.int64)
    of_class = np.flatnonzero(truth < far.shape[1])
    known = of_class[far[of_class, truth[of_class]] < FAR / 2]
    if not len(known) or not strange:
        return None
    of = np.unique(np.asarray(tracks, np.str_)[known], return_inverse=True)[1]
    means = np.bincount(of, far[known, truth[known]]) / np.bincount(of)
    typical, limit = (float(value) for value in np.quantile(means, (0.5, 1 - strange)))
    return Familiarity(limit, max(limit - typical, 1e-3) / TYPICAL)


def _checked(logits: ArrayLike) -> NDArray[np.float64]:
    raw = np.asarray(logits, np.float64)
    if raw.ndim != 2 or not np.isfinite(raw).all():
        raise DataError("logits are finite and have two dimensions", expected="(crops, classes)", found=raw.shape)
    return raw
