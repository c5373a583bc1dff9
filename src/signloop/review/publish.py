"""A corrected COCO file enters, a verified round leaves; also the one way by which any review becomes a round."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from signloop.core import tables
from signloop.core.boxes import clip
from signloop.core.errors import DataError
from signloop.core.files import read_json
from signloop.core.params import Data
from signloop.core.rounds import publish_round, read_rounds, round_folders
from signloop.core.taxonomy import Taxonomy
from signloop.formats.coco import Coco, CocoBox, read_coco
from signloop.formats.problems import Problems
from signloop.review import snapshot as snapshots
from signloop.review.desk import Desk
from signloop.review.log import Answer
from signloop.review.questions import Row, mark_published
from signloop.review.snapshot import Snapshot
from signloop.review.state import Given
from signloop.review.verdicts import CorrectedBox, compare


@dataclass(frozen=True)
class PublishReport:
    """What was published.

    Attributes:
        frames: frames that the person looked at.
        counts: boxes by verdict, seen ones only; every verdict is named.
        carried: boxes on frames that nobody saw, with the verdict on their sign.
        path: folder of the round; an older one if it holds the same verdicts.
    """

    frames: int
    counts: Mapping[str, int]
    carried: int
    path: Path

    def __str__(self) -> str:
        said = ", ".join(f"{number} {verdict}" for verdict, number in self.counts.items())
        return f"{self.path.name}: {self.frames} frames looked at; boxes: {said}; {self.carried} more carried over to frames not shown"


def publish_corrected(
    snapshot: Snapshot,
    corrected: Sequence[CorrectedBox],
    frame_ids: set[str],
    verified_folder: Path,
    data: Data,
    *,
    annotator: str,
    label: str,
    at: datetime,
    meta: Mapping[str, Any],
    seconds: float | None = None,
    signs: Collection[str] | None = None,
) -> PublishReport:
    """Compare with the snapshot and write the round; all frames looked at count as complete.

    With `signs`, only the verdicts on these predicted signs are written, and no frame is complete: nothing else was asked.

    Raises:
        DataError: as `compare` and `publish_round`.
    """
    boxes = compare(snapshot, corrected, frame_ids, annotator, at, seconds)
    if signs is not None:
        boxes = boxes.filter(pc.is_in(boxes["sign_id"], pa.array(sorted(signs), pa.string())))
    about = {"round": -1, "annotator": annotator, "complete": signs is None}
    frames = tables.from_rows("verified_frames", [{**about, "frame_id": frame_id} for frame_id in sorted(frame_ids)])
    path = publish_round(
        verified_folder,
        label=label,
        boxes=boxes,
        frames=frames,
        units=snapshot.units(frame_ids),
        val_share=data.val_share,
        test_share=data.test_share,
        meta={"snapshot_id": snapshot.snapshot_id, **meta},
    )
    counts = Counter(v for v, seen in zip(boxes["verdict"].to_pylist(), boxes["seen"].to_pylist(), strict=True) if seen)
    return PublishReport(len(frame_ids), {v: counts[v] for v in tables.VERDICTS}, boxes.num_rows - sum(counts.values()), path)


WORDS = {
    "accepted": "as proposed",
    "relabelled": "of another class",
    "moved": "corrected",
    "added": "drawn",
    "unsure": "to be ignored",
}  # verdicts for people


@dataclass(frozen=True)
class ReviewReport:
    """What of a review was published.

    Attributes:
        name: what the objects are called.
        signs: decided ones, `added` of them by a person.
        frames: frames that were searched; `complete` of them have all signs marked.
        counts: boxes by verdict, without those taken back.
        taken_back: boxes that an earlier publication of the review speaks of, and that have no answer now.
        path: folder of the round; an older one if it says the same.
    """

    name: str
    signs: int
    added: int
    frames: int
    complete: int
    counts: Mapping[str, int]
    taken_back: int
    path: Path

    def __str__(self) -> str:
        words = WORDS | {"rejected": f"no {self.name}"}
        said = ", ".join(f"{number} {words[verdict]}" for verdict, number in self.counts.items() if number)
        back = f", and {self.taken_back} taken back" if self.taken_back else ""
        drawn = f", {self.added} of them drawn" if self.added else ""
        searched = f"{self.frames} {'frame' if self.frames == 1 else 'frames'} searched, {self.complete} of them complete"
        searched += " (in the others something is open, or nobody can tell)" if self.complete < self.frames else ""
        return f"{self.path.name}: {self.signs} answered{drawn}; {searched}; boxes in all frames: {said or 'none'}{back}"


def publish_review(desk: Desk, verified_folder: Path, data: Data) -> ReviewReport:
    """Make a verified round of all that is decided in a review; what is open stays open.

    A sign's answer goes to each of its boxes; `seen` are those that were on the screen. Where the sign is was guessed and nobody saw the
    box, nothing is said: it becomes unsure, which teaches nothing. A searched frame is complete once every sign in
    it is decided; what older rounds know there is said again with it, for a complete frame replaces them. What an earlier publication
    said and the person has taken back since is taken back in the round, too. Planted signs and repeats are no labels.

    Args:
        desk: the review.
        verified_folder: gets the round.
        data: shares of the splits.

    Raises:
        DataError: nothing is decided yet.
    """
    with desk.at_rest():
        entries = len(desk.entries)
        signs = [item_id for item_id in desk.real() if desk.state.item(item_id).merged_into is None and desk.answers(item_id)]
        rows = [row for item_id in signs for given in desk.answers(item_id) for row in _sign_rows(desk, item_id, given)]
        rows += [row for item_id in signs for row in _dropped_rows(desk, item_id)]
        frames = [row for item_id, swept in desk.state.swept.items() for row in _frame_rows(desk, item_id, swept.complete)]
        said = {(row["box_id"], row["annotator"]) for row in rows}
        rows += [row for row in _known_rows(desk, frames) if (row["box_id"], row["annotator"]) not in said]
        boxes_back, frames_back = _taken_back(desk, verified_folder, rows, frames)
    counts, complete = Counter(row["verdict"] for row in rows), sum(row["complete"] for row in frames)
    searched = len(frames)
    rows, frames = [*rows, *boxes_back], [*frames, *frames_back]
    if not rows and not frames:
        raise DataError("nothing is decided in this review yet", where=desk.questions.folder)
    kinds = {recording_id: about["kind"] for recording_id, about in desk.questions.recordings.items()}
    spoken_of = {row["frame_id"] for row in rows} | {row["frame_id"] for row in frames}
    whose = {frame_id: frame_id.split("/")[0] for frame_id in spoken_of}
    people = sorted({row["annotator"] for row in [*rows, *frames]})
    path = publish_round(
        verified_folder,
        label=re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(people)).strip("-.")[:40],
        boxes=tables.from_rows("verified_boxes", rows),
        frames=tables.from_rows("verified_frames", frames),
        units={f if kinds[r] == "stills" else r: kinds[r] for f, r in whose.items()},
        val_share=data.val_share,
        test_share=data.test_share,
        meta={"source": "review", "review_id": desk.questions.review_id, "snapshot_id": desk.questions.review_id},
    )
    mark_published(desk.questions.folder, entries)
    added = sum(desk.state.item(item_id).added is not None for item_id in signs)
    said_of = {v: counts[v] for v in tables.VERDICTS}
    return ReviewReport(desk.taxonomy.object_name, len(signs), added, searched, complete, said_of, len(boxes_back), path)


def _taken_back(desk: Desk, verified_folder: Path, rows: Sequence[Row], frames: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return rows of boxes and of frames of which an earlier publication of this review speaks and this one says nothing.

    Without them the older verdict would stand. A box becomes `unsure`, which teaches nothing, and not `seen`, so that its sign is asked
    again; a frame is no longer complete. What others have said since stands, and so does what was only said again from older rounds.
    The same rows come of the round that holds them already.
    """
    about = {number: read_json(path / "round.json")["meta"] for number, path in round_folders(verified_folder).items()}
    own = {number for number, meta in about.items() if meta.get("review_id") == desk.questions.review_id}
    if not own:
        return [], []
    verified = read_rounds(verified_folder)
    said = {row["box_id"] for row in [*rows, *(row for of_frame in desk.questions.known.values() for row in of_frame)]}
    replaced = {row["frame_id"] for row in frames if row["complete"]}  # by what is said of them now
    open_now: Row = {"round": -1, "verdict": "unsure", "class_id": None, "seen": False, "seconds": None, "verified_at": datetime.now(UTC)}
    boxes: dict[str, Row] = {}
    for row in [*_of_rounds(verified.boxes, own), *_of_rounds(verified.disputed, own)]:
        if row["box_id"] not in said and row["frame_id"] not in replaced:
            boxes.setdefault(row["box_id"], {**row, **open_now})
    searched = {row["frame_id"] for row in frames}
    complete = set(verified.frames.filter(verified.frames["complete"])["frame_id"].to_pylist())
    whose = {row["frame_id"]: row["annotator"] for row in boxes.values() if row["frame_id"] in complete}
    whose |= {row["frame_id"]: row["annotator"] for row in _of_rounds(verified.frames, own)}
    incomplete = [{"round": -1, "frame_id": f, "annotator": who, "complete": False} for f, who in whose.items() if f not in searched]
    return list(boxes.values()), incomplete


