"""Proposals or final labels enter, a folder of images with one COCO file leaves: for a person to correct, or for the client."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from signloop.core import tables
from signloop.core.boxes import SAME_IOU, iou
from signloop.core.errors import DataError
from signloop.core.files import atomic_folder, require_free_space
from signloop.core.rounds import read_rounds
from signloop.core.taxonomy import Taxonomy
from signloop.formats.coco import CocoBox, CocoImage, Corners, write_coco
from signloop.frames.truth import CHOOSES_FRAMES, shown_frames
from signloop.review import snapshot as snapshots

FILE = "annotations.json"
_NOT_A_LABEL = "rejected"
_BRING_BACK = f"Put missing recordings back, or set {CHOOSES_FRAMES} back as they were, and run `dvc repro`."


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what could not be.

    Attributes:
        images: how many.
        boxes: how many by origin.
        path: the COCO file.
        left_out_frames, left_out_labels: verified frames that are not extracted, and the verified labels on them; labels are also carried
            over to frames between the extracted ones.
        lost_frames: those of them that a person was shown: they were extracted at that time.
    """

    images: int
    boxes: Mapping[str, int]
    path: Path
    left_out_frames: int = 0
    left_out_labels: int = 0
    lost_frames: int = 0

    def __str__(self) -> str:
        boxes = ", ".join(f"{number} {origin}" for origin, number in self.boxes.items())
        written = f"{self.path}: {self.images} images; boxes: {boxes or 'none'}"
        if not self.left_out_frames:
            return written
        left_out = f"{written}\nleft out: {self.left_out_labels} verified labels on {self.left_out_frames} frames that are not extracted"
        return f"{left_out}; {self.lost_frames} of these were when a person looked at them. {_BRING_BACK}" if self.lost_frames else left_out


def _corners(row: Mapping[str, Any]) -> Corners:
    return (row["x1"], row["y1"], row["x2"], row["y2"])


def _check_classes(class_ids: set[int | None], taxonomy: Taxonomy) -> None:
    strange = sorted(c for c in class_ids if c is not None and c not in taxonomy.by_id)
    if strange:
        raise DataError(
            "labels have classes outside the taxonomy",
            expected=taxonomy.name,
            found=strange[:5],
            todo="Put the classes back into conf/taxonomy.",
        )


def _write(
    out: Path,
    frames_folder: Path,
    frames: Sequence[Mapping[str, Any]],
    boxes: Mapping[str, Sequence[CocoBox]],
    taxonomy: Taxonomy,
    info: Mapping[str, Any],
) -> Path:
    """Copy images and write the file, whole or not at all; the images' numbers and boxes follow the order of `frames`."""
    sources = [frames_folder / frame["path"] for frame in frames]
    missing = [path.name for path in sources if not path.is_file()]
    if missing:
        raise DataError("extracted frames are missing", where=frames_folder, found=missing[:5], todo="Run `dvc repro`, then export again.")
    require_free_space(out, sum(path.stat().st_size for path in sources) + 1_000_000)
    images, annotations = [], []
    with atomic_folder(out) as temporary:
        (temporary / "images").mkdir()
        for number, (frame, source) in enumerate(zip(frames, sources, strict=True), start=1):
            name = snapshots.export_name(frame["frame_id"]) + PurePosixPath(frame["path"]).suffix
            shutil.copyfile(source, temporary / "images" / name)
            extra = {key: frame[key] for key in ("frame_id", "recording", "frame_index", "time_s", "complete") if key in frame}
            images.append(CocoImage(number, name, frame["width"], frame["height"], extra))
            annotations += [CocoBox("", number, b.xyxy, b.class_id, b.crowd, b.extra) for b in boxes.get(frame["frame_id"], ())]
        write_coco(temporary / FILE, images, annotations, taxonomy, info)
    return out / FILE


def export_coco(snapshot: Path, frames_folder: Path, out_folder: Path, taxonomy: Taxonomy) -> ExportReport:
    """Write the proposals of a snapshot for a person to correct.

    All extracted frames are written, also those without a proposal: a missed sign may be there. A sign of no known class has the
    category "ignore"; left so, it is not learned from. `info.snapshot_id` and each box's `box_id` lead the way back, but
    `signloop publish coco` finds it without them too. Images that are taken out of the file count as not looked at.

    Args:
        snapshot: folder from `snapshot.take`.
        frames_folder: where the images lie.
        out_folder: new folder, gets images/ and annotations.json.
        taxonomy: gives the categories.

    Raises:
        DataError: the folder exists, an image is missing, the disk is full.
    """
    shown = snapshots.load(snapshot)
    _check_classes(set(shown.class_of_sign.values()), taxonomy)
    boxes = {}
    for frame_id, p in shown.proposals.items():
        corners = p.xyxy.astype(float).tolist()
        boxes[frame_id] = [
            CocoBox(
                "",
                0,
                (x1, y1, x2, y2),
                p.class_ids[j],
                extra={"box_id": p.box_ids[j], "sign_id": p.sign_ids[j], "score": round(float(p.scores[j]), 4)},
            )
            for j, (x1, y1, x2, y2) in enumerate(corners)
        ]
    frames = [
        {**row, "frame_index": row["index"], "recording": shown.recordings[row["recording_id"]]["name"]}
        for row in shown.frame_rows.values()
    ]
    path = _write(
        out_folder, frames_folder, frames, boxes, taxonomy, {"snapshot_id": shown.snapshot_id, "description": "proposals, to be corrected"}
    )
    return ExportReport(len(frames), {"proposed": sum(map(len, boxes.values()))}, path)


