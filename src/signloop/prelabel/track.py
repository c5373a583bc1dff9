"""Scored boxes of successive frames in, one track per physical sign out, at 2 to 30 frames a second from a moving camera.

Approach a sign at a steady speed, and its inverse size q = 1 / size falls linearly with time, while its centre moves away from the
point the camera drives towards, so that u = (centre - that point) / size stays the same. If the point is assumed in the wrong place
(here it is always the middle of the frame), or the camera turns, u drifts, again linearly in time. So in the coordinates (u, q) all
of these are motions of constant velocity, however sparse the frames: one linear Kalman filter per sign (1960) predicts them, and its
uncertainty says how far off a box may be. Boxes go to signs by an optimal assignment (Kuhn 1955), good boxes first, weak ones only to
signs that are left over (the idea of ByteTrack, Zhang et al. 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from signloop.core.boxes import Boxes, area, clip, intersection
from signloop.core.errors import DataError
from signloop.core.params import Prelabel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What is known of cameras in cars and of detectors; every value is a standard deviation and may be wrong by half without much harm.
CENTRE_NOISE = 0.07  # of a detected centre, in sizes
SIZE_NOISE = 0.09  # of a detected size, relative
CUT_NOISE = 3.0  # factor on both for a box at the border of the frame, which may show a part of the sign only
SHAPE_NOISE = 0.4  # of the logarithm of width / height
SHAKE = 0.004  # of the camera from frame to frame, in frame widths
DRIFT = 0.05  # of the picture because the camera turns or is tilted, in frame widths a second
TURNING = 0.1  # change of that drift within a second, in frame widths a second
CLOSING = 0.35  # 1 / (time until the camera passes a new sign), 1/s: mean and deviation
BRAKING = 0.5  # change of that rate within a second, 1/s
# Decisions.
GATE = 25.0  # squared distance, in deviations over the four numbers of a box, up to which a box may be the sign's
FASTEST = 0.25  # a sign does not grow to more than 1 / this of its size between two looks
SAME = 0.4  # a box of which this share lies in a taken box, or the other way round, begins no sign of its own
BORDER_PX = 2.0
SMALLEST_PX = 1.0  # smaller boxes count as this large; keeps 1 / size finite
IMPOSSIBLE = 1e9


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
        params: `start_score`, `keep_score`, `min_boxes`, `sure_score` and `max_gap_s` are used.
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
    def kept(self) -> set[int]:
        """Numbers of the signs that have ended and were not dropped as too short."""
        return set(self._tracks)

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
            sign.predict(time_s, self._frame[0])
        view = _View.of(boxes, self._frame)
        owner = np.full(len(boxes), -1, np.int64)
        strong = boxes.scores >= self._params.start_score
        weak = ~strong & (boxes.scores >= self._params.keep_score)
        for level in (strong, weak):
            for sign, box in _assign([sign for sign in self._signs if sign.number not in owner], view, np.flatnonzero(level)):
                sign.correct(view, box)
                owner[box] = sign.number
        for box in _strangers(view.xyxy, strong, owner):
            self._signs.append(_Sign.begin(self._begun, time_s, view, box, self._frame[0]))
            owner[box] = self._begun
            self._begun += 1
        for sign in self._signs:
            sign.note(index, time_s, view, owner)
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
                self._tracks[sign.number] = _bridge(sign, self._frame)
        self._signs = [sign for sign in self._signs if sign.number not in gone]


class Stills:
    """Stands in for the tracker where frames have nothing to do with each other: every box of at least `start_score` is one sign."""

    live: frozenset[int] = frozenset()

    def __init__(self, params: Prelabel) -> None:
        self._params = params
        self._tracks: list[Track] = []

    @property
    def kept(self) -> set[int]:
        """Numbers of all signs so far."""
        return set(range(len(self._tracks)))

    def update(self, index: int, time_s: float, boxes: Boxes) -> Ints:
        """Take the boxes of a still; returns the number of each box's sign, (boxes,), -1 for none."""
        owner = np.full(len(boxes), -1, np.int64)
        for i in np.flatnonzero(boxes.scores >= self._params.start_score):
            owner[i] = len(self._tracks)
            self._tracks.append(Track(len(self._tracks), np.array([index], np.int32), np.array([time_s]), boxes.xyxy[i : i + 1],
                                      boxes.scores[i : i + 1], np.zeros(1, np.bool_)))
        return owner

    def finish(self) -> list[Track]:
        """Return all signs in the order in which they were seen."""
        return list(self._tracks)


