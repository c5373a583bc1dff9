"""Proposed boxes and a person's changes enter, the boxes of one sign as they are now leave: split, merged, corrected, carried on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signloop.core.boxes import clip
from signloop.review.questions import Questions, clearest, guessed
from signloop.review.state import Item

FADES_AFTER = 6  # boxes: beyond the last corrected frame, the correction has faded by then


@dataclass(frozen=True, eq=False)
class Track:
    """Boxes of one sign, ascending by frame.

    Attributes:
        indices: of the frames, (boxes,).
        times_s: of the frames, (boxes,); NaN for a frame in which only a person set a box.
        xyxy: px, (boxes, 4), inside the frame.
        scores: of the detector, (boxes,); 1 where only a person set a box.
        box_ids: id of the proposal; "" where only a person set a box.
        stored: whether the frame's picture is stored, (boxes,).
        moved: whether a person's correction changed the box, (boxes,).
        guessed: whether no person and hardly the detector says where the sign is, (boxes,): what bridges a gap, and what scores much
            lower than the sign's best box.
        size: width and height of the frames, px.
    """

    indices: NDArray[np.int64]
    times_s: NDArray[np.float64]
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    box_ids: tuple[str, ...]
    stored: NDArray[np.bool_]
    moved: NDArray[np.bool_]
    guessed: NDArray[np.bool_]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def clearest(self) -> int:
        """Position of the box that shows the sign best."""
        return clearest(self.xyxy, self.scores, self.guessed, self.stored, self.size)


def track(questions: Questions, item: Item) -> Track:
    """Return the boxes of a sign as they are now.

    Where two merged signs have a box in the same frame, that of the first one counts.

    Args:
        questions: the review.
        item: a sign that is not merged into another.
    """
    rows: dict[int, tuple[float, NDArray[np.float32], float, str, bool, bool]] = {}
    for span in reversed(item.spans):
        shown = questions.shown(span.source_id)
        for k in np.flatnonzero((shown.indices >= span.first) & (shown.indices < span.end)).tolist():
            index = int(shown.indices[k])
            flags = bool(shown.stored[k]), bool(shown.interpolated[k])
            rows[index] = (float(shown.times_s[k]), shown.xyxy[k], float(shown.scores[k]), shown.box_ids[k], *flags)
    recording_id = recording_of(questions, item)
    about = questions.recordings[recording_id]
    for index, (corners, _) in item.placed.items():
        if index not in rows:
            is_stored = questions.frame(f"{recording_id}/{index:06d}") is not None
            rows[index] = (float("nan"), np.array(corners, np.float32), 1.0, "", is_stored, False)
    order = sorted(rows)
    proposed = np.array([rows[i][1] for i in order], np.float32).reshape(-1, 4)
    indices = np.array(order, np.int64)
    carried = _carry(indices, proposed, {i: corners for i, (corners, _) in item.placed.items()})
    xyxy = clip(carried, about["width"], about["height"]).astype(np.float32)
    scores, interpolated = np.array([rows[i][2] for i in order], np.float32), np.array([rows[i][5] for i in order], bool)
    moved = np.abs(xyxy - proposed).max(axis=1, initial=0) > 0.5
    is_set = moved | np.isin(indices, list(item.placed))
    best = max((rows[i][2] for i in order if rows[i][3]), default=0.0)  # of what the models say
    return Track(
        indices,
        np.array([rows[i][0] for i in order], np.float64),
        xyxy,
        scores,
        tuple(rows[i][3] for i in order),
        np.array([rows[i][4] for i in order], bool),
        moved,
        guessed(scores, interpolated, best) & ~is_set,
        (about["width"], about["height"]),
    )


def recording_of(questions: Questions, item: Item) -> str:
    """Return the recording in which a sign lies."""
    return item.added[1] if item.added is not None else questions.items[item.spans[0].source_id].recording_id


def _carry(indices: NDArray[np.int64], proposed: NDArray[np.float32], fixed: Mapping[int, tuple[float, ...]]) -> NDArray[np.float32]:
    """Set corrected boxes and let those between them follow.

    A correction is the change of the corners in units of the box's sides. Between two corrected frames it goes over linearly from one
    to the other; beyond the last it fades out over `FADES_AFTER` boxes: the nearest frames share the model's mistake most.
    """
    at = np.flatnonzero(np.isin(indices, list(fixed)))
    if not len(at):
        return proposed
    sides = np.tile(proposed[:, 2:] - proposed[:, :2], 2)
    change = np.array([(np.array(fixed[int(indices[k])]) - proposed[k]) / sides[k] for k in at])
    places = np.arange(len(indices))
    carried = np.stack([np.interp(places, at, change[:, c]) for c in range(4)], axis=1)
    beyond = np.maximum(at[0] - places, 0) + np.maximum(places - at[-1], 0)
    carried *= np.clip(1 - beyond / FADES_AFTER, 0, 1)[:, None]
    result = proposed + carried * sides
    result[at] = [fixed[int(indices[k])] for k in at]
    broken = (result[:, 2:] - result[:, :2] < 1).any(axis=1)
    return np.where(broken[:, None], proposed, result).astype(np.float32)
