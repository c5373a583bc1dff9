"""Pictures of everything that is not a sign: a kind and a random generator enter, a sprite leaves."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from signloop.demo.pen import Colour, Image, Pen, Sprite, arc
from signloop.demo.pictograms import BLACK, WHITE

_VARIANTS = 8
PAINTS: tuple[Colour, ...] = (
    (168, 22, 30),
    (24, 58, 130),
    (236, 236, 236),
    (30, 32, 36),
    (128, 132, 138),
    (60, 66, 74),
    (200, 160, 30),
    (30, 84, 60),
    (178, 184, 190),
)


def _jitter(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    values = np.clip(np.array(colour) * (1 + rng.normal(0, spread)) + rng.normal(0, 4, 3), 0, 255)
    return int(values[0]), int(values[1]), int(values[2])


def _leafy(rng: np.random.Generator) -> Image:
    pen = Pen(96, 128)
    pen.fill([(0.46, 1.34), (0.48, 0.7), (0.53, 0.7), (0.55, 1.34)], (62, 48, 38))
    base = _jitter(rng, (62, 88, 40), 0.2)
    for size, count, light in ((0.16, 26, 0.62), (0.09, 90, 0.85), (0.05, 240, 1.1), (0.022, 420, 1.3)):
        for _ in range(count):
            angle, r = (
                rng.uniform(0, 2 * np.pi),
                np.sqrt(rng.random()) * (1.12 - 1.6 * size) * (0.85 + 0.15 * np.sin(rng.integers(3, 6) * 2.0)),
            )
            x, y = 0.5 + 0.42 * r * np.cos(angle), 0.48 + 0.42 * r * np.sin(angle)
            sun = light * (1.12 - 0.5 * y) * (1.08 - 0.25 * x)
            pen.disc(x, y, size * rng.uniform(0.5, 1), _jitter(rng, (int(base[0] * sun), int(base[1] * sun), int(base[2] * sun)), 0.12))
    return pen.image()


def _conifer(rng: np.random.Generator) -> Image:
    pen = Pen(72, 132)
    pen.fill([(0.46, 1.8), (0.48, 1.4), (0.54, 1.4), (0.56, 1.8)], (58, 44, 36))
    for tier in range(15):
        y = 0.08 + tier * 0.103
        half = 0.05 + tier * 0.028
        pen.fill(
            [(0.5 - half * 0.5, y - 0.03), (0.5 + half * 0.5, y - 0.03), (0.5 + half * 0.95, y + 0.13), (0.5 - half * 0.95, y + 0.13)],
            (30, 48, 36),
        )
        for x in np.linspace(-half, half, 5 + tier):
            drop = 0.08 + 0.08 * abs(x) / half + rng.uniform(0, 0.06)
            colour = _jitter(rng, (34, 58, 42) if x > 0 else (46, 74, 50), 0.16)
            pen.fill([(0.5 + x - 0.045, y), (0.5 + x + 0.045, y), (0.5 + x * 1.12, y + drop)], colour)
    return pen.image()


def _bare(rng: np.random.Generator) -> Image:
    pen = Pen(96, 128)

    def branch(x: float, y: float, angle: float, length: float, width: float) -> None:
        if width < 0.0045:
            return
        to = (x + np.cos(angle) * length, y + np.sin(angle) * length)
        pen.line([(x, y), to], width, _jitter(rng, (72, 62, 56), 0.15))
        for _ in range(3):
            branch(*to, angle + rng.normal(0, 0.45), length * rng.uniform(0.6, 0.85), width * rng.uniform(0.5, 0.72))

    branch(0.5, 1.33, -np.pi / 2, 0.4, 0.05)
    return pen.image()


def _bush(rng: np.random.Generator) -> Image:
    pen = Pen(96, 56)
    for size, count, light in ((0.12, 18, 0.7), (0.06, 80, 0.95), (0.03, 200, 1.2)):
        for _ in range(count):
            x = rng.uniform(0.08, 0.92)
            y = 0.58 - rng.random() * 0.42 * np.sin(np.pi * x) ** 0.6
            pen.disc(x, y, size * rng.uniform(0.5, 1), _jitter(rng, (int(58 * light), int(76 * light), int(38 * light)), 0.15))
    return pen.image()


def _twig(rng: np.random.Generator) -> Image:
    """Leaves that hang into the picture from the upper right; gaps let a sign shine through."""
    pen = Pen(96)
    for _ in range(5):
        end = (rng.uniform(0.05, 0.5), rng.uniform(0.35, 0.95))
        pen.line([(1.0, rng.uniform(0, 0.3)), (0.7, 0.35), end], 0.018, (64, 50, 40))
        for _ in range(38):
            way = rng.random()
            x, y = 1 + (end[0] - 1) * way + rng.normal(0, 0.08), 0.15 + (end[1] - 0.15) * way + rng.normal(0, 0.09)
            colour = _jitter(rng, (70, 96, 42), 0.25)
            pen.fill(arc(x, y, rng.uniform(0.02, 0.05), rng.uniform(0.015, 0.035)), colour)
    return pen.image()


_KINDS: dict[str, Callable[[np.random.Generator], Image]] = {
    "leafy": _leafy,
    "conifer": _conifer,
    "bare": _bare,
    "bush": _bush,
    "twig": _twig,
}


@cache
def _plant(kind: str, variant: int) -> Sprite:
    return Sprite.of(_KINDS[kind](np.random.default_rng([*kind.encode(), variant])))


def plant(kind: str, variant: int) -> Sprite:
    """Return one of the few trees, bushes and twigs that all recordings share; `variant` is taken modulo their number."""
    return _plant(kind, variant % _VARIANTS)


@cache
def glow() -> Sprite:
    """A light's halo: alpha is 0 everywhere, so that it only adds."""
    ys, xs = np.mgrid[0:64, 0:64] / 31.5 - 1
    r = np.hypot(xs, ys)
    light = np.clip(0.85 * np.exp(-((r / 0.16) ** 2)) + 0.4 * np.exp(-((r / 0.42) ** 2)) - 0.01, 0, 1) * (r < 1)
    return Sprite.of(np.dstack([(light * 255).astype(np.uint8)] * 3 + [np.zeros((64, 64), np.uint8)]))


