"""From the export over a tool's file to a round: nothing the person did is lost, whatever the tool forgets."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signloop.core.errors import DataError
from signloop.core.params import Data
from signloop.core.rounds import read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.review import snapshot
from signloop.review.export import export_coco
from signloop.review.publish import PublishReport, publish_coco

DRIVE, PHOTOS = "d" * 16, "f" * 16
Edit = Callable[[dict[str, Any]], None]
Publish = Callable[[Edit], PublishReport]


def keep(value: dict[str, Any]) -> None:
    """Change nothing."""


@pytest.fixture
def publish(project: Path, taxonomy: Taxonomy, data: Data) -> Publish:
    """Export everything, let `dvc repro` delete what it was made of, edit the file and publish it."""
    shown = snapshot.take(project / "prelabels", project / "frames", project / "review", None)
    file = export_coco(shown, project / "frames", project.parent / "out", taxonomy).path
    for folder in ("prelabels", "frames"):
        shutil.rmtree(project / folder)

    def act(edit: Edit) -> PublishReport:
        value = json.loads(file.read_text())
        edit(value)
        (project.parent / "edited.json").write_text(json.dumps(value))
        return publish_coco(project.parent / "edited.json", project / "review", project / "verified", taxonomy, data, "Ann B.")

    return act


def test_an_untouched_file_becomes_a_round(publish: Publish, project: Path) -> None:
    report = publish(keep)
    assert report.path.name == "round_001-Ann-B"
    assert report.frames == 5
    assert report.counts == {"accepted": 8, "relabelled": 0, "moved": 0, "rejected": 0, "added": 0, "unsure": 1}
    assert report.carried == 5
    assert "8 accepted" in str(report)
    verified = read_rounds(project / "verified")
    assert sorted(verified.splits["unit_id"].to_pylist()) == [DRIVE, f"{PHOTOS}/000000", f"{PHOTOS}/000001"]
    assert verified.frames["complete"].to_pylist() == [True] * 5
    assert {row["frame_id"] for row in verified.boxes.to_pylist() if not row["seen"]} == {f"{DRIVE}/000001", f"{DRIVE}/000003"}


def test_publishing_again_is_harmless(publish: Publish, project: Path) -> None:
    assert publish(keep).path == publish(keep).path
    assert len(list((project / "verified").iterdir())) == 1


def test_what_tools_forget_is_found_again(publish: Publish) -> None:
    def forget(value: dict[str, Any]) -> None:
        del value["info"]
        value["images"] = [{"id": i["id"] + 100, "file_name": f"upload/{i['file_name'].replace('.jpg', '.png')}"} for i in value["images"]]
        value["categories"] = [{"id": c["id"] + 1000, "name": c["name"]} for c in value["categories"]]
        value["annotations"] = [
            {"id": a["id"], "image_id": a["image_id"] + 100, "category_id": a["category_id"] + 1000, "bbox": [round(v) for v in a["bbox"]]}
            for a in reversed(value["annotations"])
        ]

    assert publish(forget).counts == {"accepted": 8, "relabelled": 0, "moved": 0, "rejected": 0, "added": 0, "unsure": 1}


def test_edits_become_verdicts(publish: Publish, project: Path) -> None:
    def correct(value: dict[str, Any]) -> None:
        rows = {a["box_id"]: a for a in value["annotations"]}
        rows[f"{DRIVE}/mtest/0000/000000"]["category_id"] = 9
        rows[f"{DRIVE}/mtest/0000/000002"]["bbox"] = [12, 10, 25, 25]
        value["annotations"].remove(rows[f"{DRIVE}/mtest/0002/000000"])
        value["annotations"].append({"id": 99, "image_id": 2, "category_id": 3, "bbox": [90, 70, 30, 30]})

    report = publish(correct)
    assert report.counts == {"accepted": 5, "relabelled": 1, "moved": 1, "rejected": 1, "added": 1, "unsure": 1}
    added = next(row for row in read_rounds(project / "verified").boxes.to_pylist() if row["verdict"] == "added")
    assert [added[k] for k in ("x1", "y1", "x2", "y2", "class_id", "annotator")] == [90, 70, 100, 80, 3, "Ann B."]  # cut to the frame


def test_images_taken_out_stay_open(publish: Publish, project: Path) -> None:
    def only_photos(value: dict[str, Any]) -> None:
        value["images"] = [i for i in value["images"] if i["recording"] == "photos"]
        ids = {i["id"] for i in value["images"]}
        value["annotations"] = [a for a in value["annotations"] if a["image_id"] in ids]

    assert publish(only_photos).frames == 2
    assert set(read_rounds(project / "verified").frames["frame_id"].to_pylist()) == {f"{PHOTOS}/000000", f"{PHOTOS}/000001"}


def _strange_image(value: dict[str, Any]) -> None:
    value["images"].append({"id": 77, "file_name": "holiday.jpg"})


def _twice(value: dict[str, Any]) -> None:
    value["images"].append({"id": 77, "file_name": "copy/" + value["images"][0]["file_name"]})


def _scaled(value: dict[str, Any]) -> None:
    value["images"][0]["width"] = 50


def _outside(value: dict[str, Any]) -> None:
    value["annotations"][0]["bbox"] = [200, 10, 5, 5]


def _no_image(value: dict[str, Any]) -> None:
    value["images"], value["annotations"] = [], []


def _elsewhere(value: dict[str, Any]) -> None:
    value["info"]["snapshot_id"] = "0" * 16


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_strange_image, "image 77 .*holiday.*is not in the export"),
        (_twice, "is there twice"),
        (_scaled, "is 50x80 here, but 100x80"),
        (_outside, r"annotations\[0\].*outside of its image"),
        (_no_image, "without a verdict"),
        (_elsewhere, "snapshot .* is not here"),
    ],
)
def test_wrong_files_are_refused_as_a_whole(publish: Publish, project: Path, edit: Edit, message: str) -> None:
    with pytest.raises(DataError, match=message):
        publish(edit)
    assert not (project / "verified").exists()


def test_a_file_without_info_that_fits_no_export_is_refused(publish: Publish) -> None:
    def forget_and_add(value: dict[str, Any]) -> None:
        del value["info"]
        _strange_image(value)

    with pytest.raises(DataError, match="does not say which export"):
        publish(forget_and_add)
