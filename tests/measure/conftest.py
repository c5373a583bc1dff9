from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

World = tuple[dict[str, Any], dict[str, Any]]


def _jitter(rng: np.random.Generator, box: list[float], strength: float) -> list[float]:
    x, y, w, h = box
    moved = np.array([x, y, x + w, y + h]) + rng.normal(0, strength, 4) * [w, h, w, h]
    if rng.random() < 0.3:  # whole pixels: overlaps that are exactly on a threshold
        moved = np.round(moved)
    x1, y1, x2, y2 = moved.tolist()
    return [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]


def _truth(rng: np.random.Generator) -> dict[str, Any]:
    videos = [{"id": v, "file_name": f"v{v}.mp4", "fps": int(rng.choice([5, 10, 30]))} for v in range(rng.integers(1, 5))]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video in videos:
        tracks = rng.integers(0, 4)
        starts = rng.uniform(0, 60, (tracks, 2))
        for k in range(rng.integers(1, 14)):
            images.append({"id": len(images), "video_id": video["id"], "frame_index": k})
            for t in range(tracks):
                if rng.random() < 0.8:
                    bbox = np.round([*(starts[t] + k), *rng.uniform(8, 40, 2)], int(rng.integers(0, 3))).tolist()
                    annotations.append(
                        {
                            "id": len(annotations),
                            "image_id": images[-1]["id"],
                            "track_id": 10 * t,
                            "category_id": t % 3,
                            "iscrowd": int(rng.random() < 0.25),
                            "bbox": bbox,
                            "area": bbox[2] * bbox[3],
                        }
                    )
    return {"videos": videos, "images": images, "annotations": annotations}


def _predictions(rng: np.random.Generator, truth: dict[str, Any]) -> dict[str, Any]:
    names = {v["id"]: v["file_name"] for v in truth["videos"]}
    where = {i["id"]: (names[i["video_id"]], i["frame_index"]) for i in truth["images"]}
    frames: dict[int, list[list[float]]] = {i: [] for i in where if rng.random() < 0.9}
    signs: dict[tuple[str, int], list[list[float]]] = {}
    strength = float(rng.choice([0.02, 0.1, 0.2]))
    for a in truth["annotations"]:
        box = _jitter(rng, a["bbox"], strength)
        if rng.random() < 0.8 and a["image_id"] in frames:
            frames[a["image_id"]].append([*box, round(float(rng.random()), 1)])
        if rng.random() < 0.7:
            video, index = where[a["image_id"]]
            signs.setdefault((video, a["track_id"] + int(rng.integers(0, 3) // 2)), []).append([index, *box])
    for boxes in frames.values():
        for x, y, s in rng.uniform(1, 60, (int(rng.choice([0, 1, 3, 110], p=[0.4, 0.4, 0.19, 0.01])), 3)).tolist():
            boxes.append([x, y, x + s, y + s, round(float(rng.random()), 1)])
    rows = [{"video": v, "class_id": [0, 1, 2, None][rng.integers(0, 4)], "confidence": 0.5, "boxes": b} for (v, _), b in signs.items()]
    for video in truth["videos"][: rng.integers(0, 3)]:
        rows.append({"video": video["file_name"], "class_id": 1, "confidence": 0.5, "boxes": [[int(rng.integers(0, 20)), 1, 1, 30, 30]]})
    rng.shuffle(rows)
    listed = [{"video": where[i][0], "frame_index": where[i][1], "boxes": b} for i, b in frames.items()]
    return {"fps": float(rng.choice([2, 5, 10, 30])), "frames": listed, "signs": rows}


@pytest.fixture(scope="session")
def make_world() -> Callable[[int], World]:
    """Draw a small truth of recordings and predictions for it, with ignore regions, equal scores and exact overlaps."""

    def make(seed: int) -> World:
        rng = np.random.default_rng(seed)
        truth = _truth(rng)
        return truth, _predictions(rng, truth)

    return make
