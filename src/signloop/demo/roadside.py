"""What stands and drives along a road besides signs: a site enters, things leave, many of which resemble signs."""

from dataclasses import dataclass

import numpy as np

from signloop.demo import sprites
from signloop.demo.camera import Camera
from signloop.demo.pen import Colour, arc
from signloop.demo.scenery import Road
from signloop.demo.things import House, Lamp, Plate, Pole, Post, Rail, Standing, Thing, Vehicle
from signloop.demo.weather import Weather

_SIGHT_M = 125.0
_ROUND = arc(0.5, 0.5, 0.48, 0.48)
_WALLS: tuple[Colour, ...] = ((222, 212, 190), (198, 190, 178), (216, 196, 160), (182, 120, 96), (228, 226, 220), (176, 186, 180))
_ROOFS: tuple[Colour, ...] = ((134, 64, 50), (92, 74, 66), (80, 82, 88), (150, 84, 60))


@dataclass(frozen=True)
class Site:
    """What is known of a recording before anything stands along its road.

    Attributes:
        style: country, town or motorway.
        seconds, speed: length of the recording, and of the camera in m/s.
    """

    rng: np.random.Generator
    style: str
    road: Road
    camera: Camera
    weather: Weather
    seconds: float
    speed: float

    @property
    def length_m(self) -> float:
        """How far the camera drives."""
        return self.seconds * self.speed

    def uniform(self, low: float, high: float) -> float:
        """Draw a number."""
        return float(self.rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        """Throw a coin that shows True in a share of all throws."""
        return bool(self.rng.random() < share)


def roadside(site: Site, lookalikes: int) -> list[Thing]:
    """Return everything but the signs; `lookalikes` is the number of things put up only because they resemble signs."""
    return [*_plants(site), *_edge(site), *_houses(site), *_lamps(site), *_traffic(site), *_lookalikes(site, lookalikes)]


def _plants(site: Site) -> list[Thing]:
    """Trees and bushes on both sides, in groups; winter trees now and then."""
    kinds = [["leafy", "leafy", "conifer"], ["conifer"], ["bare", "bare", "conifer"], ["leafy"]][int(site.rng.integers(4))]
    edge = {"country": 6.0, "town": 15.0, "motorway": 12.0}[site.style]
    left_edge = 23.0 if site.style == "motorway" else edge
    density = site.uniform(0.5, 1.5)
    found: list[Thing] = []
    for side, start in ((1, edge), (-1, left_edge)):
        z = site.uniform(2, 6)
        while z < _SIGHT_M + site.length_m:
            kind = str(site.rng.choice(kinds))
            height = site.uniform(5, 11)
            away = start + height * 0.38 + float(site.rng.exponential(5.0))
            wide = height * {"leafy": 0.75, "conifer": 0.55, "bare": 0.75}[kind]
            found.append(
                Standing(
                    x=side * away,
                    z=z,
                    sprite=sprites.plant(kind, int(site.rng.integers(99))),
                    width=wide,
                    height=height,
                    factor=site.uniform(0.7, 1.15),
                )
            )
            if site.chance(0.5):
                found.append(
                    Standing(
                        x=side * (start + site.uniform(0.6, 3)),
                        z=z + 2,
                        sprite=sprites.plant("bush", int(site.rng.integers(99))),
                        width=site.uniform(1.6, 3.4),
                        height=site.uniform(0.7, 1.6),
                        factor=site.uniform(0.7, 1.1),
                    )
                )
            z += site.uniform(2, 9) / density
    return found


def _edge(site: Site) -> list[Thing]:
    """Guard rails and marker posts."""
    found: list[Thing] = []
    reach = _SIGHT_M * 0.7 + site.length_m
    if site.style == "motorway":
        rails = [site.road.right + 0.6, site.road.left - 0.8]
    elif site.style == "country" and site.chance(0.45):
        rails = [float(site.rng.choice([-1, 1])) * (site.road.right + 0.8)]
    else:
        rails = []
    for x in rails:
        found += [Rail(x=x, z=float(z), reach=4.0) for z in np.arange(-4, reach, 4.0)]
    if site.style != "town":
        for side in (site.road.left - 1.1, site.road.right + 1.1):
            found += [Post(x=side, z=float(z)) for z in np.arange(site.uniform(3, 20), reach, 25.0)]
    return found


def _houses(site: Site) -> list[Thing]:
    """Rows of houses in a town, single farms elsewhere."""
    found: list[Thing] = []
    for side in (-1, 1):
        z = site.uniform(-6, 6)
        while site.style != "motorway" and z < 90 + site.length_m:
            long = site.uniform(9, 15)
            if site.chance(0.85 if site.style == "town" else 0.12):
                eaves = float(site.rng.choice([3.2, 5.9, 8.6])) if site.style == "town" else 3.4
                shop = sprites.disk(site.rng) if site.style == "town" and site.chance(0.35) else None
                away = (8.4 if site.style == "town" else 14.0) + site.uniform(0, 2)
                found.append(
                    House(
                        x=side * away,
                        z=z,
                        reach=long,
                        deep=site.uniform(7, 10),
                        eaves=eaves,
                        ridge=eaves + site.uniform(2, 3.4),
                        shop=shop,
                        wall=_WALLS[int(site.rng.integers(len(_WALLS)))],
                        roof=_ROOFS[int(site.rng.integers(len(_ROOFS)))],
                    )
                )
            z += long + site.uniform(1, 7)
    return found


def _lamps(site: Site) -> list[Thing]:
    if site.style != "town" and not site.chance(0.25):
        return []
    side = float(site.rng.choice([-1, 1]))
    x = side * ((7.0 if side > 0 else 7.1) if site.style == "town" else site.road.right + 2.2)
    globe = site.chance(0.5)
    height = site.uniform(3.6, 4.6) if globe else site.uniform(6, 8)
    gap = site.uniform(18, 30)
    return [
        Lamp(x=x, z=float(z), height=height, arm=0.0 if globe else -side * 1.3, globe=globe)
        for z in np.arange(site.uniform(2, gap), 110 + site.length_m, gap)
    ]


def _vehicle(site: Site, x: float, z: float, speed: float, *, oncoming: bool, tall: bool, brakes: float | None = None) -> Vehicle:
    paint = sprites.PAINTS[int(site.rng.integers(len(sprites.PAINTS)))]
    if tall and not oncoming:
        van = site.chance(0.5)
        return Vehicle(
            x=x,
            z=z,
            speed=speed,
            reach=5.0 if van else 9.0,
            sprite=sprites.lorry_back(site.rng, paint),
            width=2.1 if van else 2.5,
            height=2.6 if van else 3.5,
            paint_colour=paint,
            brakes=brakes,
        )
    draw = sprites.car_front if oncoming else sprites.car_back
    return Vehicle(
        x=x,
        z=z,
        speed=speed,
        reach=4.2,
        sprite=draw(site.rng, paint),
        width=1.8,
        height=1.5,
        paint_colour=paint,
        oncoming=oncoming,
        brakes=brakes,
    )


def _traffic(site: Site) -> list[Thing]:
    """Cars ahead, oncoming ones, parked ones, a slow lorry at the right that hides signs."""
    found: list[Thing] = []
    lane = {"country": -1.7, "town": -1.5, "motorway": -12.0}[site.style]
    for _ in range(int(site.rng.integers(0, 4))):
        found.append(_vehicle(site, lane + site.uniform(-0.3, 0.3), site.uniform(20, 140), -site.uniform(8, 18), oncoming=True, tall=False))
    if site.chance(0.5):
        brakes = site.uniform(0, site.seconds) if site.chance(0.7) else None
        found.append(
            _vehicle(
                site,
                site.camera.x_m + site.uniform(-0.2, 0.2),
                site.uniform(14, 40),
                site.speed * site.uniform(0.9, 1.05),
                oncoming=False,
                tall=site.chance(0.3),
                brakes=brakes,
            )
        )
    if site.style == "town":
        z = site.uniform(5, 25)
        while z < 70 + site.length_m and site.chance(0.8):
            side = float(site.rng.choice([-1, 1]))
            found.append(_vehicle(site, side * 3.7, z, 0.0, oncoming=side < 0, tall=site.chance(0.3)))
            z += site.uniform(6, 26)
    if site.style == "motorway":
        for _ in range(int(site.rng.integers(1, 4))):
            x = float(site.rng.choice([-3.7, 0.0, 3.7]))
            if abs(x - site.camera.x_m) > 2:
                found.append(
                    _vehicle(
                        site, x, site.uniform(8, 70), site.speed * site.uniform(0.6, 1.1), oncoming=False, tall=x > 0 and site.chance(0.8)
                    )
                )
    return found


def _lookalikes(site: Site, count: int) -> list[Thing]:
    """Billboards, direction boards, disks on poles, backs of signs, traffic lights."""
    found: list[Thing] = []
    out = 8.4 if site.style != "motorway" else 11.0
    for _ in range(count):
        side = 1.0 if site.chance(0.7) else -1.0
        z, kind = site.uniform(14, site.length_m + 55), int(site.rng.integers(5))
        x = side * (max(site.road.right if side > 0 else -site.road.left, 4.0) + site.uniform(1.0, 2.6))
        if kind == 0:
            found.append(
                Standing(
                    x=side * (out + site.uniform(0, 3)),
                    z=z,
                    sprite=sprites.billboard(site.rng),
                    width=3.6,
                    height=2.36,
                    y=1.2,
                    legs=(-0.3, 0.3),
                )
            )
        elif kind == 1:
            found.append(
                Standing(
                    x=side * (out + site.uniform(0, 1)),
                    z=z,
                    sprite=sprites.direction_board(site.rng),
                    width=2.6,
                    height=1.63,
                    y=2.0,
                    legs=(-0.3, 0.3),
                    retro=0.7,
                )
            )
        elif kind == 2:
            found.append(Standing(x=x, z=z, sprite=sprites.signal(site.rng), width=0.42, height=1.05, y=2.2, legs=(0.0,), lit=True))
        else:
            plate = Plate(
                track_id=None,
                class_id=None,
                sprite=sprites.disk(site.rng),
                outline=_ROUND,
                y=site.uniform(1.8, 3.0),
                size=site.uniform(0.5, 0.9),
                yaw=site.uniform(-0.3, 0.3),
                roll=site.uniform(-0.1, 0.1),
                factor=site.uniform(0.8, 1.1),
            )
            found.append(Pole(x=x, z=z, plates=(plate,), retro=0.3))
    return found
