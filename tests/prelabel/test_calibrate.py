import numpy as np
import pytest

from signloop.core.errors import DataError
from signloop.models.classifier import probabilities
from signloop.prelabel.calibrate import RANGE, fit_temperature


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
