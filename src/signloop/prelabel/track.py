"""Scored boxes of successive frames in, one track per physical sign out, at 2 to 30 frames a second from a moving camera.

`motion` predicts where each sign will be, `associate` decides which box is whose: good boxes first, weak ones only for signs that are
left over (the idea of ByteTrack, Zhang et al. 2022). Here a sign begins, ends, and its gaps are bridged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from signloop.core.boxes import Boxes, area, clip
from signloop.core.errors import DataError
from signloop.core.params import Prelabel
from signloop.prelabel.associate import Ints, assign, strangers
from signloop.prelabel.motion import Floats, Motion, View


@dataclass(frozen=True, eq=False)
class Track:
    """The boxes of one physical sign, in order of time.

    Attributes:
        number: the sign's number in `Tracker.update`, unique in a recording.
        indices: frame indices, (boxes,), ascending.
        times_s: times of these frames, (boxes,).
        xyxy: corners in px, (boxes, 4).
        scores: of the detector, (boxes,); an interpolated box has the lower one of its neighbours.
        interpolated: (boxes,), True for a box that bridges a gap and that no detector saw; never the first or the last.
    """

    number: int
    indices: NDArray[np.int32]
    times_s: Floats
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    interpolated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.indices)


class Tracker:
    """Follows the physical signs of one recording, frame by frame; its memory grows with the boxes, not with the frames.

    Args:
        params: `start_score`, `keep_score`, `min_boxes`, `sure_score`, `max_gap_s` and `end_share` are used.
        width, height: of the frames, px.
    """

    def __init__(self, params: Prelabel, width: int, height: int) -> None:
        self._params, self._frame = params, np.array([width, height], np.float64)
        self._signs: list[_Sign] = []
        self._tracks: dict[int, Track] = {}
        self._last: tuple[int, float] = (-1, -np.inf)
        self._begun = 0

    @property
    def live(self) -> set[int]:
        """Numbers of the signs that may still get boxes."""
        return {sign.number for sign in self._signs}

    @property
    def kept(self) -> Mapping[int, Track]:
        """The signs that have ended and were not dropped as too short, by number."""
        return self._tracks

    def update(self, index: int, time_s: float, boxes: Boxes) -> Ints:
        """Take the boxes of the next frame that was looked at.

        Args:
            index: of the frame, larger than the one before.
            time_s: of the frame, larger than the one before; frames may be unevenly spaced.
            boxes: of the detector, in any order; none is fine.

        Returns:
            The number of the sign that each box belongs to, (boxes,); -1 for none.

        Raises:
            DataError: frames are not in order of index and time.
        """
        if index <= self._last[0] or not self._last[1] < time_s < np.inf:
            raise DataError("frames are out of order", where=f"frame {index} at {time_s} s", expected=f"after frame {self._last[0]}")
        self._last = (index, time_s)
        self._end([sign for sign in self._signs if sign.is_lost(time_s, self._params.max_gap_s)])
        for sign in self._signs:
            sign.motion.predict(time_s)
        view = View.of(boxes, self._frame)
        owner = np.full(len(boxes), -1, np.int64)
        strong = boxes.scores >= self._params.start_score
        weak = ~strong & (boxes.scores >= self._params.keep_score)
        for level in (strong, weak):
            free = [sign for sign in self._signs if sign.number not in owner]
            for i, box in assign([sign.motion for sign in free], view, np.flatnonzero(level)):
                free[i].motion.correct(view, box)
                owner[box] = free[i].number
        for box in strangers(boxes, strong, owner):
            self._signs.append(_Sign(self._begun, Motion.begin(time_s, view, box, self._frame[0])))
            owner[box] = self._begun
            self._begun += 1
        for sign in self._signs:
            sign.note(index, time_s, boxes, owner)
        return owner

    def finish(self) -> list[Track]:
        """End all signs and return those that are not too short, in order of their first frame."""
        self._end(self._signs)
        return sorted(self._tracks.values(), key=lambda track: (int(track.indices[0]), track.number))

    def _end(self, signs: Sequence["_Sign"]) -> None:
        gone = {sign.number for sign in signs}
        for sign in signs:
            best = max(look.score for look in sign.looks)
            if sign.hits >= self._params.min_boxes or best >= self._params.sure_score:
                self._tracks[sign.number] = _bridge(sign.number, _shown(sign.looks, self._params.end_share * best), self._frame)
        self._signs = [sign for sign in self._signs if sign.number not in gone]


class Stills:
    """Stands in for the tracker where frames have nothing to do with each other: every box of at least `start_score` is one sign."""

    live: frozenset[int] = frozenset()

    def __init__(self, params: Prelabel) -> None:
        self._params = params
        self.kept: dict[int, Track] = {}  # all signs so far, by number

    def update(self, index: int, time_s: float, boxes: Boxes) -> Ints:
        """Take the boxes of a still; returns the number of each box's sign, (boxes,), -1 for none."""
        owner = np.full(len(boxes), -1, np.int64)
        for i in np.flatnonzero(boxes.scores >= self._params.start_score):
            owner[i] = number = len(self.kept)
            self.kept[number] = Track(
                number,
                np.array([index], np.int32),
                np.array([time_s]),
                boxes.xyxy[i : i + 1],
                boxes.scores[i : i + 1],
                np.zeros(1, np.bool_),
            )
        return owner

    def finish(self) -> list[Track]:
        """Return all signs in the order in which they were seen."""
        return list(self.kept.values())


