"""The demo in a project: sizes and a seed enter, recordings with a verified round for some and a kept-apart truth for the others leave."""

import hashlib
import math
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from signloop.core import tables
from signloop.core.errors import DataError
from signloop.core.files import read_json, require_free_space, sha256_file, write_json
from signloop.core.params import Data
from signloop.core.rounds import publish_round, round_folders
from signloop.core.taxonomy import Taxonomy
from signloop.demo.plan import SIGNS_PER_RECORDING, plan, plan_test
from signloop.demo.record import Part, estimate, record, record_all, recording_id, scored_signs, start, truth
from signloop.demo.signs import CLASSES

__all__ = ["SIGNS_PER_RECORDING", "DemoReport", "draw", "draw_test", "estimate", "remove"]

LABEL = "demo-seed"
ANNOTATOR = "demo"
_VERIFIED_AT = datetime(2024, 1, 1, tzinfo=UTC)  # a fixed day, so that equal demos make equal rounds
_OURS = re.compile(r"demo-\d{3,}\.mp4|\.demo-\d{3,}\..*\.tmp\.mp4")


@dataclass(frozen=True)
class DemoReport:
    """What is there now.

    Attributes:
        recordings: all of them; `drawn` of them were drawn by this call, 0 if all was there.
        seeded, unlabelled: with published labels, and without.
        signs: physical signs that count on at least one frame, of all recordings.
        frames: of all recordings.
        truth: file with the truth of the unlabelled recordings.
        round: folder of the seeded ones' verified round; None without any.
    """

    recordings: int
    drawn: int
    seeded: int
    unlabelled: int
    signs: int
    frames: int
    truth: Path
    round: Path | None

    def __str__(self) -> str:
        return (
            f"{self.recordings} recordings, {self.drawn} of them drawn now: {self.signs} signs in {self.frames} frames; "
            f"{self.seeded} recordings are labelled, the truth of the other {self.unlabelled} is kept in {self.truth.name}"
        )


