"""The 43 German road signs as pictures: a class id enters, its clean or worn face and the face's exact outline leave."""

from functools import cache

import cv2
import numpy as np

from signloop.core.errors import DataError
from signloop.demo.pen import Colour, Image, Pen, Points, arc, straight
from signloop.demo.pictograms import BLACK, RED, SYMBOLS, WHITE, stripes

# id, name and group as in conf/taxonomy/german.yaml; a test compares them.
CLASSES: dict[int, tuple[str, str]] = {
    0: ("speed limit 20", "prohibitory"),
    1: ("speed limit 30", "prohibitory"),
    2: ("speed limit 50", "prohibitory"),
    3: ("speed limit 60", "prohibitory"),
    4: ("speed limit 70", "prohibitory"),
    5: ("speed limit 80", "prohibitory"),
    6: ("restriction ends 80", "other"),
    7: ("speed limit 100", "prohibitory"),
    8: ("speed limit 120", "prohibitory"),
    9: ("no overtaking", "prohibitory"),
    10: ("no overtaking (trucks)", "prohibitory"),
    11: ("priority at next intersection", "danger"),
    12: ("priority road", "other"),
    13: ("give way", "other"),
    14: ("stop", "other"),
    15: ("no traffic both ways", "prohibitory"),
    16: ("no trucks", "prohibitory"),
    17: ("no entry", "other"),
    18: ("danger", "danger"),
    19: ("bend left", "danger"),
    20: ("bend right", "danger"),
    21: ("bend", "danger"),
    22: ("uneven road", "danger"),
    23: ("slippery road", "danger"),
    24: ("road narrows", "danger"),
    25: ("construction", "danger"),
    26: ("traffic signal", "danger"),
    27: ("pedestrian crossing", "danger"),
    28: ("school crossing", "danger"),
    29: ("cycles crossing", "danger"),
    30: ("snow", "danger"),
    31: ("animals", "danger"),
    32: ("restriction ends", "other"),
    33: ("go right", "mandatory"),
    34: ("go left", "mandatory"),
    35: ("go straight", "mandatory"),
    36: ("go right or straight", "mandatory"),
    37: ("go left or straight", "mandatory"),
    38: ("keep right", "mandatory"),
    39: ("keep left", "mandatory"),
    40: ("roundabout", "mandatory"),
    41: ("restriction ends (overtaking)", "other"),
    42: ("restriction ends (overtaking (trucks))", "other"),
}

BLUE: Colour = (18, 84, 168)
YELLOW: Colour = (248, 190, 14)
_R = 0.48  # half the face; the margin keeps the edge of a face off the edge of its picture
_ENDS = (6, 32, 41, 42)


def _rounded(corners: Points, radius: float) -> Points:
    """Return a convex polygon with its corners rounded, (points, 2); corners run clockwise on the screen."""
    parts = []
    for k, corner in enumerate(corners):
        before, after = corners[k - 1] - corner, corners[(k + 1) % len(corners)] - corner
        before, after = before / np.hypot(*before), after / np.hypot(*after)
        half = np.arccos(np.clip(before @ after, -1, 1)) / 2
        middle = corner + (before + after) / np.hypot(*(before + after)) * radius / np.sin(half)
        start = np.degrees(np.arctan2(*(corner + before * radius / np.tan(half) - middle)[::-1]))
        turn = 180 - np.degrees(2 * half)
        parts.append(arc(middle[0], middle[1], radius, radius, start, start + turn))
    return np.concatenate(parts)


