"""What is written is read back; every wrong row of a foreign file is listed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signloop.core.errors import DataError
from signloop.core.taxonomy import Taxonomy
from signloop.formats.coco import CocoBox, CocoImage, read_coco, write_coco

TAXONOMY = Taxonomy.model_validate(
    {
        "name": "shapes",
        "object_name": "shape",
        "classes": ({"id": 3, "name": "circle", "group": "round"}, {"id": 8, "name": "square", "group": "straight"}),
    }
)
IMAGE = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}
BOX = {"id": 1, "image_id": 1, "category_id": 70, "bbox": [1, 2, 3.5, 4]}
CATEGORIES = [{"id": 70, "name": "circle"}, {"id": 71, "name": "ignore"}, {"id": 72, "name": "tree"}]


def save(folder: Path, images: list[Any], annotations: list[Any], categories: list[Any] | None = None, **more: Any) -> Path:
    value = {"images": images, "annotations": annotations, "categories": CATEGORIES if categories is None else categories, **more}
    (folder / "labels.json").write_text(json.dumps(value))
    return folder / "labels.json"


def test_names_decide_the_class_and_not_the_ids_of_the_file(tmp_path: Path) -> None:
    coco = read_coco(save(tmp_path, [IMAGE], [BOX], info={"year": 2024}), TAXONOMY)
    assert coco.info == {"year": 2024}
    assert coco.images == (CocoImage(1, "a.jpg", 100, 80),)
    assert coco.boxes == (CocoBox("annotations[0] (id 1)", 1, (1, 2, 4.5, 6), 3),)


def test_ignore_and_crowds_have_no_class_whatever_the_crowd_is_called(tmp_path: Path) -> None:
    rows = [{**BOX, "category_id": 71}, {**BOX, "id": 2, "category_id": 72, "iscrowd": 1, "bbox": [9, 9, 5, 5]}]
    boxes = read_coco(save(tmp_path, [IMAGE], rows), TAXONOMY).boxes
    assert [(b.class_id, b.crowd) for b in boxes] == [(None, False), (None, True)]


def test_attributes_of_tools_count_as_keys(tmp_path: Path) -> None:
    row = {**BOX, "attributes": {"box_id": "r/m/0/1", "occluded": False}, "segmentation": [], "area": 14, "score": 0.5}
    assert read_coco(save(tmp_path, [IMAGE], [row]), TAXONOMY).boxes[0].extra == {"box_id": "r/m/0/1", "occluded": False, "score": 0.5}


def test_a_file_without_boxes_is_fine(tmp_path: Path) -> None:
    coco = read_coco(save(tmp_path, [{"id": 0, "file_name": "a.jpg"}], [], []), TAXONOMY)
    assert (coco.images, coco.boxes) == ((CocoImage(0, "a.jpg"),), ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"bbox": [1, 2, 0, 4]}, r"annotations\[1\] \(id 2\): the box .* has no area"),
        ({"bbox": [1, 2, -3, 4]}, "no area"),
        ({"bbox": [1e30, 2, 3, 4]}, "no area"),
        ({"bbox": [1e300, 2, 1e300, 4]}, "no area"),
        ({"bbox": [1, 2, 3]}, "bbox: List should have at least 4 items"),
        ({"bbox": ["1", 2, 3, 4]}, r"bbox\.0: Input should be a valid number"),
        ({"bbox": None}, "bbox: Input should be a valid list"),
        ({"image_id": 7}, "there is no image 7"),
        ({"category_id": 9}, "there is no category 9"),
        ({"category_id": 72}, "class 'tree' is not in the taxonomy"),
        ({"iscrowd": 2}, "iscrowd"),
        ({"id": 1}, r"annotations\[1\] \(id 1\): the id is that of annotations\[0\] \(id 1\) already"),
        ({"bbox": BOX["bbox"]}, r"the same box as annotations\[0\]"),
    ],
)
def test_wrong_boxes_are_named_by_row(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    good = {**BOX, "id": 2, "bbox": [5, 5, 9, 9]}
    with pytest.raises(DataError, match=message):
        read_coco(save(tmp_path, [IMAGE], [BOX, {**good, **row}]), TAXONOMY)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([IMAGE, {**IMAGE, "file_name": "b.jpg"}], "the id is that of"),
        ([IMAGE, {**IMAGE, "id": 2}], r"images\[1\] \(id 2\): the file 'a.jpg' is that of images\[0\]"),
        ([{**IMAGE, "width": 0}], "width"),
        ([{**IMAGE, "file_name": ""}], "file_name"),
        (["a.jpg"], r"images\[0\]: row"),
    ],
)
def test_wrong_images_are_named_by_row(tmp_path: Path, images: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_coco(save(tmp_path, images, []), TAXONOMY)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    rows = [{**BOX, "id": i, "bbox": [i, 0, 0, 0], "category_id": 72} for i in range(15)]
    with pytest.raises(DataError, match=r"31 problems") as caught:
        read_coco(save(tmp_path, [{**IMAGE, "height": "80"}, IMAGE], rows), TAXONOMY)
    assert "... and 11 more" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "no COCO file"),
        ("{}", "images: expected a list, but it is missing"),
        ('{"images": [], "categories": [], "annotations": {}}', "annotations: expected a list"),
        ('{"images": [], "annotations": [], "categories": [], "x": NaN}', "no valid JSON"),
        ("PK", "no valid JSON"),
    ],
)
def test_what_is_no_coco_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_coco(tmp_path / "x.json", TAXONOMY)


@st.composite
def boxes(draw: st.DrawFn) -> CocoBox:
    x, y = draw(st.floats(-10, 2000, width=32)), draw(st.floats(-10, 2000, width=32))
    w, h = draw(st.floats(0.5, 500, width=32)), draw(st.floats(0.5, 500, width=32))
    class_id = draw(st.sampled_from([3, 8, None]))
    return CocoBox(
        "",
        draw(st.sampled_from([4, 5])),
        (x, y, x + w, y + h),
        class_id,
        class_id is None and draw(st.booleans()),
        {"box_id": draw(st.uuids().map(str))},
    )


@given(st.lists(boxes(), max_size=6))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, written: list[CocoBox]) -> None:
    path = tmp_path_factory.mktemp("coco") / "a.json"
    images = [CocoImage(4, "ä ö.jpg", 10, 20, {"frame_id": "r/000001"}), CocoImage(5, "b.jpg")]
    write_coco(path, images, written, TAXONOMY, {"snapshot_id": "abc"})
    coco = read_coco(path, TAXONOMY)
    assert coco.images == tuple(images)
    assert coco.info == {"snapshot_id": "abc"}
    assert [(b.image_id, b.class_id, b.crowd, b.extra) for b in coco.boxes] == [(b.image_id, b.class_id, b.crowd, b.extra) for b in written]
    for read, was in zip(coco.boxes, written, strict=True):
        assert np.allclose(read.xyxy, was.xyxy, atol=2e-3)
