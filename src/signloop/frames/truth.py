"""Extracted frames and verified rounds in; all that training and evaluation read out: labelled frames, boxes with roles, saved crops."""

import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.boxes import clip, expand, intersection, iou
from signloop.core.errors import DataError
from signloop.core.files import read_json, sha256_file, sha256_json
from signloop.core.params import Data
from signloop.core.rounds import Verified, read_rounds, round_folders
from signloop.core.taxonomy import Taxonomy
from signloop.frames.images import read_image

ROLE_OF = {
    "accepted": "positive",
    "relabelled": "positive",
    "moved": "positive",
    "added": "positive",
    "rejected": "negative",
    "unsure": "ignore",
}
DOUBLE_IOU = 0.3
CHOOSES_FRAMES = "extract.fps, sequence_fps, blur, duplicate or max_frames"
Progress = Callable[[str, int, int], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class TruthReport:
    """What was assembled.

    Attributes:
        frames, boxes, crops: how many were written.
        skipped: the rounds' recordings that are missing in whole or in part.
        not_extracted: frames that a person was shown, of recordings that are there, which `extract` no longer keeps.
    """

    frames: int
    boxes: int
    crops: int
    skipped: int
    not_extracted: int


def class_folder(taxonomy: Taxonomy, class_id: int | None) -> str:
    """Return a safe folder name for a class, "012-priority-road"; None is "not-an-object". No path is ever taken from a label."""
    if class_id is None:
        return "not-an-object"
    return f"{class_id:03d}-" + re.sub(r"[^a-z0-9]+", "-", taxonomy.by_id[class_id].name.lower()).strip("-")[:40]


def assemble(frames_folder: Path, verified_folder: Path, out: Path, data: Data, taxonomy: Taxonomy, progress: Progress) -> TruthReport:
    """Write data/truth; equal rounds and frames give equal bytes, whatever unlabelled recordings lie beside.

    Args:
        frames_folder: output of `extract`.
        verified_folder: rounds.
        out: folder that is written; what is in it is replaced.
        data: margins and sizes of crops, share of the background.
        taxonomy: class ids that may occur.
        progress: called with a word, done and total.

    Raises:
        DataError: no verified round, a class outside the taxonomy, or more recordings missing than `data.max_skipped` allows.
    """
    verified = read_rounds(verified_folder)
    if not verified.frames.num_rows and not verified.crops.num_rows:
        raise DataError(
            "nothing is verified yet",
            where=verified_folder,
            expected="at least one round",
            todo="Run `signloop demo`, or bring labels with `signloop import coco`.",
        )
    extracted = {row["frame_id"]: row for row in tables.read(frames_folder / "frames.parquet", "frames").to_pylist()}
    recordings = {row["recording_id"]: row for row in tables.read(frames_folder / "recordings.parquet", "recordings").to_pylist()}
    skipped = _missing(verified, recordings, data.max_skipped)
    partial, not_extracted = _not_extracted(shown_frames(verified_folder, verified), recordings, extracted)
    skipped += partial
    splits = {row["unit_id"]: row["split"] for row in verified.splits.to_pylist()}
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    frames = _frames(verified, extracted, recordings, splits, data.frames_per_sign)
    boxes = _boxes(verified, frames, taxonomy)
    crops = []
    for number, frame in enumerate(frames.values(), start=1):
        source = frames_folder / extracted[frame["frame_id"]]["path"]
        (out / frame["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, out / frame["path"])
        crops += _crops(source, frame, boxes[frame["frame_id"]], out, data, taxonomy)
        progress("frames", number, len(frames))
    crops += _imported(verified, splits, out, data, taxonomy)
    rows = [{key: value for key, value in box.items() if key != "crop"} for group in boxes.values() for box in group]
    tables.write(out / "frames.parquet", "truth_frames", tables.from_rows("truth_frames", list(frames.values())))
    tables.write(out / "truth.parquet", "truth", tables.from_rows("truth", rows))
    tables.write(out / "crops.parquet", "crops", tables.from_rows("crops", crops))
    tables.write(out / "skipped.parquet", "skipped", tables.from_rows("skipped", skipped))
    return TruthReport(len(frames), len(rows), len(crops), len(skipped), not_extracted)


def _missing(verified: Verified, recordings: Collection[str], max_skipped: float) -> list[Row]:
    """List the verified recordings that are no longer there; their labels rest until they come back."""
    spoken_of = [*verified.frames.column("frame_id").to_pylist(), *verified.boxes.column("frame_id").to_pylist()]
    wanted = sorted({frame_id.split("/")[0] for frame_id in spoken_of})
    gone = [recording_id for recording_id in wanted if recording_id not in recordings]
    if wanted and len(gone) / len(wanted) > max_skipped:
        raise DataError(
            "verified recordings are missing from data/recordings",
            expected=f"at most {max_skipped:.0%} missing",
            found=f"{len(gone)} of {len(wanted)}, for instance {gone[0]}",
            todo="Put the files back (their names do not matter), or remove their round.",
        )
    return [{"stage": "assemble", "item": item, "reason": "recording missing", "detail": "its verified labels rest"} for item in gone]


def shown_frames(verified_folder: Path, verified: Verified) -> set[str]:
    """Return the verified frames that a person was shown, which were extracted at that time.

    Others need never have been: a round that came with its films, as the demo's, speaks of every frame.
    """
    shown = {number for number, path in round_folders(verified_folder).items() if "snapshot_id" in read_json(path / "round.json")["meta"]}
    return {row["frame_id"] for row in verified.frames.to_pylist() if row["round"] in shown}


def _not_extracted(shown: set[str], recordings: Mapping[str, Row], extracted: Collection[str]) -> tuple[list[Row], int]:
    """List the recordings that are there without some of the frames that a person was shown, and count these frames."""
    there = [frame_id for frame_id in shown if frame_id.split("/")[0] in recordings]
    total = Counter(frame_id.split("/")[0] for frame_id in there)
    gone = Counter(frame_id.split("/")[0] for frame_id in there if frame_id not in extracted)
    rows = [
        {
            "stage": "assemble",
            "item": recordings[recording_id]["name"],
            "reason": "verified frames not extracted",
            "detail": f"{number} of {total[recording_id]} frames; their labels rest; {CHOOSES_FRAMES} have changed",
        }
        for recording_id, number in sorted(gone.items())
    ]
    return rows, gone.total()


def _frames(
    verified: Verified, extracted: dict[str, Row], recordings: dict[str, Row], splits: dict[str, str], per_sign: int
) -> dict[str, Row]:
    """Return the labelled frames that were extracted, by id, in order; the newest word on completeness counts.

    Beside those that a person searched there are training frames that only hold boxes of verified signs; these are not complete.
    """
    complete: dict[str, bool] = {}
    for row in sorted(verified.frames.to_pylist(), key=lambda row: int(row["round"])):
        complete[row["frame_id"]] = row["complete"]
    for frame_id in _of_signs(verified.boxes, extracted.keys() - complete.keys(), per_sign):
        if splits.get(frame_id, splits.get(frame_id.split("/")[0])) == "train":
            complete[frame_id] = False
    out = {}
    for frame_id in sorted(complete.keys() & extracted.keys()):
        frame, kind = extracted[frame_id], recordings[extracted[frame_id]["recording_id"]]["kind"]
        unit = frame_id if kind == "stills" else frame["recording_id"]
        path = f"frames/{frame_id}{Path(frame['path']).suffix}"
        if unit not in splits:
            raise DataError(
                "a verified recording has changed its kind",
                where=frame["recording_id"],
                found=kind,
                todo="Put its recording.json back as it was when its labels were published.",
            )
        out[frame_id] = {**frame, "kind": kind, "split": splits[unit], "complete": complete[frame_id], "path": path}
    return out


def _of_signs(boxes: pa.Table, frame_ids: Collection[str], per_sign: int) -> set[str]:
    """Choose, of these frames, at most `per_sign` for each verified sign: evenly over the time that it was seen."""
    of_sign: dict[str, set[str]] = defaultdict(set)
    columns = (boxes[name].to_pylist() for name in ("sign_id", "box_id", "frame_id", "verdict"))
    for sign_id, box_id, frame_id, verdict in zip(*columns, strict=True):
        if frame_id in frame_ids and ROLE_OF[verdict] != "ignore":
            of_sign[sign_id or box_id].add(frame_id)
    chosen: set[str] = set()
    for found in of_sign.values():
        ordered = sorted(found)
        chosen |= {ordered[i] for i in np.linspace(0, len(ordered) - 1, min(per_sign, len(ordered))).round().astype(int)}
    return chosen


def _boxes(verified: Verified, frames: dict[str, Row], taxonomy: Taxonomy) -> dict[str, list[Row]]:
    """Turn verdicts into truth rows by frame."""
    out: dict[str, list[Row]] = defaultdict(list)
    for row in verified.boxes.to_pylist():
        frame = frames.get(row["frame_id"])
        if frame is None:
            continue
        if row["class_id"] is not None and row["class_id"] not in taxonomy.by_id:
            raise DataError(
                "a verified label has a class outside the taxonomy",
                where=f"round {row['round']}, box {row['box_id']}",
                expected=f"an id of {taxonomy.name}",
                found=row["class_id"],
                todo="Add the class to conf/taxonomy.",
            )
        out[row["frame_id"]].append(
            {
                **{key: row[key] for key in ("box_id", "frame_id", "sign_id", "x1", "y1", "x2", "y2", "class_id", "round")},
                "recording_id": frame["recording_id"],
                "split": frame["split"],
                "role": ROLE_OF[row["verdict"]],
                "origin": row["verdict"],
            }
        )
    return out


def _crops(source: Path, frame: Row, boxes: list[Row], out: Path, data: Data, taxonomy: Taxonomy) -> list[Row]:
    """Save the crops of one frame: named signs, rejected boxes, and background of complete training frames."""
    wanted = [box for box in boxes if _gives_crop(box, boxes, frame, data)]
    if frame["complete"] and frame["split"] == "train":
        for n, corners in enumerate(background(frame, _corners(boxes), data)):
            name = f"{frame['frame_id']}/background/{n}"
            box = dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True))
            wanted.append({**box, "box_id": name, "sign_id": name, "role": "negative", "origin": "background"})
    if not wanted:
        return []
    image = read_image(source)
    return [save_crop(image, box, frame["split"], out, data, taxonomy) for box in wanted]


def _corners(boxes: list[Row]) -> NDArray[np.float32]:
    return np.array([[b["x1"], b["y1"], b["x2"], b["y2"]] for b in boxes], np.float32).reshape(-1, 4)


def _gives_crop(box: Row, boxes: list[Row], frame: Row, data: Data) -> bool:
    """Tell whether a box is large enough and says what it shows; a rejected one that lies on a real sign was a double, and says nothing."""
    inside = clip(_corners([box]), frame["width"], frame["height"])[0]
    sides = inside[2:] - inside[:2]
    if sides.max() < data.min_side_px or sides.min() < 1:
        return False
    if box["role"] == "positive":
        return box["class_id"] is not None
    real = _corners([other for other in boxes if other["role"] != "negative"])
    return bool(box["role"] == "negative" and iou(_corners([box]), real).max(initial=0) <= DOUBLE_IOU)


def save_crop(image: NDArray[np.uint8], box: Row, split: str, out: Path, data: Data, taxonomy: Taxonomy) -> Row:
    """Save one crop as PNG below `out/crops`, under a name made from its id's hash; returns its row of table `crops`.

    Raises:
        DataError: it cannot be written.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.rint(clip(expand(_corners([box]), data.crop_margin), width, height)[0]).astype(int)
    class_id = box["class_id"] if box["role"] == "positive" else None
    path = f"crops/{class_folder(taxonomy, class_id)}/{sha256_json(box['box_id'])[:16]}.png"
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    view = cv2.cvtColor(image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)], cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".png", view, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    try:
        (out / path).write_bytes(content.tobytes())
    except OSError as error:
        raise DataError(
            "a crop cannot be written", where=out / path, found=error.strerror, todo="Is the disk full? Make room and run `dvc repro`."
        ) from error
    track_id = box["sign_id"] or box["box_id"]
    return {
        "crop_id": box["box_id"],
        "path": path,
        "class_id": class_id,
        "track_id": track_id,
        "split": split,
        "origin": box["origin"],
        "margin": data.crop_margin,
    }


def background(frame: Row, boxes: NDArray[np.float32], data: Data) -> list[list[float]]:
    """Draw boxes that touch no labelled one from a frame, the same for the same frame id.

    Args:
        frame: its frame_id, width and height are used.
        boxes: all labelled boxes of the frame whatever their role, (n, 4) px.
        data: `background_per_frame` boxes are tried, each twice.

    Returns:
        At most `background_per_frame` boxes, px, sides between twice `min_side_px` and a sixth of the frame's height, if that is more.
    """
    rng = np.random.default_rng(int(sha256_json(frame["frame_id"])[:8], 16))
    out: list[list[float]] = []
    for _ in range(2 * data.background_per_frame):
        side = float(np.exp(rng.uniform(np.log(2 * data.min_side_px), np.log(max(frame["height"] / 6, 2 * data.min_side_px + 1)))))
        x, y = rng.random(2) * np.maximum([frame["width"] - side, frame["height"] - side], 0)
        box = [float(x), float(y), float(min(x + side, frame["width"])), float(min(y + side, frame["height"]))]
        if len(out) < data.background_per_frame and not intersection([box], boxes).any():
            out.append(box)
    return out


def _imported(verified: Verified, splits: dict[str, str], out: Path, data: Data, taxonomy: Taxonomy) -> list[Row]:
    """Write the crops that came without frames."""
    rows = []
    for row in verified.crops.to_pylist():
        if row["class_id"] not in taxonomy.by_id:
            raise DataError("an imported crop has a class outside the taxonomy", where=f"crop {row['crop_id']}", found=row["class_id"])
        path = f"crops/{class_folder(taxonomy, row['class_id'])}/{sha256_json(row['crop_id'])[:16]}{Path(row['file_name']).suffix.lower()}"
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(row["image"])
        rows.append(
            {
                "crop_id": row["crop_id"],
                "path": path,
                "class_id": row["class_id"],
                "track_id": row["track_id"],
                "split": splits[f"crops:{row['track_id']}"],
                "origin": "imported",
                "margin": data.import_margin,
            }
        )
    return rows


def data_hash(truth_folder: Path) -> str:
    """Return the hash of what models are trained on: a tag of the trainings and of the versions they led to."""
    return sha256_json([sha256_file(truth_folder / name) for name in ("frames.parquet", "truth.parquet", "crops.parquet")])


def learnt_objects(truth_folder: Path, network: str) -> set[str]:
    """Name the physical objects that a network learns from, in eight letters each: a detector of training frames, a classifier of crops."""
    table, column, other = ("truth", "sign_id", "box_id") if network == "detector" else ("crops", "track_id", "crop_id")
    rows = tables.read(truth_folder / f"{table}.parquet", table).to_pylist()
    mine = [row for row in rows if row["split"] == "train" and row["class_id"] is not None and row.get("role", "positive") == "positive"]
    return {sha256_json(row[column] or row[other])[:8] for row in mine}


def test_version(truth_folder: Path) -> str:
    """Return the hash of what models are tested on: frames and boxes of the test split."""
    frames = tables.read(truth_folder / "frames.parquet", "truth_frames")
    truth = tables.read(truth_folder / "truth.parquet", "truth")
    rows = [[row["frame_id"], row["sha256"], row["complete"]] for row in frames.to_pylist() if row["split"] == "test"]
    boxes = [
        [row["box_id"], row["x1"], row["y1"], row["x2"], row["y2"], row["class_id"], row["role"]]
        for row in truth.to_pylist()
        if row["split"] == "test"
    ]
    return sha256_json([sorted(rows), sorted(boxes, key=lambda box: str(box[0]))])[:16]


def counts(frames: pa.Table) -> dict[str, int]:
    """Count labelled frames by split."""
    names, numbers = np.unique(np.array(frames.column("split").to_pylist(), dtype=str), return_counts=True)
    return {str(name): int(number) for name, number in zip(names, numbers, strict=True)}