@dataclass(frozen=True, eq=False)
class _View:
    """The boxes of a frame as a filter measures them.

    Attributes:
        xyxy, scores: of the detector, in double precision.
        measured: (ux, uy, q) of each box, (boxes, 3).
        noise: covariance of that, (boxes, 3, 3); an error of the size moves u along its own direction.
        shape: logarithm of width / height, (boxes,).
    """

    xyxy: Floats
    scores: Floats
    measured: Floats
    noise: Floats
    shape: Floats

    @classmethod
    def of(cls, boxes: Boxes, frame: Floats) -> "_View":
        xyxy = boxes.xyxy.astype(np.float64)
        sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], SMALLEST_PX)
        q = 1 / np.sqrt(sides.prod(axis=1))
        u = ((xyxy[:, :2] + xyxy[:, 2:]) / 2 - frame / 2) * q[:, None]
        measured = np.column_stack([u, q])
        is_cut = (xyxy[:, :2] < BORDER_PX).any(axis=1) | (xyxy[:, 2:] > frame - BORDER_PX).any(axis=1)
        factor = np.where(is_cut, CUT_NOISE, 1.0)
        centre = (factor * CENTRE_NOISE) ** 2 + (SHAKE * frame[0] * q) ** 2 + (0.5 * q) ** 2  # a detector is never better than half a px
        size = (factor * SIZE_NOISE) ** 2 + (0.7 * q) ** 2  # two edges, half a px each
        noise = size[:, None, None] * measured[:, :, None] * measured[:, None, :]
        noise[:, [0, 1], [0, 1]] += centre[:, None]
        return cls(xyxy, boxes.scores.astype(np.float64), measured, noise, np.log(sides[:, 0] / sides[:, 1]))


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
        time_s: the time for which `state` holds.
        state: ux, uy, q and their changes a second, (6,).
        covariance: of the state, (6, 6).
        shape: logarithm of width / height.
        looks: frames since its first box.
        hits, misses: boxes in all, and frames without one since the last.
    """

    number: int
    time_s: float
    state: Floats
    covariance: Floats
    shape: float
    looks: list[_Look] = field(default_factory=list)
    hits: int = 0
    misses: int = 0

    @classmethod
    def begin(cls, number: int, time_s: float, view: _View, box: int, frame_width: float) -> "_Sign":
        q = view.measured[box, 2]
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = view.noise[box]
        covariance[3:, 3:] = np.diag((np.array([DRIFT * frame_width, DRIFT * frame_width, CLOSING]) * q) ** 2)
        state = np.concatenate([view.measured[box], [0.0, 0.0, -CLOSING * q]])
        return cls(number, time_s, state, covariance, float(view.shape[box]))

    def is_lost(self, time_s: float, max_gap_s: float) -> bool:
        """Tell whether the sign has ended: unseen for too long, or for more looks than it had boxes, which ends false flashes early."""
        return self.misses > self.hits or time_s - self.looks[-1 - self.misses].time_s > max_gap_s

    def predict(self, time_s: float, frame_width: float) -> None:
        """Move the state to a later time."""
        dt, q = time_s - self.time_s, self.state[2]
        move = np.eye(6)
        move[[0, 1, 2], [3, 4, 5]] = dt
        change = np.diag((np.array([TURNING * frame_width, TURNING * frame_width, BRAKING]) * q) ** 2)
        growth = np.block([[change * dt**3 / 3, change * dt**2 / 2], [change * dt**2 / 2, change * dt]])
        self.state = move @ self.state
        self.covariance = move @ self.covariance @ move.T + growth
        self.state[2] = max(self.state[2], FASTEST * q)
        self.time_s = time_s

    def judge(self, view: _View, level: Ints) -> Floats:
        """Return how badly each box of `level` fits, (boxes,): -2 log density over px and log size; IMPOSSIBLE past the gate."""
        spread = self.covariance[:3, :3] + view.noise[level]
        error = view.measured[level] - self.state[:3]
        distance = (error * np.linalg.solve(spread, error[:, :, None])[:, :, 0]).sum(axis=1)
        distance += ((view.shape[level] - self.shape) / SHAPE_NOISE) ** 2
        cost = distance + np.linalg.slogdet(spread)[1] - 6 * np.log(view.measured[level, 2])  # d(u, q) = q^3 d(centre, log size)
        return np.asarray(np.where(distance <= GATE, cost, IMPOSSIBLE))

    def correct(self, view: _View, box: int) -> None:
        """Take a box into the state."""
        gain = np.linalg.solve(self.covariance[:3, :3] + view.noise[box], self.covariance[:3]).T
        self.state = self.state + gain @ (view.measured[box] - self.state[:3])
        self.state[2] = max(self.state[2], FASTEST * view.measured[box, 2])
        covariance = self.covariance - gain @ self.covariance[:3]
        self.covariance = (covariance + covariance.T) / 2
        self.shape += 0.3 * (float(view.shape[box]) - self.shape)

    def note(self, index: int, time_s: float, view: _View, owner: Ints) -> None:
        """Remember the box of this frame, or that there was none."""
        mine = np.flatnonzero(owner == self.number)
        if len(mine):
            self.looks.append(_Look(index, time_s, view.xyxy[mine[0]], float(view.scores[mine[0]])))
            self.hits, self.misses = self.hits + 1, 0
        else:
            self.looks.append(_Look(index, time_s, None, 0.0))
            self.misses += 1


def _assign(signs: Sequence[_Sign], view: _View, level: Ints) -> list[tuple[_Sign, int]]:
    """Pair signs with boxes of `level` so that as many as possible fit and the sum of their costs is the least."""
    if not signs or not len(level):
        return []
    cost = np.stack([sign.judge(view, level) for sign in signs])
    rows, columns = linear_sum_assignment(cost)
    return [(signs[i], int(level[j])) for i, j in zip(rows, columns, strict=True) if cost[i, j] < IMPOSSIBLE]


def _strangers(xyxy: Floats, strong: NDArray[np.bool_], owner: Ints) -> list[int]:
    """Return the strong boxes that no sign took and that are not a second box of a sign that took one."""
    free, taken = np.flatnonzero(strong & (owner < 0)), np.flatnonzero(owner >= 0)
    shared = intersection(xyxy[free], xyxy[taken]) / np.minimum(area(xyxy[free])[:, None], area(xyxy[taken])[None])
    return [int(i) for i in free[(shared < SAME).all(axis=1)]]


def _bridge(sign: _Sign, frame: Floats) -> Track:
    """Turn looks into a track: what follows the last box is cut off, gaps are filled by the motion between their neighbours."""
    looks = sign.looks[: len(sign.looks) - sign.misses]
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
    return Track(sign.number, indices[real], times[real], xyxy[real], scores[real], ~found[real])