@cache
def _base(shape: str) -> Points:
    if shape == "up":
        return _rounded(np.array([(0.5, 0.06), (0.98, 0.92), (0.02, 0.92)]), 0.05)
    if shape == "down":
        return _rounded(np.array([(0.02, 0.08), (0.98, 0.08), (0.5, 0.94)]), 0.05)
    if shape == "diamond":
        return _rounded(np.array([(0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)]), 0.05)
    if shape == "octagon":
        angles = np.radians(np.arange(8) * 45 + 22.5)
        return np.asarray(0.5 + _R / np.cos(np.pi / 8) * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return arc(0.5, 0.5, _R, _R, 0, 354)


def shape_of(class_id: int) -> str:
    """Return up, down, diamond, octagon or disc.

    Raises:
        DataError: not one of the 43 classes.
    """
    if class_id not in CLASSES:
        raise DataError("the demo draws no such sign", where=f"class id {class_id}", expected="0 to 42")
    return {11: "up", 12: "diamond", 13: "down", 14: "octagon"}.get(class_id, "up" if CLASSES[class_id][1] == "danger" else "disc")


def outline(class_id: int) -> Points:
    """Return the edge of a sign's face in the unit square of its picture, (points, 2), y down."""
    return _base(shape_of(class_id))


def _shrunk(points: Points, share: float) -> Points:
    middle = np.array([0.5, (points[:, 1].max() + points[:, 1].min()) / 2])
    if np.ptp(points[:, 1]) < 0.9:  # a triangle shrinks towards its centre of gravity, so that its border is even
        middle[1] = points[:, 1].max() - np.ptp(points[:, 1]) / 3 if points[0, 1] < 0.07 else points[:, 1].min() + np.ptp(points[:, 1]) / 3
    return np.asarray(middle + (points - middle) * share)


def _plate(pen: Pen, class_id: int, ring: float) -> None:
    """Draw the face without its symbol; `ring` scales the width of a red border."""
    edge, shape = outline(class_id), shape_of(class_id)
    pen.fill(edge, WHITE)
    if shape in ("up", "down"):
        pen.fill(_shrunk(edge, 0.95), RED)
        pen.fill(_shrunk(edge, 1 - 0.36 * ring), WHITE)
    elif shape == "diamond":
        pen.fill(edge, BLACK)
        pen.fill(_shrunk(edge, 0.95), WHITE)
        pen.fill(_shrunk(edge, 0.72), BLACK)
        pen.fill(_shrunk(edge, 0.68), YELLOW)
    elif shape == "octagon" or class_id == 17:
        pen.fill(_shrunk(edge, 0.96), RED)
    elif CLASSES[class_id][1] == "mandatory":
        pen.fill(_shrunk(edge, 0.96), BLUE)
    elif class_id in _ENDS:
        pen.fill(edge, BLACK)
        pen.fill(_shrunk(edge, 0.96), WHITE)
    else:
        pen.fill(_shrunk(edge, 0.98), RED)
        pen.fill(_shrunk(edge, 1 - 0.3 * ring), WHITE)


def face(class_id: int, size: int, ring: float = 1.0) -> Image:
    """Draw a clean face, (size, size, 4) RGBA, colours multiplied by alpha.

    Raises:
        DataError: not one of the 43 classes.
    """
    pen = Pen(size)
    _plate(pen, class_id, ring)
    SYMBOLS[class_id](pen)
    if class_id in _ENDS:
        stripes(pen)
    return pen.image()


def draw_sign(class_id: int, size: int) -> Image:
    """Draw a class's reference picture.

    Args:
        class_id: 0 to 42, as in the German taxonomy.
        size: side in px, at least 1.

    Returns:
        (size, size, 4) RGBA, transparent outside the face.

    Raises:
        DataError: not one of the 43 classes.
    """
    return straight(face(class_id, size))


def _cloud(rng: np.random.Generator, size: int, cells: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    coarse = rng.random((cells, cells), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def worn_face(class_id: int, size: int, rng: np.random.Generator, wear: float) -> Image:
    """Draw a face as years outdoors leave it: faded, dirty, scratched, half in shadow.

    Args:
        class_id: 0 to 42.
        size: side in px.
        rng: the choice of this one sign's damage.
        wear: 0 for a new sign, 1 for a very old one.

    Returns:
        (size, size, 4) RGBA, colours multiplied by alpha; the outline is that of a clean face.
    """
    image = face(class_id, size, ring=float(rng.uniform(0.82, 1.12)))
    alpha = image[..., 3:].astype(np.float32) / 255
    colour = image[..., :3].astype(np.float32)
    grey = colour.mean(axis=2, keepdims=True)
    fade = wear * rng.uniform(0.1, 0.55)
    colour = colour * (1 - fade) + (0.55 * grey + 85 * alpha) * fade
    colour *= 1 + rng.uniform(-0.05, 0.05, 3).astype(np.float32)
    dirt = np.clip((_cloud(rng, size, int(rng.integers(3, 9))) - (1.0 - 0.5 * wear)) * 3, 0, 0.62)[..., None]
    colour = colour * (1 - dirt) + alpha * np.array([92, 84, 70], np.float32) * dirt
    if rng.random() < 0.35 * wear:  # a sticker or a lost piece of foil
        x, y, r = rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.75), rng.uniform(0.04, 0.1)
        spot = np.zeros((size, size), np.float32)
        cv2.circle(spot, (int(x * size), int(y * size)), max(1, int(r * size)), 1.0, -1)
        colour = colour * (1 - spot[..., None]) + alpha * rng.uniform(60, 220, 3).astype(np.float32) * spot[..., None]
    if rng.random() < 0.3:  # the shadow of a branch or a roof
        slope, shift = rng.uniform(-1.5, 1.5), rng.uniform(-0.25, 0.25)
        ys, xs = np.mgrid[0:size, 0:size] / size - 0.5
        colour *= np.where(ys - slope * xs > shift, rng.uniform(0.45, 0.7), 1.0)[..., None]
    return np.dstack([np.clip(colour, 0, image[..., 3:]).astype(np.uint8), image[..., 3]])
