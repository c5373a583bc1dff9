"""Peers and our own tracker on drawn boxes: what they are fed, what counts as their signs, and which setting is shown."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from signloop.core.errors import ConfigError
from signloop.core.files import read_json
from signloop.core.params import Prelabel, load
from signloop.demo.write import draw_test
from signloop.measure.truth import TruthRecordings, read_truth
from signloop.studies import trackers

ROOT = Path(__file__).parents[2]


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


@pytest.fixture(scope="module")
def prelabel() -> Prelabel:
    return load(ROOT / "params.yaml").prelabel


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TruthRecordings, dict[str, Any]]:
    """A few drawn recordings, and as a detector's boxes those of the truth."""
    folder = tmp_path_factory.mktemp("drawn")
    path = draw_test(folder, signs=8, seed=2)
    raw = read_json(path)
    films = {video["id"]: video["file_name"] for video in raw["videos"]}
    boxes: dict[int, list[list[float]]] = {image["id"]: [] for image in raw["images"]}
    for a in raw["annotations"]:
        if not a.get("iscrowd"):
            x, y, w, h = a["bbox"]
            boxes[a["image_id"]].append([x, y, x + w, y + h, 0.9])
    frames = [{"video": films[i["video_id"]], "frame_index": i["frame_index"], "boxes": boxes[i["id"]]} for i in raw["images"]]
    return folder, read_truth(path), {"fps": raw["videos"][0]["fps"], "frames": frames, "signs": []}


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