def draw(
    root: Path,
    taxonomy: Taxonomy,
    data: Data,
    *,
    seeded: int,
    unlabelled: int,
    seed: int = 0,
    signs_per_recording: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DemoReport:
    """Draw the demo into a project; again with the same arguments changes nothing, and an interrupted one goes on.

    Args:
        root: of the project.
        taxonomy: must hold the 43 German classes under their ids and names.
        data: shares of the splits.
        seeded: recordings whose labels are published as a verified round.
        unlabelled: recordings whose truth goes to data/demo-truth.json; the last one has no sign.
        seed: of everything random.
        signs_per_recording: physical signs of a recording on average, up to 12; None is 5.
        progress: called with recordings done and in all.

    Raises:
        DataError: another taxonomy, another demo is there, a file of the user has a demo recording's name, the disk is too small or full.
    """
    _check_taxonomy(taxonomy)
    density = SIGNS_PER_RECORDING if signs_per_recording is None else float(signs_per_recording)
    planned = plan(seeded, unlabelled, seed, density)
    folder, parts = root / "data" / "recordings", root / "data" / "demo-parts"
    if not parts.exists():
        _refuse_strangers([folder / f"{p.name}.mp4" for p in planned])
    missing = sum(not (parts / f"{p.name}.json").exists() for p in planned)
    require_free_space(root, estimate(missing)[0])
    start(parts, {"seeded": seeded, "unlabelled": unlabelled, "seed": seed, "signs_per_recording": density})
    found, drawn = record_all(planned, folder, parts, progress)
    kept_apart = root / "data" / "demo-truth.json"
    _write_if_new(kept_apart, truth(found[seeded:]))
    verified = _publish(root / "data" / "verified", found[:seeded], data) if seeded else None
    return DemoReport(
        len(found),
        drawn,
        seeded,
        unlabelled,
        sum(len(scored_signs(p)) for p in found),
        sum(p["frames"] for p in found),
        kept_apart,
        verified,
    )


def draw_test(folder: Path, *, signs: int, seed: int, progress: Callable[[int, int], None] | None = None) -> Path:
    """Draw fresh recordings demo-test-NNN.mp4 with truth.json beside them until at least `signs` physical signs count.

    They come from the same world as the unlabelled recordings of `draw`, but from random numbers that no `draw` uses. Again with the same
    arguments changes nothing.

    Args:
        folder: outside data/recordings; made if missing.
        signs: physical signs that count on at least one frame.
        seed: of everything random.
        progress: called with signs done and in all.

    Returns:
        The truth file.

    Raises:
        DataError: signs < 1, other test recordings are there, or the disk is too small.
    """
    if signs < 1 or seed < 0:
        raise DataError("the test needs signs", expected="signs >= 1, seed >= 0", found=f"signs {signs}, seed {seed}")
    parts = folder / ".demo-parts"
    if not parts.exists():
        _refuse_strangers([folder / "truth.json"])
    if not (folder / "truth.json").exists():
        require_free_space(folder, estimate(math.ceil(signs / SIGNS_PER_RECORDING))[0])
    start(parts, {"signs": signs, "seed": seed})
    found: list[Part] = []
    have = 0
    for planned in plan_test(seed):
        part, _ = record(planned, folder, parts)
        found.append(part)
        have += len(scored_signs(part))
        if progress is not None:
            progress(min(have, signs), signs)
        if have >= signs:
            break
    _write_if_new(folder / "truth.json", truth(found))
    return folder / "truth.json"


def remove(root: Path) -> list[Path]:
    """Take the demo out: its recordings, its truth, and rounds whose frames all belong to its recordings.

    Nothing else is touched: neither other recordings, whatever their names, nor rounds that also speak of other recordings.

    Returns:
        What was deleted, sorted; empty if there was nothing.

    Raises:
        DataError: a round cannot be read; then nothing was deleted.
    """
    folder, parts = root / "data" / "recordings", root / "data" / "demo-parts"
    drawn = {part["sha256"]: recording_id(part) for part in map(read_json, parts.glob("demo-*.json"))}
    named = [path for path in folder.iterdir() if path.is_file() and _OURS.fullmatch(path.name)] if folder.is_dir() else []
    videos = [path for path in named if path.name.startswith(".") or sha256_file(path) in drawn]
    ids = set(drawn.values())
    rounds = [path for path in sorted((root / "data" / "verified").glob("round_*")) if _only_of(path, ids)]
    known = [path for path in (root / "data" / "demo-truth.json", parts) if path.exists()]
    targets = [*rounds, *videos, *known]  # the parts last: by them what was left by a cut is found
    for path in targets:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return sorted(targets)


def _only_of(round_folder: Path, ids: set[str]) -> bool:
    """Tell whether a round speaks of nothing but these recordings."""
    if not (round_folder / "frames.parquet").exists() or (round_folder / "crops.parquet").exists():
        return False
    frame_ids = [
        name
        for table in ("frames", "boxes")
        for name in tables.read(round_folder / f"{table}.parquet", f"verified_{table}")["frame_id"].to_pylist()
    ]
    return bool(frame_ids) and {name.split("/")[0] for name in frame_ids} <= ids


def _check_taxonomy(taxonomy: Taxonomy) -> None:
    strange = [f"{k} {name}" for k, (name, _) in CLASSES.items() if k not in taxonomy.by_id or taxonomy.by_id[k].name != name]
    if strange:
        raise DataError(
            "the demo draws German road signs, and the taxonomy has other classes",
            where=f"taxonomy {taxonomy.name}",
            expected=f"class {strange[0]}" + (f" and {len(strange) - 1} others" if strange[1:] else ""),
            todo="Run `signloop params taxonomy=german`, or put recordings of your own into data/recordings.",
        )


def _refuse_strangers(paths: Sequence[Path]) -> None:
    there = [path.name for path in paths if path.exists()]
    if there:
        raise DataError(
            "files with the names of demo recordings are here already",
            where=paths[0].parent,
            found=there[:5],
            todo="Rename them, or move them elsewhere.",
        )


def _write_if_new(path: Path, value: dict[str, Any]) -> None:
    if not path.exists() or read_json(path) != value:
        write_json(path, value)


def _publish(verified: Path, parts: Sequence[Part], data: Data) -> Path:
    """Publish the labels once: a second time, they would come after what a person has corrected in them."""
    ids = {recording_id(part) for part in parts}
    for path in round_folders(verified).values():
        if path.name.endswith(f"-{LABEL}") and _only_of(path, ids):
            return path
    boxes = [row for part in parts for row in _box_rows(part)]
    frames = [
        {"round": -1, "frame_id": f"{recording_id(part)}/{k:06d}", "annotator": ANNOTATOR, "complete": True}
        for part in parts
        for k in range(part["frames"])
    ]
    box_table: pa.Table = tables.from_rows("verified_boxes", boxes)
    return publish_round(
        verified,
        label=LABEL,
        boxes=box_table,
        frames=tables.from_rows("verified_frames", frames),
        units={recording_id(part): "video" for part in parts},
        val_share=data.val_share,
        test_share=data.test_share,
        meta={"source": "demo"},
    )


def _box_rows(part: Part) -> list[dict[str, Any]]:
    """Turn a recording's truth into a person's verdicts: boxes added, regions to ignore unsure."""
    rows = []
    for box in part["boxes"]:
        x, y, w, h = box["bbox"]
        xyxy = [round(v, 2) for v in (x, y, x + w, y + h)]
        frame_id = f"{recording_id(part)}/{box['frame_index']:06d}"
        digest = hashlib.sha256(repr((xyxy, ANNOTATOR)).encode()).hexdigest()[:12]
        rows.append(
            {
                "round": -1,
                "box_id": f"{frame_id}/added/{digest}",
                "annotator": ANNOTATOR,
                "frame_id": frame_id,
                "sign_id": f"{recording_id(part)}/truth/{box['track_id']}",
                "x1": xyxy[0],
                "y1": xyxy[1],
                "x2": xyxy[2],
                "y2": xyxy[3],
                "class_id": None if box["iscrowd"] else box["class_id"],
                "verdict": "unsure" if box["iscrowd"] else "added",
                "seen": True,
                "model_id": None,
                "seconds": None,
                "verified_at": _VERIFIED_AT,
            }
        )
    return rows
