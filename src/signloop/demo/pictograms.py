"""The signs' pictograms: a class id enters, its symbol is drawn with a pen inside the unit square."""

from collections.abc import Callable

import numpy as np

from signloop.demo.pen import Colour, Pen, arc, join

BLACK: Colour = (22, 22, 24)
WHITE: Colour = (240, 240, 238)
GREY: Colour = (120, 122, 124)
RED: Colour = (196, 26, 40)


def number(word: str, colour: Colour = BLACK) -> Callable[[Pen], None]:
    """Return a drawer of a speed limit's number."""

    def draw(pen: Pen) -> None:
        if len(word) == 2:
            pen.text(word, (0.245, 0.315, 0.755, 0.685), 0.072, colour)
        else:
            pen.text(word, (0.195, 0.335, 0.805, 0.665), 0.062, colour, gap=0.28)

    return draw


def stripes(pen: Pen, colour: Colour = BLACK) -> None:
    """The slanted lines of all signs that end a restriction."""
    for offset in (-0.12, -0.06, 0.0, 0.06, 0.12):
        half = float(np.sqrt(0.44**2 - offset**2 * 2))
        mid = np.array([0.5 + offset, 0.5 + offset])
        way = np.array([half, -half]) / np.sqrt(2)
        pen.line([mid - way, mid + way], 0.027, colour, round_ends=False)


def car(pen: Pen, x: float, y: float, w: float, colour: Colour) -> None:
    """A car from behind; (x, y) the middle of its lower edge."""
    pen.fill(
        [
            (x - w / 2, y - 0.12 * w),
            (x - w / 2, y - 0.45 * w),
            (x - 0.34 * w, y - 0.5 * w),
            (x - 0.26 * w, y - 0.82 * w),
            (x + 0.26 * w, y - 0.82 * w),
            (x + 0.34 * w, y - 0.5 * w),
            (x + w / 2, y - 0.45 * w),
            (x + w / 2, y - 0.12 * w),
        ],
        colour,
    )
    for side in (-1, 1):
        outer, inner = x + side * 0.47 * w, x + side * 0.27 * w
        pen.fill([(outer, y - 0.14 * w), (outer, y), (inner, y), (inner, y - 0.14 * w)], colour)
    pen.fill([(x - 0.26 * w, y - 0.52 * w), (x - 0.2 * w, y - 0.72 * w), (x + 0.2 * w, y - 0.72 * w), (x + 0.26 * w, y - 0.52 * w)], WHITE)


def lorry_back(pen: Pen, x: float, y: float, w: float, colour: Colour) -> None:
    """A lorry from behind; (x, y) the middle of its lower edge."""
    pen.fill([(x - w / 2, y - 0.16 * w), (x - w / 2, y - 1.25 * w), (x + w / 2, y - 1.25 * w), (x + w / 2, y - 0.16 * w)], colour)
    for side in (-1, 1):
        outer, inner = x + side * 0.45 * w, x + side * 0.18 * w
        pen.fill([(outer, y - 0.2 * w), (outer, y), (inner, y), (inner, y - 0.2 * w)], colour)


def overtaking(left: Callable[..., None], left_colour: Colour, right_colour: Colour) -> Callable[[Pen], None]:
    """Return a drawer of two vehicles side by side."""

    def draw(pen: Pen) -> None:
        left(pen, 0.345, 0.63, 0.27, left_colour)
        car(pen, 0.655, 0.63, 0.27, right_colour)

    return draw


def lorry(pen: Pen) -> None:
    """A lorry from the side."""
    pen.fill([(0.2, 0.36), (0.58, 0.36), (0.58, 0.6), (0.2, 0.6)], BLACK)
    pen.fill([(0.61, 0.43), (0.73, 0.43), (0.8, 0.52), (0.8, 0.6), (0.61, 0.6)], BLACK)
    pen.fill([(0.66, 0.46), (0.72, 0.46), (0.76, 0.52), (0.66, 0.52)], WHITE)
    pen.fill([(0.2, 0.58), (0.8, 0.58), (0.8, 0.62), (0.2, 0.62)], BLACK)
    for x in (0.3, 0.68):
        pen.disc(x, 0.63, 0.062, BLACK)


