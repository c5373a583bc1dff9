import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta

from signloop.core.bounds import Interval, bootstrap, clopper_pearson, paired_bootstrap, percentiles, resample
from signloop.core.errors import DataError

Floats = NDArray[np.float64]


def share(sums: Floats) -> Floats:
    return np.asarray(np.divide(sums[..., 0], sums[..., 1], out=np.full(np.shape(sums[..., 0]), np.nan), where=sums[..., 1] > 0))


@given(st.integers(1, 300), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_clopper_pearson_equals_the_beta_quantiles(trials: int, data: st.DataObject, level: float) -> None:
    k = data.draw(st.integers(0, trials))
    bounds = clopper_pearson(k, trials, level)
    low = beta.ppf((1 - level) / 2, k, trials - k + 1) if k else 0.0
    high = beta.ppf((1 + level) / 2, k + 1, trials - k) if k < trials else 1.0
    assert (bounds.low, bounds.high) == pytest.approx((low, high), abs=1e-9)
    assert bounds.low <= bounds.value <= bounds.high


def test_clopper_pearson_at_its_ends() -> None:
    assert clopper_pearson(0, 0) == Interval(0.0, 0.0, 1.0)
    assert clopper_pearson(20_000, 20_000).low == pytest.approx(0.025 ** (1 / 20_000))
    with pytest.raises(DataError, match="cannot be bounded"):
        clopper_pearson(3, 2)


def test_resample_draws_whole_samples_repeatably() -> None:
    counts = resample(7, 50, 3)
    assert (counts.sum(axis=1) == 7).all()
    assert (counts == resample(7, 50, 3)).all()
    assert (counts != resample(7, 50, 4)).any()
    with pytest.raises(DataError, match="nothing to resample"):
        resample(0, 10, 0)


def test_bootstrap_covers_a_known_share_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for i in range(200):
        right = rng.binomial(5, 0.7, 60)
        bounds = bootstrap(np.stack([right, np.full(60, 5)], axis=1), share, n=300, seed=i)
        assert bounds is not None
        inside += bounds.low <= 0.7 <= bounds.high
    assert 178 <= inside <= 199


def test_what_is_correlated_widens_the_interval() -> None:
    each = (np.arange(200) % 2).astype(float)
    alone = bootstrap(np.stack([each, np.ones(200)], axis=1), share)
    together = bootstrap(np.stack([np.repeat([0.0, 20.0], 5), np.full(10, 20.0)], axis=1), share)
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    hard = np.random.default_rng(1).integers(0, 90, 40).astype(float)
    a, b = np.stack([hard, np.full(40, 100.0)], axis=1), np.stack([hard + 2, np.full(40, 100.0)], axis=1)
    first, difference = bootstrap(a, share), paired_bootstrap(a, b, share)
    assert first is not None
    assert difference is not None
    assert first.low < first.value + 0.02 < first.high
    assert difference.value == pytest.approx(0.02)
    assert difference.excludes(0)
    assert not difference.excludes(0.02)


def test_undefined_stays_undefined() -> None:
    assert bootstrap(np.zeros((4, 2)), share) is None
    assert percentiles(0.5, [np.nan, np.nan]) is None
    half = bootstrap([[1, 2], [0, 0]], share)
    assert half == Interval(0.5, 0.5, 0.5)
    assert bootstrap([[1, 2]], share) is None  # one recording says nothing of others
    assert paired_bootstrap([[1, 2]], [[2, 2]], share) is None


def test_shapes_are_checked() -> None:
    with pytest.raises(DataError, match="wrong shape"):
        bootstrap([1.0, 2.0], share)
    with pytest.raises(DataError, match="same clusters twice"):
        paired_bootstrap(np.ones((3, 2)), np.ones((4, 2)), share)
    with pytest.raises(DataError, match="nothing to resample"):
        bootstrap(np.zeros((0, 2)), share)