def _of_rounds(table: pa.Table, numbers: set[int]) -> list[Row]:
    rows: list[Row] = table.filter(pc.is_in(table["round"], pa.array(sorted(numbers), pa.int32()))).to_pylist()
    return rows


def _sign_rows(desk: Desk, item_id: str, given: Given) -> list[dict[str, Any]]:
    question, item, boxes = desk.question(item_id), desk.state.item(item_id), desk.track(item_id)
    is_source = item_id in desk.questions.items
    sign_id = question.source_id if is_source else f"{question.recording_id}/{desk.questions.review_id}/{item_id}"
    model_id = desk.questions.shown(item.spans[0].source_id).model_id if item.spans else None
    seen = set(given.answer.seen) | {index for index, (_, is_seen) in item.placed.items() if is_seen}
    number = sum(int(index) in seen for index in boxes.indices)
    rows = []
    for k, index in enumerate(boxes.indices.tolist()):
        frame_id = f"{question.recording_id}/{index:06d}"
        x1, y1, x2, y2 = (float(v) for v in boxes.xyxy[k])
        is_own = not boxes.box_ids[k]
        verdict = _verdict(given.answer, question.class_id, is_own=is_own, is_moved=bool(boxes.moved[k]))
        if given.answer.verdict == "sign" and boxes.guessed[k] and index not in seen:
            verdict = "unsure"
        rows.append(
            {
                "round": -1,
                "box_id": f"{frame_id}/added/{item_id}" if is_own else boxes.box_ids[k],  # the same when it is corrected or disputed
                "annotator": given.annotator,
                "frame_id": frame_id,
                "sign_id": sign_id,
                "x1": x1,
                "y1": y1,
                "x2": x2,
                "y2": y2,
                "class_id": None if verdict == "unsure" else given.answer.class_id,
                "verdict": verdict,
                "seen": index in seen,
                "model_id": None if is_own else model_id,
                "seconds": given.seconds / number if index in seen else None,
                "verified_at": given.at,
            }
        )
    return rows


