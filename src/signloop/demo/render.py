"""Drawing a world: a world enters, its frames with what can be seen of every sign leave, one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from signloop.core.boxes import clip
from signloop.demo.camera import CANVAS_HEIGHT, CANVAS_WIDTH, FAR_M, HEIGHT, NEAR_M, WIDTH
from signloop.demo.paint import Painter, Seen
from signloop.demo.pen import Image, Points
from signloop.demo.things import View
from signloop.demo.world import FPS, World

MIN_PX = 8.0  # a lower sign is drawn but not scored
MIN_VISIBLE = 0.6
_GONE_PX = 3.0  # an even lower one cannot be seen at all


@dataclass(frozen=True)
class SignView:
    """One sign on one frame.

    Attributes:
        track_id: number of the physical sign.
        class_id: what it shows.
        xyxy: tight box of its face, clipped to the frame, px.
        visible: share of the face that lies in the frame and that nothing nearer hides, 0-1.
        ignored: less than 60 % visible, or less than 8 px high or wide: neither to be found nor a false alarm.
    """

    track_id: int
    class_id: int
    xyxy: tuple[float, float, float, float]
    visible: float
    ignored: bool


@dataclass(frozen=True, eq=False)
class Drawn:
    """A frame: its picture, (360, 640, 3) RGB, and the signs on it."""

    index: int
    image: Image
    signs: tuple[SignView, ...]


def frames(world: World) -> Iterator[Drawn]:
    """Draw a recording frame by frame."""
    canvas = np.zeros((CANVAS_HEIGHT, CANVAS_WIDTH, 3), np.uint8)
    for index in range(world.frames):
        painter = paint(world, index, canvas)
        views = [_view(seen, world, index) for seen in painter.seen]
        image = world.lens.apply(canvas, index)
        yield Drawn(index, image, tuple(sorted((v for v in views if v is not None), key=lambda v: v.track_id)))


def paint(world: World, index: int, canvas: Image) -> Painter:
    """Paint the whole world of one frame on a canvas, far things first."""
    time_s = index / FPS
    travelled = world.speed * time_s
    world.backdrop.paint(canvas, travelled)
    painter = Painter(canvas)
    view = View(painter, world.camera, world.weather.light, time_s)
    far = min(FAR_M, 4.5 * world.weather.light.fog_m)
    away = [(thing.z + thing.speed * time_s - travelled, n) for n, thing in enumerate(world.things)]
    for d, n in sorted(away, reverse=True):
        if d < far and d + world.things[n].reach > NEAR_M:
            world.things[n].paint(view, d)
    return painter


def _inside(outline: Points, seen: Seen) -> Image:
    """Return the part of a mask whose pixels lie in the frame; `outline` is the frame's edge on the canvas."""
    window = np.zeros(seen.mask.shape, np.uint8)
    corners = np.round((outline - [seen.left, seen.top] - 0.5) * 16).astype(np.int32)
    cv2.fillConvexPoly(window, corners, 255, cv2.LINE_8, 4)
    return np.asarray(cv2.bitwise_and(seen.mask, window), np.uint8)


def _view(seen: Seen, world: World, index: int) -> SignView | None:
    """Measure one sign on the final frame; None where nothing of it can be seen."""
    matrix = world.shake.matrix[index]
    edge = seen.outline @ matrix[:, :2].T + matrix[:, 2]
    whole = np.array([*edge.min(axis=0), *edge.max(axis=0)])
    x1, y1, x2, y2 = (round(float(v), 2) for v in clip(whole, WIDTH, HEIGHT)[0])
    if min(x2 - x1, y2 - y1) < 1 or whole[3] - whole[1] < _GONE_PX:
        return None
    back: NDArray[np.float64] = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    frame = np.array([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], np.float64) @ back[:2, :2].T + back[:2, 2]
    face = float(cv2.contourArea(seen.outline.astype(np.float32)))
    visible = min(1.0, float(_inside(frame, seen).sum()) / 255 / max(face, 1e-6))
    if visible < 0.02:
        return None
    small = min(x2 - x1, y2 - y1) < MIN_PX
    return SignView(seen.track_id, world.classes[seen.track_id], (x1, y1, x2, y2), round(visible, 3), small or visible < MIN_VISIBLE)
