"""The things that stand or drive along the road: each enters with its place in metres and paints itself on one frame's canvas."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from signloop.demo.camera import NEAR_M, Camera, Light
from signloop.demo.paint import Painter
from signloop.demo.pen import Colour, Points, Sprite
from signloop.demo.sprites import glow

GLOW_WHITE, GLOW_RED, GLOW_WARM = (1.0, 0.97, 0.9), (1.0, 0.08, 0.06), (1.0, 0.78, 0.5)


@dataclass(frozen=True)
class View:
    """What a thing needs to paint itself on one frame."""

    painter: Painter
    camera: Camera
    light: Light
    time_s: float

    def poly(self, x: Sequence[float], y: Sequence[float], d: Sequence[float], colour: Sequence[float], factor: float = 1.0) -> None:
        """Paint a polygon given in road coordinates; what is nearer than the lens is drawn at the lens."""
        far = [max(v, NEAR_M) for v in d]
        self.painter.poly(self.camera.project(x, y, far), self.light.shade(colour, sum(far) / len(far), factor))

    def upright(self, x: float, y: float, d: float, width: float, height: float) -> NDArray[np.float64]:
        """Return the corners of a picture that faces the camera, (4, 2); (x, y) the middle of its lower edge."""
        w = width / 2
        return self.camera.project([x - w, x + w, x + w, x - w], [y + height, y + height, y, y], d)

    def glow(self, x: float, y: float, d: float, size: float, colour: Sequence[float]) -> None:
        """Add a light's halo of `size` metres; seen through fog it is weaker."""
        matrix = np.diag([*(np.asarray(colour) * self.light.clear(d) ** 0.5), 1.0])
        self.painter.sprite(glow(), self.upright(x, y - size / 2, d, size, size), matrix)


@dataclass(frozen=True, kw_only=True)
class Thing(ABC):
    """Something at a place.

    Attributes:
        x: metres right of the road's middle.
        z: metres ahead of where the camera starts.
        speed: along the road, m/s.
        reach: how far it extends ahead, m; it is painted until its far end is behind the camera.
    """

    x: float
    z: float
    speed: float = 0.0
    reach: float = 0.0

    @abstractmethod
    def paint(self, view: View, d: float) -> None:
        """Paint it at distance d."""


@dataclass(frozen=True, kw_only=True)
class Standing(Thing):
    """A flat picture that faces the camera: trees, bushes, boards, heads of traffic lights.

    Attributes:
        sprite, width, height: the picture and its size, m.
        y: height of its lower edge above the road, m.
        factor: how bright it is among its neighbours.
        retro: how well it throws headlights back, 0-1.
        legs: places of the posts it stands on, as shares of the width from its middle.
        lit: it shines by itself at night.
    """

    sprite: Sprite
    width: float
    height: float
    y: float = 0.0
    factor: float = 1.0
    retro: float = 0.0
    legs: tuple[float, ...] = ()
    lit: bool = False

    def paint(self, view: View, d: float) -> None:
        """Legs, picture; one that is lit keeps its brightness at night."""
        for side in self.legs:
            x = self.x + side * self.width
            view.poly([x - 0.05, x + 0.05, x + 0.05, x - 0.05], [self.y, self.y, 0, 0], [d] * 4, (96, 98, 100))
        tint = (
            np.diag([*([view.light.clear(d) ** 0.5] * 3), 1.0])
            if self.lit and view.light.lamps
            else view.light.tint(d, self.factor, self.retro)
        )
        view.painter.sprite(self.sprite, view.upright(self.x, self.y, d, self.width, self.height), tint)


@dataclass(frozen=True, kw_only=True)
class Plate:
    """One sign's face on a pole.

    Attributes:
        track_id: number of the physical sign; None is a look-alike.
        class_id: None is a look-alike.
        sprite: its worn face.
        outline: its edge in the sprite's unit square, (points, 2).
        y, size: height of its middle above the road, and its side, m.
        yaw, tilt, roll: radians; yaw about the pole, tilt forward, roll in its plane.
        factor: how bright it is among its neighbours.
    """

    track_id: int | None
    class_id: int | None
    sprite: Sprite
    outline: Points
    y: float
    size: float
    yaw: float = 0.0
    tilt: float = 0.0
    roll: float = 0.0
    factor: float = 1.0

    def corners(self, camera: Camera, x: float, d: float) -> NDArray[np.float64]:
        """Return its corners on the canvas, (4, 2)."""
        across, up = np.array([-1, 1, 1, -1]) * self.size / 2, np.array([1, 1, -1, -1]) * self.size / 2
        across, up = across * np.cos(self.roll) - up * np.sin(self.roll), across * np.sin(self.roll) + up * np.cos(self.roll)
        away = across * np.sin(self.yaw) + up * np.sin(self.tilt)
        return camera.project(x + across * np.cos(self.yaw), self.y + up * np.cos(self.tilt), np.maximum(d + away, 0.3))


