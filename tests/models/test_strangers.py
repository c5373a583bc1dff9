import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from signloop.models.strangers import Image, any_colour, is_another, painted, with_centre


def _shape(ring: tuple[int, int, int], centre: tuple[int, int, int]) -> Image:
    image = np.full((60, 60, 3), 120, np.uint8)
    image[10:50, 10:50] = ring
    image[20:40, 20:40] = centre
    return image


def test_another_centre_is_as_bright_as_its_surroundings_and_has_a_soft_edge() -> None:
    bright, dark = _shape((200, 40, 40), (250, 250, 250)), _shape((10, 10, 60), (0, 0, 0))
    swapped = with_centre(bright, dark, 0.5, darken=False)
    assert (swapped[:12] == bright[:12]).all()
    assert swapped[30, 30].tolist() == [0, 0, 0]
    assert len(np.unique(swapped[30, 30:50, 1])) > 3  # from one to the other in steps
    assert (with_centre(bright, bright, 0.5, darken=False) == bright).all()
    assert np.abs(with_centre(bright, bright // 2, 0.5, darken=False).astype(int) - bright).max() <= 3
    assert (with_centre(bright, dark, 0.0, darken=False)[:20] == bright[:20]).all()
    darker = with_centre(dark, bright, 0.7, darken=True)
    assert (darker <= dark).all()


def test_paint_keeps_light_and_shadow_and_what_is_around() -> None:
    image = _shape((255, 255, 255), (0, 0, 0))
    yellow = painted(image, (1.0, 0.8, 0.0), 0.6)
    assert yellow[30, 16].tolist() == [255, 204, 0]  # white took the colour
    assert yellow[30, 30].tolist() == [0, 0, 0]
    assert (yellow[:8, :8] == image[:8, :8]).all()
    red = painted(_shape((255, 0, 0), (255, 255, 255)), (0.0, 0.0, 1.0), 0.6)
    assert red[30, 16].tolist() == [0, 0, 76]  # as bright as red looks: 0.299 of white


@given(st.integers(0, 255), st.floats(0, 1))
def test_grey_that_is_painted_white_stays(level: int, radius: float) -> None:
    image = np.full((20, 20, 3), level, np.uint8)
    assert np.abs(painted(image, (1.0, 1.0, 1.0), radius).astype(int) - level).max() <= 1


@given(st.integers(0, 2**32 - 1))
def test_any_colour_is_bright_and_no_grey(seed: int) -> None:
    colour = any_colour(np.random.default_rng(seed))
    assert max(colour) == 1.0
    assert 0.0 <= min(colour) <= 0.4 + 1e-9


def test_colours_are_of_all_hues() -> None:
    colours: NDArray[np.float64] = np.array([any_colour(np.random.default_rng(i)) for i in range(300)])
    assert (np.bincount(colours.argmax(axis=1)) / 300).tolist() == pytest.approx([1 / 3] * 3, abs=0.1)


def test_a_change_makes_another_object_only_where_it_is_large_beside_the_contrast() -> None:
    image = _shape((200, 40, 40), (250, 250, 250))
    assert is_another(image, painted(image, (0.0, 0.0, 1.0), 0.7), 0.7)
    assert not is_another(image, image, 0.7)
    assert not is_another(image, np.asarray(image + 2, np.uint8), 0.7)  # no value is above 253
    flat = np.full((60, 60, 3), 120, np.uint8)
    assert not is_another(flat, flat, 0.7)  # nothing is seen on it before and after
