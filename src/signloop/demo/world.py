"""One recording's world: a seed and the classes to show enter, a road with everything along it leaves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signloop.demo import sprites
from signloop.demo.camera import CANVAS_HEIGHT, WIDTH, Camera
from signloop.demo.pen import Sprite
from signloop.demo.roadside import Site, roadside
from signloop.demo.scenery import Backdrop, Road
from signloop.demo.signs import outline, shape_of, worn_face
from signloop.demo.things import Plate, Pole, Standing, Thing
from signloop.demo.weather import Lens, Shake, Weather, draw_shake, draw_weather

FPS = 10.0
_TEMPLATE_PX = 128
_STYLES = {"country": 0.45, "town": 0.33, "motorway": 0.22}  # shares of all recordings


@dataclass(frozen=True)
class World:
    """A recording before it is drawn.

    Attributes:
        frames: their number at FPS.
        speed: of the camera, m/s.
        things: everything along the road, in no order.
        classes: track_id -> class id of every physical sign.
    """

    frames: int
    speed: float
    camera: Camera
    weather: Weather
    backdrop: Backdrop
    shake: Shake
    lens: Lens
    things: tuple[Thing, ...]
    classes: dict[int, int]


def _road(rng: np.random.Generator, style: str) -> tuple[Road, float]:
    """Return the road and the camera's place across it."""
    land = [(96, 116, 58), (120, 124, 66), (84, 104, 62), (134, 126, 84), (150, 138, 86)][int(rng.integers(5))]
    if style == "country":
        return Road(-3.5, 3.5, (0.0,), (-3.25, 3.25), (), (), land, 4.0, 6.0), 1.7
    if style == "town":
        return Road(-4.7, 4.7, (0.0,), (), ((-7.4, -4.7), (4.7, 7.4)), (), (118, 120, 92), 3.0, 4.0), 1.3
    return Road(-5.8, 8.0, (-1.9, 1.9), (-5.5, 5.6), (), ((-21.0, -8.6),), land, 6.0, 8.0), float(rng.choice([0.0, 0.0, 3.7]))


def build(rng: np.random.Generator, classes: Sequence[int], first_track: int, weather_name: str, *, lookalikes: int) -> World:
    """Draw a world.

    Args:
        rng: everything random comes from it.
        classes: class ids of the physical signs to place, in this order; may be empty.
        first_track: the first sign's number; the others follow.
        weather_name: one of weather.NAMES.
        lookalikes: how many things that resemble signs to place.
    """
    style = str(rng.choice(list(_STYLES), p=list(_STYLES.values())))
    road, x = _road(rng, style)
    frames = int(rng.integers(22, 41))
    speed = float(rng.uniform(*{"country": (9, 16), "town": (7, 11), "motorway": (13, 20)}[style]))
    weather = draw_weather(rng, weather_name)
    camera = Camera(
        focal_px=float(rng.uniform(530, 600)),
        height_m=float(rng.uniform(1.25, 1.6)),
        x_m=x + float(rng.normal(0, 0.25)),
        bend=float(rng.normal(0, 0.0012 if style == "motorway" else 0.0028)),
        horizon_px=CANVAS_HEIGHT * float(rng.uniform(0.46, 0.56)),
    )
    site = Site(rng, style, road, camera, weather, frames / FPS, speed)
    backdrop = Backdrop(rng, camera, weather.light, road, clouds=weather.clouds, sky=weather.sky, wet=weather.rain > 0)
    things = roadside(site, lookalikes)
    placed = _signs(site, classes, first_track)
    shake = draw_shake(rng, frames, weather.shake_px)
    lens = Lens(rng, weather, shake, camera.horizon_px)
    return World(
        frames, speed, camera, weather, backdrop, shake, lens, (*things, *placed), dict(enumerate(map(int, classes), start=first_track))
    )


def _plate(site: Site, class_id: int, track_id: int, y: float, size: float) -> Plate:
    wear = float(site.rng.beta(1.6, 1.8))
    bent = site.chance(0.2)
    return Plate(
        track_id=track_id,
        class_id=class_id,
        sprite=Sprite.of(worn_face(class_id, _TEMPLATE_PX, site.rng, wear)),
        outline=outline(class_id),
        y=y,
        size=size,
        yaw=float(site.rng.normal(0, 0.42 if bent else 0.14)),
        tilt=float(site.rng.normal(0, 0.2 if bent else 0.05)),
        roll=float(site.rng.normal(0, 0.16 if bent else 0.045)),
        factor=site.uniform(0.6, 1.1),
    )


def _signs(site: Site, classes: Sequence[int], first_track: int) -> list[Thing]:
    """Put the signs on poles, about every fifth pole with two, some behind twigs; poles of one side keep a distance."""
    found: list[Thing] = []
    taken: list[tuple[float, float]] = []
    waiting = list(enumerate(map(int, classes), start=first_track))
    base = {"country": 0.84, "town": 0.74, "motorway": 1.12}[site.style]
    while waiting:
        side = 1.0 if site.chance(0.72) else -1.0
        x = site.road.right + site.uniform(0.9, 2.3) if side > 0 else site.road.left - site.uniform(0.6, 1.8)
        gone = site.camera.focal_px * abs(x - site.camera.x_m) / (WIDTH / 2)
        z = _free(site, side, taken, gone + 5, max(gone + 22, site.length_m + 24))
        taken.append((side, z))
        size = base * site.uniform(0.9, 1.15)
        low = waiting[0][1] in (38, 39) and site.chance(0.6)
        y = site.uniform(1.3, 1.6) if low else site.uniform(2.1, 2.9) + (0.4 if site.style == "motorway" else 0)
        plates = [_plate(site, waiting[0][1], waiting[0][0], y, size)]
        waiting.pop(0)
        if waiting and not low and site.chance(0.25):
            below = y - size * site.uniform(0.98, 1.1) + (0.06 * size if shape_of(waiting[0][1]) in ("up", "down") else 0)
            plates.append(_plate(site, waiting[0][1], waiting[0][0], below, size * site.uniform(0.95, 1.0)))
            waiting.pop(0)
        found.append(Pole(x=x, z=z, plates=tuple(plates)))
        if site.chance(0.16):
            found.append(_twig(site, x, z, plates[0]))
    return found


def _free(site: Site, side: float, taken: list[tuple[float, float]], low: float, high: float) -> float:
    """Return a place along the road away from the other poles of that side, as far as there is room."""
    tries = [site.uniform(low, high) for _ in range(12)]
    return max(tries, key=lambda z: min([9.0, *(abs(z - other) for s, other in taken if s == side)]))


def _twig(site: Site, x: float, z: float, plate: Plate) -> Standing:
    """Leaves just in front of a plate; the view slides past them as the camera comes nearer."""
    wide = plate.size * site.uniform(0.9, 1.6)
    near = site.uniform(0.4, 2.5)
    shift = (x - site.camera.x_m) * -near / max(z * 0.5, 10.0)
    return Standing(
        x=x + shift + plate.size * site.uniform(0.05, 0.5),
        z=z - near,
        y=plate.y - plate.size * site.uniform(0.1, 0.5),
        sprite=sprites.plant("twig", int(site.rng.integers(99))),
        width=wide,
        height=wide,
        factor=site.uniform(0.7, 1.1),
    )