def priority_next(pen: Pen) -> None:
    """A thick way that a thin one crosses."""
    pen.fill([(0.445, 0.86), (0.445, 0.5), (0.39, 0.5), (0.5, 0.33), (0.61, 0.5), (0.555, 0.5), (0.555, 0.86)], BLACK)
    pen.line([(0.31, 0.68), (0.69, 0.68)], 0.05, BLACK, round_ends=False)


def exclamation(pen: Pen) -> None:
    """An exclamation mark."""
    pen.fill([(0.445, 0.36), (0.555, 0.36), (0.535, 0.7), (0.465, 0.7)], BLACK)
    pen.disc(0.5, 0.79, 0.055, BLACK)


def head(pen: Pen, tip: tuple[float, float], way: tuple[float, float], size: float, colour: Colour) -> None:
    """An arrow's head that ends at `tip` and points along `way`."""
    forward = np.array(way) / np.hypot(*way)
    side = np.array([-forward[1], forward[0]])
    back = np.array(tip) - forward * size
    pen.fill([np.array(tip), back + side * size * 0.72, back - side * size * 0.72], colour)


def bend(sign: int) -> Callable[[Pen], None]:
    """Return a drawer of a way that turns left (-1) or right (1)."""

    def draw(pen: Pen) -> None:
        x = 0.5 - 0.05 * sign
        pen.line(join([(x, 0.86), (x, 0.7)], [(x + 0.03 * sign, 0.62), (x + 0.12 * sign, 0.5)]), 0.085, BLACK, round_ends=False)
        head(pen, (x + 0.2 * sign, 0.39), (0.62 * sign, -0.8), 0.16, BLACK)

    return draw


def double_bend(pen: Pen) -> None:
    """A way that turns left, then right."""
    pen.line([(0.56, 0.87), (0.56, 0.74), (0.42, 0.63), (0.42, 0.55), (0.5, 0.47)], 0.075, BLACK, round_ends=False)
    head(pen, (0.575, 0.36), (0.55, -0.75), 0.14, BLACK)


def bumps(pen: Pen) -> None:
    """Two bumps."""
    pen.fill(join([(0.24, 0.82)], arc(0.385, 0.74, 0.115, 0.16, 185, 355), arc(0.615, 0.74, 0.115, 0.16, 185, 355), [(0.76, 0.82)]), BLACK)


def slippery(pen: Pen) -> None:
    """A car over two winding tracks."""
    car(pen, 0.5, 0.59, 0.23, BLACK)
    for x in (0.4, 0.56):
        pen.line([(x + 0.02, 0.61), (x + 0.08, 0.68), (x - 0.04, 0.76), (x + 0.05, 0.85)], 0.04, BLACK)


def narrows(pen: Pen) -> None:
    """Two kerbs of which the right one comes nearer."""
    pen.line([(0.4, 0.86), (0.4, 0.42)], 0.062, BLACK, round_ends=False)
    pen.line([(0.64, 0.86), (0.64, 0.7), (0.55, 0.58), (0.55, 0.42)], 0.062, BLACK, round_ends=False)


def digger(pen: Pen) -> None:
    """A man who digs, and a heap."""
    pen.disc(0.46, 0.44, 0.048, BLACK)
    pen.line([(0.44, 0.52), (0.38, 0.66)], 0.085, BLACK)
    pen.lines(
        [[(0.38, 0.67), (0.42, 0.76), (0.4, 0.86)], [(0.37, 0.67), (0.31, 0.86)], [(0.45, 0.53), (0.53, 0.63), (0.58, 0.66)]], 0.048, BLACK
    )
    pen.line([(0.44, 0.58), (0.66, 0.76)], 0.028, BLACK)
    pen.fill(join([(0.56, 0.87)], arc(0.67, 0.87, 0.11, 0.15, 185, 355), [(0.78, 0.87)]), BLACK)


