"""Recordings on disk: a planned recording enters, its video and beside it a part with its exact truth leave, each whole or absent."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypedDict

import cv2

from signloop.core.errors import DataError
from signloop.core.files import atomic_path, read_json, sha256_file, write_json
from signloop.demo.camera import HEIGHT, WIDTH
from signloop.demo.plan import Planned
from signloop.demo.render import frames
from signloop.demo.signs import CLASSES
from signloop.demo.world import FPS

EDITION = 1  # raised whenever the same plan gives other pictures
PLAN_FILE = "plan.json"
_BYTES, _SECONDS = 1_050_000, 0.8  # of one recording, measured


class Box(TypedDict):
    """One sign on one frame; `bbox` is left, top, width, height in px."""

    frame_index: int
    track_id: int
    class_id: int
    bbox: list[float]
    visible: float
    iscrowd: Literal[0, 1]


class Part(TypedDict):
    """The truth of one finished recording; `sha256` is that of its video."""

    name: str
    sha256: str
    frames: int
    boxes: list[Box]


def estimate(recordings: int) -> tuple[int, float]:
    """Return the bytes on disk and the seconds on one core that so many recordings will need, roughly."""
    return recordings * _BYTES, recordings * _SECONDS


def recording_id(part: Part) -> str:
    """Return the id that the video has by its content."""
    return part["sha256"][:16]


@contextmanager
def single_thread() -> Iterator[None]:
    """Let OpenCV use one thread, as its order of sums must not depend on the machine."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def start(parts: Path, arguments: dict[str, Any]) -> None:
    """Write down what is going to be drawn, or check that it is the same as last time.

    Raises:
        DataError: another demo is there already.
    """
    wanted = {"edition": EDITION, **arguments}
    at = parts / PLAN_FILE
    if at.exists():
        if read_json(at) != wanted:
            raise DataError(
                "another demo is here already",
                where=at,
                expected=wanted,
                found=read_json(at),
                todo="Run `signloop demo --remove` first, or ask for the same again.",
            )
        return
    write_json(at, wanted)


def record(planned: Planned, folder: Path, parts: Path) -> tuple[Part, bool]:
    """Draw one recording unless it is finished.

    Returns:
        Its truth, and whether it was drawn now.

    Raises:
        DataError: the video could not be written whole, for instance as the disk is full.
    """
    video, at = folder / f"{planned.name}.mp4", parts / f"{planned.name}.json"
    if at.exists() and video.exists():
        part: Part = read_json(at)
        if sha256_file(video) == part["sha256"]:
            return part, False
    at.unlink(missing_ok=True)
    with single_thread(), atomic_path(video) as temporary:
        count, boxes = _film(planned, temporary)
    part = {"name": planned.name, "sha256": sha256_file(video), "frames": count, "boxes": boxes}
    write_json(at, part)
    return part, True


def _film(planned: Planned, path: Path) -> tuple[int, list[Box]]:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise DataError(
            "OpenCV cannot write MPEG-4 video here", where=path, todo="Install the opencv-python wheel from the package registry."
        )
    boxes: list[Box] = []
    count = 0
    for drawn in frames(planned.world()):
        writer.write(cv2.cvtColor(drawn.image, cv2.COLOR_RGB2BGR))
        count += 1
        for sign in drawn.signs:
            x1, y1, x2, y2 = sign.xyxy
            boxes.append(
                {
                    "frame_index": drawn.index,
                    "track_id": sign.track_id,
                    "class_id": sign.class_id,
                    "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                    "visible": sign.visible,
                    "iscrowd": 1 if sign.ignored else 0,
                }
            )
    writer.release()
    written = cv2.VideoCapture(str(path))
    found = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written.isOpened() else 0
    written.release()
    if found != count:
        raise DataError("the video was not written whole", where=path, expected=f"{count} frames", found=found, todo="Is the disk full?")
    return count, boxes


def record_all(plan: Sequence[Planned], folder: Path, parts: Path, progress: Callable[[int, int], None] | None) -> tuple[list[Part], int]:
    """Draw what is not finished; `progress` is called with done and total. Returns all parts and how many were drawn now."""
    found, drawn = [], 0
    for done, planned in enumerate(plan, start=1):
        part, new = record(planned, folder, parts)
        found.append(part)
        drawn += new
        if progress is not None:
            progress(done, len(plan))
    return found, drawn


def scored_signs(part: Part) -> set[int]:
    """Return the physical signs that count on at least one frame."""
    return {box["track_id"] for box in part["boxes"] if not box["iscrowd"]}


def truth(parts: Iterable[Part]) -> dict[str, Any]:
    """Join recordings into one truth in the layout of COCO with `videos` and `track_id`; ids count from 0 in order."""
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        file_name = f"{part['name']}.mp4"
        videos.append({"id": number, "file_name": file_name, "fps": int(FPS), "width": WIDTH, "height": HEIGHT})
        first = len(images)
        images += [
            {"id": first + k, "video_id": number, "frame_index": k, "width": WIDTH, "height": HEIGHT, "file_name": f"{file_name}#{k}"}
            for k in range(part["frames"])
        ]
        for box in part["boxes"]:
            annotations.append(
                {
                    "id": len(annotations) + 1,  # the reference scorer takes 0 for none
                    "image_id": first + box["frame_index"],
                    "track_id": box["track_id"],
                    "category_id": box["class_id"],
                    "iscrowd": box["iscrowd"],
                    "bbox": box["bbox"],
                    "area": round(box["bbox"][2] * box["bbox"][3], 2),
                    "visible": box["visible"],
                }
            )
    categories = [{"id": k, "name": name, "supercategory": group} for k, (name, group) in CLASSES.items()]
    return {"categories": categories, "videos": videos, "images": images, "annotations": annotations}