def _dropped_rows(desk: Desk, item_id: str) -> list[dict[str, Any]]:
    """Say of the boxes that were taken off a sign that nothing is there."""
    rows = []
    for dropped in desk.state.item(item_id).dropped:
        source = desk.questions.items[dropped.span.source_id]
        shown = desk.questions.shown(dropped.span.source_id)
        for k, index in enumerate(shown.indices.tolist()):
            if not dropped.span.holds(index):
                continue
            x1, y1, x2, y2 = (float(v) for v in shown.xyxy[k])
            rows.append(
                {
                    "round": -1,
                    "box_id": shown.box_ids[k],
                    "annotator": dropped.annotator,
                    "frame_id": f"{source.recording_id}/{index:06d}",
                    "sign_id": source.source_id,
                    "x1": x1,
                    "y1": y1,
                    "x2": x2,
                    "y2": y2,
                    "class_id": None,
                    "verdict": "rejected",
                    "seen": index in dropped.seen,
                    "model_id": shown.model_id,
                    "seconds": None,
                    "verified_at": dropped.at,
                }
            )
    return rows


def _verdict(answer: Answer, proposed: int | None, *, is_own: bool, is_moved: bool) -> str:
    if answer.verdict != "sign":
        return "rejected" if answer.verdict == "nothing" else "unsure"
    if is_own:
        return "added"
    if answer.class_id != proposed:
        return "relabelled"
    return "moved" if is_moved else "accepted"


