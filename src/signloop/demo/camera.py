"""Where a point of the world lies on the canvas and how it is lit: road coordinates in metres enter, canvas px and colours leave.

Road coordinates: x metres to the right of the road's middle line, y metres above the road, d metres ahead of the camera.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 640, 360
PAD = 24  # canvas beyond the frame on each side, so that a shaken camera sees no edge
CANVAS_WIDTH, CANVAS_HEIGHT = WIDTH + 2 * PAD, HEIGHT + 2 * PAD
NEAR_M, FAR_M = 1.6, 150.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera over a road of constant bend.

    Attributes:
        focal_px: focal length.
        height_m: above the road.
        x_m: to the right of the road's middle line.
        bend: of the road, 1/m; positive to the right.
        horizon_px: its row on the canvas.
    """

    focal_px: float
    height_m: float
    x_m: float
    bend: float
    horizon_px: float

    def project(self, x: ArrayLike, y: ArrayLike, d: ArrayLike) -> NDArray[np.float64]:
        """Return canvas px, (points, 2), of points with d > 0; x, y and d are broadcast."""
        x, y, d = np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(d, np.float64)
        u = (x - self.x_m + self.bend / 2 * d * d) * (self.focal_px / d) + CANVAS_WIDTH / 2
        v = (self.height_m - y) * (self.focal_px / d) + self.horizon_px
        points = np.empty((max(u.size, v.size), 2))
        points[:, 0], points[:, 1] = u, v
        return points


@dataclass(frozen=True)
class Light:
    """The light of one recording.

    Attributes:
        ambient: factor on red, green and blue; 1 is a bright day.
        headlights: strength of the camera car's own lamps; 0 is off.
        fog: its colour, 0-255.
        fog_m: distance at which it leaves 37 % of the contrast.
        lamps: street lamps and car lamps are on.
    """

    ambient: tuple[float, float, float]
    headlights: float
    fog: tuple[float, float, float]
    fog_m: float
    lamps: bool

    def gain(self, d: float, retro: float = 0.0) -> tuple[float, float, float]:
        """Return the factor on red, green and blue at distance d; `retro` is how well a thing throws headlights back, 0-1."""
        near = self.headlights * (min(1.0, (13 / max(d, 1)) ** 1.4) * 0.6 + retro * min(1.0, 45 / max(d, 1)) * 0.8)
        return self.ambient[0] + near, self.ambient[1] + near * 0.97, self.ambient[2] + near * 0.88

    def clear(self, d: float) -> float:
        """Return the share of light that fog lets through over a distance."""
        return math.exp(-d / self.fog_m)

    def shade(self, colour: Sequence[float], d: float, factor: float = 1.0) -> tuple[float, float, float]:
        """Return a colour as the camera sees it at distance d, 0-255."""
        through = self.clear(d)
        red, green, blue = (
            min(255.0, c * g * factor * through + f * (1 - through)) for c, g, f in zip(colour, self.gain(d), self.fog, strict=True)
        )
        return red, green, blue

    def tint(self, d: float, factor: float = 1.0, retro: float = 0.0) -> NDArray[np.float64]:
        """Return the same as a matrix for RGBA pixels multiplied by alpha, (4, 4)."""
        through = self.clear(d)
        (red, green, blue), bright, veil = self.gain(d, retro), factor * through, (1 - through) / 255
        return np.array(
            [
                (red * bright, 0, 0, self.fog[0] * veil),
                (0, green * bright, 0, self.fog[1] * veil),
                (0, 0, blue * bright, self.fog[2] * veil),
                (0, 0, 0, 1),
            ]
        )
