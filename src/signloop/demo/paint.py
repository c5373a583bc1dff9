"""Painting back to front on one canvas: sprites and polygons in canvas px enter, the picture and what is left to see of each sign leave."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from signloop.demo.pen import Image, Points, Sprite

_SHIFT = 4


@dataclass(eq=False)
class Seen:
    """A sign on the canvas.

    Attributes:
        track_id: number of the physical sign.
        outline: edge of its face, (points, 2), canvas px, exact.
        left, top: canvas px of the mask's upper left corner.
        mask: what no nearer thing hides, uint8, 0-255.
    """

    track_id: int
    outline: Points
    left: int
    top: int
    mask: Image


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.asarray(np.round((points - 0.5) * 2**_SHIFT), np.int32)


class Painter:
    """One frame's canvas; coordinates are px with the origin at the canvas' upper left corner, x right, y down.

    Args:
        canvas: (height, width, 3) RGB, painted over in place.
    """

    def __init__(self, canvas: Image) -> None:
        self.canvas = canvas
        self.height, self.width = canvas.shape[:2]
        self.seen: list[Seen] = []

    def _hide(self, left: int, top: int, right: int, bottom: int) -> list[tuple[Seen, int, int]]:
        """Return the signs whose masks touch a rectangle, with the masks' corners."""
        return [
            (s, s.left, s.top)
            for s in self.seen
            if s.left < right and left < s.left + s.mask.shape[1] and s.top < bottom and top < s.top + s.mask.shape[0]
        ]

    def poly(self, points: ArrayLike, colour: Sequence[float]) -> None:
        """Fill a polygon, (points, 2), smooth at the edges."""
        pts = np.asarray(points, np.float64).reshape(-1, 2)
        xs, ys = pts[:, 0].tolist(), pts[:, 1].tolist()
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        if right < 0 or bottom < 0 or left > self.width or top > self.height:
            return
        if min(left, top) < -2000 or max(right, bottom) > 4000:
            pts = np.clip(pts, -2000, 4000)
        cv2.fillPoly(self.canvas, [_fixed(pts)], colour, cv2.LINE_AA, _SHIFT)
        for sign, x, y in self._hide(int(left) - 1, int(top) - 1, int(right) + 2, int(bottom) + 2):
            cv2.fillPoly(sign.mask, [_fixed(pts - [x, y])], 0, cv2.LINE_AA, _SHIFT)

    def sprite(
        self, sprite: Sprite, quad: ArrayLike, tint: NDArray[np.float64], track_id: int | None = None, outline: Points | None = None
    ) -> None:
        """Paint a sprite.

        Args:
            sprite: what to paint.
            quad: where its upper left, upper right, lower right and lower left corner lie, (4, 2).
            tint: colours and alpha of a pixel -> those painted, (4, 4).
            track_id: the physical sign that it is, if it is one.
            outline: the sign's edge in the sprite's unit square, (points, 2).
        """
        corners = np.asarray(quad, np.float64).reshape(4, 2)
        xs, ys = corners[:, 0].tolist(), corners[:, 1].tolist()
        left, top = max(math.floor(min(xs)) - 1, 0), max(math.floor(min(ys)) - 1, 0)
        right, bottom = min(math.ceil(max(xs)) + 1, self.width), min(math.ceil(max(ys)) + 1, self.height)
        if right <= left or bottom <= top:
            return
        patch = _warp(sprite, corners - [left, top], right - left, bottom - top)
        patch = cv2.transform(patch, tint)
        alpha = np.ascontiguousarray(patch[..., 3])
        rest = cv2.bitwise_not(alpha)
        view = self.canvas[top:bottom, left:right]
        cv2.multiply(view, cv2.cvtColor(rest, cv2.COLOR_GRAY2RGB), dst=view, scale=1 / 255)
        cv2.add(view, cv2.cvtColor(patch, cv2.COLOR_RGBA2RGB), dst=view)
        for sign, x, y in self._hide(left, top, right, bottom):
            x1, y1, x2, y2 = max(left, x), max(top, y), min(right, x + sign.mask.shape[1]), min(bottom, y + sign.mask.shape[0])
            part = sign.mask[y1 - y : y2 - y, x1 - x : x2 - x]
            part[:] = cv2.multiply(part, np.ascontiguousarray(rest[y1 - top : y2 - top, x1 - left : x2 - left]), scale=1 / 255)
        if track_id is not None and outline is not None:
            to_canvas = cv2.getPerspectiveTransform(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32), corners.astype(np.float32))
            edge = cv2.perspectiveTransform(outline[None].astype(np.float64), to_canvas)[0]
            self.seen.append(Seen(track_id, edge, left, top, alpha))


def _warp(sprite: Sprite, corners: Points, width: int, height: int) -> Image:
    """Return the sprite seen through a window of `width` x `height` px, averaged and not sampled, RGBA multiplied by alpha."""
    (x1, y1), (x2, y2), (x3, y3), _ = corners.tolist()
    side = max(math.hypot(x2 - x1, y2 - y1), math.hypot(x3 - x2, y3 - y2), 1.0)
    fine = 3 if side < 40 else 2 if side < 90 else 1
    level = next((im for im in reversed(sprite.levels) if max(im.shape[:2]) >= side * fine * 0.9), sprite.levels[0])
    h, w = level.shape[:2]
    source = np.array([(-0.5, -0.5), (w - 0.5, -0.5), (w - 0.5, h - 0.5), (-0.5, h - 0.5)], np.float32)
    matrix = cv2.getPerspectiveTransform(source, (corners * fine - 0.5).astype(np.float32))
    patch = cv2.warpPerspective(level, matrix, (width * fine, height * fine), flags=cv2.INTER_LINEAR)
    return np.asarray(patch if fine == 1 else cv2.resize(patch, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
