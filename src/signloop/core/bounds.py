"""Counts and per-cluster numbers enter, intervals leave: exact bounds for shares, bootstrap by cluster, paired differences."""

from collections.abc import Callable
from dataclasses import dataclass
from math import lgamma, log

import numpy as np
from numpy.typing import ArrayLike, NDArray

from signloop.core.errors import DataError

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]

_BISECTIONS = 60


@dataclass(frozen=True)
class Interval:
    """A number and the bounds between which it lies with the level asked for."""

    value: float
    low: float
    high: float

    def excludes(self, number: float) -> bool:
        """Say whether `number` lies outside the bounds."""
        return number < self.low or number > self.high


def resample(clusters: int, n: int, seed: int) -> NDArray[np.int64]:
    """Draw how often each cluster is taken in each bootstrap sample.

    Returns:
        Counts, (n, clusters); each row sums to `clusters`.

    Raises:
        DataError: there is no cluster to draw from.
    """
    if clusters < 1:
        raise DataError("there is nothing to resample", expected="at least one cluster", found=clusters)
    return np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=n)


def percentiles(value: float, samples: ArrayLike, level: float = 0.95) -> Interval | None:
    """Return the percentile interval of bootstrap samples (Efron 1981).

    Args:
        value: the statistic of the data itself.
        samples: the statistic of each sample, (n,); NaN where it is undefined (nothing to count was drawn) and left out.
        level: share of samples between the bounds, in (0, 1).

    Returns:
        None where `value` or every sample is undefined.
    """
    drawn = np.asarray(samples, np.float64)
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn) or np.isnan(value):
        return None
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))


def _stats(per_cluster: ArrayLike) -> Floats:
    stats = np.asarray(per_cluster, np.float64)
    if stats.ndim != 2:
        raise DataError("numbers per cluster have a wrong shape", expected="(clusters, numbers)", found=stats.shape)
    return stats


def bootstrap(per_cluster: ArrayLike, statistic: Statistic, n: int = 2000, seed: int = 0, level: float = 0.95) -> Interval | None:
    """Return a statistic of summed numbers with its interval, drawing whole clusters (recordings, tracks) with replacement.

    Args:
        per_cluster: additive numbers, (clusters, k); what is correlated belongs in one cluster.
        statistic: sums, (..., k), to values, (...); NaN where undefined.
        n: bootstrap samples.
        seed: equal seeds draw equal samples.
        level: in (0, 1).

    Returns:
        None where the statistic of the data is undefined, or of a single cluster, which says nothing of how others would be.

    Raises:
        DataError: no clusters, or `per_cluster` is not two-dimensional.
    """
    stats = _stats(per_cluster)
    if len(stats) == 1:
        return None
    counts = resample(len(stats), n, seed)
    return percentiles(float(statistic(stats.sum(axis=0))), statistic(counts @ stats), level)


def paired_bootstrap(
    per_cluster_a: ArrayLike,
    per_cluster_b: ArrayLike,
    statistic: Statistic,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval | None:
    """Return statistic(b) - statistic(a) with its interval; both see the same clusters in every sample.

    Args:
        per_cluster_a: additive numbers, (clusters, k).
        per_cluster_b: the same clusters in the same order, (clusters, k).
        statistic: sums, (..., k), to values, (...); NaN where undefined.
        n: bootstrap samples.
        seed: equal seeds draw equal samples.
        level: in (0, 1).

    Returns:
        None where one of the two statistics is undefined, or of a single cluster.

    Raises:
        DataError: no clusters, or the two differ in shape.
    """
    a, b = _stats(per_cluster_a), _stats(per_cluster_b)
    if a.shape != b.shape:
        raise DataError("a paired comparison needs the same clusters twice", expected=a.shape, found=b.shape)
    if len(a) == 1:
        return None
    counts = resample(len(a), n, seed)
    value = float(statistic(b.sum(axis=0)) - statistic(a.sum(axis=0)))
    return percentiles(value, statistic(counts @ b) - statistic(counts @ a), level)


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Return a share with its exact two-sided bounds (Clopper and Pearson 1934).

    The upper bound alone holds with (1 + level) / 2. No trials: value 0 within [0, 1].

    Raises:
        DataError: not 0 <= successes <= trials, or `level` is not in (0, 1).
    """
    if not 0 <= successes <= trials or not 0 < level < 1:
        raise DataError("a share cannot be bounded", expected="0 <= successes <= trials, level in (0, 1)", found=(successes, trials, level))
    tail = (1 - level) / 2
    low = _solve(successes, trials, tail) if successes else 0.0
    high = 1 - _solve(trials - successes, trials, tail) if successes < trials else 1.0
    return Interval(successes / max(1, trials), low, high)


def _solve(successes: int, trials: int, tail: float) -> float:
    """Return the p at which `successes` or more of `trials` have probability `tail`; successes >= 1."""
    k = np.arange(successes, trials + 1)
    ways = np.array([lgamma(trials + 1) - lgamma(i + 1) - lgamma(trials - i + 1) for i in k.tolist()])
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        p = (low + high) / 2
        chance = np.exp(ways + k * log(p) + (trials - k) * np.log1p(-p)).sum()
        low, high = (p, high) if chance < tail else (low, p)
    return (low + high) / 2
