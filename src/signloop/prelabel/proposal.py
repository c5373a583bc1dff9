"""Tracks and votes in, rows of the tables prelabel_boxes and prelabel_signs out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signloop.frames.video import Recording
from signloop.prelabel.named import Image, Opinions, Runtime
from signloop.prelabel.track import Track
from signloop.prelabel.vote import Vote

__all__ = ["Image", "Opinions", "Proposal", "Runtime", "box_rows", "to_proposal"]


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a model says about one recording.

    Attributes:
        boxes: rows of table prelabel_boxes.
        signs: rows of table prelabel_signs; each has at least one box.
    """

    boxes: list[dict[str, Any]]
    signs: list[dict[str, Any]]


def to_proposal(
    named: Sequence[tuple[Track, Vote]],
    contrary: Mapping[int, int],
    recording: Recording,
    runtime: Runtime,
) -> Proposal:
    """Number the signs in the order given and write their rows; in this version a person is asked about every sign.

    Args:
        named: the tracks, and what each shows.
        contrary: number of a track -> frame in which it seems to show something else.
        recording, runtime: whose they are.
    """
    boxes, signs = [], []
    for number, (track, result) in enumerate(named):
        sign_id = f"{recording.recording_id}/{runtime.model_id}/{number:04d}"
        boxes += box_rows(track, sign_id, recording.recording_id, runtime.model_id)
        ids = runtime.taxonomy.ids
        signs.append(
            {
                "sign_id": sign_id,
                "recording_id": recording.recording_id,
                "first_index": int(track.indices[0]),
                "last_index": int(track.indices[-1]),
                "n_boxes": len(track),
                "class_id": None if result.class_index is None else ids[result.class_index],
                "confidence": result.confidence,
                "margin": result.margin,
                "top_ids": [ids[i] for i in result.top_indices],
                "top_confidences": list(result.top_confidences),
                "contrary_index": contrary.get(track.number),
                "decision": "ask",
                "reason": "every sign is asked",
                "model_id": runtime.model_id,
            }
        )
    return Proposal(boxes, signs)


def box_rows(track: Track, sign_id: str, recording_id: str, model_id: str) -> list[dict[str, Any]]:
    """Return the rows of one sign's boxes."""
    rows = []
    for i, index in enumerate(track.indices.tolist()):
        x1, y1, x2, y2 = track.xyxy[i].tolist()
        rows.append(
            {
                "box_id": f"{sign_id}/{index:06d}",
                "frame_id": f"{recording_id}/{index:06d}",
                "sign_id": sign_id,
                "index": index,
                "time_s": float(track.times_s[i]),
                "x1": x1,
                "y1": y1,
                "x2": x2,
                "y2": y2,
                "score": float(track.scores[i]),
                "interpolated": bool(track.interpolated[i]),
                "model_id": model_id,
            }
        )
    return rows
