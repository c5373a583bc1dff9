"""Prelabels and frames of some recordings enter, an immutable copy leaves: what a person is shown, whatever `dvc repro` does meanwhile."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from signloop.core import tables
from signloop.core.boxes import clip
from signloop.core.errors import DataError
from signloop.core.files import atomic_folder, read_json, sha256_file, sha256_json, write_json

_ID = re.compile(r"[0-9a-f]{16}")
_REPRO = "Run `dvc repro`."


@dataclass(frozen=True, eq=False)
class Proposals:
    """What the models say of one frame, in the order of box_id.

    Attributes:
        box_ids, sign_ids: (boxes,).
        class_ids: (boxes,), the class of the sign; None if the models know none.
        xyxy: corners in px, (boxes, 4), float32, inside the frame.
        scores: (boxes,).
    """

    box_ids: tuple[str, ...]
    sign_ids: tuple[str, ...]
    class_ids: tuple[int | None, ...]
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]


NO_PROPOSALS = Proposals((), (), (), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Proposals as they were when a person was asked.

    Attributes:
        snapshot_id: hash of the content, 16 hex.
        boxes, signs, frames: prelabel_boxes, prelabel_signs and frames of these recordings.
        recordings: recording_id -> {"name", "kind"}.
    """

    snapshot_id: str
    boxes: pa.Table
    signs: pa.Table
    frames: pa.Table
    recordings: dict[str, dict[str, str]]

    @cached_property
    def frame_rows(self) -> dict[str, dict[str, Any]]:
        """Rows of `frames` by frame_id, in its order."""
        return {row["frame_id"]: row for row in self.frames.to_pylist()}

    @cached_property
    def class_of_sign(self) -> dict[str, int | None]:
        """Class by sign_id."""
        return dict(zip(self.signs["sign_id"].to_pylist(), self.signs["class_id"].to_pylist(), strict=True))

    @cached_property
    def proposals(self) -> dict[str, Proposals]:
        """Proposals of the extracted frames that have some, by frame_id, cut to the frame; a box outside of it is kept as it is."""
        ordered = self.boxes.sort_by([("frame_id", "ascending"), ("box_id", "ascending")])
        frame_ids = ordered["frame_id"].to_pylist()
        corners = np.column_stack([ordered[c].to_numpy() for c in ("x1", "y1", "x2", "y2")]).astype(np.float32)
        boxes, signs, scores = ordered["box_id"].to_pylist(), ordered["sign_id"].to_pylist(), ordered["score"].to_numpy()
        starts = [i for i, f in enumerate(frame_ids) if i == 0 or frame_ids[i - 1] != f]
        result = {}
        for start, end in zip(starts, [*starts[1:], len(frame_ids)], strict=True):
            row = self.frame_rows.get(frame_ids[start])
            if row is not None:
                inside = clip(corners[start:end], row["width"], row["height"])
                kept = np.where((inside[:, 2:] > inside[:, :2]).all(axis=1, keepdims=True), inside, corners[start:end])
                classes = tuple(self.class_of_sign.get(s) for s in signs[start:end])
                result[row["frame_id"]] = Proposals(tuple(boxes[start:end]), tuple(signs[start:end]), classes, kept, scores[start:end])
        return result

    def units(self, frame_ids: set[str]) -> dict[str, str]:
        """Return the split units (unit_id -> kind) that frames belong to: a still itself, otherwise its recording."""
        units = {}
        for frame_id in frame_ids:
            recording_id = frame_id.split("/")[0]
            kind = self.recordings[recording_id]["kind"]
            units[frame_id if kind == "stills" else recording_id] = kind
        return units


def finished(prelabels_folder: Path) -> dict[str, str]:
    """Return recording_id -> key of the recordings whose prelabels are finished: whose signs are written.

    Raises:
        DataError: a recording has prelabels of two models.
    """
    keys: dict[str, str] = {}
    folder = prelabels_folder / "signs"
    for path in sorted(folder.glob("*.parquet")) if folder.is_dir() else []:
        recording_id = path.stem.split("-")[0]
        if path.name.startswith("."):
            continue
        if recording_id in keys:
            raise DataError(
                "a recording has two results in the prelabels", where=folder, found=f"{keys[recording_id]} and {path.stem}", todo=_REPRO
            )
        keys[recording_id] = path.stem
    return keys


