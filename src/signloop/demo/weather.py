"""Weather, light and lens of one recording: a clean painted frame enters, the frame that a cheap camera would have stored leaves."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from signloop.demo.camera import CANVAS_HEIGHT, CANVAS_WIDTH, HEIGHT, WIDTH, Light
from signloop.demo.pen import Image
from signloop.demo.sprites import noise

Sky = tuple[tuple[int, int, int], tuple[int, int, int]]


@dataclass(frozen=True)
class Weather:
    """One recording's weather.

    Attributes:
        name: clear, overcast, glare, dusk, night, rain, fog.
        light: on the things.
        sky, clouds: colours of zenith and lower edge; 0 clear to 1 overcast.
        noise: standard deviation, grey levels.
        blur_px: standard deviation of the lens' blur.
        shake_px: size of the camera's movement between frames.
        contrast, brightness: of the picture, 1 and 0 are neutral.
        cast: factor on red, green and blue.
        rain: density of the streaks, 0 is dry.
    """

    name: str
    light: Light
    sky: Sky
    clouds: float
    noise: float
    blur_px: float
    shake_px: float
    contrast: float
    brightness: float
    cast: tuple[float, float, float]
    rain: float = 0.0
    glare: float = 0.0


_BLUE_SKY: Sky = ((92, 144, 206), (196, 216, 232))
_GREY_SKY: Sky = ((150, 158, 168), (206, 210, 214))
_NIGHT_SKY: Sky = ((40, 48, 80), (96, 92, 104))
_DUSK_SKY: Sky = ((86, 98, 140), (232, 168, 118))
# name: ambient light, headlights, fog's colour and distance, lamps, sky, clouds, noise, rain, glare
_KINDS: dict[str, tuple[tuple[float, float, float], float, tuple[float, float, float], float, bool, Sky, float, float, float, float]] = {
    "clear": ((1.0, 0.99, 0.96), 0.0, (196, 212, 226), 900, False, _BLUE_SKY, 0.2, 2.0, 0.0, 0.0),
    "overcast": ((0.78, 0.79, 0.82), 0.0, (196, 200, 206), 500, False, _GREY_SKY, 0.9, 3.0, 0.0, 0.0),
    "glare": ((0.62, 0.58, 0.52), 0.0, (240, 226, 196), 420, False, ((150, 170, 200), (252, 238, 206)), 0.3, 3.0, 0.0, 1.0),
    "dusk": ((0.42, 0.38, 0.4), 0.25, (120, 102, 104), 400, True, _DUSK_SKY, 0.4, 6.0, 0.0, 0.0),
    "night": ((0.12, 0.125, 0.16), 0.95, (14, 15, 22), 300, True, _NIGHT_SKY, 0.6, 9.0, 0.0, 0.0),
    "rain": ((0.6, 0.62, 0.66), 0.1, (150, 156, 164), 120, True, ((122, 130, 140), (168, 174, 180)), 1.0, 4.0, 1.0, 0.0),
    "fog": ((0.74, 0.75, 0.77), 0.0, (196, 198, 200), 38, False, ((196, 198, 200), (196, 198, 200)), 1.0, 3.0, 0.0, 0.0),
}
NAMES = tuple(_KINDS)


def draw_weather(rng: np.random.Generator, name: str) -> Weather:
    """Draw one recording's weather of a kind in NAMES."""
    ambient, headlights, fog, fog_m, lamps, sky, clouds, grain, rain, glare = _KINDS[name]
    light = Light(
        ambient=(ambient[0], ambient[1], ambient[2]),
        headlights=headlights,
        fog=fog,
        fog_m=fog_m * float(rng.uniform(0.8, 1.6)),
        lamps=lamps,
    )
    warm = float(rng.normal(0, 0.035))
    return Weather(
        name=name,
        light=light,
        sky=sky,
        clouds=float(np.clip(clouds + rng.normal(0, 0.12), 0, 1)),
        noise=grain * float(rng.uniform(0.6, 1.7)),
        blur_px=float(rng.choice([0.0, 0.0, 0.5, 0.8, 1.2])),
        shake_px=float(rng.uniform(0.6, 3.2)),
        contrast=float(rng.uniform(0.75, 1.15)),
        brightness=float(rng.normal(0, 10)),
        cast=(1 + warm, 1.0, 1 - warm),
        rain=rain * float(rng.uniform(0.5, 1.3)),
        glare=glare,
    )