def car_back(rng: np.random.Generator, paint: Colour) -> Sprite:
    """A car from behind, 128x112 px."""
    pen = Pen(128, 112)
    dark = (paint[0] // 2, paint[1] // 2, paint[2] // 2)
    for x in (0.12, 0.7):
        pen.fill([(x, 0.66), (x + 0.18, 0.66), (x + 0.18, 0.86), (x, 0.86)], (18, 18, 18))
    pen.fill([(0.05, 0.78), (0.03, 0.42), (0.16, 0.34), (0.25, 0.06), (0.75, 0.06), (0.84, 0.34), (0.97, 0.42), (0.95, 0.78)], paint)
    pen.fill([(0.05, 0.78), (0.04, 0.6), (0.96, 0.6), (0.95, 0.78)], dark)
    pen.fill([(0.23, 0.33), (0.3, 0.1), (0.7, 0.1), (0.77, 0.33)], (48, 58, 68))
    pen.fill([(0.3, 0.3), (0.36, 0.12), (0.48, 0.12), (0.4, 0.3)], (92, 104, 116))
    pen.fill([(0.36, 0.52), (0.64, 0.52), (0.64, 0.6), (0.36, 0.6)], (226, 226, 220))
    if rng.random() < 0.4:  # round lamps: red discs with a pale middle
        for x in (0.13, 0.87):
            pen.disc(x, 0.48, 0.075, (186, 20, 26))
            pen.disc(x, 0.48, 0.04, (235, 200, 190))
    else:
        for x in (0.05, 0.8):
            pen.fill([(x, 0.42), (x + 0.15, 0.42), (x + 0.15, 0.53), (x, 0.53)], (176, 18, 24))
    return Sprite.of(pen.image())


def car_front(rng: np.random.Generator, paint: Colour) -> Sprite:
    """A car from the front, 128x112 px."""
    pen = Pen(128, 112)
    for x in (0.12, 0.7):
        pen.fill([(x, 0.66), (x + 0.18, 0.66), (x + 0.18, 0.86), (x, 0.86)], (18, 18, 18))
    pen.fill([(0.05, 0.78), (0.03, 0.5), (0.16, 0.36), (0.25, 0.06), (0.75, 0.06), (0.84, 0.36), (0.97, 0.5), (0.95, 0.78)], paint)
    pen.fill([(0.22, 0.35), (0.3, 0.1), (0.7, 0.1), (0.78, 0.35)], (54, 64, 74))
    pen.fill([(0.3, 0.5), (0.7, 0.5), (0.66, 0.63), (0.34, 0.63)], (26, 26, 28))
    for x in (0.15, 0.85):
        pen.disc(x, 0.53, 0.07, (236, 238, 240) if rng.random() < 0.7 else (190, 200, 205))
    return Sprite.of(pen.image())


def lorry_back(rng: np.random.Generator, paint: Colour) -> Sprite:
    """A lorry or van from behind, 128x160 px, often with round or lettered marks on its doors."""
    pen = Pen(128, 160)
    for x in (0.1, 0.68):
        pen.fill([(x, 1.05), (x + 0.22, 1.05), (x + 0.22, 1.24), (x, 1.24)], (16, 16, 16))
    pen.fill([(0.02, 0.0), (0.98, 0.0), (0.98, 1.1), (0.02, 1.1)], paint)
    pen.line([(0.5, 0.03), (0.5, 1.0)], 0.012, (90, 90, 92))
    pen.fill([(0.02, 1.04), (0.98, 1.04), (0.98, 1.12), (0.02, 1.12)], (52, 52, 54))
    for x in (0.04, 0.82):
        pen.fill([(x, 1.05), (x + 0.14, 1.05), (x + 0.14, 1.1), (x, 1.1)], (190, 22, 26))
    if rng.random() < 0.6:
        logo(pen, rng, float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.12, 0.26)))
    return Sprite.of(pen.image())


