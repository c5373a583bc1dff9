from pathlib import Path

import cv2
import numpy as np
import pytest

from signloop.measure.calibration import reliability
from signloop.measure.detection import Curve
from signloop.measure.plots import plot_confusion, plot_precision_recall, plot_reliability


def drawn(path: Path) -> bool:
    image = cv2.imread(str(path))
    return image is not None and image.shape[0] > 200 and float(image.std()) > 1


@pytest.mark.parametrize("n", [0, 1, 50])
def test_curves_of_any_length_are_drawn(tmp_path: Path, n: int) -> None:
    line = np.linspace(0.1, 1, n)
    assert drawn(plot_precision_recall(Curve(line[::-1], line, line[::-1], line), tmp_path / "new" / "pr.png"))
    assert drawn(plot_reliability(reliability(line, line > 0.5), tmp_path / "reliability.png"))


def test_class_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    names = ["a$b", "$x_{$", "ü" * 90]
    first = plot_confusion(np.eye(3) * 4, names, tmp_path / "a.png")
    assert drawn(first)
    assert first.read_bytes() == plot_confusion(np.eye(3) * 4, names, tmp_path / "b.png").read_bytes()
