"""Drawn recordings in the layout of the road data, and parameters under which networks learn next to nothing."""

import csv
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import pytest

from signloop.core.files import read_json, write_json
from signloop.core.params import Prelabel, load
from signloop.core.taxonomy import Taxonomy
from signloop.demo.write import draw_test
from signloop.frames.video import open_recording, read_frames
from signloop.measure.truth import TruthRecordings, read_truth

ROOT = Path(__file__).parents[2]
GIT = ("git", "-c", "user.name=n", "-c", "user.email=e@example.org")

TINY = [
    "+experiment=fast",
    *(f"train.{part}.{name}=4" for part in ("detector", "classifier") for name in ("steps", "validate_every")),
    "detector.weights=none",
    "detector.frozen_blocks=0",
    "classifier.weights=none",
    "detector.input_scale=0.25",
    "detector.max_boxes=3",
    "detector.min_score=0.01",
    "prelabel.start_score=0.02",
    "prelabel.keep_score=0.02",
]


def _boxes(truth: dict[str, Any]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    videos = {video["id"]: video["file_name"] for video in truth["videos"]}
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for image in truth["images"]:
        mine = [a for a in truth["annotations"] if a["image_id"] == image["id"] and not a.get("iscrowd")]
        found[videos[image["video_id"]], image["frame_index"]] = mine
    return found


def _add_stills_and_crops(data: Path, truth: dict[str, Any]) -> None:
    """Every tenth frame of the drives becomes a still, every box of it a crop; each sign of a recording is a track."""
    (data / "gtsdb_seed" / "images").mkdir(parents=True)
    (data / "gtsrb").mkdir()
    known = _boxes(truth)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for video in truth["videos"]:
        for frame in read_frames(open_recording(data / "drives" / video["file_name"], video["fps"])):
            if frame.index % 10:
                continue
            name = f"{len(images):05d}.jpg"
            cv2.imwrite(str(data / "gtsdb_seed" / "images" / name), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
            height, width = frame.image.shape[:2]
            images.append({"id": len(images), "file_name": name, "width": width, "height": height})
            for a in known[video["file_name"], frame.index]:
                annotations.append({**a, "id": len(annotations), "image_id": images[-1]["id"]})
                x, y, w, h = (max(0, round(v)) for v in a["bbox"])
                crop = f"{len(rows):05d}.jpg"
                cv2.imwrite(str(data / "gtsrb" / crop), cv2.cvtColor(frame.image[y : y + max(h, 1), x : x + max(w, 1)], cv2.COLOR_RGB2BGR))
                rows.append({"path": crop, "class_id": a["category_id"], "track_id": f"{video['id']}-{a['track_id']}"})
    write_json(data / "gtsdb_seed" / "annotations.json", {**truth, "images": images, "annotations": annotations})
    with (data / "gtsrb" / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "class_id", "track_id"])
        writer.writeheader()
        writer.writerows(rows)


def _add_stranger(data: Path, truth: dict[str, Any]) -> None:
    """A recording of which one sign counts as a kind that nobody knows."""
    film = truth["videos"][0]["file_name"]
    (data / "carnd").mkdir()
    (data / "carnd" / film).write_bytes((data / "drives" / film).read_bytes())
    image = {"id": 0, "file_name": "a.jpg", "frame_index": 0}
    box = {"id": 0, "image_id": 0, "category_id": 1, "bbox": [10, 10, 40, 40], "iscrowd": 0}
    write_json(data / "carnd" / "annotations.json", {"images": [image], "annotations": [box]})


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides under which a training takes seconds."""
    return TINY


@pytest.fixture(scope="session")
def road_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with gtsdb_seed/, gtsrb/, drives/ and carnd/ of a few drawn signs."""
    data = tmp_path_factory.mktemp("roads") / "data"
    truth = read_json(draw_test(data / "drives", signs=24, seed=3))
    _add_stills_and_crops(data, truth)
    _add_stranger(data, truth)
    return data


@pytest.fixture(scope="session")
def prelabel() -> Prelabel:
    """The parameters of the project."""
    return load(ROOT / "params.yaml").prelabel


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TruthRecordings, dict[str, Any]]:
    """A few drawn recordings, and as a detector's boxes those of the truth."""
    folder = tmp_path_factory.mktemp("drawn")
    path = draw_test(folder, signs=14, seed=2)
    raw = read_json(path)
    films = {video["id"]: video["file_name"] for video in raw["videos"]}
    boxes: dict[int, list[list[float]]] = {image["id"]: [] for image in raw["images"]}
    for a in raw["annotations"]:
        if not a.get("iscrowd"):
            x, y, w, h = a["bbox"]
            boxes[a["image_id"]].append([x, y, x + w, y + h, 0.9])
    frames = [{"video": films[i["video_id"]], "frame_index": i["frame_index"], "boxes": boxes[i["id"]]} for i in raw["images"]]
    return folder, read_truth(path), {"fps": raw["videos"][0]["fps"], "frames": frames, "signs": []}


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    """The classes of the project."""
    return load(ROOT / "params.yaml").taxonomy


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree as a commit of its own: a benchmark measures commits only."""
    folder = tmp_path_factory.mktemp("checkout")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, names.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "Begin"]):
        subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True)
    return folder
