"""What fills the frame behind the things: the light and the road enter, sky, hills and a moving ground leave."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from signloop.demo.camera import CANVAS_HEIGHT, CANVAS_WIDTH, Camera, Light
from signloop.demo.pen import Image
from signloop.demo.sprites import noise

_EXTRA = 260  # px of sky beyond the canvas on each side, for roads that bend
_TILE = 512
_PX_PER_M = 24.0


@dataclass(frozen=True)
class Road:
    """The road's cross-section, metres right of its middle line.

    Attributes:
        left, right: edges of the asphalt.
        dashes: middle lines made of strokes.
        solid: unbroken lines.
        walks: pavements as (from, to).
        strips: other asphalt beside it (from, to), such as the opposite carriageway.
        ground: colour of the land.
        stroke_m, gap_m: of the dashes.
    """

    left: float
    right: float
    dashes: tuple[float, ...]
    solid: tuple[float, ...]
    walks: tuple[tuple[float, float], ...]
    strips: tuple[tuple[float, float], ...]
    ground: tuple[int, int, int]
    stroke_m: float
    gap_m: float


class Backdrop:
    """Sky, hills and ground of one recording.

    Args:
        rng: of this recording.
        clouds: 0 clear to 1 overcast.
        sky: colours of its zenith and of its lower edge, before the light's factor.
        wet: the road mirrors the sky.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        camera: Camera,
        light: Light,
        road: Road,
        *,
        clouds: float,
        sky: tuple[tuple[int, int, int], tuple[int, int, int]],
        wet: bool,
    ) -> None:
        self._camera, self._light, self._road = camera, light, road
        self._row = int(np.ceil(camera.horizon_px)) + 1
        self._sky = _sky(rng, camera, light, clouds, sky)
        self._place(wet, np.asarray(sky[1], np.float64))
        grain = noise(rng, _TILE, _TILE, (12, 40, 128, 256))
        self._grain = ((grain - grain.mean()) / grain.std()).astype(np.float32)

    def _place(self, wet: bool, low_sky: NDArray[np.float64]) -> None:
        """Work out, once, what piece of land each ground pixel shows; the road's shape on the canvas never changes."""
        rows, columns = CANVAS_HEIGHT - self._row, CANVAS_WIDTH
        ys, xs = np.mgrid[0 : rows * 2, 0 : columns * 2]
        cam = self._camera
        d = cam.focal_px * cam.height_m / ((ys + 0.5) / 2 + self._row - cam.horizon_px)
        x = ((xs + 0.5) / 2 - columns / 2) * d / cam.focal_px + cam.x_m - cam.bend * d**2 / 2
        colour = np.broadcast_to(np.asarray(self._road.ground, np.float64), (*d.shape, 3)).copy()
        for low, high in (*self._road.strips, (self._road.left, self._road.right)):
            colour[(x > low) & (x < high)] = (92, 92, 96) if not wet else np.array([74, 75, 80]) * 0.75 + low_sky * 0.25
        for low, high in self._road.walks:
            colour[(x > low) & (x < high)] = (150, 146, 140)
            colour[(np.abs(x - low) < 0.1) | (np.abs(x - high) < 0.08)] = (186, 184, 180)
        for line in self._road.solid:
            colour[np.abs(x - line) < 0.075] = (226, 226, 220)
        half = cv2.resize(colour, (columns, rows), interpolation=cv2.INTER_AREA)
        self._d, self._x = d[::2, ::2].astype(np.float32), x[::2, ::2].astype(np.float32)
        column = self._d[:, 0].astype(np.float64)
        gain = np.array([self._light.gain(float(v)) for v in column])[:, None]
        if self._light.headlights:
            beam = np.exp(-(((self._x - cam.x_m) / np.maximum(2.2, 0.16 * self._d)) ** 2))[..., None]
            gain = np.asarray(self._light.ambient) + (gain - np.asarray(self._light.ambient)) * beam
        through = np.array([self._light.clear(float(v)) for v in column])[:, None, None]
        self._ground = np.clip(half * gain * through + np.asarray(self._light.fog) * (1 - through), 0, 255).astype(np.uint8)
        onroad = (self._x > self._road.left) & (self._x < self._road.right)
        rough = np.where(onroad, 5.0, 12.0) * np.clip(1.3 - self._d / 36, 0, 1) * gain.mean(axis=2)
        self._rough = rough.astype(np.float32)
        self._map_x = np.mod(self._x * _PX_PER_M, _TILE * 8).astype(np.float32)
        self._map_y = (self._d * _PX_PER_M * 0.5).astype(np.float32)

    def paint(self, canvas: Image, travelled_m: float) -> None:
        """Fill the whole canvas as seen after `travelled_m`."""
        shift = _EXTRA + self._camera.focal_px * self._camera.bend * travelled_m
        left = int(np.clip(round(shift), 0, 2 * _EXTRA))
        canvas[: self._row] = self._sky[:, left : left + CANVAS_WIDTH]
        offset = float(np.mod(travelled_m * _PX_PER_M * 0.5, _TILE))
        grain = cv2.remap(self._grain, self._map_x, self._map_y + np.float32(offset), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        grain = cv2.multiply(grain, self._rough).astype(np.int16)
        ground = canvas[self._row :]
        cv2.add(self._ground, cv2.merge([grain, grain, grain]), dst=ground, dtype=cv2.CV_8U)
        self._dashes(canvas, travelled_m)

    def _dashes(self, canvas: Image, travelled_m: float) -> None:
        road, period = self._road, self._road.stroke_m + self._road.gap_m
        start = -float(np.mod(travelled_m, period))
        for line in road.dashes:
            for near in np.arange(start, 90, period):
                d = np.maximum(np.array([near, near, near + road.stroke_m, near + road.stroke_m]), 1.2)
                if d[2] <= 1.2:
                    continue
                quad = self._camera.project(line + np.array([-0.08, 0.08, 0.08, -0.08]), 0.0, d)
                colour = self._light.shade((224, 224, 218), float(d.mean()))
                cv2.fillPoly(canvas, [np.round((quad - 0.5) * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def _sky(
    rng: np.random.Generator, camera: Camera, light: Light, clouds: float, colours: tuple[tuple[int, int, int], tuple[int, int, int]]
) -> Image:
    rows, columns = int(np.ceil(camera.horizon_px)) + 1, CANVAS_WIDTH + 2 * _EXTRA
    down = np.linspace(0, 1, rows)[:, None, None]
    sky = np.asarray(colours[0]) * (1 - down) + np.asarray(colours[1]) * down + np.zeros((1, columns, 1))
    high = noise(rng, rows, columns // 3, (3, 6, 13, 30, 60))
    cloud = cv2.resize(high, (columns, rows), interpolation=cv2.INTER_LINEAR)  # clouds lie flat
    veil = np.clip((cloud - (0.62 - 0.35 * clouds)) * 5, 0, 1)[..., None] * (0.35 + 0.6 * clouds)
    tone = (238 - 90 * clouds) + 60 * (noise(rng, rows, columns, (4, 10, 24)) - 0.5)[..., None]
    sky = sky * (1 - veil) + np.clip(tone, 0, 250) * veil * np.array([0.98, 0.99, 1.02])
    if max(light.ambient) < 0.4:
        sky *= np.asarray(light.ambient) * 0.8
    through = light.clear(150)
    sky = sky * through + np.asarray(light.fog) * (1 - through)
    _hills(rng, sky, camera, light)
    return np.asarray(np.clip(sky, 0, 255), np.uint8)


def _hills(rng: np.random.Generator, sky: NDArray[np.float64], camera: Camera, light: Light) -> None:
    """Lay three ranges of hills over the sky's lower edge, nearer ones darker and greener."""
    rows, columns = sky.shape[:2]
    xs = np.arange(columns)
    for far, colour, rise in ((420.0, (118, 134, 150), 46), (240.0, (84, 106, 92), 30), (130.0, (54, 72, 46), 19)):
        edge = np.zeros(columns)
        for wave in (1, 2, 5, 11):
            edge += np.sin(xs / columns * 2 * np.pi * wave * rng.uniform(0.7, 1.3) + rng.uniform(0, 6.3)) / wave**0.8
        edge = rise * rng.uniform(0.4, 1.0) * (0.45 + 0.25 * edge)
        if far < 200:
            edge += 5 * cv2.resize(rng.random((1, columns // 4), dtype=np.float32), (columns, 1), interpolation=cv2.INTER_LINEAR)[0]
        mask = np.clip(np.arange(rows)[:, None] - (camera.horizon_px - edge)[None], 0, 1)[..., None]
        bark = 1 + 0.25 * (noise(rng, rows, columns, (30, 90)) - 0.5)[..., None]
        through = light.clear(far * 0.6)
        seen = np.asarray(colour) * bark * np.asarray(light.ambient) * through + np.asarray(light.fog) * (1 - through)
        sky[:] = sky * (1 - mask) + seen * mask