def logo(pen: Pen, rng: np.random.Generator, x: float, y: float, r: float) -> None:
    """A firm's mark: nearly a sign, in wrong colours or with letters."""
    tone, other = (PAINTS[int(k)] for k in rng.choice(len(PAINTS), 2, replace=False))
    kind = int(rng.integers(5))
    if kind == 0:
        pen.disc(x, y, r, tone)
        pen.disc(x, y, r * 0.66, other)
    elif kind == 1:
        pen.disc(x, y, r, tone)
        pen.text("AEKMPTXO"[int(rng.integers(8))], (x - r * 0.45, y - r * 0.6, x + r * 0.45, y + r * 0.6), r * 0.22, WHITE)
    elif kind == 2:
        pen.fill([(x, y - r), (x + r, y + r * 0.8), (x - r, y + r * 0.8)], tone)
    elif kind == 3:
        pen.fill([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], tone)
        pen.disc(x, y, r * 0.4, other)
    else:
        pen.fill([(x - r, y - r * 0.6), (x + r, y - r * 0.6), (x + r, y + r * 0.6), (x - r, y + r * 0.6)], tone)
        pen.text("SALE" if rng.random() < 0.5 else "TAXE", (x - r * 0.8, y - r * 0.35, x + r * 0.8, y + r * 0.35), r * 0.16, WHITE)


def billboard(rng: np.random.Generator) -> Sprite:
    """An advertisement, 128x84 px."""
    pen = Pen(128, 84)
    pen.fill([(0.0, 0.0), (1.0, 0.0), (1.0, 0.656), (0.0, 0.656)], (70, 70, 72))
    ground = _jitter(rng, PAINTS[int(rng.integers(len(PAINTS)))], 0.2)
    pen.fill([(0.02, 0.02), (0.98, 0.02), (0.98, 0.636), (0.02, 0.636)], ground)
    for _ in range(int(rng.integers(1, 4))):
        logo(pen, rng, float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.2, 0.45)), float(rng.uniform(0.08, 0.22)))
    for row in range(int(rng.integers(0, 3))):
        pen.line([(0.1, 0.5 + row * 0.05), (rng.uniform(0.4, 0.9), 0.5 + row * 0.05)], 0.02, WHITE)
    return Sprite.of(pen.image())