@dataclass(frozen=True)
class Shake:
    """How the camera's view differs from the canvas' middle, per frame.

    Attributes:
        matrix: canvas px (pixel edges) -> frame px, (frames, 2, 3).
        step_px: how far the picture moved since the frame before, (frames, 2).
    """

    matrix: NDArray[np.float64]
    step_px: NDArray[np.float64]


def draw_shake(rng: np.random.Generator, frames: int, size_px: float) -> Shake:
    """Draw a camera's slow sway and quick jolts."""
    times = np.arange(frames + 1) / 10

    def sway(size: float) -> NDArray[np.float64]:
        waves = [
            np.sin(2 * np.pi * rng.uniform(low, high) * times + rng.uniform(0, 6.3)) for low, high in ((0.2, 0.6), (0.8, 1.6), (2.0, 4.0))
        ]
        return np.asarray(size * (waves[0] + 0.6 * waves[1] + 0.35 * waves[2] + 0.3 * rng.normal(size=frames + 1)))

    dx, dy, roll = np.clip(sway(size_px * 0.8), -11, 11), np.clip(sway(size_px), -11, 11), np.clip(sway(0.3), -1.2, 1.2)
    angle = np.radians(roll)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = CANVAS_WIDTH / 2, CANVAS_HEIGHT / 2
    matrix = np.stack(
        [np.stack([cos, -sin, WIDTH / 2 + dx - cos * x + sin * y], 1), np.stack([sin, cos, HEIGHT / 2 + dy - sin * x - cos * y], 1)], 1
    )
    return Shake(matrix[1:], np.stack([np.diff(dx), np.diff(dy)], 1))


def _glare(rng: np.random.Generator, strength: float, horizon_px: float) -> Image:
    """A low sun: a blinding core, a veil over half the frame, ghosts along the line through the middle."""
    ys, xs = np.mgrid[0:CANVAS_HEIGHT, 0:CANVAS_WIDTH].astype(np.float32)
    sun = np.array([CANVAS_WIDTH * rng.uniform(0.25, 0.8), horizon_px - rng.uniform(25, 110)])
    r = np.hypot(xs - sun[0], ys - sun[1])
    light = 230 * np.exp(-((r / 26) ** 2)) + 120 * np.exp(-((r / 90) ** 2)) + 75 * np.exp(-((r / 260) ** 2)) + 16
    middle = np.array([CANVAS_WIDTH / 2, CANVAS_HEIGHT / 2])
    for along, size in ((0.6, 16), (1.3, 26), (1.7, 10)):
        ghost = sun + (middle - sun) * along
        light += 22 * (np.hypot(xs - ghost[0], ys - ghost[1]) < size)
    return np.asarray(np.clip(light[..., None] * np.array([1.0, 0.94, 0.8]) * strength, 0, 255), np.uint8)


def _streaks(rng: np.random.Generator, density: float) -> Image:
    sheet = np.zeros((HEIGHT * 2, WIDTH, 3), np.uint8)
    slant = rng.uniform(-0.25, 0.25)
    for _ in range(int(620 * density)):
        x, y, length = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT * 2), rng.uniform(8, 34)
        tone = int(rng.uniform(10, 46))
        cv2.line(sheet, (int(x), int(y)), (int(x + slant * length), int(y + length)), (tone, tone, tone), 1, cv2.LINE_AA)
    return sheet


