"""A runtime and labelled data in, predictions in the formats that `measure` scores out; nothing is judged here."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from signloop.core.boxes import Boxes
from signloop.core.params import Prelabel
from signloop.frames.images import read_image
from signloop.frames.video import Frame, Recording, open_recording, read_frames
from signloop.measure.truth import TruthRecordings, parse_truth
from signloop.prelabel.named import NamedBoxes, name_boxes
from signloop.prelabel.proposal import Proposal, Runtime
from signloop.prelabel.propose import propose

Progress = Callable[[str, int, int], None]


def predict_images(runtime: Runtime, folder: Path, names: Sequence[str], progress: Progress) -> dict[str, NamedBoxes]:
    """Find and name objects in stills, file name -> boxes and class ids.

    Raises:
        DataError: a picture is missing or undecodable.
    """
    out = {}
    for number, name in enumerate(names):
        progress("images", number, len(names))
        image = read_image(folder / name)
        out[name] = name_boxes(runtime, image, runtime.detect([image])[0])
    progress("images", len(names), len(names))
    return out


def predict_recordings(
    runtime: Runtime, folder: Path, truth: TruthRecordings, prelabel: Prelabel, fps: float | None, progress: Progress
) -> tuple[dict[str, Any], float]:
    """Label the recordings of a truth file in `folder`, every frame at their own rate or at `fps`.

    Returns:
        Predictions in the format of `measure.signs`, and frames labelled a second, decoding included.

    Raises:
        DataError: a recording is missing or unreadable.
    """
    rate = fps or max((video.fps for video in truth.videos), default=1.0)  # at the highest own rate every frame of each counts
    frames: list[dict[str, Any]] = []
    signs: list[dict[str, Any]] = []
    start = time.monotonic()
    for number, video in enumerate(truth.videos):
        progress("recordings", number, len(truth.videos))
        recording = open_recording(folder / video.file_name, video.fps)
        step = max(1, round(video.fps / rate))  # by index, as they are counted; `Pace` goes by time
        due = (frame for frame in read_frames(recording) if frame.index % step == 0)
        proposal, looked = _propose_and_keep(due, runtime, prelabel, recording)
        frames += [{"video": video.file_name, "frame_index": index, "boxes": boxes_with_scores(boxes)} for index, boxes in looked.items()]
        signs += sign_entries(proposal, video.file_name)
    progress("recordings", len(truth.videos), len(truth.videos))
    return {"fps": rate, "frames": frames, "signs": signs}, len(frames) / max(time.monotonic() - start, 1e-9)


def boxes_with_scores(boxes: Boxes) -> list[list[float]]:
    """Return [x1, y1, x2, y2, score] per box."""
    return [[*(round(float(v), 2) for v in box), round(float(score), 5)] for box, score in zip(boxes.xyxy, boxes.scores, strict=True)]


def sign_entries(proposal: Proposal, name: str) -> list[dict[str, Any]]:
    """Return the signs of a proposal in the format of `measure.signs`."""
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    for row in proposal.boxes:
        boxes[row["sign_id"]].append([row["index"], *(round(float(row[k]), 2) for k in ("x1", "y1", "x2", "y2"))])
    return [
        {"video": name, "class_id": row["class_id"], "confidence": float(row["confidence"]), "boxes": boxes[row["sign_id"]]}
        for row in proposal.signs
    ]


def predict_crops(runtime: Runtime, folder: Path, paths: Sequence[str], progress: Progress) -> NDArray[np.float32]:
    """Classify saved crops that show the margin the classifier wants, (crops, classes + 1) calibrated probabilities."""
    size = runtime.cut(np.zeros((8, 8, 3), np.uint8), [0, 0, 8, 8]).shape[0]
    parts = [np.zeros((0, len(runtime.taxonomy) + 1), np.float32)]
    for start in range(0, len(paths), 256):
        progress("crops", start, len(paths))
        views = []
        for path in paths[start : start + 256]:
            image = read_image(folder / path)
            shrinks = max(image.shape[:2]) > size
            views.append(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
        parts.append(runtime.classify(views)[0])
    progress("crops", len(paths), len(paths))
    return np.concatenate(parts)


def stored_recordings(
    chosen: Mapping[str, Mapping[str, Any]], folder: Path
) -> dict[str, tuple[Recording, list[tuple[Mapping[str, Any], Path]]]]:
    """Group stored frames of videos and sequences by recording, in order of time; stills are left out."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in chosen.values():
        if row["kind"] != "stills":
            groups[row["recording_id"]].append(row)
    out = {}
    for recording_id, rows in sorted(groups.items()):
        rows.sort(key=lambda row: int(row["index"]))
        first, last = rows[0], rows[-1]
        recording = Recording(
            recording_id,
            recording_id,
            folder,
            first["kind"],
            None,
            len(rows),
            first["width"],
            first["height"],
            last["time_s"] - first["time_s"],
            0,
        )
        out[recording_id] = (recording, [(row, folder / row["path"]) for row in rows])
    return out


