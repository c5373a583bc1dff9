"""Scored boxes of successive frames in, one track per physical sign out, at 2 to 30 frames a second from a moving camera.

A sign that the camera approaches at a steady speed has an inverse size q = 1/size that falls linearly with time, and a centre that
moves away from the point the camera drives towards (the focus of expansion) so that u = (centre - focus) / size stays the same. If
the focus is assumed in the wrong place, or the camera turns, u drifts, again linearly in time. So in the coordinates (u, q) all of
these are motions of constant velocity, however sparse the frames, and a plain Kalman filter per sign predicts them; its uncertainty
decides how far a box may lie from the prediction. Boxes are given to signs by an optimal assignment (Kuhn 1955), good boxes first and
weak ones only to signs that are left over (the idea of ByteTrack, Zhang et al. 2022).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from signloop.core.boxes import Boxes, inside_share, intersection, area
from signloop.core.params import Prelabel

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

# What is known of cameras in cars and of detectors, in seconds and relative to the size of a sign or of the frame.
CENTRE_NOISE = 0.07  # of a detected centre, in sizes
SIZE_NOISE = 0.09  # of a detected size, relative
SHAKE = 0.002  # of the camera from frame to frame, in frame widths
DRIFT = 0.06  # of the picture by a turning or tilted camera, in frame widths a second, on top of the common drift
CLOSING = 0.35, 0.35  # 1 / (time to reach a sign), mean and deviation, 1/s
TURN_NOISE = 0.10  # change of the drift, in frame widths a second, after one second
SPEED_NOISE = 0.3  # change of the closing rate, 1/s, after one second
SHAPE_NOISE = 0.25  # of the logarithm of width / height
GATE = 20.0  # squared distance in deviations, over four dimensions, above which a box is not the sign's
SAME = 0.4  # share of the smaller of two boxes that lies in the other, from which on they show the same sign
MIN_SHRINK = 0.25  # a sign never grows to more than 1 / this of its size between two looks


@dataclass(frozen=True, eq=False)
class Track:
    """The boxes of one physical sign, in order of time.

    Attributes:
        number: which of the tracker's signs this is, unique in a recording.
        indices: frame indices, (boxes,), ascending.
        times_s: their times, (boxes,).
        xyxy: corners in px, (boxes, 4).
        scores: of the detector; an interpolated box has the lower one of its neighbours.
        interpolated: True for a box that no detector saw.
    """

    number: int
    indices: Ints
    times_s: Floats
    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    interpolated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.indices)




class Tracker:
    """Follows the signs of one recording.

    Args:
        params: `start_score`, `keep_score`, `min_boxes`, `sure_score` and `max_gap_s` are used.
        width, height: of the frames, px.
    """

    def __init__(self, params: Prelabel, width: int, height: int) -> None:
        self.params, self.size = params, np.array([width, height], np.float64)
        self._signs: list[_Sign] = []
        self._tracks: list[Track] = []
        self._count = 0
        self._time_s = -np.inf

    @property
    def live(self) -> set[int]:
        return {sign.number for sign in self._signs}

    def update(self, index: int, time_s: float, boxes: Boxes, image: NDArray[np.uint8] | None = None) -> NDArray[np.int64]:
        p = self.params
        self._end(time_s - p.max_gap_s - 1e-6)
        for sign in self._signs:
            sign.predict(time_s, self.size[0])
        owner = np.full(len(boxes), -1, np.int64)
        xyxy = boxes.xyxy.astype(np.float64)
        view = _View(xyxy, self.size)
        strong = boxes.scores >= p.start_score
        for level in (np.flatnonzero(strong), np.flatnonzero(~strong & (boxes.scores >= p.keep_score))):
            free = [s for s in self._signs if s.number not in owner]
            for sign, j in self._assign(free, view, level):
                sign.correct(view, j)
                sign.seen.append((index, time_s, xyxy[j], float(boxes.scores[j])))
                owner[j] = sign.number
        for j in np.flatnonzero(strong & (owner < 0)):
            taken = np.flatnonzero(owner >= 0)
            if len(taken) and _same(xyxy[j:j + 1], xyxy[taken]).max() >= SAME:
                continue
            owner[j] = self._count
            self._begin(view, j, index, time_s, float(boxes.scores[j]), xyxy[j])
        for sign in self._signs:
            if sign.seen[-1][0] != index:
                sign.seen.append((index, time_s, None, 0.0))
        return owner

    def _assign(self, signs, view, level):
        if not signs or not len(level):
            return []
        cost = np.full((len(signs), len(level)), 1e6)
        for i, sign in enumerate(signs):
            d2, nll = sign.judge(view, level)
            cost[i] = np.where(d2 < GATE, nll, 1e6)
        rows, cols = linear_sum_assignment(cost)
        return [(signs[i], int(level[j])) for i, j in zip(rows, cols) if cost[i, j] < 1e6]

    def _begin(self, view, j, index, time_s, score, xyxy):
        u, q = view.uq[j, :2], view.uq[j, 2]
        W = self.size[0]
        cov = np.zeros((6, 6)); cov[:3, :3] = view.noise[j]
        cov[3, 3] = cov[4, 4] = (DRIFT * W * q) ** 2
        cov[5, 5] = (CLOSING[1] * q) ** 2
        drift = self._drift() * q
        state = np.array([*u, q, *drift, -CLOSING[0] * q])
        self._signs.append(_Sign(self._count, time_s, state, cov, view.shape[j], [(index, time_s, xyxy, score)]))
        self._count += 1

    def _drift(self):
        num = np.zeros(2); den = 1 / (DRIFT * self.size[0]) ** 2
        for s in self._signs:
            var = max(s.cov[3, 3], 1e-12) / s.state[2] ** 2
            num += s.state[3:5] / s.state[2] / var; den += 1 / var
        return num / den if USE_DRIFT else np.zeros(2)

    def _end(self, before_s):
        for sign in [s for s in self._signs if s.last_s < before_s]:
            t = sign.track(self.params, self.size)
            if t is not None: self._tracks.append(t)
        self._signs = [s for s in self._signs if s.last_s >= before_s]

    def finish(self):
        self._end(np.inf)
        return sorted(self._tracks, key=lambda t: (int(t.indices[0]), t.number))


USE_DRIFT = True


def _same(a, b):
    return intersection(a, b) / np.minimum(area(a)[:, None], area(b)[None])


class _View:
    """Boxes of one frame in (u, q), with noise."""

    def __init__(self, xyxy, size):
        w, h = xyxy[:, 2] - xyxy[:, 0], xyxy[:, 3] - xyxy[:, 1]
        side = np.sqrt(w * h)
        q = 1 / side
        u = ((xyxy[:, :2] + xyxy[:, 2:]) / 2 - size / 2) * q[:, None]
        self.shape = np.log(w / h)
        cut = (xyxy[:, :2] < 2).any(1) | (xyxy[:, 2:] > size - 2).any(1)
        factor = np.where(cut, 3.0, 1.0)
        cn = (factor * CENTRE_NOISE) ** 2 + ((SHAKE * size[0] + .5) * q) ** 2
        sn = (factor * SIZE_NOISE) ** 2 + (.7 * q) ** 2
        self.uq = np.c_[u, q]
        self.noise = np.einsum('n,ni,nj->nij', sn, self.uq, self.uq)
        self.noise[:, 0, 0] += cn; self.noise[:, 1, 1] += cn


@dataclass(eq=False)
class _Sign:
    number: int
    time_s: float
    state: Floats
    cov: Floats
    shape: float
    seen: list

    @property
    def last_s(self):
        return next(t for _, t, b, _ in reversed(self.seen) if b is not None)

    def predict(self, time_s, W):
        dt = time_s - self.time_s
        F = np.eye(6); F[:3, 3:] = dt * np.eye(3)
        q0 = self.state[2]
        g = np.array([TURN_NOISE * W * q0, TURN_NOISE * W * q0, SPEED_NOISE * q0]) ** 2
        Q = np.zeros((6, 6))
        Q[:3, :3] = np.diag(g * dt ** 3 / 3); Q[:3, 3:] = Q[3:, :3] = np.diag(g * dt ** 2 / 2); Q[3:, 3:] = np.diag(g * dt)
        self.state = F @ self.state; self.cov = F @ self.cov @ F.T + Q
        self.state[2] = max(self.state[2], MIN_SHRINK * q0)
        self.time_s = time_s

    def judge(self, view, level):
        S = self.cov[:3, :3] + view.noise[level]
        e = view.uq[level] - self.state[:3]
        d2 = np.einsum('ni,ni->n', e, np.linalg.solve(S, e[..., None])[..., 0])
        d2 = d2 + ((view.shape[level] - self.shape) / SHAPE_NOISE) ** 2
        nll = d2 + np.linalg.slogdet(S)[1] - 6 * np.log(view.uq[level, 2])
        return d2, nll

    def correct(self, view, j):
        S = self.cov[:3, :3] + view.noise[j]
        K = np.linalg.solve(S, self.cov[:3]).T
        self.state = self.state + K @ (view.uq[j] - self.state[:3])
        self.cov = self.cov - K @ self.cov[:3]
        self.cov = (self.cov + self.cov.T) / 2
        self.shape += .3 * (view.shape[j] - self.shape)

    def track(self, p, size):
        seen = self.seen
        while seen[-1][2] is None: seen = seen[:-1]
        good = [k for k, s in enumerate(seen) if s[2] is not None]
        if len(good) < p.min_boxes and max(s[3] for s in seen) < p.sure_score: return None
        t = np.array([s[1] for s in seen]); out = []
        bx = np.array([seen[k][2] for k in good]); tg = t[good]
        side = np.sqrt(np.prod(bx[:, 2:] - bx[:, :2], axis=1)); 
        q = np.interp(t, tg, 1 / side)
        c = (bx[:, :2] + bx[:, 2:]) / 2 - size / 2
        uq = np.c_[[np.interp(t, tg, c[:, a] / side) for a in (0, 1)]].T
        wh = np.c_[[np.interp(t, tg, (bx[:, 2 + a] - bx[:, a]) / side) for a in (0, 1)]].T
        cc = uq / q[:, None] + size / 2; hh = wh / q[:, None] / 2
        xyxy = np.c_[cc - hh, cc + hh]
        hole = np.array([s[2] is None for s in seen])
        xyxy[~hole] = bx
        return Track(self.number, np.array([s[0] for s in seen], np.int32), t, xyxy.astype(np.float32), np.array([s[3] for s in seen], np.float32), hole)
