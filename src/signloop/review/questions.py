"""The queue and the prelabels it speaks of enter; what a person is asked, in an order that no `dvc repro` can disturb, leaves.

A review is a folder of its own: hard links to the tables (a stage that replaces a table leaves the old file to us), the planted
questions, and the log. Prelabels are read recording by recording when they are shown, so that a review of 100,000 signs opens as fast
as one of ten.
"""

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from signloop.core import tables
from signloop.core.boxes import clip
from signloop.core.errors import DataError
from signloop.core.files import atomic_folder, read_json, sha256_file, write_json
from signloop.core.rounds import Verified
from signloop.review.log import active, read
from signloop.review.plant import Planted, read_planted, write_planted
from signloop.review.snapshot import finished

GUESSED = 0.5  # of a sign's best score: under it, a box may lie on anything else
SURE = 0.7  # of a sign's best score: above it, the score no longer says how well a sign is seen, and its size does
EDGE_PX = 1.0  # from the edge of the frame; what comes nearer may be cut by it
RECORDINGS_HELD = 256  # whose boxes are in memory at a time
TABLES = ("recordings", "frames")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One sign, or one frame, that is asked about.

    Attributes:
        item_id: 16 hexadecimal digits that say nothing of the content.
        kind: sign; frame (to be searched); planted (a sign whose right answer is known); repeat (a sign asked a second time).
        source_id: the predicted sign, the frame, or the planted sign.
        recording_id: where it lies.
        class_id: what is proposed; None for a frame, and for a sign that the models cannot name.
        confidence: of the proposal, in [0, 1]; 1 for a frame.
        reason: why it is asked, in words.
        rank: place in the queue, from 1.
    """

    item_id: str
    kind: str
    source_id: str
    recording_id: str
    class_id: int | None
    confidence: float
    reason: str
    rank: int


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of one sign.

    Attributes:
        indices: of the frames with a box, (boxes,), ascending, 0-based in decode order.
        times_s: of these frames, (boxes,).
        xyxy: px of the frame, inside of it, (boxes, 4).
        scores: of the detector, (boxes,).
        interpolated: whether a box bridges a gap and no detector saw it, (boxes,).
        box_ids: (boxes,).
        stored: whether the frame's picture is there, (boxes,).
        classes: likeliest classes with their confidences, best first.
        model_id: who proposed it; None for a planted sign.
        contrary: index of the frame in which the models see something else than in the others; None if they agree.
        size: width and height of the frames, px.
    """

    indices: NDArray[np.int64]
    times_s: NDArray[np.float64]
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    interpolated: NDArray[np.bool_]
    box_ids: tuple[str, ...]
    stored: NDArray[np.bool_]
    classes: tuple[tuple[int, float], ...]
    model_id: str | None
    contrary: int | None
    size: tuple[int, int]

    @property
    def clearest(self) -> int:
        """Frame index of the box that shows the sign best."""
        doubtful = guessed(self.scores, self.interpolated, self.scores.max())
        return int(self.indices[clearest(self.xyxy, self.scores, doubtful, self.stored, self.size)])

    def at(self, index: int) -> NDArray[np.float32] | None:
        """Return the box in a frame, (4,) px; None if there is none."""
        place = np.flatnonzero(self.indices == index)
        return None if not len(place) else self.xyxy[int(place[0])]


def guessed(scores: ArrayLike, interpolated: ArrayLike, best: ArrayLike) -> NDArray[np.bool_]:
    """Tell of which boxes hardly anything says where the sign is: what bridges a gap, and what scores much lower than its best box.

    Args:
        scores: of the detector, (boxes,).
        interpolated: whether no detector saw the box, (boxes,).
        best: the best score of each box's sign, (boxes,), or of all of them.
    """
    return np.asarray(interpolated, np.bool_) | (np.asarray(scores, np.float32) < GUESSED * np.asarray(best, np.float32))