def propose_stored(
    runtime: Runtime, recording: Recording, rows: Sequence[tuple[Mapping[str, Any], Path]], prelabel: Prelabel
) -> tuple[Proposal, dict[int, Boxes]]:
    """Label frames that lie on disk as if they were the recording; returns all boxes of each frame, by its index, too."""
    frames = (Frame(row["index"], row["time_s"], read_image(path)) for row, path in rows)
    return _propose_and_keep(frames, runtime, prelabel, recording)


def _propose_and_keep(
    frames: Iterable[Frame], runtime: Runtime, prelabel: Prelabel, recording: Recording
) -> tuple[Proposal, dict[int, Boxes]]:
    """Propose, and keep all boxes of each frame, by its index."""
    looked: dict[int, Boxes] = {}
    proposal = propose(frames, runtime, prelabel, recording, lambda frame, boxes: looked.update({frame.index: boxes}))
    return proposal, looked


def sign_truth(chosen: Mapping[str, Mapping[str, Any]], truth: pa.Table) -> tuple[TruthRecordings, dict[str, dict[int, int]]]:
    """Turn truth rows of videos and sequences into recordings that `measure.signs` scores.

    The stored frames of a recording are numbered anew (0, 1, 2, ...) at one frame a second: only their order counts there.

    Returns:
        The truth, and per recording the new number of each frame index. Boxes without a sign_id are signs of their own.
    """
    numbers: dict[str, dict[int, int]] = defaultdict(dict)
    for row in sorted(chosen.values(), key=lambda row: (row["recording_id"], row["index"])):
        if row["kind"] != "stills":
            numbers[row["recording_id"]][row["index"]] = len(numbers[row["recording_id"]])
    video_of = {recording_id: i for i, recording_id in enumerate(numbers)}
    images = {(r, index): i for i, (r, index) in enumerate((r, index) for r in numbers for index in numbers[r])}
    tracks: dict[str, int] = {}
    annotations: list[dict[str, Any]] = []
    for row in truth.to_pylist():
        frame = chosen.get(row["frame_id"])
        if frame is None or frame["kind"] == "stills" or row["role"] == "negative":
            continue
        width, height = row["x2"] - row["x1"], row["y2"] - row["y1"]
        annotations.append(
            {
                "id": len(annotations) + 1,  # the reference scorer takes 0 for none
                "image_id": images[row["recording_id"], frame["index"]],
                "track_id": tracks.setdefault(row["sign_id"] or row["box_id"], len(tracks)),
                "category_id": 0 if row["class_id"] is None else row["class_id"],
                "iscrowd": int(row["role"] == "ignore" or row["class_id"] is None),
                "bbox": [row["x1"], row["y1"], width, height],
                "area": width * height,
            }
        )
    value = {
        "videos": [{"id": i, "file_name": r, "fps": 1.0, "width": 1, "height": 1} for r, i in video_of.items()],
        "images": [
            {"id": i, "video_id": video_of[r], "frame_index": numbers[r][index], "width": 1, "height": 1, "file_name": f"{r}#{index}"}
            for (r, index), i in images.items()
        ],
        "categories": [{"id": i, "name": str(i)} for i in sorted({a["category_id"] for a in annotations})],
        "annotations": annotations,
    }
    return parse_truth(value), dict(numbers)