@dataclass(frozen=True, kw_only=True)
class Pole(Thing):
    """A pole with signs or look-alikes on it."""

    plates: tuple[Plate, ...]
    retro: float = 0.8

    def paint(self, view: View, d: float) -> None:
        """The pole, then its plates."""
        top = max(p.y + p.size * 0.4 for p in self.plates)
        view.poly([self.x - 0.035, self.x + 0.035, self.x + 0.035, self.x - 0.035], [top, top, 0, 0], [d] * 4, (118, 120, 122))
        for p in self.plates:
            tint = view.light.tint(d, p.factor, self.retro)
            view.painter.sprite(p.sprite, p.corners(view.camera, self.x, d), tint, p.track_id, p.outline)


@dataclass(frozen=True, kw_only=True)
class Post(Thing):
    """A white marker post with a black band."""

    def paint(self, view: View, d: float) -> None:
        """Post, band, reflector."""
        x = [self.x - 0.06, self.x + 0.06, self.x + 0.06, self.x - 0.06]
        view.poly(x, [1.0, 1.0, 0, 0], [d] * 4, (228, 228, 224))
        view.poly(x, [0.86, 0.8, 0.6, 0.66], [d] * 4, (30, 30, 32))


@dataclass(frozen=True, kw_only=True)
class Rail(Thing):
    """One stretch of guard rail with its post."""

    def paint(self, view: View, d: float) -> None:
        """Post, shaded lower half, bright upper half."""
        to = d + self.reach
        if d > NEAR_M:
            view.poly([self.x - 0.06, self.x + 0.06, self.x + 0.06, self.x - 0.06], [0.6, 0.6, 0, 0], [d] * 4, (92, 94, 96))
        for low, high, colour in ((0.42, 0.58, (112, 116, 120)), (0.56, 0.74, (168, 172, 176))):
            view.poly([self.x] * 4, [high, high, low, low], [d, to, to, d], colour)


@dataclass(frozen=True, kw_only=True)
class Lamp(Thing):
    """A street lamp, often round: at night a bright disc near the signs."""

    height: float
    arm: float
    globe: bool

    def paint(self, view: View, d: float) -> None:
        """Post, arm, head, and the halo when it is on."""
        grey = (104, 108, 110)
        top = self.x + self.arm
        view.poly([self.x - 0.06, self.x + 0.06, self.x + 0.05, self.x - 0.05], [0, 0, self.height, self.height], [d] * 4, grey)
        view.poly([self.x, top, top, self.x], [self.height, self.height + 0.25, self.height + 0.37, self.height + 0.14], [d] * 4, grey)
        angles = np.linspace(0, 2 * np.pi, 14)
        rx, ry = (0.3, 0.3) if self.globe else (0.45, 0.12)
        colour = (255, 240, 205) if view.light.lamps else (216, 218, 214)
        head = view.camera.project(top + rx * np.cos(angles), self.height + 0.25 + ry * np.sin(angles), d)
        view.painter.poly(head, colour if view.light.lamps else view.light.shade(colour, d))
        if view.light.lamps:
            view.glow(top, self.height + 0.2, d, 2.6, GLOW_WARM)


