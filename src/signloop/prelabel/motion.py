"""Boxes of a sign at known times in, where and how large it will be at a later time out, with how far off that may be.

Approach a sign at a steady speed, and its inverse size q = 1 / size falls linearly with time, while its centre moves away from the
point the camera drives towards, so that u = (centre - that point) / size stays the same. If the point is assumed in the wrong place
(here it is always the middle of the frame), or the camera turns, u drifts, again linearly in time. So in the coordinates (u, q) all
of these are motions of constant velocity, however sparse the frames, and one linear filter (Kalman 1960) per sign predicts them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signloop.core.boxes import Boxes

Floats = NDArray[np.float64]

# What is known of cameras in cars and of detectors; each is a standard deviation and may be wrong by half without much harm.
CENTRE_NOISE = 0.07  # of a detected centre, in sizes
SIZE_NOISE = 0.09  # of a detected size, relative
CUT_NOISE = 2.0  # factor on both for a box at the border of the frame, which shows a part of the sign only
SHAKE = 0.004  # of the camera from frame to frame, in frame widths
DRIFT = 0.03  # of the picture because the camera turns or is tilted, in frame widths a second
TURNING = 0.1  # change of that drift within a second, in frame widths a second
CLOSING = 0.35  # 1 / (time until the camera passes a new sign), 1/s: mean and deviation
BRAKING = 0.5  # change of that rate within a second, 1/s
FASTEST = 0.25  # a sign does not grow to more than 1 / this of its size between two looks
BORDER_PX = 2.0
SMALLEST_PX = 1.0  # smaller boxes count as this large; keeps 1 / size finite


@dataclass(frozen=True, eq=False)
class View:
    """The boxes of one frame as a filter measures them.

    Attributes:
        boxes: of the detector.
        measured: (ux, uy, q) of each box, (boxes, 3).
        noise: covariance of that, (boxes, 3, 3); an error of the size also moves u, towards or away from the middle.
        shape: logarithm of width / height, (boxes,).
    """

    boxes: Boxes
    measured: Floats
    noise: Floats
    shape: Floats

    @classmethod
    def of(cls, boxes: Boxes, frame: Floats) -> "View":
        """Measure boxes in a frame of (width, height) px."""
        xyxy, is_cut = _complete(boxes.xyxy.astype(np.float64), frame)
        sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], SMALLEST_PX)
        q = 1 / np.sqrt(sides.prod(axis=1))
        measured = np.column_stack([((xyxy[:, :2] + xyxy[:, 2:]) / 2 - frame / 2) * q[:, None], q])
        factor = np.where(is_cut, CUT_NOISE, 1.0)
        centre = (factor * CENTRE_NOISE) ** 2 + (SHAKE * frame[0] * q) ** 2 + (0.5 * q) ** 2  # no detector is better than half a px
        size = (factor * SIZE_NOISE) ** 2 + (0.7 * q) ** 2  # two edges, half a px each
        noise = size[:, None, None] * measured[:, :, None] * measured[:, None, :]
        noise[:, [0, 1], [0, 1]] += centre[:, None]
        return cls(boxes, measured, noise, np.log(sides[:, 0] / sides[:, 1]))


def _complete(xyxy: Floats, frame: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Extend boxes that the border of the frame cuts to squares, beyond the border; also tell which ones touch it."""
    whole = xyxy.copy()
    longer = (xyxy[:, 2:] - xyxy[:, :2]).max(axis=1)
    low, high = xyxy[:, :2] < BORDER_PX, xyxy[:, 2:] > frame - BORDER_PX
    for axis in (0, 1):
        before, after = low[:, axis] & ~high[:, axis], high[:, axis] & ~low[:, axis]
        whole[before, axis] = xyxy[before, axis + 2] - longer[before]
        whole[after, axis + 2] = xyxy[after, axis] + longer[after]
    return whole, np.asarray((low | high).any(axis=1))


@dataclass(eq=False)
class Motion:
    """Where a sign is, how it moves, and how well that is known.

    Attributes:
        time_s: the time for which the rest holds.
        state: ux, uy, q and their changes a second, (6,).
        covariance: of the state, (6, 6).
        shape: logarithm of width / height.
        frame_width: px.
        common_px2: part of the variance of the predicted centre that comes from the camera's drift and so is common to all signs, px².
    """

    time_s: float
    state: Floats
    covariance: Floats
    shape: float
    frame_width: float
    common_px2: float = 0.0

    @classmethod
    def begin(cls, time_s: float, view: View, box: int, frame_width: float) -> "Motion":
        """Start from one box: nothing is known of its motion but what is usual."""
        q = view.measured[box, 2]
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = view.noise[box]
        covariance[3:, 3:] = np.diag((np.array([DRIFT * frame_width, DRIFT * frame_width, CLOSING]) * q) ** 2)
        state = np.concatenate([view.measured[box], [0.0, 0.0, -CLOSING * q]])
        return cls(time_s, state, covariance, float(view.shape[box]), frame_width)

    def predict(self, time_s: float) -> None:
        """Move on to a later time."""
        dt, q = time_s - self.time_s, self.state[2]
        move = np.eye(6)
        move[[0, 1, 2], [3, 4, 5]] = dt
        change = np.diag((np.array([TURNING * self.frame_width, TURNING * self.frame_width, BRAKING]) * q) ** 2)
        drifted = dt**2 * min(self.covariance[3, 3], self.covariance[4, 4]) + dt**3 / 3 * change[0, 0]
        self.state = move @ self.state
        self.covariance = move @ self.covariance @ move.T
        self.covariance += np.block([[change * dt**3 / 3, change * dt**2 / 2], [change * dt**2 / 2, change * dt]])
        self.state[2] = max(self.state[2], FASTEST * q)
        self.time_s = time_s
        known_q = self.covariance[:2, :2] - np.outer(self.covariance[:2, 2], self.covariance[2, :2]) / self.covariance[2, 2]
        most = max(float(np.linalg.eigvalsh(known_q)[0]), 0.0)  # more than this cannot be taken from the covariance
        self.common_px2 = min(drifted, most) / self.state[2] ** 2

    def correct(self, view: View, box: int) -> None:
        """Take a box of the present time into account."""
        gain = np.linalg.solve(self.covariance[:3, :3] + view.noise[box], self.covariance[:3]).T
        self.state = self.state + gain @ (view.measured[box] - self.state[:3])
        self.state[2] = max(self.state[2], FASTEST * view.measured[box, 2])
        covariance = self.covariance - gain @ self.covariance[:3]
        self.covariance = (covariance + covariance.T) / 2
        self.shape += 0.3 * (float(view.shape[box]) - self.shape)