def lights(pen: Pen) -> None:
    """A traffic signal."""
    pen.fill([(0.4, 0.38), (0.6, 0.38), (0.6, 0.88), (0.4, 0.88)], BLACK)
    for y, colour in ((0.465, (214, 30, 36)), (0.63, (240, 190, 20)), (0.795, (20, 150, 70))):
        pen.disc(0.5, y, 0.068, colour)


def person(pen: Pen, x: float, y: float, h: float, stride: float = 0.2, lean: float = 0.04) -> None:
    """A walking person of height `h`; (x, y) between the feet."""
    hip, neck = (x, y - 0.46 * h), (x + lean * h, y - 0.76 * h)
    pen.disc(x + lean * h * 1.2, y - 0.9 * h, 0.1 * h, BLACK)
    pen.line([neck, hip], 0.2 * h, BLACK)
    pen.lines([[hip, (x + stride * h, y - 0.2 * h), (x + stride * 1.15 * h, y)], [hip, (x - stride * 0.8 * h, y)]], 0.105 * h, BLACK)
    pen.lines([[neck, (x + 0.24 * h, y - 0.52 * h)], [neck, (x - 0.2 * h, y - 0.5 * h)]], 0.08 * h, BLACK)


def crossing(pen: Pen) -> None:
    """A person on a zebra crossing."""
    person(pen, 0.5, 0.78, 0.42)
    for x in (0.29, 0.42, 0.55, 0.68):
        pen.fill([(x, 0.81), (x + 0.07, 0.81), (x + 0.055, 0.88), (x - 0.03, 0.88)], BLACK)


def children(pen: Pen) -> None:
    """Two running children."""
    person(pen, 0.39, 0.86, 0.44, 0.26, 0.1)
    person(pen, 0.63, 0.86, 0.35, 0.28, 0.12)


def cycle(pen: Pen) -> None:
    """A bicycle."""
    for x in (0.34, 0.66):
        pen.line(arc(x, 0.75, 0.1, 0.1), 0.034, BLACK)
    pen.lines(
        [
            [(0.34, 0.75), (0.44, 0.58), (0.6, 0.58), (0.49, 0.75), (0.34, 0.75)],
            [(0.49, 0.75), (0.42, 0.53)],
            [(0.66, 0.75), (0.58, 0.5), (0.65, 0.48)],
            [(0.38, 0.53), (0.46, 0.53)],
        ],
        0.034,
        BLACK,
    )


def flake(pen: Pen) -> None:
    """A snow flake."""
    mid = np.array([0.5, 0.645])
    for angle in np.radians([30, 90, 150]):
        way = np.array([np.cos(angle), np.sin(angle)])
        pen.line([mid - way * 0.21, mid + way * 0.21], 0.036, BLACK)
        for end in (-1, 1):
            for turn in (-0.8, 0.8):
                side = np.array([np.cos(angle + turn), np.sin(angle + turn)]) * end
                pen.line([mid + way * end * 0.1, mid + way * end * 0.1 + side * 0.075], 0.026, BLACK)


def deer(pen: Pen) -> None:
    """A leaping deer."""
    pen.fill([(0.33, 0.68), (0.4, 0.58), (0.55, 0.56), (0.63, 0.5), (0.67, 0.56), (0.6, 0.67), (0.45, 0.71)], BLACK)
    pen.line([(0.61, 0.55), (0.67, 0.43)], 0.06, BLACK)
    pen.fill([(0.645, 0.39), (0.69, 0.39), (0.76, 0.45), (0.7, 0.475), (0.65, 0.46)], BLACK)
    pen.lines([[(0.665, 0.4), (0.62, 0.33), (0.66, 0.3)], [(0.68, 0.4), (0.68, 0.32)]], 0.02, BLACK)
    pen.lines(
        [
            [(0.37, 0.67), (0.29, 0.74), (0.3, 0.86)],
            [(0.41, 0.69), (0.37, 0.78), (0.4, 0.87)],
            [(0.59, 0.65), (0.69, 0.69), (0.66, 0.78)],
            [(0.57, 0.66), (0.64, 0.76), (0.6, 0.83)],
        ],
        0.036,
        BLACK,
    )


