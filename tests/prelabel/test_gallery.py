from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from signloop.core.boxes import Boxes
from signloop.core.taxonomy import SignClass, Taxonomy
from signloop.prelabel.gallery import Gallery
from signloop.prelabel.proposal import Opinions
from signloop.prelabel.track import Track

STRANGE = 77  # a crop of this value is something else


class Reader:
    """Cuts a crop whose value is the frame's number and remembers which crops it was asked about."""

    model_id = "m"
    streams = 1
    taxonomy = Taxonomy(name="one", object_name="thing", classes=(SignClass(id=0, name="zero", group="all"),))

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def detect(self, images: object) -> list[Boxes]:
        raise AssertionError(images)

    def cut(self, image: NDArray[np.uint8], xyxy: object) -> NDArray[np.uint8]:
        return image

    def classify(self, crops: object) -> Opinions:
        self.asked.append([int(crop[0, 0, 0]) for crop in crops])  # type: ignore[attr-defined]
        count = len(self.asked[-1])
        return np.full((count, 2), 0.5, np.float32), np.full((count, 1), -50, np.float32)


class Sure(Reader):
    """Is sure that all is an object, but for one crop."""

    def classify(self, crops: object) -> Opinions:
        _, strange = super().classify(crops)
        return np.array([[0.1, 0.9] if value == STRANGE else [0.9, 0.1] for value in self.asked[-1]], np.float32), strange


def seen(numbers: Iterable[int], first: int = 0, last: int = 999) -> dict[int, Track]:
    """Tracks of signs that are in all frames from `first` to `last`."""
    indices = np.arange(first, last + 1, dtype=np.int32)
    boxes, flags = np.zeros((len(indices), 4), np.float32), np.zeros(len(indices), np.bool_)
    return {number: Track(number, indices, indices / 10, boxes, np.ones(len(indices), np.float32), flags) for number in numbers}


def show(gallery: Gallery, index: int, side: float, number: int = 0, score: float = 0.8) -> None:
    boxes = Boxes(np.array([[0, 0, side, side]], np.float32), np.array([score], np.float32))
    gallery.add(index, np.full((1, 1, 3), index, np.uint8), boxes, np.array([number]))


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(1, 5), st.floats(2, 200), st.floats(0, 1, width=32)), min_size=1, max_size=25))
def test_a_sign_never_has_more_crops_than_allowed_and_each_once(most: int, shown: list[tuple[int, float, float]]) -> None:
    reader = Reader()
    gallery = Gallery(reader, most)
    for index, (_, side, score) in enumerate(shown):
        show(gallery, index, side, score=score)
    gallery.settle(set(), seen({0}))
    (asked,) = reader.asked
    assert min((most + 1) // 2, len(shown)) <= len(asked) <= most
    assert asked == sorted(set(asked))
    assert gallery.votes[0].confidence == 0.5


def test_few_crops_are_all_kept() -> None:
    reader = Reader()
    gallery = Gallery(reader, 8)
    for index in range(8):
        show(gallery, index, 20 + index)
    gallery.settle(set(), seen({0}))
    assert reader.asked == [list(range(8))]


def test_the_largest_is_kept_and_the_rest_is_spread_over_time() -> None:
    reader = Reader()
    gallery = Gallery(reader, 4)
    for index in range(60):
        show(gallery, index, 16 + index)
    gallery.settle(set(), seen({0}))
    (asked,) = reader.asked
    assert asked[-1] == 59
    assert asked == [15, 31, 47, 59]


def test_a_parked_car_keeps_crops_of_all_times() -> None:
    reader = Reader()
    gallery = Gallery(reader, 4)
    for index in range(100):
        show(gallery, index, 40)
    gallery.settle(set(), seen({0}))
    assert reader.asked == [[0, 32, 64, 96]]


def test_only_signs_that_ended_and_were_kept_vote() -> None:
    reader = Reader()
    gallery = Gallery(reader, 4)
    for number in range(4):
        show(gallery, number, 30, number)
    show(gallery, 9, 30, -1)
    gallery.settle(live={0}, kept=seen({1, 3}))
    assert (reader.asked, set(gallery.votes)) == ([[1, 3]], {1, 3})
    gallery.settle(live=set(), kept=seen({0, 1, 3}))
    assert (reader.asked[1:], set(gallery.votes)) == ([[0]], {0, 1, 3})
    gallery.settle(live=set(), kept=seen({0, 1, 3}))
    assert len(reader.asked) == 2


def test_crops_from_before_and_after_a_sign_do_not_vote() -> None:
    reader = Reader()
    gallery = Gallery(reader, 20)
    for index in range(12):
        show(gallery, index, 30)
    gallery.settle(set(), seen({0}, 3, 9))
    assert reader.asked == [list(range(3, 10))]


def test_a_sign_whose_own_crops_all_lost_against_larger_ones_still_gets_a_vote() -> None:
    reader = Reader()
    gallery = Gallery(reader, 1)
    for index, side in enumerate((10, 200)):
        show(gallery, index, side)
    gallery.settle(set(), seen({0}, 0, 0))
    assert reader.asked == [[1]]


def test_where_a_sign_seems_to_be_something_else_is_told() -> None:
    gallery = Gallery(Sure(), 20)
    for index in (3, STRANGE, 90):
        show(gallery, index, 30)
    for index in (3, 90):
        show(gallery, index, 30, number=1)
    gallery.settle(set(), seen({0, 1}))
    assert gallery.contrary == {0: STRANGE}
