import numpy as np
import pytest

from signloop.core.errors import DataError
from signloop.models.classifier import probabilities
from signloop.models.familiar import FAR
from signloop.prelabel.calibrate import RANGE, TYPICAL, fit_familiarity, fit_temperature


def draw(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels for which dividing by `temperature` is right."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (n, 6))
    labels = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)  # draws from the softmax of `honest`
    return honest * temperature, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_true_temperature_is_found(temperature: float) -> None:
    logits, labels = draw(4000, temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.08)


def test_calibration_makes_confidence_equal_accuracy() -> None:
    logits, labels = draw(4000, 3.0)
    fresh, truth = draw(4000, 3.0, seed=1)
    probs = probabilities(fresh, fit_temperature(logits, labels))
    accuracy = (probs.argmax(axis=1) == truth).mean()
    assert abs(probs.max(axis=1).mean() - accuracy) < 0.02
    assert probabilities(fresh, 1.0).max(axis=1).mean() - accuracy > 0.1


def test_a_few_right_answers_do_not_ask_for_certainty() -> None:
    logits = np.eye(3) * 2
    few, many = fit_temperature(logits, [0, 1, 2]), fit_temperature(np.tile(logits, (100, 1)), np.tile([0, 1, 2], 100))
    assert few > 2 * many
    assert many >= RANGE[0]


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 3)), [], "needs crops"),
        (np.zeros((2, 3)), [0], "needs crops"),
        (np.zeros((2, 3)), [0, 3], "position of its class"),
        (np.zeros((2, 3)), [0, -1], "position of its class"),
        (np.full((2, 3), np.inf), [0, 1], "finite"),
        (np.zeros(3), [0], "two dimensions"),
    ],
)
def test_wrong_numbers_are_refused(logits: np.ndarray, labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_temperature(logits, labels)


def test_few_known_objects_are_strange_and_typical_ones_are_surely_known() -> None:
    rng = np.random.default_rng(0)
    far = rng.normal(1.0, 0.2, 1000)  # of objects from their class; each has crops around it
    crops, labels = (far[:, None] + [-0.1, 0, 0.1]).ravel(), rng.integers(0, 2, 1000).repeat(3)
    distances = np.where(np.arange(2) == labels[:, None], crops[:, None], 9)
    tracks = [f"track {i // 3}" for i in range(3000)]
    found = fit_familiarity(distances, labels, tracks, 0.02)
    assert found is not None
    assert (far > found.limit).mean() == pytest.approx(0.02, abs=0.002)
    assert (found.limit - np.median(far)) / found.width == pytest.approx(TYPICAL)
    assert fit_familiarity([*distances, [7, 7]], [*labels, 2], [*tracks, "no object"], 0.02) == found
    unseen = np.full((3000, 1), FAR)  # a third class, of which there was no crop to learn from
    more = [*np.hstack([distances, unseen]), [9, 9, FAR]]
    assert fit_familiarity(more, [*labels, 2], [*tracks, "of the third"], 0.02) == found


def test_nothing_is_strange_without_crops_or_where_that_is_asked_for() -> None:
    assert fit_familiarity(np.zeros((0, 2)), [], [], 0.01) is None
    assert fit_familiarity([[1, 3]], [2], ["no object"], 0.01) is None
    assert fit_familiarity([[1, 3], [4, 2]], [0, 1], ["a", "b"], 0) is None


def test_equal_objects_leave_a_sharp_limit() -> None:
    found = fit_familiarity([[1.5, 3]] * 2, [0, 0], ["a", "b"], 0.01)
    assert found is not None
    assert found.limit == pytest.approx(1.5)
    assert 0 < found.width < 0.001
