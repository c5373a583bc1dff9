"""Predicted signs and the boxes of a frame in, which box is which sign's out.

A camera that turns or shakes moves all signs of a frame together: two signs on one pole keep their distance when both jump by more
than that. So the pairs are chosen together with one shift of the whole picture: given a shift, the pairs of least cost are an optimal
assignment (Kuhn 1955); given pairs, the likeliest shift follows in closed form; the two steps are repeated from several beginnings,
and the pairs and the shift that are the likeliest together win.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from signloop.core.boxes import Boxes, area, intersection
from signloop.prelabel.motion import SHAKE, Floats, Motion, View

Ints = NDArray[np.int64]

SHAPE_NOISE = 0.4  # standard deviation of the logarithm of width / height
GATE = 25.0  # squared distance, in deviations over the four numbers of a box, up to which a box may be the sign's
COMMON = 0.8  # share of the variance by drift and shake that is the same for all signs of a frame; depth makes the rest differ
SAME = 0.4  # a box of which this share lies in a taken box, or the other way round, begins no sign of its own
BEGINNINGS = 3  # boxes of each sign from which a shift of the picture is guessed
ROUNDS = 4
IMPOSSIBLE = 1e9


@dataclass(frozen=True, eq=False)
class _Problem:
    """Everything about signs x boxes that does not depend on the shift of the picture (dx, dy), px.

    Attributes:
        error: measured - predicted, (signs, boxes, 3).
        distance: squared distance in deviations if the shift is unknown, (signs, boxes).
        possible: where that is inside the gate.
        precision: inverse covariance of `error` once the shift is known, (signs, boxes, 3, 3).
        constant: what each pair costs beside its distance; minus twice the logarithm of densities over px and logarithm of size.
        shift_to_u: what a shift of one px does to u, (signs, boxes).
        shift_px2: variance of the shift, px².
    """

    error: Floats
    distance: Floats
    possible: NDArray[np.bool_]
    precision: Floats
    constant: Floats
    shift_to_u: Floats
    shift_px2: float

    @classmethod
    def of(cls, motions: Sequence[Motion], view: View, level: Ints) -> "_Problem":
        measured, q = view.measured[level], view.measured[level, 2]
        error = measured[None] - np.stack([motion.state[:3] for motion in motions])[:, None]
        spread = np.stack([motion.covariance[:3, :3] for motion in motions])[:, None] + view.noise[level][None]
        shape = (view.shape[level][None] - np.array([motion.shape for motion in motions])[:, None]) / SHAPE_NOISE
        distance = _square(error, _inverse(spread)) + shape**2
        shift_px2 = COMMON * (min(motion.common_px2 for motion in motions) + (SHAKE * motions[0].frame_width) ** 2)
        shift_to_u = np.minimum(np.array([motion.state[2] for motion in motions])[:, None], q[None])
        spread[:, :, [0, 1], [0, 1]] -= (shift_px2 * shift_to_u**2)[:, :, None]
        constant = np.linalg.slogdet(spread)[1] - 6 * np.log(q) + shape**2  # d(u, q) = q^3 d(centre, log size)
        return cls(error, distance, distance <= GATE, _inverse(spread), np.asarray(constant, np.float64), shift_to_u, shift_px2)

    def likeliest_shift(self, rows: Ints, columns: Ints) -> Floats:
        """Return the shift that these pairs suggest, (2,)."""
        scale, precision = self.shift_to_u[rows, columns], self.precision[rows, columns]
        weight = np.eye(2) / self.shift_px2 + (scale[:, None, None] ** 2 * precision[:, :2, :2]).sum(axis=0)
        pull = (scale[:, None] * (precision[:, :2] @ self.error[rows, columns][:, :, None])[:, :, 0]).sum(axis=0)
        return np.asarray(np.linalg.solve(weight, pull))

    def costs(self, shift: Floats) -> Floats:
        """Return what each pair costs under a shift, (signs, boxes)."""
        rest = self.error.copy()
        rest[:, :, :2] -= shift * self.shift_to_u[:, :, None]
        cost = np.minimum(_square(rest, self.precision), 2 * GATE) + self.constant  # a bound, so that one wild box does not decide
        return np.asarray(np.where(self.possible, cost, IMPOSSIBLE))

    def beginnings(self) -> list[Floats]:
        """Guess shifts: none, and those under which a sign meets one of the boxes nearest to it."""
        shifts = [np.zeros(2)]
        nearest = np.argsort(np.where(self.possible, self.distance, np.inf), axis=1, kind="stable")[:, :BEGINNINGS]
        for sign, boxes in enumerate(nearest):
            shifts += [self.likeliest_shift(np.array([sign]), np.array([box])) for box in boxes if self.possible[sign, box]]
        return shifts


def assign(motions: Sequence[Motion], view: View, level: Ints) -> list[tuple[int, int]]:
    """Pair signs with boxes so that as many as possible are paired and the pairs are the likeliest together.

    Args:
        motions: of the signs, predicted to the time of `view`.
        view: the boxes of the frame.
        level: positions of the boxes that may be taken.

    Returns:
        (position of the sign, position of its box) for each pair; each sign and each box at most once.
    """
    if not motions or not len(level):
        return []
    problem = _Problem.of(motions, view, level)
    if not problem.possible.any():
        return []
    least, best = np.inf, (np.zeros(0, np.int64), np.zeros(0, np.int64))
    for beginning in problem.beginnings():
        shift = beginning
        for _ in range(ROUNDS):
            cost = problem.costs(shift)
            rows, columns = linear_sum_assignment(cost)
            total = float(cost[rows, columns].sum() + shift @ shift / problem.shift_px2)
            rows, columns = rows[problem.possible[rows, columns]], columns[problem.possible[rows, columns]]
            if total < least - 1e-9:
                least, best = total, (rows, columns)
            moved = problem.likeliest_shift(rows, columns)
            if np.allclose(moved, shift):
                break
            shift = moved
    return [(int(i), int(level[j])) for i, j in zip(*best, strict=True)]


def strangers(boxes: Boxes, strong: NDArray[np.bool_], owner: Ints) -> list[int]:
    """Return the strong boxes that no sign took (`owner` is -1) and that are no second box of a taken or of a better one."""
    shared = intersection(boxes.xyxy, boxes.xyxy)
    sizes = area(boxes.xyxy)
    shared /= np.minimum(sizes[:, None], sizes[None])
    taken = np.flatnonzero(owner >= 0).tolist()
    found: list[int] = []
    for box in np.argsort(-boxes.scores, kind="stable").tolist():
        if strong[box] and owner[box] < 0 and (shared[box, taken + found] < SAME).all():
            found.append(box)
    return found


def _square(error: Floats, precision: Floats) -> Floats:
    return np.asarray((error * (precision @ error[..., None])[..., 0]).sum(axis=-1))


def _inverse(matrices: Floats) -> Floats:
    return np.asarray(np.linalg.inv(matrices), np.float64)
