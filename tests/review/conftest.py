"""A small project whose proposals and truth are known by hand.

`drive one.mp4` has frames 0-4, of which 0, 2 and 4 were extracted, and four predicted signs of model mtest:
    0000 is sign 7, a circle, named rightly; in frame 4 its box is badly off
    0001 is sign 8, a circle, called a square
    0002 is nothing, seen in frames 0 and 1
    0003 lies on an ignore region of frame 2; the models cannot name it
Sign 9, a square, is only in frame 4 and was missed; frame 0 has an ignore region without a proposal.
`photos` are two stills; the first has a square (sign 0000), which the models accept by themselves, the second has nothing.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from signloop.core import tables
from signloop.core.params import Data, Queue
from signloop.core.rounds import Verified, read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.review import questions, queue, snapshot
from signloop.review.desk import Desk
from signloop.review.log import Act, Entry
from signloop.review.plant import Planted, PlantedBox
from signloop.review.state import touches

DRIVE, PHOTOS, MODEL = "d" * 16, "f" * 16, "mtest"
CIRCLE, SQUARE = 3, 8


@pytest.fixture
def taxonomy() -> Taxonomy:
    return Taxonomy.model_validate(
        {
            "name": "shapes",
            "object_name": "shape",
            "counts": "shapes of any colour",
            "also": {"circle": "ring"},
            "classes": (
                {"id": CIRCLE, "name": "circle", "group": "round"},
                {"id": SQUARE, "name": "square", "group": "straight"},
                {"id": 9, "name": "star", "group": "straight"},
            ),
        }
    )


@pytest.fixture
def data() -> Data:
    return Data(
        val_share=0.2,
        test_share=0.2,
        crop_margin=0.2,
        import_margin=0.0,
        min_side_px=4.0,
        background_per_frame=1,
        mistakes_per_frame=0,
        frames_per_sign=8,
        max_skipped=0.1,
    )


def _box(recording: str, sign: int, index: int, xyxy: tuple[float, float, float, float]) -> dict[str, Any]:
    sign_id = f"{recording}/{MODEL}/{sign:04d}"
    return {
        "box_id": f"{sign_id}/{index:06d}",
        "frame_id": f"{recording}/{index:06d}",
        "sign_id": sign_id,
        "index": index,
        "time_s": index / 10,
        **dict(zip(("x1", "y1", "x2", "y2"), xyxy, strict=True)),
        "score": 0.8,
        "interpolated": False,
        "model_id": MODEL,
    }


def _sign(recording: str, sign: int, class_id: int | None, confidence: float, decision: str = "ask") -> dict[str, Any]:
    return {
        "sign_id": f"{recording}/{MODEL}/{sign:04d}",
        "recording_id": recording,
        "first_index": 0,
        "last_index": 4,
        "n_boxes": 5,
        "class_id": class_id,
        "confidence": confidence,
        "margin": confidence / 2,
        "top_ids": [],
        "top_confidences": [],
        "contrary_index": None,
        "decision": decision,
        "reason": "",
        "model_id": MODEL,
    }


def _frames(recording: str, indices: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "frame_id": f"{recording}/{i:06d}",
            "recording_id": recording,
            "index": i,
            "time_s": i / 10,
            "width": 100,
            "height": 80,
            "path": f"images/{recording}/{i:06d}.jpg",
            "sha256": f"{recording}{i}",
        }
        for i in indices
    ]


def _recording(recording: str, name: str, kind: str, frames: int) -> dict[str, Any]:
    return {
        "recording_id": recording,
        "name": name,
        "kind": kind,
        "fps": 10.0 if kind == "video" else None,
        "frames": frames,
        "width": 100,
        "height": 80,
        "duration_s": 0.5,
        "rotation": 0,
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder `data` of the project above: frames, prelabels and truth.json."""
    root = tmp_path / "data"
    drive = [_box(DRIVE, 0, i, (10 + i, 10, 30 + i, 30)) for i in range(5)] + [_box(DRIVE, 1, i, (50, 10, 70, 30)) for i in range(5)]
    drive += [_box(DRIVE, 2, i, (5, 50, 15, 60)) for i in (0, 1)] + [_box(DRIVE, 3, 2, (80, 60, 95, 75))]
    signs = [_sign(DRIVE, 0, CIRCLE, 0.9), _sign(DRIVE, 1, SQUARE, 0.6), _sign(DRIVE, 2, CIRCLE, 0.3), _sign(DRIVE, 3, None, 0.2)]
    still = ([_box(PHOTOS, 0, 0, (10, 10, 40, 40))], [_sign(PHOTOS, 0, SQUARE, 0.99, "accept")])
    for recording, (boxes, found) in {DRIVE: (drive, signs), PHOTOS: still}.items():
        for part, rows in (("boxes", boxes), ("signs", found)):
            table = tables.from_rows(f"prelabel_{part}", rows)
            tables.write(root / "prelabels" / part / f"{recording}-{MODEL}-abcdef01.parquet", f"prelabel_{part}", table)
    frames = _frames(DRIVE, [0, 2, 4]) + _frames(PHOTOS, [0, 1])
    recordings = [_recording(DRIVE, "drive one.mp4", "video", 5), _recording(PHOTOS, "photos", "stills", 2)]
    tables.write(root / "frames" / "recordings.parquet", "recordings", tables.from_rows("recordings", recordings))
    tables.write(root / "frames" / "frames.parquet", "frames", tables.from_rows("frames", frames))
    for frame in frames:
        path = root / "frames" / frame["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((80, 100, 3), 90, np.uint8))
    (root / "truth.json").write_text(json.dumps(_truth()))
    return root


def _truth() -> dict[str, Any]:
    boxes: list[tuple[int, int | None, int, list[float]]] = []  # frame, track, category, xywh
    for i in range(5):
        boxes += [(i, 7, 1, [10 + i, 10, 20, 20] if i < 4 else [10 + i, 15, 20, 20]), (i, 8, 1, [50, 10, 20, 20])]
    boxes += [(4, 9, 2, [60, 50, 15, 15]), (2, None, 99, [78, 58, 20, 20]), (0, None, 99, [80, 0, 15, 15])]
    annotations = [
        {
            "id": n,
            "image_id": frame,
            "category_id": category,
            "bbox": bbox,
            "iscrowd": int(category == 99),
            **({} if track is None else {"track_id": track}),
        }
        for n, (frame, track, category, bbox) in enumerate(boxes)
    ]
    return {
        "categories": [{"id": 1, "name": "circle"}, {"id": 2, "name": "square"}, {"id": 99, "name": "other"}],
        "videos": [{"id": 0, "file_name": "drive one.mp4", "fps": 10}, {"id": 1, "file_name": "elsewhere.mp4", "fps": 10}],
        "images": [{"id": i, "video_id": 0, "frame_index": i} for i in range(5)] + [{"id": 50, "video_id": 1, "frame_index": 0}],
        "annotations": annotations,
    }


@pytest.fixture
def queued(project: Path) -> Path:
    """The project with a queue of its five signs and of all its five frames."""
    boxes, signs = snapshot.read_prelabels(project / "prelabels", list(snapshot.finished(project / "prelabels").values()))
    frames = tables.read(project / "frames" / "frames.parquet", "frames")
    tables.write(project / "queue" / "queue.parquet", "queue", queue.build(signs, boxes, Verified(), Queue(frame_share=1.0), frames))
    return project


@pytest.fixture
def planted() -> list[Planted]:
    """Two planted mistakes: a circle called a square, and nothing called a circle."""
    boxes = tuple(PlantedBox(index=i, time_s=i / 10, xyxy=(20.0, 40.0, 40.0, 60.0)) for i in (0, 2))
    mistakes = ((SQUARE, CIRCLE, 0.7, 2), (CIRCLE, None, 0.4, 4))
    return [
        Planted(
            planted_id=f"planted/{number:04d}",
            recording_id=DRIVE,
            class_id=shown,
            right_class_id=right,
            confidence=confidence,
            classes=((shown, confidence),),
            reason="as of any other",
            rank=rank,
            boxes=boxes,
        )
        for number, (shown, right, confidence, rank) in enumerate(mistakes)
    ]


@pytest.fixture
def open_desk(queued: Path, taxonomy: Taxonomy) -> Iterator[Callable[..., Desk]]:
    """A function (planted=(), repeats=0.0, seed=0) that begins the review of the queue, or goes on with it, and opens it."""
    desks = []

    def act(planted: Sequence[Planted] = (), repeats: float = 0.0, seed: int = 0) -> Desk:
        desks.append(Desk(questions.begin(queued, queued / "review", read_rounds(queued / "verified"), planted, repeats, seed), taxonomy))
        return desks[-1]

    yield act
    for desk in desks:
        desk.close()


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    """The review of the queue, without planted mistakes and repeats."""
    return open_desk()


@pytest.fixture
def do() -> Callable[..., Entry]:
    """A function (desk, act, who="ann", seconds=2.0) that does what a person does who has just reloaded the page."""

    def act(desk: Desk, act: Act, who: str = "ann", seconds: float = 2.0) -> Entry:
        known = [i for i in touches(act) if i in desk.questions.items or i in desk.state.items]
        return desk.act(who, seconds, {i: desk.state.version(i) for i in known}, act)

    return act
