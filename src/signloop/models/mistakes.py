"""A trained detector and completely verified frames in; crops of what it takes for an object where none is, which teach the classifier."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.boxes import CORNERS, Boxes, inside_share, iou
from signloop.core.params import Data
from signloop.core.taxonomy import Taxonomy
from signloop.frames.images import read_image
from signloop.frames.truth import save_crop

Progress = Callable[[str, int, int], None]
FRAMES = 8  # of one recording: more of them show the same things again
TOUCHES = 0.3  # overlap (IoU) with a labelled box from which on a box is a loose or double find, and no mistake
HIDDEN = 0.5  # a box of which this share lies in an ignored region says nothing


def save_mistakes(
    find: Callable[[NDArray[np.uint8]], Boxes], truth: Path, out: Path, data: Data, taxonomy: Taxonomy, progress: Progress
) -> int:
    """Save, for completely verified training and validation frames, the best scored boxes that lie on no object.

    A place drawn at random is hardly ever like an object; what the detector itself proposes is (hard negatives, Sung & Poggio 1998).
    On frames that it learnt from its scores for them are low, but their order still tells what resembles an object the most.

    Args:
        find: the boxes of a uint8 (H, W, 3) RGB frame, px.
        truth: data/truth.
        out: gets `crops.parquet` (table `crops`, no class, origin "mistake") and the crops.
        data: `mistakes_per_frame`, `min_side_px` and `crop_margin` are used; 0 mistakes a frame give an empty table.
        taxonomy: for the names of folders.
        progress: called with a word, frames done and in all.

    Returns:
        How many crops were saved.

    Raises:
        DataError: a crop cannot be written.
    """
    frames = _searched(tables.read(truth / "frames.parquet", "truth_frames")) if data.mistakes_per_frame else []
    known: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in tables.read(truth / "truth.parquet", "truth").to_pylist():
        if row["role"] != "negative":
            known[row["frame_id"]].append(row)
    crops = []
    for number, frame in enumerate(frames, start=1):
        image = read_image(truth / frame["path"])
        for n, corners in enumerate(wrong(find(image), known[frame["frame_id"]], data)):
            name = f"{frame['frame_id']}/mistake/{n}"
            box = {**dict(zip(CORNERS, corners, strict=True)), "box_id": name, "sign_id": name, "role": "negative", "origin": "mistake"}
            crops.append(save_crop(image, box, frame["split"], out, data, taxonomy))
        progress("frames for mistakes", number, len(frames))
    tables.write(out / "crops.parquet", "crops", tables.from_rows("crops", crops))
    return len(crops)


def wrong(found: Boxes, known: list[dict[str, Any]], data: Data) -> list[list[float]]:
    """Return the corners of the best scored boxes that lie on nothing labelled, at most `data.mistakes_per_frame`, best first.

    Args:
        found: of one frame, in any order.
        known: its rows of table `truth` that are positive or ignored.
        data: a box whose longer side is under `min_side_px` is left out.
    """
    corners = {
        role: np.array([[row[c] for c in CORNERS] for row in known if row["role"] == role], np.float32).reshape(-1, 4)
        for role in ("positive", "ignore")
    }
    touched = iou(found.xyxy, np.concatenate(list(corners.values()))).max(axis=1, initial=0)
    hidden = inside_share(found.xyxy, corners["ignore"]).max(axis=1, initial=0)
    large = (found.xyxy[:, 2:] - found.xyxy[:, :2]).max(axis=1, initial=0) >= data.min_side_px
    order = np.argsort(-found.scores, kind="stable")
    chosen = order[((touched < TOUCHES) & (hidden < HIDDEN) & large)[order]][: data.mistakes_per_frame]
    return [[float(v) for v in found.xyxy[i]] for i in chosen]


def _searched(frames: pa.Table) -> list[dict[str, Any]]:
    """Choose the completely verified frames of training and validation: all stills, `FRAMES` of a recording, evenly over its time."""
    of_unit: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(frames.to_pylist(), key=lambda row: str(row["frame_id"])):
        if row["complete"] and row["split"] != "test":
            of_unit[row["frame_id" if row["kind"] == "stills" else "recording_id"]].append(row)
    return [
        unit[i] for unit in of_unit.values() for i in np.unique(np.linspace(0, len(unit) - 1, min(FRAMES, len(unit))).round().astype(int))
    ]