def read_prelabels(prelabels_folder: Path, keys: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """Read boxes and signs of finished recordings, together."""
    boxes = [tables.read(prelabels_folder / "boxes" / f"{key}.parquet", "prelabel_boxes") for key in keys]
    signs = [tables.read(prelabels_folder / "signs" / f"{key}.parquet", "prelabel_signs") for key in keys]
    return pa.concat_tables([tables.empty("prelabel_boxes"), *boxes]), pa.concat_tables([tables.empty("prelabel_signs"), *signs])


def take(prelabels_folder: Path, frames_folder: Path, review_folder: Path, recording_ids: Sequence[str] | None) -> Path:
    """Copy the prelabels of some recordings into `review/snapshots/<id>`; the same content again gives the same folder.

    Args:
        prelabels_folder: boxes/ and signs/, one file a recording.
        frames_folder: with recordings.parquet and frames.parquet.
        review_folder: snapshots/ is made in it.
        recording_ids: None takes all that have prelabels and frames.

    Raises:
        DataError: a recording has no prelabels or no frames, or there is none at all.
    """
    keys = finished(prelabels_folder)
    known = {row["recording_id"]: row for row in tables.read(frames_folder / "recordings.parquet", "recordings").to_pylist()}
    wanted = sorted(set(keys) & set(known) if recording_ids is None else set(recording_ids))
    missing = [r for r in wanted if r not in keys or r not in known]
    if missing or not wanted:
        raise DataError(
            "there are no prelabels to review",
            where=prelabels_folder,
            todo=_REPRO,
            found=[known[r]["name"] if r in known else r for r in missing[:5]] or None,
        )
    frames = tables.read(frames_folder / "frames.parquet", "frames")
    frames = frames.filter(pc.is_in(frames["recording_id"], pa.array(wanted, pa.string())))
    recordings = {r: {"name": known[r]["name"], "kind": known[r]["kind"]} for r in wanted}
    content = [[part, keys[r], sha256_file(prelabels_folder / part / f"{keys[r]}.parquet")] for r in wanted for part in ("boxes", "signs")]
    rows = frames.select(["frame_id", "width", "height", "sha256"]).sort_by("frame_id").to_pydict()
    snapshot_id = sha256_json([content, rows, recordings])[:16]
    folder = review_folder / "snapshots" / snapshot_id
    if folder.exists():
        return folder
    boxes, signs = read_prelabels(prelabels_folder, [keys[r] for r in wanted])
    with atomic_folder(folder) as temporary:
        tables.write(temporary / "boxes.parquet", "prelabel_boxes", boxes)
        tables.write(temporary / "signs.parquet", "prelabel_signs", signs)
        tables.write(temporary / "frames.parquet", "frames", frames)
        write_json(temporary / "snapshot.json", {"snapshot_id": snapshot_id, "recordings": recordings})
    return folder


def load(folder: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        DataError: it is missing or damaged.
    """
    about = read_json(folder / "snapshot.json")
    boxes, signs = (tables.read(folder / f"{part}.parquet", f"prelabel_{part}") for part in ("boxes", "signs"))
    return Snapshot(about["snapshot_id"], boxes, signs, tables.read(folder / "frames.parquet", "frames"), about["recordings"])


def find(review_folder: Path, snapshot_id: object, frame_names: set[str]) -> Snapshot:
    """Find the snapshot that a corrected file was exported from.

    Args:
        review_folder: with snapshots/.
        snapshot_id: as the file says; None if the tool dropped it: then it is the one snapshot with all of the frames.
        frame_names: names under which frames were exported (`export_name` without suffix).

    Raises:
        DataError: there is none, or more than one without an id.
    """
    folder = review_folder / "snapshots"
    if snapshot_id is not None:
        if not isinstance(snapshot_id, str) or not _ID.fullmatch(snapshot_id) or not (folder / snapshot_id).is_dir():
            raise DataError(
                "the snapshot of this export is not here",
                where=folder,
                found=repr(snapshot_id)[:60],
                todo="Publish in the project that the file was exported from.",
            )
        return load(folder / snapshot_id)
    known = [load(path) for path in sorted(folder.glob("*")) if _ID.fullmatch(path.name)] if folder.is_dir() else []
    fitting = [s for s in known if frame_names and frame_names <= {export_name(f) for f in s.frames["frame_id"].to_pylist()}]
    if len(fitting) != 1:
        raise DataError(
            "the file does not say which export it comes from",
            where=folder,
            expected='"info": {"snapshot_id": ...}',
            found=f"{len(fitting)} snapshots with its images",
            todo="Copy the info of the exported annotations.json into it.",
        )
    return fitting[0]


def export_name(frame_id: str) -> str:
    """Return the name, without suffix, of a frame's image in an export."""
    return frame_id.replace("/", "_")
