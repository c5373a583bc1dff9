"""A world of three coloured shapes that are no road signs: films with exact truth, and a model that sees by colour alone."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import ArrayLike, NDArray

from signloop.core import tables
from signloop.core.boxes import Boxes, clip
from signloop.core.params import Params, parse
from signloop.core.rounds import publish_round
from signloop.core.taxonomy import Taxonomy
from signloop.frames.video import open_recording
from signloop.prelabel.proposal import Opinions, Runtime
from signloop.stages import _edge

settings.register_profile("signloop", deadline=None)  # how long a case takes says nothing about whether it is right
settings.load_profile("signloop")
ROOT = Path(__file__).parents[1]
Image = NDArray[np.uint8]
WIDTH, HEIGHT, FPS = 192, 144, 10
SHAPES: dict[str, Any] = {
    "name": "shapes",
    "object_name": "shape",
    "classes": [
        {"id": 4, "name": "red ball", "group": "round", "mirror": 4},
        {"id": 11, "name": "green crate", "group": "square", "mirror": 11},
        {"id": 30, "name": "blue ../cone", "group": "square"},
    ],
}
COLOURS = {4: (220, 30, 30), 11: (30, 200, 40), 30: (40, 50, 230)}  # RGB
AT = datetime(2024, 5, 1, tzinfo=UTC)
MakeFilms = Callable[..., dict[str, Any]]
Publish = Callable[[Path, dict[str, Any], Params], Path]


def pytest_configure() -> None:
    """One thread a process, in what the tests start too: they run side by side."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


class Seer:
    """Finds and names every patch of one of the three colours; grey is nothing to it."""

    streams = 1

    def __init__(self, taxonomy: Taxonomy, model_id: str) -> None:
        self.taxonomy, self.model_id = taxonomy, model_id

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        return [self._find(image) for image in images]

    def cut(self, image: Image, xyxy: ArrayLike) -> Image:
        height, width = image.shape[:2]
        x1, y1, x2, y2 = np.rint(clip(xyxy, width, height)[0]).astype(int)
        return np.asarray(cv2.resize(image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)], (16, 16)), np.uint8)

    def classify(self, crops: Sequence[Image]) -> Opinions:
        probs = np.full((len(crops), len(self.taxonomy) + 1), 0.02, np.float32)
        for row, crop in zip(probs, crops, strict=True):
            middle = crop[4:12, 4:12].reshape(-1, 3).mean(axis=0)
            away = [float(np.abs(middle - COLOURS[class_id]).max()) for class_id in self.taxonomy.ids]
            row[int(np.argmin(away)) if min(away) < 90 else -1] = 0.94
        return probs, np.full((len(crops), len(self.taxonomy)), -50, np.float32)

    def _find(self, image: Image) -> Boxes:
        found = []
        for colour in COLOURS.values():
            mask = (np.abs(image.astype(int) - colour).max(axis=2) < 70).astype(np.uint8)
            number, _, stats, _ = cv2.connectedComponentsWithStats(mask)
            found += [[x, y, x + w, y + h] for x, y, w, h, area in stats[1:number].tolist() if area >= 40]
        return Boxes(np.array(found, np.float32).reshape(-1, 4), np.full(len(found), 0.9, np.float32))