def turn(sign: int) -> Callable[[Pen], None]:
    """Return a drawer of the order to turn left (-1) or right (1) ahead."""

    def draw(pen: Pen) -> None:
        x = 0.5 - 0.13 * sign
        pen.line([(x, 0.77), (x, 0.43), (0.5 + 0.1 * sign, 0.43)], 0.105, WHITE, round_ends=False)
        head(pen, (0.5 + 0.32 * sign, 0.43), (sign, 0), 0.23, WHITE)

    return draw


def straight_on(pen: Pen) -> None:
    """The order to go straight on."""
    pen.line([(0.5, 0.8), (0.5, 0.36)], 0.11, WHITE, round_ends=False)
    head(pen, (0.5, 0.16), (0, -1), 0.24, WHITE)


def straight_or(sign: int) -> Callable[[Pen], None]:
    """Return a drawer of the order to go straight on or to turn left (-1) or right (1)."""

    def draw(pen: Pen) -> None:
        x = 0.5 - 0.12 * sign
        pen.line([(x, 0.8), (x, 0.36)], 0.095, WHITE, round_ends=False)
        head(pen, (x, 0.18), (0, -1), 0.2, WHITE)
        pen.line([(x, 0.6), (0.5 + 0.12 * sign, 0.6)], 0.095, WHITE, round_ends=False)
        head(pen, (0.5 + 0.3 * sign, 0.6), (sign, 0), 0.2, WHITE)

    return draw


def keep(sign: int) -> Callable[[Pen], None]:
    """Return a drawer of the order to pass on the left (-1) or right (1)."""

    def draw(pen: Pen) -> None:
        pen.line([(0.5 - 0.24 * sign, 0.26), (0.5 + 0.1 * sign, 0.6)], 0.115, WHITE, round_ends=False)
        head(pen, (0.5 + 0.26 * sign, 0.76), (sign, 1), 0.26, WHITE)

    return draw


def circle_arrows(pen: Pen) -> None:
    """Three arrows that follow each other round."""
    for start in (20, 140, 260):
        pen.line(arc(0.5, 0.5, 0.25, 0.25, start + 95, start + 38), 0.085, WHITE, round_ends=False)
        angle = np.radians(start + 42)
        tip = (0.5 + 0.25 * np.cos(angle - 0.62), 0.5 + 0.25 * np.sin(angle - 0.62))
        head(pen, tip, (float(np.sin(angle - 0.3)), float(-np.cos(angle - 0.3))), 0.17, WHITE)


def stop(pen: Pen) -> None:
    """The word."""
    pen.text("STOP", (0.13, 0.355, 0.87, 0.645), 0.07, WHITE, gap=0.4)


def bar(pen: Pen) -> None:
    """A lying bar."""
    pen.fill([(0.16, 0.415), (0.84, 0.415), (0.84, 0.585), (0.16, 0.585)], WHITE)


def nothing(pen: Pen) -> None:
    """No symbol."""


SYMBOLS: dict[int, Callable[[Pen], None]] = {
    0: number("20"),
    1: number("30"),
    2: number("50"),
    3: number("60"),
    4: number("70"),
    5: number("80"),
    6: number("80", GREY),
    7: number("100"),
    8: number("120"),
    9: overtaking(car, RED, BLACK),
    10: overtaking(lorry_back, RED, BLACK),
    11: priority_next,
    12: nothing,
    13: nothing,
    14: stop,
    15: nothing,
    16: lorry,
    17: bar,
    18: exclamation,
    19: bend(-1),
    20: bend(1),
    21: double_bend,
    22: bumps,
    23: slippery,
    24: narrows,
    25: digger,
    26: lights,
    27: crossing,
    28: children,
    29: cycle,
    30: flake,
    31: deer,
    32: nothing,
    33: turn(1),
    34: turn(-1),
    35: straight_on,
    36: straight_or(1),
    37: straight_or(-1),
    38: keep(1),
    39: keep(-1),
    40: circle_arrows,
    41: overtaking(car, GREY, GREY),
    42: overtaking(lorry_back, GREY, GREY),
}