@dataclass(frozen=True, eq=False)
class _Look:
    """One frame in the life of a sign; without a box if it was not found there."""

    index: int
    time_s: float
    xyxy: Floats | None
    score: float


@dataclass(eq=False)
class _Sign:
    """A sign that is being followed.

    Attributes:
        number: of the sign.
        motion: where it is.
        looks: frames since its first box.
        hits, misses: boxes in all, and frames without one since the last.
    """

    number: int
    motion: Motion
    looks: list[_Look] = field(default_factory=list)
    hits: int = 0
    misses: int = 0

    def is_lost(self, time_s: float, max_gap_s: float) -> bool:
        """Tell whether the sign has ended: unseen for too long, or for more looks than it had boxes, which ends false flashes early."""
        return self.misses > self.hits or time_s - self.looks[-1 - self.misses].time_s > max_gap_s

    def note(self, index: int, time_s: float, boxes: Boxes, owner: Ints) -> None:
        """Remember the box of this frame, or that there was none."""
        mine = np.flatnonzero(owner == self.number)
        if len(mine):
            self.looks.append(_Look(index, time_s, boxes.xyxy[mine[0]].astype(np.float64), float(boxes.scores[mine[0]])))
            self.hits, self.misses = self.hits + 1, 0
        else:
            self.looks.append(_Look(index, time_s, None, 0.0))
            self.misses += 1


def _shown(looks: Sequence[_Look], least: float) -> Sequence[_Look]:
    """Cut off what lies before the first and behind the last look with a box of at least this score.

    Once a sign has left the frame, and before it can be seen, weak boxes on what is there instead seem to continue it. Inside, a weak
    box has the sign on both sides.
    """
    good = [k for k, look in enumerate(looks) if look.xyxy is not None and look.score >= least]
    return looks[good[0] : good[-1] + 1]


def _bridge(number: int, looks: Sequence[_Look], frame: Floats) -> Track:
    """Turn looks into a track: gaps are filled by the motion between their neighbours."""
    indices, times = np.array([look.index for look in looks], np.int32), np.array([look.time_s for look in looks])
    found = np.array([look.xyxy is not None for look in looks])
    boxes = np.stack([look.xyxy for look in looks if look.xyxy is not None])
    scores = np.array([look.score for look in looks], np.float32)
    q = 1 / np.sqrt(area(boxes))
    scaled = np.column_stack([(boxes - np.tile(frame / 2, 2)) * q[:, None], q])  # what changes linearly with time
    between = np.column_stack([np.interp(times, times[found], column) for column in scaled.T])
    xyxy = clip(between[:, :4] / between[:, 4:] + np.tile(frame / 2, 2), int(frame[0]), int(frame[1]))
    xyxy[found] = boxes
    at, holes = np.flatnonzero(found), np.flatnonzero(~found)
    after = np.searchsorted(at, holes)
    scores[holes] = np.minimum(scores[at[after - 1]], scores[at[after]])
    real = found | (area(xyxy) > 0)  # a bridge between two boxes outside the frame is none
    return Track(number, indices[real], times[real], xyxy[real], scores[real], ~found[real])
