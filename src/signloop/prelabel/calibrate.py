"""Raw outputs of a classifier and labels in, one temperature out that makes its probabilities mean what they say."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from signloop.core.errors import DataError

RANGE = 0.1, 10.0


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


def _checked(logits: ArrayLike) -> NDArray[np.float64]:
    raw = np.asarray(logits, np.float64)
    if raw.ndim != 2 or not np.isfinite(raw).all():
        raise DataError("logits are finite and have two dimensions", expected="(crops, classes)", found=raw.shape)
    return raw
