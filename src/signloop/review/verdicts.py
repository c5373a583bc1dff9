"""Proposals and the boxes that a person left after looking enter, one verdict per box leaves, also for frames that nobody saw."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from signloop.core import tables
from signloop.core.boxes import SAME_IOU, iou
from signloop.core.errors import DataError
from signloop.core.files import sha256_json
from signloop.review.questions import guessed
from signloop.review.snapshot import NO_PROPOSALS, Proposals, Snapshot

KEPT_IOU = 0.9  # under it, the person has moved the box
Corners = tuple[float, float, float, float]
Row = dict[str, Any]


@dataclass(frozen=True)
class CorrectedBox:
    """One box as the person left it.

    Attributes:
        frame_id: where it lies.
        xyxy: corners in px, inside the frame.
        class_id: None is an ignore region: something that is not to be learned from.
        box_id: of the proposal it came from, if the tool kept it.
        sign_id: of the physical sign, if known; used for added boxes only.
    """

    frame_id: str
    xyxy: Corners
    class_id: int | None
    box_id: str | None = None
    sign_id: str | None = None


def added_id(frame_id: str, xyxy: Corners, annotator: str) -> str:
    """Return the box_id of a box that a person drew."""
    return f"{frame_id}/added/{sha256_json([list(xyxy), annotator])[:12]}"


def match_pairs(overlaps: ArrayLike, least: float) -> list[tuple[int, int]]:
    """Pair rows with columns one to one, the largest overlap first; equal ones in the order of rows, then columns.

    Args:
        overlaps: (rows, columns).
        least: smaller overlaps are no pair.
    """
    values = np.asarray(overlaps, np.float64)
    pairs: list[tuple[int, int]] = []
    rows, columns = np.nonzero(values >= least)
    for k in np.argsort(-values[rows, columns], kind="stable"):
        i, j = int(rows[k]), int(columns[k])
        if all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


def _pair(proposals: Proposals, corrected: Sequence[CorrectedBox]) -> dict[int, int]:
    """Return corrected -> proposal by box_id (of several with one id the nearest), then by overlap."""
    overlaps = iou([c.xyxy for c in corrected], proposals.xyxy)
    place = {box_id: j for j, box_id in enumerate(proposals.box_ids)}
    named = np.zeros_like(overlaps)
    for i, box in enumerate(corrected):
        if box.box_id in place:
            named[i, place[box.box_id]] = 1 + overlaps[i, place[box.box_id]]
    pairs = dict(match_pairs(named, 1.0))
    rest = overlaps.copy()
    rest[list(pairs), :] = 0
    rest[:, list(pairs.values())] = 0
    return pairs | dict(match_pairs(rest, SAME_IOU))


def _row(frame_id: str, box_id: str, sign_id: str | None, xyxy: Sequence[float], class_id: int | None, verdict: str, seen: bool) -> Row:
    x1, y1, x2, y2 = (float(v) for v in xyxy)
    return {
        "frame_id": frame_id,
        "box_id": box_id,
        "sign_id": sign_id,
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "class_id": class_id,
        "verdict": verdict,
        "seen": seen,
    }


def _on_proposal(frame_id: str, proposals: Proposals, j: int, box: CorrectedBox | None) -> Row:
    """Judge one proposal by the box that the person left in its place; None: there is none."""
    box_id, sign_id, kept = proposals.box_ids[j], proposals.sign_ids[j], proposals.xyxy[j].tolist()
    if box is None:
        return _row(frame_id, box_id, sign_id, kept, None, "rejected", True)
    is_moved = float(iou(box.xyxy, kept)[0, 0]) < KEPT_IOU
    if box.class_id is None:
        verdict = "unsure"
    elif box.class_id != proposals.class_ids[j]:
        verdict = "relabelled"
    else:
        verdict = "moved" if is_moved else "accepted"
    return _row(frame_id, box_id, sign_id, box.xyxy if is_moved else kept, box.class_id, verdict, True)


def _frame_verdicts(frame_id: str, proposals: Proposals, corrected: Sequence[CorrectedBox], annotator: str) -> list[Row]:
    pairs = _pair(proposals, corrected)
    left = {j: corrected[i] for i, j in pairs.items()}
    rows = [_on_proposal(frame_id, proposals, j, left.get(j)) for j in range(len(proposals.box_ids))]
    for i, box in enumerate(corrected):
        if i not in pairs:
            rows.append(
                _row(
                    frame_id,
                    added_id(frame_id, box.xyxy, annotator),
                    box.sign_id,
                    box.xyxy,
                    box.class_id,
                    "unsure" if box.class_id is None else "added",
                    True,
                )
            )
    return rows


def _carried(snapshot: Snapshot, rows: Sequence[Row], frame_ids: set[str]) -> list[Row]:
    """Carry the verdict on a sign over to its boxes in frames that nobody saw, if all of its boxes seen agree and it was not guessed."""
    said: dict[str, set[tuple[str, int | None]]] = defaultdict(set)
    for row in rows:
        if row["sign_id"] in snapshot.class_of_sign:
            said[row["sign_id"]].add((row["verdict"] if row["verdict"] in ("rejected", "unsure") else "sign", row["class_id"]))
    agreed = {sign_id: next(iter(answers)) for sign_id, answers in said.items() if len(answers) == 1}
    carried = []
    best: dict[str, float] = defaultdict(float)
    sign_ids, scores = (snapshot.boxes[name].to_pylist() for name in ("sign_id", "score"))
    for sign_id, score in zip(sign_ids, scores, strict=True):
        best[sign_id] = max(best[sign_id], score)
    doubtful = guessed(scores, snapshot.boxes["interpolated"].to_pylist(), [best[sign_id] for sign_id in sign_ids]).tolist()
    columns = (snapshot.boxes[n].to_pylist() for n in ("frame_id", "box_id", "sign_id", "x1", "y1", "x2", "y2"))
    for is_guessed, frame_id, box_id, sign_id, *xyxy in zip(doubtful, *columns, strict=True):
        word, class_id = agreed.get(sign_id, ("unsure", None))
        if frame_id in frame_ids or word == "unsure" or (word == "sign" and is_guessed):
            continue
        verdict = word if word == "rejected" else "accepted" if class_id == snapshot.class_of_sign[sign_id] else "relabelled"
        carried.append(_row(frame_id, box_id, sign_id, xyxy, class_id, verdict, False))
    return carried


def compare(
    snapshot: Snapshot,
    corrected: Sequence[CorrectedBox],
    frame_ids: set[str],
    annotator: str,
    verified_at: datetime,
    seconds: float | None = None,
) -> pa.Table:
    """Work out what a person decided about each proposal.

    A proposal is accepted (class kept, IoU at least 0.9), moved (class kept, IoU less), relabelled (another class, moved or not),
    rejected (no box left in its place) or unsure (now an ignore region); a box that is no proposal's is added, or unsure.
    A box belongs to the proposal whose box_id it carries, otherwise to the free one that it overlaps most, from IoU 0.5 on.

    Args:
        snapshot: what the person was shown.
        corrected: what they left, on these frames only.
        frame_ids: frames that they looked at; frames without a box count.
        annotator: who.
        verified_at: with a time zone.
        seconds: for all of it; shared out equally over the boxes seen. None: not known.

    Returns:
        verified_boxes with round -1: a row for each proposal and each added box on `frame_ids` (seen), and for each box elsewhere
        of a sign on whose boxes all verdicts agree (not seen).

    Raises:
        DataError: a frame that is not in the snapshot, or a box on a frame that was not looked at.
    """
    strange = sorted(frame_ids - set(snapshot.frame_rows)) or sorted({c.frame_id for c in corrected} - frame_ids)
    if strange:
        raise DataError("boxes or frames that were not asked about", where=f"snapshot {snapshot.snapshot_id}", found=strange[:5])
    by_frame: Mapping[str, list[CorrectedBox]] = defaultdict(list)
    for box in corrected:
        by_frame[box.frame_id].append(box)
    rows: list[Row] = []
    for frame_id in sorted(frame_ids):
        rows += _frame_verdicts(frame_id, snapshot.proposals.get(frame_id, NO_PROPOSALS), by_frame.get(frame_id, []), annotator)
    share = None if seconds is None or not rows else seconds / len(rows)
    models = dict(zip(snapshot.signs["sign_id"].to_pylist(), snapshot.signs["model_id"].to_pylist(), strict=True))
    return tables.from_rows(
        "verified_boxes",
        [
            {
                **row,
                "round": -1,
                "annotator": annotator,
                "model_id": models.get(row["sign_id"]),
                "verified_at": verified_at,
                "seconds": share if row["seen"] else None,
            }
            for row in [*rows, *_carried(snapshot, rows, frame_ids)]
        ],
    )
