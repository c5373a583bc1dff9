"""What a client brings comes in whole and right, or not at all with a list of what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from signloop.core.errors import DataError
from signloop.core.params import Data
from signloop.core.rounds import read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.frames.video import open_recording, read_frames
from signloop.review import imports
from signloop.review.imports import ImportReport, import_coco, import_crops

Bring = Callable[..., ImportReport]


def paint(path: Path, colour: int, width: int = 100, height: int = 80) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), colour, np.uint8))


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """A client's folder: two images in the order b, a; one circle and one crowd in a; crops of two tracks."""
    for name, colour in (("b.jpg", 50), ("a.png", 150), ("without labels.jpg", 7)):
        paint(tmp_path / "client" / "images" / name, colour)
    for number in range(4):
        paint(tmp_path / "client" / "crops" / f"{number}.png", 60 * number, 20, 30)
    write_labels(tmp_path / "client")
    write_index(tmp_path / "client")
    return tmp_path / "client"


def write_labels(client: Path, **change: Any) -> None:
    value = {
        "images": [{"id": 5, "file_name": "b.jpg", "width": 100, "height": 80}, {"id": 6, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "circle"}, {"id": 2, "name": "ignore"}],
        "annotations": [
            {"id": 1, "image_id": 6, "category_id": 1, "bbox": [10, 20, 30.5, 40]},
            {"id": 2, "image_id": 6, "category_id": 2, "bbox": [60, 50, 41, 20]},
        ],
        **change,
    }
    (client / "labels.json").write_text(json.dumps(value))


def write_index(client: Path, *lines: str) -> None:
    rows = lines or ("crops/0.png,3,t1", "crops/1.png,3,t1", "crops/2.png,8,t2", "crops/3.png,8,t2")
    (client / "index.csv").write_text("\n".join(["path,class_id,track_id", *rows]))


@pytest.fixture
def told() -> list[str]:
    """What an import says while it works."""
    return []


@pytest.fixture
def bring(client: Path, tmp_path: Path, taxonomy: Taxonomy, data: Data, told: list[str]) -> Bring:
    def act(name: str = "photos", images: str = "images") -> ImportReport:
        return import_coco(
            client / images,
            client / "labels.json",
            tmp_path / "recordings",
            tmp_path / "verified",
            taxonomy,
            data,
            name,
            lambda what, done, total: told.append(f"{what} {done} of {total}"),
            told.append,
        )

    return act


@pytest.fixture
def bring_crops(client: Path, tmp_path: Path, taxonomy: Taxonomy, data: Data, told: list[str]) -> Bring:
    def act(name: str = "signs") -> ImportReport:
        return import_crops(
            client / "index.csv",
            tmp_path / "verified",
            taxonomy,
            data,
            name,
            lambda what, done, total: told.append(f"{what} {done} of {total}"),
        )

    return act


def test_images_become_stills_and_boxes_a_round(bring: Bring, tmp_path: Path, client: Path) -> None:
    report = bring()
    assert (report.items, report.boxes, report.ignored, report.unlisted) == (2, 1, 1, 1)
    assert str(report) == "round_001-photos: 2 taken in; 1 boxes, 1 ignore regions; 1 images without labels left out"
    folder = tmp_path / "recordings" / "photos"
    assert sorted(p.name for p in folder.iterdir()) == ["a.png", "b.jpg", "recording.json"]
    assert (folder / "b.jpg").read_bytes() == (client / "images" / "b.jpg").read_bytes()
    verified = read_rounds(tmp_path / "verified")
    assert verified.frames["complete"].to_pylist() == [True, True]  # b.jpg has no sign and says so
    assert verified.splits["unit_id"].to_pylist() == verified.frames["frame_id"].to_pylist()
    rows = sorted(verified.boxes.to_pylist(), key=lambda row: str(row["verdict"]))
    assert [(r["verdict"], r["class_id"], r["seen"], r["x1"], r["y1"], r["x2"], r["y2"]) for r in rows] == [
        ("added", 3, True, 10, 20, 40.5, 60),
        ("unsure", None, True, 60, 50, 100, 70),
    ]  # 1 px too wide is cut


def test_the_boxes_lie_in_the_frame_that_the_reader_gives_this_number(bring: Bring, tmp_path: Path) -> None:
    bring()
    recording = open_recording(tmp_path / "recordings" / "photos", 10.0)
    bright = next(frame.index for frame in read_frames(recording) if frame.image.mean() > 100)  # a.png
    assert recording.kind == "stills"
    frame_ids = set(read_rounds(tmp_path / "verified").boxes["frame_id"].to_pylist())
    assert frame_ids == {f"{recording.recording_id}/{bright:06d}"}


def test_importing_again_is_harmless(bring: Bring, tmp_path: Path) -> None:
    assert bring().path == bring().path
    assert len(list((tmp_path / "verified").iterdir())) == 1