def _frame_rows(desk: Desk, item_id: str, complete: Mapping[str, bool]) -> list[dict[str, Any]]:
    question = desk.questions.items[item_id]
    index = int(question.source_id.split("/")[1])
    decided = all(is_decided for *_, is_decided in desk.signs_in(question.recording_id, index))
    return [
        {"round": -1, "frame_id": question.source_id, "annotator": annotator, "complete": said and decided}
        for annotator, said in complete.items()
    ]


def _known_rows(desk: Desk, frames: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say again, in the name of who searched a frame and saw it there, what older rounds say of the complete ones."""
    return [
        {**known, "round": -1, "annotator": row["annotator"], "seen": True, "seconds": None}
        for row in frames
        if row["complete"]
        for known in desk.known_in(row["frame_id"].split("/")[0], int(row["frame_id"].split("/")[1]))
    ]


def publish_coco(file: Path, review_folder: Path, verified_folder: Path, taxonomy: Taxonomy, data: Data, annotator: str) -> PublishReport:
    """Make a verified round of a corrected export.

    The images that the file lists are the frames looked at: all signs in them are marked. Images taken out of the file stay open.
    Keys that tools drop (info, box_id) are found again by the images' names and by overlap.

    Args:
        file: the corrected annotations.json.
        review_folder: with the snapshots.
        verified_folder: gets the round.
        taxonomy: class names; "ignore" marks what is not to be learned from.
        data: shares of the splits.
        annotator: who corrected it; any text.

    Raises:
        DataError: the file is wrong (with its rows), comes from elsewhere, or names nothing.
    """
    coco = read_coco(file, taxonomy)
    names = {PurePosixPath(image.file_name.replace("\\", "/")).stem for image in coco.images}
    snapshot = snapshots.find(review_folder, coco.info.get("snapshot_id"), names)
    problems = Problems(file)
    frame_of = _frames_of(coco, snapshot, problems)
    corrected = [box for box in (_correct(b, frame_of, snapshot, problems) for b in coco.boxes) if box is not None]
    problems.raise_if_any("Correct the file; take images that were not exported out of it.")
    return publish_corrected(
        snapshot,
        corrected,
        set(frame_of.values()),
        verified_folder,
        data,
        annotator=annotator,
        at=datetime.now(UTC),
        label=re.sub(r"[^A-Za-z0-9._-]+", "-", annotator).strip("-.")[:40],
        meta={"source": "coco"},
    )


def _frames_of(coco: Coco, snapshot: Snapshot, problems: Problems) -> dict[int, str]:
    """Return image id -> frame_id; the name decides, whatever folder and suffix a tool gave it."""
    known = {snapshots.export_name(frame_id): frame_id for frame_id in snapshot.frame_rows}
    frame_of: dict[int, str] = {}
    for image in coco.images:
        row = f"image {image.id} ({image.file_name!r:.80})"
        frame_id = known.get(PurePosixPath(image.file_name.replace("\\", "/")).stem)
        if frame_id is None:
            problems.add(row, f"is not in the export {snapshot.snapshot_id}")
        elif frame_id in frame_of.values():
            problems.add(row, "is there twice")
        else:
            frame = snapshot.frame_rows[frame_id]
            found, expected = (image.width, image.height), (frame["width"], frame["height"])
            if any(f is not None and f != e for f, e in zip(found, expected, strict=True)):
                problems.add(row, f"is {found[0]}x{found[1]} here, but {expected[0]}x{expected[1]} was exported")
            frame_of[image.id] = frame_id
    return frame_of


def _correct(box: CocoBox, frame_of: Mapping[int, str], snapshot: Snapshot, problems: Problems) -> CorrectedBox | None:
    """Cut a box to its frame; None if it lies outside, which is noted."""
    frame_id = frame_of.get(box.image_id)
    if frame_id is None:
        return None  # its image is noted already
    frame = snapshot.frame_rows[frame_id]
    x1, y1, x2, y2 = (float(v) for v in clip(box.xyxy, frame["width"], frame["height"])[0])
    if x2 <= x1 or y2 <= y1:
        problems.add(box.row, "lies outside of its image")
        return None
    box_id = box.extra.get("box_id")
    return CorrectedBox(frame_id, (x1, y1, x2, y2), box.class_id, box_id if isinstance(box_id, str) else None)