@dataclass(frozen=True, kw_only=True)
class Vehicle(Thing):
    """A car, van or lorry, parked or driving.

    Attributes:
        sprite: the end that faces the camera.
        width, height: of that end, m.
        paint_colour: of its side.
        oncoming: it shows its front.
        brakes: its brake lights are on from this time in s; None never.
    """

    sprite: Sprite
    width: float
    height: float
    paint_colour: Colour
    oncoming: bool = False
    brakes: float | None = None

    def paint(self, view: View, d: float) -> None:
        """Shadow, side, end, lamps."""
        if d < NEAR_M:
            return
        w, to = self.width / 2, d + self.reach
        view.poly([self.x - w, self.x + w, self.x + w, self.x - w], [0.02] * 4, [d, d, to, to], (24, 24, 26))
        side = self.x - w if self.x > view.camera.x_m else self.x + w
        h = self.height
        tall = h > 1.9
        long = self.reach
        view.poly([side] * 4, [h, 0.3, 0.3, h] if tall else [0.6 * h, 0.22, 0.22, 0.52 * h], [d, d, to, to], self.paint_colour, 0.72)
        if not tall:  # the cabin is narrower than the body, as on the sprites
            low, high = self.x + (side - self.x) * 0.88, self.x + (side - self.x) * 0.5
            view.poly(
                [low, high, high, low],
                [0.58 * h, 0.95 * h, 0.95 * h, 0.56 * h],
                [d, d, d + 0.5 * long, d + 0.75 * long],
                self.paint_colour,
                0.62,
            )
            view.poly(
                [low, high, high, low],
                [0.63 * h, 0.9 * h, 0.9 * h, 0.62 * h],
                [d + 0.05 * long, d + 0.05 * long, d + 0.46 * long, d + 0.66 * long],
                (50, 58, 66),
            )
        view.painter.sprite(self.sprite, view.upright(self.x, 0, d, self.width, h), view.light.tint(d, 0.95))
        self._lamps(view, d, min(h * 0.4, 0.85))

    def _lamps(self, view: View, d: float, y: float) -> None:
        braking = self.brakes is not None and view.time_s >= self.brakes
        for side in (-0.37, 0.37):
            x = self.x + side * self.width
            if self.oncoming and view.light.lamps:
                view.glow(x, y * 0.8, d, 1.5, GLOW_WHITE)
            elif not self.oncoming and (braking or view.light.lamps):
                view.glow(x, y, d, 0.9 if braking else 0.5, GLOW_RED)


@dataclass(frozen=True, kw_only=True)
class House(Thing):
    """A house whose long side runs along the road.

    Attributes:
        deep: its extent away from the road, m; the house lies on the side of its x's sign.
        eaves, ridge: heights, m.
        wall, roof: colours.
        shop: a disk that hangs on its wall, a look-alike.
    """

    deep: float
    eaves: float
    ridge: float
    wall: Colour
    roof: Colour
    shop: Sprite | None = None
    night: tuple[bool, ...] = field(default=(True, False, False, True, False))

    def paint(self, view: View, d: float) -> None:
        """Long side, roof, gable, windows."""
        away = self.deep if self.x > 0 else -self.deep
        to, mid = d + self.reach, self.x + away / 2
        view.poly([self.x] * 4, [0, self.eaves, self.eaves, 0], [d, d, to, to], self.wall, 0.82)
        view.poly([self.x, mid, mid, self.x], [self.eaves, self.ridge, self.ridge, self.eaves], [d, d, to, to], self.roof)
        if d > NEAR_M:
            gable = [self.x, self.x, mid, self.x + away, self.x + away]
            view.poly(gable, [0, self.eaves, self.ridge, self.eaves, 0], [d] * 5, self.wall)
        self._windows(view, d, away)
        if self.shop is not None and d > NEAR_M:
            side = -np.sign(away) * 0.5
            view.painter.sprite(self.shop, view.upright(self.x + side, 2.6, d + 0.3, 0.8, 0.8), view.light.tint(d, 0.95, 0.2))

    def _windows(self, view: View, d: float, away: float) -> None:
        lit = 0
        for floor in np.arange(1.0, self.eaves - 1.4, 2.8):
            for place in np.arange(1.2, self.reach - 1.5, 2.6):
                if d + place > NEAR_M and d + place < 50:
                    on = view.light.lamps and self.night[lit % len(self.night)]
                    lit += 1
                    near, far = d + place, d + place + 1.2
                    pts = view.camera.project([self.x] * 4, [floor, floor + 1.4, floor + 1.4, floor], [near, near, far, far])
                    view.painter.poly(pts, (236, 190, 110) if on else view.light.shade((62, 72, 84), near))
            if NEAR_M < d < 50:
                for share in (0.22, 0.62):
                    x = self.x + away * share
                    view.poly([x, x + away * 0.16, x + away * 0.16, x], [floor, floor, floor + 1.4, floor + 1.4], [d] * 4, (66, 76, 88))
