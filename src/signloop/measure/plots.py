"""Curves and matrices enter, PNG files leave; drawn without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from signloop.core.files import atomic_path
from signloop.measure.calibration import Reliability
from signloop.measure.detection import Curve

_COLOUR = "tab:blue"


def _axes(width: float, height: float, x_label: str, y_label: str, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x_label, ylabel=y_label, title=title)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})  # equal content gives equal bytes
    return path


def plot_precision_recall(curve: Curve, path: Path, title: str = "Detection at IoU 0.5") -> Path:
    """Draw precision over recall; an empty curve gives empty axes."""
    figure, axes = _axes(5, 4, "recall", "precision", title)
    axes.plot(np.append(0, curve.recall), np.append(1, curve.precision), color=_COLOUR)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    return _save(figure, path)


def plot_confusion(matrix: ArrayLike, names: Sequence[str], path: Path, title: str = "Classes") -> Path:
    """Draw a confusion matrix, each row scaled to 1.

    Args:
        matrix: row = true class, column = answer, (classes, classes), counts.
        names: of the classes, (classes,).
        path: of the PNG.
        title: above the picture.
    """
    counts = np.asarray(matrix, np.float64).reshape(len(names), len(names))
    side = min(16.0, 3 + 0.25 * len(names))
    figure, axes = _axes(side, side, "answer", "truth", title)
    image = axes.imshow(counts / np.maximum(1, counts.sum(axis=1, keepdims=True)), vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(names)), [_short(name) for name in names], rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=7)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    return _save(figure, path)


def _short(name: str) -> str:
    """Cut long names, and keep matplotlib from reading a dollar sign as a formula."""
    return (name if len(name) <= 28 else name[:27] + "…").replace("$", r"\$")


def plot_reliability(points: Reliability, path: Path, title: str = "Confidence") -> Path:
    """Draw the share of right answers over the confidence; on the diagonal a confidence means what it says."""
    figure, axes = _axes(4.5, 4, "confidence", "share right", title)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot(points.confidence, points.accuracy, marker="o", color=_COLOUR)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    return _save(figure, path)
