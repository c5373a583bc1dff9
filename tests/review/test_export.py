"""A person gets all extracted frames with the proposals; a client gets what is verified or accepted, and nothing else."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.params import Data
from signloop.core.taxonomy import Taxonomy
from signloop.formats.coco import read_coco
from signloop.review import snapshot
from signloop.review.export import export_coco, export_final
from signloop.review.publish import publish_corrected
from signloop.review.verdicts import CorrectedBox

DRIVE, PHOTOS = "d" * 16, "f" * 16


def take(project: Path, recordings: list[str] | None = None) -> Path:
    return snapshot.take(project / "prelabels", project / "frames", project / "review", recordings)


def read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def test_proposals_lie_beside_the_images_of_all_frames(project: Path, taxonomy: Taxonomy) -> None:
    shown = take(project, [DRIVE])
    report = export_coco(shown, project / "frames", project.parent / "out", taxonomy)
    assert (report.images, report.boxes) == (3, {"proposed": 8})
    assert "3 images" in str(report)
    value = read(report.path)
    assert value["info"]["snapshot_id"] == shown.name
    assert [image["file_name"] for image in value["images"]] == [f"{DRIVE}_{i:06d}.jpg" for i in (0, 2, 4)]
    assert value["images"][1]["recording"] == "drive one.mp4"
    original = project / "frames" / "images" / DRIVE / "000002.jpg"
    assert (report.path.parent / "images" / f"{DRIVE}_000002.jpg").read_bytes() == original.read_bytes()
    coco = read_coco(report.path, taxonomy)
    second = [box for box in coco.boxes if box.image_id == 2]
    assert [(box.class_id, box.xyxy) for box in second] == [(3, (12, 10, 32, 30)), (8, (50, 10, 70, 30)), (None, (80, 60, 95, 75))]
    assert second[0].extra == {"box_id": f"{DRIVE}/mtest/0000/000002", "sign_id": f"{DRIVE}/mtest/0000", "score": 0.8}


def test_nothing_is_overwritten_and_a_missing_image_leaves_nothing(project: Path, taxonomy: Taxonomy) -> None:
    shown, out = take(project), project.parent / "out"
    out.mkdir()
    with pytest.raises(DataError, match="never overwritten"):
        export_coco(shown, project / "frames", out, taxonomy)
    out.rmdir()
    (project / "frames" / "images" / DRIVE / "000002.jpg").unlink()
    with pytest.raises(DataError, match="frames are missing"):
        export_coco(shown, project / "frames", out, taxonomy)
    assert not out.exists()


def test_classes_outside_the_taxonomy_are_refused(project: Path, taxonomy: Taxonomy) -> None:
    fewer = Taxonomy.model_validate({**taxonomy.model_dump(), "classes": taxonomy.model_dump()["classes"][:1]})
    with pytest.raises(DataError, match="outside the taxonomy"):
        export_coco(take(project), project / "frames", project.parent / "out", fewer)


def final(project: Path, taxonomy: Taxonomy) -> dict[str, Any]:
    folders = (project / "verified", project / "prelabels", project / "frames", project.parent / "final")
    return read(export_final(*folders, taxonomy).path)


def test_the_client_gets_verified_and_accepted_labels_marked_as_such(project: Path, taxonomy: Taxonomy, data: Data) -> None:
    frame_id = f"{DRIVE}/000002"
    left = [
        CorrectedBox(frame_id, (12, 10, 32, 30), 3),
        CorrectedBox(frame_id, (80, 60, 95, 75), None),
        CorrectedBox(frame_id, (40, 50, 60, 70), 9),
    ]
    publish_corrected(
        snapshot.load(take(project)),
        left,
        {frame_id},
        project / "verified",
        data,
        annotator="ann",
        label="",
        at=datetime(2024, 5, 1, tzinfo=UTC),
        meta={},
    )
    value = final(project, taxonomy)
    assert {i["frame_id"]: i["complete"] for i in value["images"]} == {
        f"{DRIVE}/000000": False,
        frame_id: True,
        f"{DRIVE}/000004": False,
        f"{PHOTOS}/000000": False,
    }
    names = {c["id"]: c["name"] for c in value["categories"]}
    frames = {i["id"]: i["frame_id"][-6:] for i in value["images"]}
    labels = {(frames[a["image_id"]], names[a["category_id"]], a["origin"], a.get("seen"), a["iscrowd"]) for a in value["annotations"]}
    assert labels == {
        ("000002", "circle", "verified", True, 0),
        ("000002", "ignore", "verified", True, 1),
        ("000002", "star", "verified", True, 0),
        ("000000", "circle", "verified", False, 0),
        ("000004", "circle", "verified", False, 0),
        ("000000", "square", "accepted", None, 0),
    }


def test_what_a_person_judged_is_not_accepted_by_the_models(project: Path, taxonomy: Taxonomy, data: Data) -> None:
    publish_corrected(
        snapshot.load(take(project)),
        [],
        {f"{PHOTOS}/000000"},
        project / "verified",
        data,
        annotator="ann",
        label="",
        at=datetime(2024, 5, 1, tzinfo=UTC),
        meta={},
    )
    value = final(project, taxonomy)
    assert [i["frame_id"] for i in value["images"]] == [f"{PHOTOS}/000000"]
    assert value["annotations"] == []


def test_without_labels_there_is_nothing_to_sell(project: Path, taxonomy: Taxonomy) -> None:
    for path in (project / "prelabels" / "signs").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="nothing is verified or accepted"):
        final(project, taxonomy)


def keep(project: Path, frame_ids: set[str]) -> None:
    """Extract anew, with fewer frames."""
    path = project / "frames" / "frames.parquet"
    rows = [row for row in tables.read(path, "frames").to_pylist() if row["frame_id"] in frame_ids]
    tables.write(path, "frames", tables.from_rows("frames", rows))


def test_verified_labels_of_frames_that_are_not_extracted_are_counted(project: Path, taxonomy: Taxonomy, data: Data) -> None:
    middle, first, still, empty = (f"{DRIVE}/000002", f"{DRIVE}/000000", f"{PHOTOS}/000000", f"{PHOTOS}/000001")
    publish_corrected(
        snapshot.load(take(project)),
        [CorrectedBox(middle, (12, 10, 32, 30), 3), CorrectedBox(middle, (40, 50, 60, 70), 9)],
        {middle, empty},
        project / "verified",
        data,
        annotator="ann",
        label="",
        at=datetime(2024, 5, 1, tzinfo=UTC),
        meta={},
    )
    folders = (project / "verified", project / "prelabels", project / "frames")
    whole = export_final(*folders, project.parent / "whole", taxonomy)
    assert whole.boxes == {"verified": 4, "accepted": 1}
    assert (whole.left_out_frames, whole.left_out_labels, whole.lost_frames) == (2, 2, 0)  # carried over to frames 1 and 3
    assert str(whole).endswith("left out: 2 verified labels on 2 frames that are not extracted")
    keep(project, {first, still})  # gone: two labels in the middle, one carried over to frame 4, and a frame with nothing
    report = export_final(*folders, project.parent / "some", taxonomy)
    assert (report.images, report.boxes) == (2, {"verified": 1, "accepted": 1})
    assert (report.left_out_frames, report.left_out_labels, report.lost_frames) == (5, 5, 2)
    said = "left out: 5 verified labels on 5 frames that are not extracted; 2 of these were when a person looked at them. Put missing"
    assert said in str(report)
    keep(project, {still})  # what the models accepted is no export of verified labels
    with pytest.raises(DataError, match=r"no verified frame is extracted .*found 6 verified labels on 6 frames.*extract\.fps.*dvc repro"):
        export_final(*folders, project.parent / "none", taxonomy)
    assert not (project.parent / "none").exists()


def test_where_all_is_extracted_nothing_is_left_out(project: Path, taxonomy: Taxonomy, data: Data) -> None:
    shown = snapshot.load(take(project))
    about: dict[str, Any] = {"annotator": "ann", "label": "", "at": datetime(2024, 5, 1, tzinfo=UTC), "meta": {}}
    publish_corrected(shown, [], {f"{PHOTOS}/000000"}, project / "verified", data, **about)
    report = export_final(project / "verified", project / "prelabels", project / "frames", project.parent / "out", taxonomy)
    assert (report.left_out_frames, report.left_out_labels, report.lost_frames) == (0, 0, 0)
    assert "left out" not in str(report)
