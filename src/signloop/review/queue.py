"""Predicted signs and what is verified enter, the questions to a person leave, the most useful first, each with its reason."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from signloop.core import tables
from signloop.core.boxes import SAME_IOU, iou
from signloop.core.files import sha256_json
from signloop.core.params import Queue
from signloop.core.rounds import Verified

CLOSE = 0.2  # a margin under this is called close in the reason


def _reason(sign: dict[str, Any]) -> str:
    if sign["class_id"] is None:
        return "the models see a sign but cannot name it"
    confidence = f"the models are {sign['confidence']:.0%} sure of the class"
    return confidence + (", and nearly as sure of another one" if sign["margin"] < CLOSE else "")


def _conflicts(verified: Verified) -> list[dict[str, Any]]:
    """One question per frame on which two people disagree."""
    frames: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    columns = (verified.disputed[n].to_pylist() for n in ("frame_id", "box_id", "annotator", "verdict", "class_id"))
    for frame_id, box_id, annotator, verdict, class_id in zip(*columns, strict=True):
        frames[frame_id][box_id].add(f"{annotator}: {verdict}" + (f" as class {class_id}" if class_id is not None else ""))
    rows = []
    for frame_id, boxes in sorted(frames.items()):
        words = "; ".join(sorted(" / ".join(sorted(answers)) for answers in boxes.values())[:3])
        rows.append(
            {
                "queue_id": f"conflict:{frame_id}",
                "kind": "frame",
                "sign_id": None,
                "frame_id": frame_id,
                "recording_id": frame_id.split("/")[0],
                "class_id": None,
                "confidence": None,
                "reason": f"people disagree on {len(boxes)} of its boxes ({words})",
            }
        )
    return rows


def _frames_to_search(open_frames: Mapping[str, Sequence[str]], doubtful: Mapping[str, float], share: float) -> list[dict[str, Any]]:
    """Put a share of the open frames of each recording forward, at least one if the share is not 0.

    Every second one shows the least certain signs, for what is hard to see there was missed there; the others are those with the
    smallest hashes, a random audit that every frame has the same chance of.
    """
    rows = []
    for recording_id, frame_ids in sorted(open_frames.items()):
        wanted = math.ceil(share * len(frame_ids))
        drawn = sorted(frame_ids, key=sha256_json)
        hard = sorted((f for f in drawn if f in doubtful), key=lambda f: doubtful[f])[: wanted // 2]
        audit = [f for f in drawn if f not in hard][: wanted - len(hard)]
        for kind, chosen, reason in (
            ("frame", hard, "the models are least sure of what is here, and may have missed more"),
            ("audit", audit, "chosen at random, to find what the models miss"),
        ):
            rows += [
                {
                    "queue_id": f"frame:{frame_id}",
                    "kind": kind,
                    "sign_id": None,
                    "frame_id": frame_id,
                    "recording_id": recording_id,
                    "class_id": None,
                    "confidence": None,
                    "reason": reason,
                }
                for frame_id in sorted(chosen)
            ]
    return rows


def _doubtful(signs: Sequence[Mapping[str, Any]], open_frames: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the lowest confidence of a sign that is in each open frame; frames without a sign are left out."""
    found: dict[str, float] = {}
    for sign in signs:
        for frame_id in open_frames.get(sign["recording_id"], ()):
            if sign["first_index"] <= int(frame_id.split("/")[1]) <= sign["last_index"]:
                found[frame_id] = min(found.get(frame_id, 1.0), sign["confidence"])
    return found


def _by_recording(frame_ids: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for frame_id in sorted(frame_ids):
        found[frame_id.split("/")[0]].append(frame_id)
    return found


def _answered(boxes: pa.Table, verified: Verified) -> set[str]:
    """Return the signs of which a person saw a box, this one or another model's in the same place, and answered it."""
    said: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    columns = ("frame_id", "seen", "x1", "y1", "x2", "y2")
    for frame_id, seen, *xyxy in zip(*(verified.boxes[name].to_pylist() for name in columns), strict=True):
        if seen:
            said[frame_id].append(tuple(xyxy))
    asked: dict[str, list[tuple[str, tuple[float, ...]]]] = defaultdict(list)
    columns = ("frame_id", "sign_id", "x1", "y1", "x2", "y2")
    for frame_id, sign_id, *xyxy in zip(*(boxes[name].to_pylist() for name in columns), strict=True):
        if frame_id in said:
            asked[frame_id].append((sign_id, tuple(xyxy)))
    found: set[str] = set()
    for frame_id, rows in asked.items():
        overlaps = iou([xyxy for _, xyxy in rows], said[frame_id]).max(axis=1)
        found |= {sign_id for (sign_id, _), overlap in zip(rows, overlaps, strict=True) if overlap >= SAME_IOU}
    return found


def build(signs: pa.Table, boxes: pa.Table, verified: Verified, queue: Queue, frames: pa.Table) -> pa.Table:
    """Ask about everything that nobody has looked at.

    Every predicted sign is asked, the most doubtful first: no class, then low confidence, then a small margin. It is answered once a
    person saw a box in its place and nobody disputes the answer, a frame between its first and its last was completely verified, or
    every frame of its recording was. Before the signs come frames on which two people disagreed in one round, after them frames in
    which missed signs are looked for.

    Args:
        signs: prelabel_signs of all recordings; those of a recording without an extracted frame cannot be shown and are not asked.
        boxes: prelabel_boxes of the same recordings.
        verified: all rounds.
        queue: share of the frames that are put forward.
        frames: extracted frames.

    Returns:
        Table queue; rank 1 comes first. The same input in any order gives the same table.
    """
    columns = (verified.frames["frame_id"].to_pylist(), verified.frames["complete"].to_pylist())
    complete = {frame_id for frame_id, is_complete in zip(*columns, strict=True) if is_complete}
    seen = {recording_id: [int(f.split("/")[1]) for f in frame_ids] for recording_id, frame_ids in _by_recording(complete).items()}
    waiting = _by_recording(set(frames["frame_id"].to_pylist()) - complete)

    answered = _answered(boxes, verified)

    def is_open(sign: dict[str, Any]) -> bool:
        looked_at = seen.get(sign["recording_id"], [])
        if sign["recording_id"] not in waiting or sign["sign_id"] in answered:
            return False
        return not any(sign["first_index"] <= index <= sign["last_index"] for index in looked_at)

    open_signs = [sign for sign in signs.to_pylist() if is_open(sign)]
    open_signs.sort(key=lambda s: (s["class_id"] is not None, s["confidence"], s["margin"], s["sign_id"]))
    rows = _conflicts(verified) + [
        {
            "queue_id": sign["sign_id"],
            "kind": "sign",
            "sign_id": sign["sign_id"],
            "frame_id": None,
            "recording_id": sign["recording_id"],
            "class_id": sign["class_id"],
            "confidence": sign["confidence"],
            "reason": _reason(sign),
        }
        for sign in open_signs
    ]
    rows += _frames_to_search(waiting, _doubtful(open_signs, waiting) if queue.frame_share else {}, queue.frame_share)
    return tables.from_rows("queue", [{**row, "rank": rank} for rank, row in enumerate(rows, start=1)])
