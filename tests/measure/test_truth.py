import copy
import json
from pathlib import Path
from typing import Any

import pytest

from signloop.core.errors import DataError
from signloop.measure.truth import parse_truth, read_images, read_truth

GOOD: dict[str, Any] = {
    "videos": [{"id": 1, "file_name": "a.mp4", "fps": 10}],
    "images": [{"id": 5, "video_id": 1, "frame_index": 1}, {"id": 4, "video_id": 1, "frame_index": 0}],
    "annotations": [
        {"id": 0, "image_id": 4, "track_id": 7, "category_id": 3, "bbox": [1, 2.5, 3, 4], "iscrowd": 0, "visible": 1.0},
        {"id": 1, "image_id": 4, "category_id": 99, "bbox": [1, 2, 3, 4], "iscrowd": 1},
    ],
}


def test_recordings_are_read_in_order_of_their_frames(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps(GOOD))
    truth = read_truth(tmp_path / "t.json")
    assert [f.frame_index for f in truth.frames] == [0, 1]
    assert [a.iscrowd for a in truth.annotations[4]] == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["annotations"][0].update(bbox=[0, 0, 0, 4]), "annotation 0: bbox .* has no area"),
        (lambda t: t["annotations"][0].update(bbox=[0, 0, 4]), "annotations.0.bbox"),
        (lambda t: t["annotations"][0].update(image_id=9), "annotation 0: there is no image 9"),
        (lambda t: t["annotations"][0].update(id=1), "annotation id 1 occurs 2 times"),
        (lambda t: t["annotations"][0].pop("track_id"), "annotation 0: track_id is missing"),
        (lambda t: t["annotations"].append({**t["annotations"][0], "id": 8}), r"image and track \(4, 7\) occurs"),
        (lambda t: t["annotations"][0].update(iscrowd=2), "annotations.0.iscrowd"),
        (lambda t: t["images"][0].update(video_id=3), "image 5: there is no video 3"),
        (lambda t: t["images"][0].update(frame_index=0), r"frame \('a.mp4', 0\) occurs"),
        (lambda t: t["images"][0].update(frame_index=-1), "images.0.frame_index"),
        (lambda t: t["images"][0].update(id=4), "image id 4 occurs"),
        (lambda t: t["videos"][0].update(fps=0), "videos.0.fps"),
        (lambda t: t["videos"].append({"id": 2, "file_name": "a.mp4", "fps": 5}), "video a.mp4 occurs"),
        (lambda t: t.pop("videos"), "videos: Field required"),
    ],
)
def test_wrong_rows_are_named(change: Any, message: str) -> None:
    truth = copy.deepcopy(GOOD)
    change(truth)
    with pytest.raises(DataError, match=message):
        parse_truth(truth)


def test_many_problems_are_counted() -> None:
    truth = copy.deepcopy(GOOD)
    truth["annotations"] = [{**GOOD["annotations"][0], "id": i, "image_id": 9} for i in range(30)]
    with pytest.raises(DataError, match=r"31 things are wrong") as error:
        parse_truth(truth, "here")
    assert str(error.value).count("there is no image") <= 20
    assert "here" in str(error.value)


def test_stills_are_keyed_by_file_name_and_ordered_by_id(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    stills: dict[str, Any] = {
        "images": [{"id": 2, "file_name": "b.jpg"}, {"id": 1, "file_name": "ü b.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 4, "bbox": [1, 2, 3, 4]}],
        "categories": [],
    }
    file.write_text(json.dumps(stills))
    truth = read_images(file)
    assert list(truth) == ["ü b.jpg", "b.jpg"]
    assert truth["ü b.jpg"].class_ids.tolist() == [4]
    assert not truth["ü b.jpg"].ignore.any()
    assert not len(truth["b.jpg"].xywh)
    stills["images"].append({"id": 3, "file_name": "b.jpg"})
    file.write_text(json.dumps(stills))
    with pytest.raises(DataError, match=r"file name b.jpg occurs 2 times"):
        read_images(file)