def clearest(
    xyxy: NDArray[np.float32], scores: NDArray[np.float32], doubtful: NDArray[np.bool_], stored: NDArray[np.bool_], size: tuple[int, int]
) -> int:
    """Return the position of the box that shows a sign best, the largest that is well scored.

    One whose picture is stored comes before any other, then one that is not guessed, then one that the frame's edge does not cut.

    Args:
        xyxy: px of the frame, inside of it, (boxes, 4).
        scores: of the detector, (boxes,).
        doubtful: whether where the sign is was guessed, (boxes,).
        stored: whether the frame's picture is there, (boxes,).
        size: width and height of the frames, px.
    """
    is_cut = (xyxy[:, :2] < EDGE_PX).any(axis=1) | (xyxy[:, 2:] > np.array(size) - EDGE_PX).any(axis=1)
    sides = np.sqrt(np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1)) * np.minimum(scores, SURE * scores.max())
    return int(np.lexsort((-sides, is_cut, doubtful, ~stored))[0])


def item_id_of(review_id: str, name: str) -> str:
    """Return the id under which something is asked in a review."""
    return sha256(f"{review_id}|{name}".encode()).hexdigest()[:16]


def review_id_of(queue: Path) -> str | None:
    """Return the name that the review of a queue has; None if there is no queue."""
    return sha256_file(queue)[:16] if queue.exists() else None


def begin(data_folder: Path, review_folder: Path, verified: Verified, planted: Sequence[Planted], repeat_share: float, seed: int) -> Path:
    """Make the folder of a review from the queue as it is now; the same queue again gives the same folder.

    Args:
        data_folder: with queue, prelabels and frames.
        review_folder: data/review; reviews/ is made in it.
        verified: all rounds; what they say of the frames to be searched is shown there.
        planted: signs with known answers to mix in.
        repeat_share: share of the signs that are asked twice, in [0, 1].
        seed: of the repeats.

    Raises:
        DataError: the queue is missing or empty, or speaks of prelabels that are gone.
    """
    path = data_folder / "queue" / "queue.parquet"
    queue = tables.read(path, "queue")
    if not queue.num_rows:
        raise DataError("nothing waits for a person", where=path, todo="Put recordings into data/recordings and run `dvc repro`.")
    review_id = review_id_of(path)
    folder = review_folder / "reviews" / str(review_id)
    if folder.exists():
        return folder
    keys = finished(data_folder / "prelabels")
    asked = sorted(set(queue.filter(pc.equal(queue["kind"], "sign"))["recording_id"].to_pylist()))
    lost = [recording_id for recording_id in asked if recording_id not in keys]
    if lost:
        raise DataError("the queue speaks of prelabels that are gone", where=path, found=lost[:5], todo="Run `dvc repro`.")
    with atomic_folder(folder) as temporary:
        _link(path, temporary / "queue.parquet")
        for name in TABLES:
            _link(data_folder / "frames" / f"{name}.parquet", temporary / f"{name}.parquet")
        for recording_id in asked:
            for part in ("boxes", "signs"):
                source = data_folder / "prelabels" / part / f"{keys[recording_id]}.parquet"
                _link(source, temporary / part / f"{recording_id}.parquet")
        searched = pa.array(queue["frame_id"].to_pylist(), pa.string())
        known = verified.boxes.filter(
            pc.and_(pc.is_in(verified.boxes["frame_id"], searched), pc.not_equal(verified.boxes["verdict"], "rejected"))
        )
        tables.write(temporary / "known.parquet", "verified_boxes", known)
        write_planted(temporary / "planted.json", planted)
        write_json(temporary / "review.json", {"review_id": review_id, "repeat_share": repeat_share, "seed": seed})
    return folder


def mark_published(folder: Path, entries: int) -> None:
    """Note that the first `entries` entries of a review's log are in a round; never fewer than were noted before."""
    write_json(folder / "published.json", {"entries": max(entries, published_entries(folder))})


def published_entries(folder: Path) -> int:
    """Return how many entries of a review's log were there when it was published last; 0 if it never was."""
    note = folder / "published.json"
    return int(read_json(note)["entries"]) if note.exists() else 0


