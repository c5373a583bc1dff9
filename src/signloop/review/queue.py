"""Predicted signs and what is verified enter, the questions to a person leave, the most useful first, each with its reason."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from signloop.core import tables
from signloop.core.files import sha256_json
from signloop.core.params import Queue
from signloop.core.rounds import Verified

CLOSE = 0.2  # a margin under this is called close in the reason


def _reason(sign: dict[str, Any]) -> str:
    if sign["class_id"] is None:
        return "the models see a sign but cannot name it"
    confidence = f"the models are {sign['confidence']:.0%} sure of the class"
    return confidence + (f", and the next one is close ({sign['margin']:.0%} behind)" if sign["margin"] < CLOSE else "")


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
                "reason": f"people disagree on {len(boxes)} of its boxes ({words})",
            }
        )
    return rows


def _frames_to_search(open_frames: dict[str, list[str]], share: float) -> list[dict[str, Any]]:
    """Put a share of the open frames of each recording forward: those with the smallest hashes, at least one."""
    chosen = [
        (recording_id, frame_id)
        for recording_id, frame_ids in sorted(open_frames.items())
        for frame_id in sorted(sorted(frame_ids, key=sha256_json)[: math.ceil(share * len(frame_ids))])
    ]
    return [
        {
            "queue_id": f"frame:{frame_id}",
            "kind": "frame",
            "sign_id": None,
            "frame_id": frame_id,
            "recording_id": recording_id,
            "reason": "signs that the models missed are looked for in some frames",
        }
        for recording_id, frame_id in chosen
    ]


def _by_recording(frame_ids: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for frame_id in sorted(frame_ids):
        found[frame_id.split("/")[0]].append(frame_id)
    return found


def build(signs: pa.Table, verified: Verified, queue: Queue, frames: pa.Table) -> pa.Table:
    """Ask about everything that nobody has looked at.

    Every predicted sign is asked, the most doubtful first: no class, then low confidence, then a small margin. It is answered once a
    frame between its first and its last was completely verified in any round, or every frame of its recording was. Before the signs
    come frames on which two people disagreed in one round, after them frames in which missed signs are looked for.

    Args:
        signs: prelabel_signs of all recordings; those of a recording without an extracted frame cannot be shown and are not asked.
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

    def is_open(sign: dict[str, Any]) -> bool:
        looked_at = seen.get(sign["recording_id"], [])
        return sign["recording_id"] in waiting and not any(sign["first_index"] <= index <= sign["last_index"] for index in looked_at)

    open_signs = [sign for sign in signs.to_pylist() if is_open(sign)]
    open_signs.sort(key=lambda s: (s["class_id"] is not None, s["confidence"], s["margin"], s["sign_id"]))
    rows = _conflicts(verified) + [
        {
            "queue_id": sign["sign_id"],
            "kind": "sign",
            "sign_id": sign["sign_id"],
            "frame_id": None,
            "recording_id": sign["recording_id"],
            "reason": _reason(sign),
        }
        for sign in open_signs
    ]
    rows += _frames_to_search(waiting, queue.frame_share)
    return tables.from_rows("queue", [{**row, "rank": rank} for rank, row in enumerate(rows, start=1)])