def _verified_boxes(boxes: pa.Table) -> dict[str, list[CocoBox]]:
    """Return verified signs and ignore regions by frame; rejected boxes are no labels."""
    by_frame: dict[str, list[CocoBox]] = {}
    for row in boxes.sort_by("box_id").to_pylist():
        if row["verdict"] != _NOT_A_LABEL:
            unsure = row["verdict"] == "unsure"
            extra = {"origin": "verified", **{key: row[key] for key in ("box_id", "sign_id", "verdict", "seen")}}
            by_frame.setdefault(row["frame_id"], []).append(
                CocoBox("", 0, _corners(row), None if unsure else row["class_id"], unsure, extra)
            )
    return by_frame


def _accepted_boxes(
    prelabels_folder: Path,
    verified: Mapping[str, Sequence[CocoBox]],
    judged: set[str],
    complete: set[str],
) -> dict[str, list[CocoBox]]:
    """Return boxes of signs that need no person, in frames that none has looked at, where nothing verified lies already."""
    boxes, signs = snapshots.read_prelabels(prelabels_folder, list(snapshots.finished(prelabels_folder).values()))
    accepted = {s["sign_id"]: s for s in signs.to_pylist() if s["decision"] == "accept" and s["class_id"] is not None}
    by_frame: dict[str, list[CocoBox]] = {}
    for row in boxes.sort_by("box_id").to_pylist():
        sign = accepted.get(row["sign_id"])
        if sign is None or row["box_id"] in judged or row["frame_id"] in complete:
            continue
        others = [b.xyxy for b in verified.get(row["frame_id"], ())]
        if not np.any(iou([_corners(row)], others) >= SAME_IOU):
            extra = {"origin": "accepted", "box_id": row["box_id"], "sign_id": row["sign_id"], "confidence": round(sign["confidence"], 4)}
            by_frame.setdefault(row["frame_id"], []).append(CocoBox("", 0, _corners(row), sign["class_id"], extra=extra))
    return by_frame


def export_final(verified_folder: Path, prelabels_folder: Path, frames_folder: Path, out_folder: Path, taxonomy: Taxonomy) -> ExportReport:
    """Write what the client buys: verified labels, and those accepted without a person, each marked as such (`origin`).

    An image is written if it is completely verified (`complete`) or holds a label. A verified frame that is not extracted has no
    image: it is left out, and counted in the report. What a person was unsure of is an ignore region (iscrowd 1). `seen` tells whether
    a person looked at this very box or at the same sign in other frames.

    Args:
        verified_folder: rounds.
        prelabels_folder: current proposals; a missing one has none.
        frames_folder: where tables and images of the extracted frames lie.
        out_folder: new folder, gets images/ and annotations.json.
        taxonomy: gives the categories.

    Raises:
        DataError: there is no label yet, no verified frame is extracted, the folder exists, an image is missing, the disk is full.
    """
    verified = read_rounds(verified_folder)
    columns = (verified.frames["frame_id"].to_pylist(), verified.frames["complete"].to_pylist())
    complete = {frame_id for frame_id, flag in zip(*columns, strict=True) if flag}
    labels = _verified_boxes(verified.boxes)
    judged = {*verified.boxes["box_id"].to_pylist(), *verified.conflicts}
    accepted = _accepted_boxes(prelabels_folder, labels, judged, complete)
    boxes = {f: [*labels.get(f, []), *accepted.get(f, [])] for f in {*labels, *accepted}}
    names = {row["recording_id"]: row["name"] for row in tables.read(frames_folder / "recordings.parquet", "recordings").to_pylist()}
    extracted = tables.read(frames_folder / "frames.parquet", "frames").to_pylist()
    wanted = {*complete, *labels}
    left_out = wanted - {row["frame_id"] for row in extracted}
    left_out_labels = sum(len(labels.get(frame_id, ())) for frame_id in left_out)
    if wanted and left_out == wanted:
        raise DataError(
            "no verified frame is extracted",
            where=frames_folder,
            found=f"{left_out_labels} verified labels on {len(left_out)} frames",
            todo=_BRING_BACK,
        )
    frames = [
        {**row, "complete": row["frame_id"] in complete, "frame_index": row["index"], "recording": names.get(row["recording_id"])}
        for row in extracted
        if row["frame_id"] in complete or row["frame_id"] in boxes
    ]
    if not frames:
        raise DataError("nothing is verified or accepted yet", where=verified_folder, todo="Verify some signs: `signloop status` says how.")
    written = [box for frame in frames for box in boxes.get(frame["frame_id"], ())]
    _check_classes({box.class_id for box in written}, taxonomy)
    path = _write(out_folder, frames_folder, frames, boxes, taxonomy, {"description": "final labels"})
    counts = {origin: sum(box.extra["origin"] == origin for box in written) for origin in ("verified", "accepted")}
    return ExportReport(len(frames), counts, path, len(left_out), left_out_labels, len(left_out & shown_frames(verified_folder, verified)))