def unpublished(review_folder: Path) -> list[Path]:
    """Return the reviews with decisions that are in no round yet, the one that was worked on last first.

    One in which all was taken back before it was published has nothing to publish, and nothing to wait for.
    """
    found = []
    for log in (review_folder / "reviews").glob("*/log.jsonl"):
        entries, published = read(log), published_entries(log.parent)
        if len(entries) > published and (published or active(entries)):
            found.append(log)
    return [log.parent for log in sorted(found, key=lambda path: -path.stat().st_mtime)]


def newest(review_folder: Path) -> Path:
    """Return the folder of the review in which something was decided last.

    Raises:
        DataError: there is none.
    """
    logs = sorted((review_folder / "reviews").glob("*/log.jsonl"), key=lambda path: path.stat().st_mtime)
    if not logs:
        raise DataError("nothing was reviewed yet", where=review_folder, todo="Run `signloop review`.")
    return logs[-1].parent


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that has no links
        shutil.copyfile(source, target)


class Questions:
    """An opened review.

    Attributes:
        review_id: 16 hexadecimal digits.
        folder: of the review.
        items: all that is asked by id, in the order of the queue.
        recordings: rows of table recordings by id.
        known: what older rounds say of the frames to be searched, rows of verified_boxes by frame_id; nothing that was rejected.
    """

    def __init__(self, folder: Path) -> None:
        """Open a review.

        Raises:
            DataError: a part of it is missing or damaged.
        """
        about = read_json(folder / "review.json")
        self.folder, self.review_id = folder, str(about["review_id"])
        self.recordings = {r["recording_id"]: r for r in tables.read(folder / "recordings.parquet", "recordings").to_pylist()}
        self.planted = read_planted(folder / "planted.json")
        frames = tables.read(folder / "frames.parquet", "frames")
        self.known: dict[str, list[Row]] = {}
        for row in tables.read(folder / "known.parquet", "verified_boxes").to_pylist():
            self.known.setdefault(row["frame_id"], []).append(row)
        self._frame_rows = dict(zip(frames["frame_id"].to_pylist(), range(frames.num_rows), strict=True))
        self._frames = frames
        self.items = self._ask(tables.read(folder / "queue.parquet", "queue"), float(about["repeat_share"]), int(about["seed"]))
        self.shown_of_recording = lru_cache(maxsize=RECORDINGS_HELD)(self._read_recording)

    def frame(self, frame_id: str) -> Row | None:
        """Return the row of a stored frame; None if it is not stored."""
        at = self._frame_rows.get(frame_id)
        return None if at is None else dict(self._frames.slice(at, 1).to_pylist()[0])

    def frames_of(self, recording_id: str) -> list[int]:
        """Return the indices of the stored frames of a recording, ascending."""
        return self._indices().get(recording_id, [])

    def shown(self, item_id: str) -> Shown:
        """Return the boxes of a sign as the models proposed them.

        Raises:
            DataError: its table is damaged.
        """
        question = self.items[item_id]
        if question.kind == "planted":
            return self._planted(question.source_id)
        return self.shown_of_recording(question.recording_id)[question.source_id]

    def _ask(self, queue: pa.Table, repeat_share: float, seed: int) -> dict[str, Question]:
        columns = ("queue_id", "kind", "sign_id", "frame_id", "recording_id", "class_id", "confidence", "reason", "rank")
        rows = sorted(zip(*(queue[name].to_pylist() for name in columns), strict=True), key=lambda row: int(row[-1]))
        items: dict[str, Question] = {}
        chance = np.random.default_rng(seed).random(len(rows))
        for (queue_id, kind, sign_id, frame_id, recording_id, class_id, confidence, reason, rank), draw in zip(rows, chance, strict=True):
            kind_here, source = ("sign", sign_id) if kind == "sign" else ("frame", frame_id)
            if kind_here == "frame" and source not in self._frame_rows:
                continue  # it was stored once, and cannot be shown now
            item_id = item_id_of(self.review_id, queue_id)
            sure = 1.0 if confidence is None else confidence
            items[item_id] = Question(item_id, kind_here, source, recording_id, class_id, sure, reason, rank)
            if kind_here == "sign" and draw < repeat_share:
                again = item_id_of(self.review_id, f"repeat:{queue_id}")
                later = rank + math.ceil(draw / repeat_share * (len(rows) - rank))  # anywhere behind its first time
                items[again] = Question(again, "repeat", source, recording_id, class_id, sure, reason, later)
        for sign in self.planted.values():
            item_id = item_id_of(self.review_id, sign.planted_id)
            items[item_id] = Question(
                item_id, "planted", sign.planted_id, sign.recording_id, sign.class_id, sign.confidence, sign.reason, sign.rank
            )
        in_order = sorted(items.values(), key=lambda question: (question.rank, question.item_id))  # all kinds mixed
        return {question.item_id: question for question in in_order}

    def _indices(self) -> Mapping[str, list[int]]:
        if not hasattr(self, "_indices_of"):
            found: dict[str, list[int]] = {}
            for recording_id, index in zip(self._frames["recording_id"].to_pylist(), self._frames["index"].to_pylist(), strict=True):
                found.setdefault(recording_id, []).append(index)
            self._indices_of = {recording_id: sorted(indices) for recording_id, indices in found.items()}
        return self._indices_of

    def _read_recording(self, recording_id: str) -> dict[str, Shown]:
        boxes = tables.read(self.folder / "boxes" / f"{recording_id}.parquet", "prelabel_boxes").sort_by(
            [("sign_id", "ascending"), ("index", "ascending")]
        )
        path = self.folder / "signs" / f"{recording_id}.parquet"
        signs = tables.read(path, "prelabel_signs", older=True).to_pylist()  # the answers to them must not be lost
        about = self.recordings[recording_id]
        corners = np.column_stack([boxes[c].to_numpy() for c in ("x1", "y1", "x2", "y2")]).astype(np.float32).reshape(-1, 4)
        inside = clip(corners, about["width"], about["height"]).astype(np.float32)
        names = np.array(boxes["sign_id"].to_pylist(), dtype=object)
        stored = np.array([frame_id in self._frame_rows for frame_id in boxes["frame_id"].to_pylist()], bool)
        box_ids, interpolated = boxes["box_id"].to_pylist(), np.array(boxes["interpolated"].to_pylist(), bool)
        indices, times_s, scores = boxes["index"].to_numpy().astype(np.int64), boxes["time_s"].to_numpy(), boxes["score"].to_numpy()
        found = {}
        for sign in signs:
            at = slice(np.searchsorted(names, sign["sign_id"]), np.searchsorted(names, sign["sign_id"], "right"))
            found[sign["sign_id"]] = Shown(
                indices[at],
                times_s[at],
                inside[at],
                scores[at],
                interpolated[at],
                tuple(box_ids[at]),
                stored[at],
                tuple(zip(sign["top_ids"], sign["top_confidences"], strict=True)),
                sign["model_id"],
                sign["contrary_index"],
                (about["width"], about["height"]),
            )
        return found

    def _planted(self, planted_id: str) -> Shown:
        sign = self.planted[planted_id]
        about = self.recordings[sign.recording_id]
        return Shown(
            np.array([box.index for box in sign.boxes], np.int64),
            np.array([box.time_s for box in sign.boxes], np.float64),
            np.array([box.xyxy for box in sign.boxes], np.float32),
            np.full(len(sign.boxes), sign.confidence, np.float32),
            np.zeros(len(sign.boxes), np.bool_),
            tuple(f"{planted_id}/{box.index:06d}" for box in sign.boxes),
            np.array([f"{sign.recording_id}/{box.index:06d}" in self._frame_rows for box in sign.boxes], bool),
            sign.classes,
            None,
            None,
            (about["width"], about["height"]),
        )
