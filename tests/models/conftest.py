"""A tiny labelled world: bright squares and discs on grey, with known boxes, in the layout of data/truth."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from signloop.core import tables
from signloop.core.params import Params, parse
from signloop.core.taxonomy import Taxonomy
from signloop.models.bundle import write_bundle, write_network
from signloop.models.classifier import Classifier
from signloop.models.detector import build_detector
from signloop.stages import _edge

CONF = Path(__file__).parents[2] / "conf"
THREE = {
    "name": "shapes",
    "object_name": "shape",
    "counts": "all that is drawn",
    "classes": [
        {"id": 5, "name": "red square", "group": "square", "mirror": 5},
        {"id": 7, "name": "left arrow", "group": "arrow", "mirror": 9},
        {"id": 9, "name": "right arrow", "group": "arrow", "mirror": 7},
    ],
}


@pytest.fixture(scope="session")
def fast() -> Params:
    """The parameters for tests with a taxonomy of three classes that are no signs."""
    value = _edge.compose(CONF, ["+experiment=fast"])
    return parse({**value, "taxonomy": THREE}, "test")


@pytest.fixture(scope="session")
def taxonomy(fast: Params) -> Taxonomy:
    """Three classes with ids that are not consecutive; two mirror each other."""
    return fast.taxonomy


def draw_shape(image: np.ndarray[Any, Any], box: tuple[int, int, int, int], class_id: int) -> None:
    """Draw one of the three shapes, RGB, in place."""
    x1, y1, x2, y2 = box
    if class_id == 5:
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), (220, 20, 20), -1)
        return
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), (20, 20, 220), -1)
    tip, back = (x1 + 2, x2 - 3) if class_id == 7 else (x2 - 3, x1 + 2)
    middle = (y1 + y2) // 2
    cv2.fillPoly(image, [np.array([[tip, middle], [back, y1 + 2], [back, y2 - 3]])], (255, 255, 255))


@pytest.fixture(scope="session")
def truth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/truth of twelve frames 160x120 in three splits, each with one shape; crops of all."""
    folder = tmp_path_factory.mktemp("truth")
    rng = np.random.default_rng(0)
    frames, boxes, crops = [], [], []
    for n in range(12):
        split, class_id = ("train", "train", "val", "test")[n % 4], (5, 7, 9)[n % 3]
        image = rng.integers(90, 120, (120, 160, 3)).astype(np.uint8)
        x, y, side = int(rng.integers(5, 100)), int(rng.integers(5, 60)), int(rng.integers(24, 40))
        box = (x, y, x + side, y + side)
        draw_shape(image, box, class_id)
        frame_id = f"{n:016x}/000000"
        path = folder / "frames" / f"{frame_id}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        frames.append(
            {
                "frame_id": frame_id,
                "recording_id": f"{n:016x}",
                "kind": "video",
                "index": 0,
                "time_s": 0.0,
                "width": 160,
                "height": 120,
                "path": f"frames/{frame_id}.png",
                "sha256": str(n),
                "split": split,
                "complete": True,
            }
        )
        corners = dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True))
        boxes.append(
            {
                "box_id": f"b{n}",
                "frame_id": frame_id,
                "recording_id": f"{n:016x}",
                "sign_id": f"s{n}",
                "split": split,
                **corners,
                "class_id": class_id,
                "role": "positive",
                "origin": "added",
                "round": 0,
            }
        )
        crop = folder / "crops" / f"{n}.png"
        crop.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(crop), cv2.cvtColor(image[y - 5 : y + side + 5, x - 5 : x + side + 5], cv2.COLOR_RGB2BGR))
        crops.append(
            {
                "crop_id": f"c{n}",
                "path": f"crops/{n}.png",
                "class_id": class_id,
                "track_id": f"t{n}",
                "split": split,
                "origin": "added",
                "margin": 0.15,
            }
        )
    crops.append({**crops[0], "crop_id": "negative", "class_id": None, "track_id": None, "origin": "background", "split": "train"})
    for name, rows in (("frames", frames), ("truth", boxes), ("crops", crops)):
        table = "truth_frames" if name == "frames" else name
        tables.write(folder / f"{name}.parquet", table, tables.from_rows(table, rows))
    return folder


@pytest.fixture(scope="session")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a detector leaves that makes no mistake: an empty table."""
    folder = tmp_path_factory.mktemp("mistakes")
    tables.write(folder / "crops.parquet", "crops", tables.from_rows("crops", []))
    return folder


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory, fast: Params) -> Path:
    """Two untrained networks, written as a training writes them."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    write_network(folder, "detector", build_detector(fast.detector), {"params": fast.detector.model_dump()})
    card = {"params": fast.classifier.model_dump(), "taxonomy": fast.taxonomy.model_dump()}
    write_network(folder, "classifier", Classifier(fast.classifier, len(fast.taxonomy)), card)
    return folder


@pytest.fixture
def folder(networks: Path, tmp_path: Path) -> Path:
    """A bundle of them."""
    write_bundle(networks, networks, {"temperature": 2.0}, tmp_path / "bundle")
    return tmp_path / "bundle"
