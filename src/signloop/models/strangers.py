"""Views of crops in; views of objects that no class has out, to learn "not an object" from.

No one has crops of all kinds of objects that are none of the classes, but they can be made from those that are (outliers that are shown:
Hendrycks et al. 2019; made by mixing: Yun et al. 2019): an object with the centre of one of another group, or all in one colour.
"""

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
CENTRE = (0.4, 0.7)  # of half a box's side: radius of a centre that is put into another object
PAINTED = (0.65, 1.0)  # of half a box's side: radius of what gets one colour; most of an object, and little beside it
SATURATION = (0.6, 1.0)  # of that colour
CHANGED = 0.4  # of a crop's standard deviation: mean change of the middle from which on it shows another object
SOFT = 0.2  # of half a crop's side: width of the edge of what is changed
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # share of red, green and blue in how bright a pixel looks (ITU-R BT.601)


def _middle(size: int, radius: float) -> NDArray[np.float32]:
    """How much each pixel of a square is in the disc of this radius (of half a side) at its centre, (size, size, 1) in [0, 1]."""
    away = np.hypot(*(np.mgrid[:size, :size] + 0.5 - size / 2)) / (size / 2)
    return np.asarray(np.clip((radius - away) / SOFT + 0.5, 0, 1)[..., None], np.float32)


def with_centre(image: Image, other: Image, radius: float, darken: bool) -> Image:
    """Put the centre of one crop into another one of the same size, made as bright as that is, with a soft edge.

    Args:
        image, other: uint8 (size, size, 3).
        radius: of the centre, as a share of half a side, in [0, 1].
        darken: keep the darker one of both at each pixel, as if it were drawn on what is there.
    """
    share = _middle(len(image), radius)
    below, above = image.astype(np.float32), other.astype(np.float32)
    above = np.minimum(above * (below.mean() + 1) / (above.mean() + 1), 255)
    if darken:
        above = np.minimum(above, below)
    return np.asarray(np.rint(below * (1 - share) + above * share), np.uint8)


def painted(image: Image, colour: tuple[float, float, float], radius: float) -> Image:
    """Show the middle of a crop in one colour, with its lights and shadows, with a soft edge.

    Args:
        image: uint8 RGB (size, size, 3).
        colour: what white becomes, red, green and blue in [0, 1]; black stays black.
        radius: of the middle, as a share of half a side, in [0, 1].
    """
    share = _middle(len(image), radius)
    above = (image.astype(np.float32) @ LUMA)[..., None] * np.array(colour, np.float32)
    return np.asarray(np.rint(image * (1 - share) + above * share), np.uint8)


def any_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a bright colour of any hue: red, green and blue in [0, 1]."""
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(*SATURATION), 1.0)


def is_another(image: Image, changed: Image, radius: float) -> bool:
    """Tell whether a crop shows another object now that its middle (`radius` as above) was changed; if not, it looks much as before."""
    change = cv2.absdiff(image, changed).mean() / (np.pi / 4 * radius**2)
    return bool(change >= CHANGED * image.std() > 0)
