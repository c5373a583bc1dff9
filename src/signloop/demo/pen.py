"""A pen for pictures of the unit square: shapes in coordinates from 0 to 1 enter, smooth RGBA pictures leave."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Colour = tuple[int, int, int]

_FINE = 4  # drawn this much larger and averaged: smooth edges without the gaps of anti-aliased neighbours
_SHIFT = 4  # sub-pixel bits of OpenCV's drawing


def arc(x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 360) -> Points:
    """Return points on an ellipse, (points, 2); degrees run clockwise from the right, as y points down."""
    angles = np.radians(np.linspace(start, end, max(6, int(abs(end - start) / 6))))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


_CIRCLE = arc(0, 0, 1, 1, 0, 354)


def join(*parts: ArrayLike) -> Points:
    """Return one line through all parts, (points, 2)."""
    return np.concatenate([np.asarray(part, np.float64).reshape(-1, 2) for part in parts])


# Strokes of letters and digits in a unit box, y down.
_GLYPHS: dict[str, tuple[Points, ...]] = {
    "0": (arc(0.5, 0.5, 0.42, 0.5),),
    "1": (join([(0.2, 0.24), (0.58, 0.0), (0.58, 1.0)]),),
    "2": (join(arc(0.5, 0.29, 0.4, 0.29, 190, 395), [(0.08, 1.0), (0.95, 1.0)]),),
    "3": (join(arc(0.46, 0.26, 0.38, 0.26, 200, 445), arc(0.46, 0.74, 0.43, 0.26, 275, 515)),),
    "5": (join([(0.86, 0.0), (0.2, 0.0), (0.14, 0.46)], arc(0.48, 0.67, 0.42, 0.33, 225, 510)),),
    "6": (arc(0.5, 0.68, 0.4, 0.32), join(arc(0.8, 0.68, 0.7, 0.67, 180, 268))),
    "7": (join([(0.08, 0.0), (0.92, 0.0), (0.38, 1.0)]),),
    "8": (arc(0.5, 0.24, 0.33, 0.24), arc(0.5, 0.73, 0.42, 0.27)),
    "A": (join([(0.05, 1.0), (0.5, 0.0), (0.95, 1.0)]), join([(0.22, 0.64), (0.78, 0.64)])),
    "E": (join([(0.9, 0.0), (0.12, 0.0), (0.12, 1.0), (0.9, 1.0)]), join([(0.12, 0.5), (0.8, 0.5)])),
    "K": (join([(0.12, 0.0), (0.12, 1.0)]), join([(0.9, 0.0), (0.16, 0.55), (0.9, 1.0)])),
    "L": (join([(0.12, 0.0), (0.12, 1.0), (0.9, 1.0)]),),
    "M": (join([(0.08, 1.0), (0.08, 0.0), (0.5, 0.6), (0.92, 0.0), (0.92, 1.0)]),),
    "O": (arc(0.5, 0.5, 0.45, 0.5),),
    "P": (join([(0.12, 1.0), (0.12, 0.0), (0.5, 0.0)], arc(0.5, 0.26, 0.38, 0.26, 270, 450), [(0.12, 0.52)]),),
    "S": (join(arc(0.5, 0.26, 0.4, 0.26, -20, -270), arc(0.5, 0.75, 0.42, 0.25, 270, 515)),),
    "T": (join([(0.0, 0.0), (1.0, 0.0)]), join([(0.5, 0.0), (0.5, 1.0)])),
    "X": (join([(0.05, 0.0), (0.95, 1.0)]), join([(0.95, 0.0), (0.05, 1.0)])),
}


class Pen:
    """Draws opaque shapes into one picture that begins transparent.

    Args:
        width, height: of the finished picture in px; coordinates are shares of the width, so that circles stay round.
    """

    def __init__(self, width: int, height: int | None = None) -> None:
        self.width, self.height = width, height or width
        self._scale = width * _FINE
        self._fine = np.zeros((self.height * _FINE, self._scale, 4), np.uint8)

    def _fixed(self, points: ArrayLike) -> NDArray[np.int32]:
        # OpenCV's coordinates name pixel centres, ours name pixel edges: half a fine pixel apart.
        return np.asarray(np.round((np.asarray(points, np.float64).reshape(-1, 2) * self._scale - 0.5) * 2**_SHIFT), np.int32)

    def fill(self, points: ArrayLike, colour: Sequence[int]) -> None:
        """Fill a polygon, (points, 2)."""
        cv2.fillPoly(self._fine, [self._fixed(points)], (*colour, 255), cv2.LINE_8, _SHIFT)

    def disc(self, x: float, y: float, r: float, colour: Sequence[int]) -> None:
        """Fill a circle."""
        self.fill(_CIRCLE * r + (x, y), colour)

    def line(self, points: ArrayLike, width: float, colour: Sequence[int], *, round_ends: bool = True) -> None:
        """Draw a line of `width` through points, (points, 2), with round joints."""
        pts = np.asarray(points, np.float64).reshape(-1, 2)
        for a, b in pairwise(pts):
            length = float(np.hypot(*(b - a)))
            if length > 0:
                side = np.array([a[1] - b[1], b[0] - a[0]]) * (width / 2 / length)
                self.fill([a + side, b + side, b - side, a - side], colour)
        for p in pts if round_ends else pts[1:-1]:
            self.disc(float(p[0]), float(p[1]), width / 2, colour)

    def lines(self, many: Iterable[ArrayLike], width: float, colour: Sequence[int]) -> None:
        """Draw several lines."""
        for points in many:
            self.line(points, width, colour)

    def text(self, word: str, box: tuple[float, float, float, float], width: float, colour: Sequence[int], gap: float = 0.22) -> None:
        """Write digits or capitals of `_GLYPHS` with strokes of `width` so that they fill `box` (x1, y1, x2, y2); `gap` in glyph widths."""
        x1, y1, x2, y2 = box
        step = (x2 - x1 - width) / (len(word) + gap * (len(word) - 1))
        for place, letter in enumerate(word):
            left = x1 + width / 2 + place * step * (1 + gap)
            at = np.array([left, y1 + width / 2])
            self.lines((at + stroke * [step, y2 - y1 - width] for stroke in _GLYPHS[letter]), width, colour)

    def image(self) -> Image:
        """Return the picture so far, (height, width, 4) RGBA, colours multiplied by alpha."""
        return np.asarray(cv2.resize(self._fine, (self.width, self.height), interpolation=cv2.INTER_AREA), np.uint8)


def straight(image: Image) -> Image:
    """Undo the multiplication of the colours by alpha; colours where alpha is 0 become 0."""
    alpha = image[..., 3:].astype(np.float32)
    colours = np.divide(image[..., :3] * 255.0, alpha, out=np.zeros(image[..., :3].shape, np.float32), where=alpha > 0)
    return np.dstack([np.clip(np.round(colours), 0, 255).astype(np.uint8), image[..., 3]])


@dataclass(frozen=True, eq=False)
class Sprite:
    """A picture in falling sizes, so that small ones are averages and not samples.

    Attributes:
        levels: RGBA multiplied by alpha, each half as large as the one before.
    """

    levels: tuple[Image, ...]

    @classmethod
    def of(cls, image: Image) -> "Sprite":
        """Build all sizes of an RGBA picture that is multiplied by alpha already."""
        levels = [image]
        while min(levels[-1].shape[:2]) >= 12:
            height, width = levels[-1].shape[:2]
            levels.append(np.asarray(cv2.resize(levels[-1], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA), np.uint8))
        return cls(tuple(levels))
