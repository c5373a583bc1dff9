from typing import Any

import numpy as np
import pytest
import torch

from signloop.core.params import Params
from signloop.models import familiar
from signloop.models.classifier import Classifier, logits
from signloop.models.familiar import FAR, Familiarity, Observer, as_it_is, lay_out, observe, remember

CPU = torch.device("cpu")


def shades(level: int, count: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Noisy crops with one half brighter than the other by `level`."""
    crops = np.random.default_rng(seed).integers(80, 110, (count, 32, 32, 3))
    crops[:, :, :16] += level
    return crops.astype(np.uint8)


def look(network: Classifier, crops: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> tuple[Any, Any]:
    """Observe, in calls of three crops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(familiar, "BATCH", 3)
        return observe(as_it_is(Observer(network), CPU), crops, 3)


@pytest.fixture
def model(fast: Params) -> Classifier:
    """A network that has seen two of three classes, and crops of no class."""
    torch.manual_seed(0)
    network = Classifier(fast.classifier, 3).eval()
    crops = np.concatenate([shades(0, 30, 0), shades(120, 30, 1), shades(60, 5, 2)])
    remember(network, crops, [0] * 30 + [2] * 30 + [3] * 5, CPU)
    return network


def test_a_crop_is_near_its_own_class_only(model: Classifier) -> None:
    raw, distances = look(model, np.concatenate([shades(0, 8, 5), shades(120, 8, 6)]))
    assert (raw.shape, distances.shape) == ((16, 4), (16, 3))
    assert distances[:8, 0].max() < distances[:8, 2].min()
    assert distances[8:, 2].max() < distances[8:, 0].min()
    np.testing.assert_allclose(raw, logits(model, np.concatenate([shades(0, 8, 5), shades(120, 8, 6)]), CPU), atol=1e-4)


def test_a_class_without_crops_is_far_from_everything(model: Classifier) -> None:
    assert look(model, shades(0, 4, 8))[1][:, 1].min() > FAR / 2


def test_no_crops_give_no_rows_and_one_crop_alone_gives_the_same(model: Classifier) -> None:
    assert [part.shape for part in look(model, shades(0, 0, 0))] == [(0, 4), (0, 3)]
    crops = shades(30, 3, 9)
    for alone, among in zip(look(model, crops[1:2]), look(model, crops), strict=True):
        np.testing.assert_allclose(alone[0], among[1], atol=1e-3)


def test_a_single_crop_and_equal_ones_can_be_remembered(fast: Params) -> None:
    network = Classifier(fast.classifier, 3).eval()
    for crops in (shades(0, 1, 0), np.repeat(shades(0, 1, 0), 4, axis=0)):
        remember(network, crops, [1] * len(crops), CPU)
        distances = look(network, crops[:1])[1]
        assert np.isfinite(distances).all()
        assert distances[0].argmin() == 1


def test_the_odds_are_even_at_the_limit_and_rise_with_the_distance() -> None:
    np.testing.assert_allclose(Familiarity(2.0, 0.25).odds([[1.5, 2.0, 2.5]]), [[-2, 0, 2]])
    assert Familiarity(2.0, 0.25).odds(np.zeros((0, 3))).shape == (0, 3)


def test_members_are_about_one_deviation_from_their_class_and_strangers_farther() -> None:
    rng = np.random.default_rng(0)
    spread = np.array([5.0, 2, 1, 0.1, 0.1])  # of members, along the five features
    middles = np.array([[0.0, 0, 0, 0, 0], [40, 0, 0, 0, 0], [0, 20, 0, 0, 0]])

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 3, count)
        return middles[labels] + rng.normal(0, spread, (count, 5)), labels

    centre, axes, means = lay_out(*draw(3000), classes=3, axes=3)
    assert (axes.shape, means.shape) == ((5, 3), (3, 3))
    points, labels = draw(2000)
    away = (points - centre) @ axes - means[labels]
    np.testing.assert_allclose(away.std(axis=0), 1, atol=0.1)
    stranger = (np.array([[0.0, 0, 9, 0, 0]]) - centre) @ axes  # nine deviations from the first class, and farther from the others
    distances = np.sqrt(np.square(stranger - means).mean(axis=1))
    assert distances.argmin() == 0
    assert distances[0] == pytest.approx(9 / np.sqrt(3), rel=0.1)


def test_a_class_without_members_lies_far_off_and_a_single_member_is_enough() -> None:
    _, _, means = lay_out([[0.0, 1.0]], [1], classes=2, axes=2)
    assert means[0].tolist() == [FAR, FAR]
    assert means[1].tolist() == [0, 0]
