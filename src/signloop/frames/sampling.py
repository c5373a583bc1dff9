"""Times and images in, keep or leave out: the rate, near-duplicates and blur."""

import cv2
import numpy as np
from numpy.typing import NDArray

_THUMBNAIL_PX = 32
_ROUNDING_S = 1e-6


class Pace:
    """Thins a recording to about `fps` frames a second by the times of its frames.

    At a constant rate every n-th frame is due, n = round(rate / fps), at least 1: 10 frames a second at 5 give 0, 2, 4 …. At a
    variable rate the frame nearest after each multiple of n / rate is due, with half a frame of tolerance for inexact times.

    Args:
        fps: frames a second that are wanted, > 0; None lets every frame through.
        rate: mean frames a second of the recording; None if unknown, then the period is 1 / fps without tolerance.

    Attributes:
        rate: mean frames a second that are kept; None if that of the recording is unknown.
    """

    def __init__(self, fps: float | None, rate: float | None) -> None:
        step = 1 if fps is None or rate is None else max(1, round(rate / fps))
        if fps is None or (rate is not None and step == 1):
            self._period_s, self._tolerance_s = 0.0, 0.0
        elif rate is None:
            self._period_s, self._tolerance_s = 1 / fps, _ROUNDING_S
        else:
            self._period_s, self._tolerance_s = step / rate, 0.5 / rate
        self.rate = None if rate is None else rate / step
        self._ticks = 0

    def due(self, time_s: float) -> bool:
        """Say whether the frame at `time_s` (seconds since the first frame, increasing from call to call) is kept."""
        if self._period_s == 0:
            return True
        reached = int((time_s + self._tolerance_s) // self._period_s)
        if reached < self._ticks:
            return False
        self._ticks = reached + 1
        return True


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the grey miniature by which near-duplicates are told, (32, 32), 0-255, of an RGB image (H, W, 3)."""
    small = cv2.resize(image, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def sharpness(image: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian of the grey image (Pech-Pacheco et al., ICPR 2000): low is blurred, 0 is flat."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


class Selection:
    """Leaves out blurred frames and frames that look like the one kept last.

    Args:
        duplicate: mean absolute difference of thumbnails (0-255) under which a frame is a near-duplicate; 0 keeps all.
        blur: sharpness under which a frame is left out; 0 keeps all.
    """

    def __init__(self, duplicate: float, blur: float) -> None:
        self._duplicate, self._blur = duplicate, blur
        self._last: NDArray[np.float32] | None = None

    def keep(self, image: NDArray[np.uint8]) -> bool:
        """Decide on the next frame, RGB (H, W, 3)."""
        if self._blur > 0 and sharpness(image) < self._blur:
            return False
        if self._duplicate > 0:
            # Compared with the last KEPT frame: a slow drift adds up until it shows, instead of vanishing step by step.
            small = thumbnail(image)
            if self._last is not None and float(np.abs(small - self._last).mean()) < self._duplicate:
                return False
            self._last = small
        return True