class Lens:
    """From the canvas to the stored frame; everything random is drawn once per recording, and cut at a new place per frame."""

    def __init__(self, rng: np.random.Generator, weather: Weather, shake: Shake, horizon_px: float) -> None:
        self._weather, self._shake = weather, shake
        bank = rng.normal(0, weather.noise, (HEIGHT + 64, WIDTH + 64, 1)) + rng.normal(0, weather.noise * 0.5, (HEIGHT + 64, WIDTH + 64, 3))
        self._noise = np.round(bank).astype(np.int16)
        self._glare = _glare(rng, weather.glare * rng.uniform(0.7, 1.0), horizon_px) if weather.glare else None
        self._streaks = _streaks(rng, weather.rain) if weather.rain else None
        count = int(rng.integers(8, 26)) if weather.rain else 0
        self._drops = [
            (int(rng.integers(0, WIDTH - 30)), int(rng.integers(0, HEIGHT - 30)), int(rng.integers(9, 27))) for _ in range(count)
        ]
        drift = noise(rng, 2, len(shake.matrix), (2, 4))[0] - 0.5
        self._exposure = 1 + 0.25 * drift
        self._cuts = rng.integers(0, 64, (len(shake.matrix), 3))

    def apply(self, canvas: Image, index: int) -> Image:
        """Return frame `index`, (360, 640, 3) RGB; the canvas may be changed."""
        if self._glare is not None:
            cv2.add(canvas, self._glare, dst=canvas)
        matrix = self._shake.matrix[index].copy()
        matrix[:, 2] += matrix[:, :2].sum(axis=1) * 0.5 - 0.5  # from pixel edges to pixel centres
        frame = cv2.warpAffine(canvas, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self._smear(frame, index)
        if self._streaks is not None:
            top = int(self._cuts[index, 2]) * (HEIGHT // 64)
            cv2.add(frame, self._streaks[top : top + HEIGHT], dst=frame)
        for x, y, size in self._drops:
            _drop(frame, x, y, size)
        frame = cv2.LUT(frame, self._curve(index))
        y, x = self._cuts[index, :2]
        cv2.add(frame, self._noise[y : y + HEIGHT, x : x + WIDTH], dst=frame, dtype=cv2.CV_8U)
        return np.asarray(frame, np.uint8)

    def _smear(self, frame: Image, index: int) -> None:
        """Blur of the lens and of the camera's movement during the exposure (longer at night)."""
        if self._weather.blur_px:
            cv2.GaussianBlur(frame, (0, 0), self._weather.blur_px, dst=frame)
        exposure = 0.9 if self._weather.light.lamps else 0.5
        across, down = np.abs(self._shake.step_px[index]) * exposure
        if max(across, down) >= 1.5:
            cv2.blur(frame, (1 + int(min(across, 6)), 1 + int(min(down, 6))), dst=frame)

    def _curve(self, index: int) -> Image:
        weather = self._weather
        pivot = 118 * max(weather.light.ambient)
        levels = (
            (np.arange(256)[None, :, None] - pivot) * weather.contrast
            + pivot
            + weather.brightness * min(1.0, max(weather.light.ambient) * 2)
        )
        return np.asarray(np.clip(levels * self._exposure[index] * np.asarray(weather.cast), 0, 255), np.uint8)


def _drop(frame: Image, x: int, y: int, size: int) -> None:
    """A drop on the windscreen turns a small piece of the picture upside down and blurs it."""
    part = frame[y : y + size, x : x + size]
    turned = cv2.blur(cv2.flip(part, 0), (5, 5)).astype(np.float32) * 0.9 + 18
    ys, xs = np.mgrid[0 : part.shape[0], 0 : part.shape[1]]
    r = np.hypot((xs - part.shape[1] / 2) / (size / 2), (ys - part.shape[0] / 2) / (size / 2))
    mask = np.clip((1 - r) * 3, 0, 0.8)[..., None]
    part[:] = np.clip(part * (1 - mask) + turned * mask, 0, 255).astype(np.uint8)