def draw_shape(image: Image, class_id: int, box: tuple[int, int, int, int]) -> None:
    """Draw a shape that fills its box, RGB, in place."""
    x1, y1, x2, y2 = box
    if class_id == 4:
        cv2.ellipse(image, ((x1 + x2) // 2, (y1 + y2) // 2), ((x2 - x1) // 2, (y2 - y1) // 2), 0, 0, 360, COLOURS[4], -1)
    elif class_id == 11:
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), COLOURS[11], -1)
    else:
        cv2.fillPoly(image, [np.array([[(x1 + x2) // 2, y1], [x2 - 1, y2 - 1], [x1, y2 - 1]])], COLOURS[30])


def film(path: Path, class_ids: Sequence[int], frames: int, seed: int) -> list[list[tuple[int, tuple[int, int, int, int]]]]:
    """Write a film in which each shape comes nearer in a lane of its own; returns class and box of each shape on each frame."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(90, 130, (HEIGHT, WIDTH + 3 * frames, 3)).astype(np.uint8)
    lane = WIDTH // max(1, len(class_ids))
    speed, grown = rng.uniform(3, 5, len(class_ids)), rng.uniform(1.2, 1.8, len(class_ids))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    shown = []
    for index in range(frames):
        image = ground[:, 3 * index : 3 * index + WIDTH].copy()
        boxes = []
        for k, class_id in enumerate(class_ids):
            side, middle, top = round(14 + grown[k] * index), (2 * k + 1) * lane // 2, round(8 + speed[k] * index)
            box = (middle - side // 2, top, middle - side // 2 + side, top + side)
            draw_shape(image, class_id, box)
            boxes.append((class_id, box))
        writer.write(np.ascontiguousarray(image[:, :, ::-1]))
        shown.append(boxes)
    writer.release()
    return shown


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of MLflow in which nothing is, to copy: making one takes seconds."""
    from signloop.registry import store  # most tests need no MLflow, which takes as long to import

    root = tmp_path_factory.mktemp("template")
    store.prepare(store.sqlite_uri(root))
    return root / "mlflow.db"


@pytest.fixture(scope="session")
def shape_params() -> Params:
    """The parameters for tests with the taxonomy of the three shapes."""
    return parse({**_edge.compose(ROOT / "conf", ["+experiment=fast"]), "taxonomy": SHAPES}, "test")


@pytest.fixture(scope="session")
def seer(shape_params: Params) -> Runtime:
    """A model that is always right in the world of shapes."""
    return Seer(shape_params.taxonomy, "mseer")


@pytest.fixture(scope="session")
def make_films() -> MakeFilms:
    """A function (folder, {film's name: classes of its shapes}, frames=12, seed=0) that writes films and returns their truth."""

    def make(folder: Path, films: dict[str, Sequence[int]], frames: int = 12, seed: int = 0) -> dict[str, Any]:
        folder.mkdir(parents=True, exist_ok=True)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for video, (name, class_ids) in enumerate(films.items()):
            for index, boxes in enumerate(film(folder / name, class_ids, frames, seed + video)):
                images.append({"id": len(images), "video_id": video, "frame_index": index, "file_name": f"{name}#{index}"})
                for k, (class_id, (x1, y1, x2, y2)) in enumerate(boxes):
                    annotations.append(
                        {
                            "id": len(annotations) + 1,
                            "image_id": images[-1]["id"],
                            "track_id": 100 * video + k,
                            "category_id": class_id,
                            "iscrowd": 0,
                            "bbox": [x1, y1, x2 - x1, y2 - y1],
                            "area": (x2 - x1) * (y2 - y1),
                        }
                    )
        return {
            "categories": [{"id": c["id"], "name": c["name"]} for c in SHAPES["classes"]],
            "videos": [{"id": i, "file_name": name, "fps": FPS} for i, name in enumerate(films)],
            "images": images,
            "annotations": annotations,
        }

    return make


@pytest.fixture(scope="session")
def publish_truth() -> Publish:
    """A function (data folder, truth, params) that publishes the truth of its films, as if a person had drawn every box."""

    def publish(data: Path, truth: dict[str, Any], params: Params) -> Path:
        ids = {v["id"]: open_recording(data / "recordings" / v["file_name"], FPS).recording_id for v in truth["videos"]}
        frames = {image["id"]: f"{ids[image['video_id']]}/{image['frame_index']:06d}" for image in truth["images"]}
        rows = []
        for a in truth["annotations"]:
            x, y, w, h = map(float, a["bbox"])
            frame_id = frames[a["image_id"]]
            about = {"round": -1, "box_id": f"{frame_id}/added/{a['id']}", "annotator": "ann", "frame_id": frame_id, "seen": True}
            sign = {"sign_id": f"{frame_id.split('/')[0]}/truth/{a['track_id']}", "class_id": a["category_id"], "verdict": "added"}
            corners = {"x1": x, "y1": y, "x2": x + w, "y2": y + h}
            rows.append(about | sign | corners | {"model_id": None, "seconds": None, "verified_at": AT})
        looked = [{"round": -1, "frame_id": f, "annotator": "ann", "complete": True} for f in frames.values()]
        return publish_round(
            data / "verified",
            label="seed",
            boxes=tables.from_rows("verified_boxes", rows),
            frames=tables.from_rows("verified_frames", looked),
            units=dict.fromkeys(ids.values(), "video"),
            val_share=params.data.val_share,
            test_share=params.data.test_share,
            meta={},
        )

    return publish
