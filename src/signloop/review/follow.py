"""A box that a person drew in one frame enters, its likely place in the neighbouring frames leaves, for the person to confirm.

The patch is looked for by normalised cross-correlation over places and sizes (Lewis 1995) around where its motion so far leads, and is
renewed in each frame. It stops as soon as it is unsure: a person who confirms corrects a short track faster than a wrong one.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from signloop.core.boxes import clip

SIDE_PX = 32  # of the patch that is compared
REACH = 1.2  # how far it is looked for, as a share of the box's longer side
SCALES = np.geomspace(0.75, 1.45, 9)  # from one frame to the next: a car drives towards a sign, seldom away from it
LEAST = 0.6  # correlation under which it is lost
MIN_PX = 8.0  # a smaller box is lost
Image = NDArray[np.uint8]
Corners = tuple[float, float, float, float]


def follow(read: Callable[[int], Image | None], indices: Sequence[int], start: int, xyxy: Corners) -> dict[int, Corners]:
    """Find a thing in the frames before and after one.

    Args:
        read: returns a frame as RGB, None if it is not there.
        indices: frames that can be shown, ascending, `start` among them.
        start: frame of the box.
        xyxy: the box, px.

    Returns:
        Boxes by frame index, `start` among them with its own box; only an unbroken run around it.
    """
    found = {start: xyxy}
    place = list(indices).index(start)
    for way in (list(indices[place + 1 :]), list(reversed(indices[:place]))):
        found |= _one_way(read, way, start, xyxy)
    return dict(sorted(found.items()))


def _one_way(read: Callable[[int], Image | None], way: Sequence[int], start: int, xyxy: Corners) -> dict[int, Corners]:
    image = read(start)
    box, before = np.array(xyxy, np.float64), None
    found: dict[int, Corners] = {}
    for index in way:
        following = read(index)
        if image is None or following is None or following.shape != image.shape:
            break
        expected = box if before is None else box + (box - before)
        best = _match(_patch(image, box), following, expected)
        if best is None:
            break
        box, before, image = best, box, following
        x1, y1, x2, y2 = (float(v) for v in best)
        found[index] = (x1, y1, x2, y2)
    return found


def _grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _patch(image: Image, box: NDArray[np.float64]) -> Image | None:
    """Return what a box shows, in grey; None if that is less than two px."""
    x1, y1, x2, y2 = np.rint(clip(box, image.shape[1], image.shape[0])[0]).astype(int)
    return _grey(image[y1:y2, x1:x2]) if min(x2 - x1, y2 - y1) >= 2 else None


def _match(patch: Image | None, image: Image, expected: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the best box around where it is expected; None if nothing is like it or it leaves the frame."""
    height, width = image.shape[:2]
    sides = np.maximum(expected[2:] - expected[:2], 1)
    if patch is None or sides.min() < MIN_PX:
        return None
    reach = REACH * sides.max()
    left, top = np.maximum(np.floor(expected[:2] - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(expected[2:] + reach), [width, height]).astype(int)
    if right - left < MIN_PX or bottom - top < MIN_PX:
        return None
    window = _grey(image[top:bottom, left:right])
    best: tuple[float, NDArray[np.float64]] | None = None
    for scale in SCALES:
        size = np.maximum(np.rint(sides * scale), 2).astype(int)
        if size[0] > window.shape[1] or size[1] > window.shape[0]:
            continue
        zoom = min(1.0, SIDE_PX / float(size.max()))  # compared at one resolution: a large sign has no more to say, and costs more
        shape = np.maximum(np.rint(size * zoom), 2).astype(int)
        area = cv2.resize(window, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA) if zoom < 1 else window
        template = cv2.resize(patch, (int(shape[0]), int(shape[1])), interpolation=cv2.INTER_AREA)
        if shape[0] > area.shape[1] or shape[1] > area.shape[0]:
            continue
        _, score, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(area, template, cv2.TM_CCOEFF_NORMED))
        if best is None or score > best[0]:
            corner = np.array([x, y]) / zoom + [left, top]
            best = float(score), np.concatenate([corner, corner + size]).astype(np.float64)
    return None if best is None or best[0] < LEAST else best[1]
