"""Peers and our own tracker on drawn boxes: what they are fed, what counts as their signs, and which setting is shown."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from signloop.core.errors import ConfigError
from signloop.core.params import Prelabel
from signloop.measure.truth import TruthRecordings
from signloop.studies import trackers


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


def test_with_the_boxes_of_the_truth_every_tracker_finds_most_signs(
    drawn: tuple[Path, TruthRecordings, dict[str, Any]], prelabel: Prelabel
) -> None:
    found = trackers.compare(*drawn, prelabel, silent)
    assert [one.tracker for one in found] == [trackers.OWN, "ByteTrack", "SORT", "OC-SORT"]
    assert all(one.scores["sign_recall"] > 0.5 for one in found)
    assert all(one.scores["false_signs"] == 0 for one in found)
    assert found[0].scores["sign_recall"] > 0.9
    assert found[0].scores["tracks_per_sign"] < 1.1
    assert "minimum_iou_threshold" in found[1].settings


def test_the_package_is_asked_for(
    drawn: tuple[Path, TruthRecordings, dict[str, Any]], prelabel: Prelabel, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name == "trackers":
            raise ImportError("No module named 'trackers'")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"trackers to compare with are not installed; .*\[bench\]"):
        trackers.compare(*drawn, prelabel, silent)