def direction_board(rng: np.random.Generator) -> Sprite:
    """A blue or yellow board with lines of writing and an arrow, 128x80 px."""
    pen = Pen(128, 80)
    ground, ink = ((22, 76, 150), WHITE) if rng.random() < 0.6 else ((238, 196, 30), BLACK)
    pen.fill([(0.0, 0.0), (1.0, 0.0), (1.0, 0.625), (0.0, 0.625)], ink)
    pen.fill([(0.015, 0.015), (0.985, 0.015), (0.985, 0.61), (0.015, 0.61)], ground)
    for row in range(3):
        x = 0.3
        while x < rng.uniform(0.55, 0.9):
            width = rng.uniform(0.02, 0.06)
            pen.fill([(x, 0.1 + row * 0.17), (x + width, 0.1 + row * 0.17), (x + width, 0.2 + row * 0.17), (x, 0.2 + row * 0.17)], ink)
            x += width + 0.02
    pen.line([(0.15, 0.5), (0.15, 0.2)], 0.05, ink, round_ends=False)
    pen.fill([(0.15, 0.1), (0.24, 0.24), (0.06, 0.24)], ink)
    return Sprite.of(pen.image())


def disk(rng: np.random.Generator) -> Sprite:
    """A round thing that is no sign: a shop's disk, a mirror, the back of a sign, a clock, 64 px."""
    pen = Pen(64)
    kind = int(rng.integers(5))
    tone = PAINTS[int(rng.integers(3))]
    if kind == 0:
        pen.disc(0.5, 0.5, 0.48, tone)
        pen.text("AEKMPTXO"[int(rng.integers(8))], (0.3, 0.24, 0.7, 0.76), 0.11, WHITE)
    elif kind == 1:  # a mirror: a red rim like a prohibition's, but a bent piece of sky and road inside
        pen.disc(0.5, 0.5, 0.48, (190, 40, 40))
        pen.disc(0.5, 0.5, 0.41, (150, 168, 186))
        pen.fill(arc(0.5, 0.5, 0.41, 0.41, 5, 175), (84, 88, 84))
        pen.disc(0.38, 0.34, 0.07, (226, 232, 238))
    elif kind == 2:
        pen.disc(0.5, 0.5, 0.48, (128, 130, 130))
        pen.line([(0.1, 0.36), (0.9, 0.36)], 0.05, (98, 100, 100))
        pen.line([(0.1, 0.66), (0.9, 0.66)], 0.05, (98, 100, 100))
    elif kind == 3:
        pen.disc(0.5, 0.5, 0.48, tone)
        pen.disc(0.5, 0.5, 0.36, WHITE)
        pen.disc(0.5, 0.5, 0.22, tone)
    else:
        pen.disc(0.5, 0.5, 0.48, (40, 40, 44))
        pen.disc(0.5, 0.5, 0.43, (232, 232, 226))
        pen.lines([[(0.5, 0.5), (0.5, 0.18)], [(0.5, 0.5), (0.72, 0.6)]], 0.05, BLACK)
    return Sprite.of(pen.image())


def signal(rng: np.random.Generator) -> Sprite:
    """A traffic light's head of three lamps, one of them lit, 40x100 px."""
    pen = Pen(40, 100)
    pen.fill([(0.05, 0.02), (0.95, 0.02), (0.95, 2.48), (0.05, 2.48)], (30, 32, 32))
    lit = int(rng.integers(3))
    for k, colour in enumerate(((240, 40, 36), (250, 190, 40), (40, 220, 120))):
        pen.disc(0.5, 0.45 + 0.8 * k, 0.33, colour if k == lit else (colour[0] // 4, colour[1] // 4, colour[2] // 4))
    return Sprite.of(pen.image())


def noise(rng: np.random.Generator, height: int, width: int, cells: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return clouds of several sizes, (height, width), mean about 0.5; `cells` are the numbers of blobs along the height."""
    total = np.zeros((height, width), np.float32)
    for octave, count in enumerate(cells):
        coarse = rng.random((max(2, count), max(2, count * width // height)), dtype=np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return np.asarray(total / sum(0.5**k for k in range(len(cells))), np.float32)