def test_an_import_that_was_cut_off_before_its_round_is_finished_by_the_next(
    bring: Bring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(imports, "publish_round", lambda *_, **__: tmp_path)
        bring()
    assert not (tmp_path / "verified").exists()
    assert bring().path.name == "round_001-photos"


def test_a_round_that_cannot_be_written_leaves_no_recording(bring: Bring, tmp_path: Path) -> None:
    (tmp_path / "verified").write_text("in the way")
    with pytest.raises(OSError, match="verified"):
        bring()
    assert not (tmp_path / "recordings" / "photos").exists()


def images(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"images": list(rows), "annotations": []}


def box(bbox: list[float], **more: Any) -> dict[str, Any]:
    return {"annotations": [{"id": 1, "image_id": 5, "category_id": 1, "bbox": bbox, **more}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (images({"id": 1, "file_name": "gone.jpg"}), "image 1 .*gone.*is not in the folder"),
        (images({"id": 1, "file_name": "../labels.json"}), "no plain name"),
        (images({"id": 1, "file_name": "images/a.png"}), "no plain name"),
        (images({"id": 1, "file_name": "note.txt"}), "no plain name"),
        (images({"id": 1, "file_name": "broken.jpg"}), "cannot be read"),
        (images({"id": 1, "file_name": "a.png", "width": 80, "height": 100}), "is 100x80, but the labels say 80x100"),
        (images({"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "copy.png"}), "same content as a.png"),
        (images(), "name no image"),
        (box([90, 10, 20, 5]), r"annotations\[0\] \(id 1\): the box leaves its image"),
        (box([100.5, 10, 0.5, 5]), "the box leaves its image"),
        (box([10, 10, 0, 5]), "no area"),
        ({"categories": [{"id": 1, "name": "blob"}, {"id": 2, "name": "ignore"}]}, "class 'blob' is not in the taxonomy"),
    ],
)
def test_wrong_labels_are_refused_as_a_whole(bring: Bring, client: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (client / "images" / "broken.jpg").write_bytes((client / "images" / "b.jpg").read_bytes()[:200])
    (client / "images" / "copy.png").write_bytes((client / "images" / "a.png").read_bytes())
    write_labels(client, **change)
    with pytest.raises(DataError, match=message):
        bring()
    assert not (tmp_path / "recordings").exists()
    assert not (tmp_path / "verified").exists()


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a b", "a/b", "x" * 61, "ä"])
def test_names_that_are_no_folder_are_refused(bring: Bring, bring_crops: Bring, name: str) -> None:
    for act in (bring, bring_crops):
        with pytest.raises(DataError, match="name cannot be"):
            act(name)


def test_a_missing_folder_is_named(bring: Bring) -> None:
    with pytest.raises(DataError, match="no folder of images"):
        bring(images="elsewhere")


def test_a_name_that_is_taken_is_refused(bring: Bring, tmp_path: Path) -> None:
    paint(tmp_path / "recordings" / "photos" / "own.jpg", 200)
    with pytest.raises(DataError, match="of this name is there already"):
        bring()
    assert [p.name for p in (tmp_path / "recordings" / "photos").iterdir()] == ["own.jpg"]


def test_a_still_cannot_be_in_two_recordings(bring: Bring, client: Path) -> None:
    bring()
    write_labels(client, **images({"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "without labels.jpg"}))
    with pytest.raises(DataError, match=r"1 problem:\s+image 1 .*already, as photos/b\.jpg"):
        bring("more")


def test_crops_come_with_their_bytes_and_are_split_by_track(bring_crops: Bring, client: Path, tmp_path: Path) -> None:
    report = bring_crops()
    assert (report.items, str(report)) == (4, "round_001-signs: 4 taken in")
    verified = read_rounds(tmp_path / "verified")
    assert verified.splits["unit_id"].to_pylist() == ["crops:signs/t1", "crops:signs/t2"]
    rows = {row["file_name"]: row for row in verified.crops.to_pylist()}
    assert rows["2.png"]["image"] == (client / "crops" / "2.png").read_bytes()
    assert [(name, rows[name]["class_id"], rows[name]["track_id"]) for name in sorted(rows)] == [
        ("0.png", 3, "signs/t1"),
        ("1.png", 3, "signs/t1"),
        ("2.png", 8, "signs/t2"),
        ("3.png", 8, "signs/t2"),
    ]
    assert verified.boxes.num_rows == 0
    assert bring_crops().path == report.path


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("crops/9.png,3,t3", "line 3: .*no image file"),
        ("index.csv,3,t3", "no image file"),
        ("crops/broken.png,3,t3", "cannot be read"),
        ("crops/copy.png,3,t3", "same content as 0.png"),
        ("crops/link.png,3,t3", "no image file"),
        ("crops/1.png,4,t3", "class_id '4' is not in the taxonomy"),
    ],
)
def test_wrong_crops_are_refused_as_a_whole(bring_crops: Bring, client: Path, tmp_path: Path, line: str, message: str) -> None:
    crops = client / "crops"
    (crops / "broken.png").write_bytes((crops / "1.png").read_bytes()[:50])
    (crops / "copy.png").write_bytes((crops / "0.png").read_bytes())
    paint(tmp_path / "secret.png", 99)
    (crops / "link.png").symlink_to(tmp_path / "secret.png")
    write_index(client, "crops/0.png,3,t1", line)
    with pytest.raises(DataError, match=message):
        bring_crops()
    assert not (tmp_path / "verified").exists()


def test_a_size_that_is_not_that_of_the_file_is_refused(bring_crops: Bring, client: Path) -> None:
    (client / "index.csv").write_text("path,class_id,track_id,width,height\ncrops/0.png,3,t1,30,20\n")
    with pytest.raises(DataError, match="expected 30x20; found 20x30"):
        bring_crops()


def test_a_crop_cannot_be_in_two_tracks(bring_crops: Bring) -> None:
    bring_crops()
    with pytest.raises(DataError, match="is verified already, in track signs/t1"):
        bring_crops("again")


def test_no_crop_is_refused(bring_crops: Bring, client: Path) -> None:
    (client / "index.csv").write_text("path,class_id,track_id\n")
    with pytest.raises(DataError, match="without a verdict"):
        bring_crops()


def test_it_tells_how_far_it_is_and_what_disk_it_takes(bring: Bring, bring_crops: Bring, told: list[str]) -> None:
    bring()
    assert told == ["images checked 1 of 2", "images checked 2 of 2", "copying 2 images into recordings/photos: 0 MB"]
    told.clear()
    bring_crops()
    assert told[-1] == "crops checked 4 of 4"
