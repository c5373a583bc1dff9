"""A drawn recording and a model that reads its colours; what is proposed is known before."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from signloop.core import tables
from signloop.core.boxes import Boxes
from signloop.core.errors import DataError
from signloop.core.params import Prelabel
from signloop.core.taxonomy import SignClass, Taxonomy
from signloop.frames.video import Frame, Recording
from signloop.prelabel.proposal import Opinions
from signloop.prelabel.propose import propose

COLOURS = {10: (255, 0, 0), 20: (0, 0, 255)}  # class id -> colour; grey boxes are no objects
GREY = (120, 120, 120)
Image = NDArray[np.uint8]


class ColourModel:
    """Finds coloured rectangles and names them by colour; counts what it is asked."""

    model_id = "m0123456789ab"
    streams = 1
    taxonomy = Taxonomy(name="colours", object_name="patch", classes=tuple(SignClass(id=i, name=str(i), group="all") for i in COLOURS))

    def __init__(self, certainty: float = 0.9, strange: float = -50) -> None:
        self.certainty, self.strange = certainty, strange
        self.frames: list[int] = []
        self.crops: list[int] = []

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        self.frames.append(len(images))
        found = []
        for image in images:
            rows = []
            for colour in (*COLOURS.values(), GREY):
                ys, xs = np.nonzero((image == colour).all(axis=2))
                if len(xs):
                    rows.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            found.append(Boxes(np.array(rows, np.float32).reshape(-1, 4), np.full(len(rows), 0.8, np.float32)))
        return found

    def cut(self, image: Image, xyxy: ArrayLike) -> Image:
        x1, y1, x2, y2 = np.rint(np.asarray(xyxy)).astype(int)
        return np.ascontiguousarray(np.broadcast_to(image[(y1 + y2) // 2, (x1 + x2) // 2], (4, 4, 3)))

    def classify(self, crops: Sequence[Image]) -> Opinions:
        self.crops.append(len(crops))
        colours = [*COLOURS.values(), GREY]
        out = np.full((len(crops), 3), (1 - self.certainty) / 2, np.float32)
        for i, crop in enumerate(crops):
            out[i, colours.index(tuple(crop[0, 0].tolist()))] = self.certainty
        return out, np.full((len(crops), 2), self.strange, np.float32)


def draw(patches: Sequence[tuple[tuple[int, int, int], tuple[int, int, int]]], size: tuple[int, int] = (320, 240)) -> Image:
    """Paint ((x, y, side), colour) squares on black."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for (x, y, side), colour in patches:
        image[y : y + side, x : x + side] = colour
    return image


def approach(n: int = 12, fps: float = 10.0, grey: bool = False) -> Iterator[Frame]:
    """A red sign on the right and a blue one on the left that grow and move outwards, and on request a grey thing."""
    for index in range(n):
        side = round(300 / (25 - index))
        patches = [((160 + 3 * side, 60, side), COLOURS[10]), ((150 - 3 * side, 100 - side, side), COLOURS[20])]
        yield Frame(index, index / fps, draw(patches + ([((150, 190, side), GREY)] if grey else [])))


PARAMS = Prelabel(
    fps=None,
    start_score=0.4,
    keep_score=0.15,
    min_boxes=2,
    sure_score=0.9,
    max_gap_s=1.1,
    end_share=0.5,
    crops_per_sign=4,
    nothing=0.9,
    strange=0.01,
    backend="auto",
    precision="f32",
    batch=3,
)
ROAD = Recording("0123456789abcdef", "road.mp4", Path("road.mp4"), "video", 10.0, 12, 320, 240, 1.2, 0)
STILLS = replace(ROAD, kind="stills", fps=None, duration_s=0.0)


def test_two_approaching_signs_become_two_named_signs() -> None:
    looked: list[tuple[int, float, int]] = []
    proposal = propose(approach(), ColourModel(), PARAMS, ROAD, lambda frame, boxes: looked.append((frame.index, frame.time_s, len(boxes))))
    assert sorted(sign["class_id"] for sign in proposal.signs) == [10, 20]
    for number, sign in enumerate(proposal.signs):
        assert sign["sign_id"] == f"0123456789abcdef/m0123456789ab/{number:04d}"
        assert (sign["first_index"], sign["last_index"], sign["n_boxes"], sign["decision"]) == (0, 11, 12, "ask")
        assert sign["confidence"] == pytest.approx(0.9, abs=1e-4)
        assert sign["margin"] == pytest.approx(0.85, abs=1e-4)
        assert set(sign["top_ids"]) == {10, 20}
    right = [row for row in proposal.boxes if row["x1"] > 160]
    assert {row["sign_id"] for row in right} == {sign["sign_id"] for sign in proposal.signs if sign["class_id"] == 10}
    assert looked == [(i, i / 10, 2) for i in range(12)]


def test_its_rows_fit_the_tables_and_name_their_frames() -> None:
    proposal = propose(approach(), ColourModel(), PARAMS, ROAD)
    boxes = tables.from_rows("prelabel_boxes", proposal.boxes)
    tables.from_rows("prelabel_signs", proposal.signs)
    assert boxes.num_rows == 24
    for row in boxes.to_pylist():
        assert row["frame_id"] == f"0123456789abcdef/{row['index']:06d}"
        assert row["box_id"] == f"{row['sign_id']}/{row['index']:06d}"
        assert row["time_s"] == row["index"] / 10
        assert not row["interpolated"]


def test_frames_and_crops_reach_the_networks_in_bounded_batches() -> None:
    model = ColourModel()
    propose(approach(11), model, PARAMS, ROAD)
    assert model.frames == [3, 3, 3, 2]
    assert model.crops == [2 * 3]  # both signs in one call, each with the best crop of three stretches of four frames


def test_a_sign_is_named_as_soon_as_it_has_ended() -> None:
    model = ColourModel()
    called: list[int] = []

    def frames() -> Iterator[Frame]:
        yield from approach(6)
        for index in range(6, 40):
            called.append(len(model.crops))
            yield Frame(index, index / 10, draw([]))

    assert len(propose(frames(), model, PARAMS, ROAD).signs) == 2
    assert (called[0], called[-1]) == (0, 1)  # its crops were not held until the end


@pytest.mark.parametrize(("certainty", "proposed"), [(0.99, 2), (0.8, 3)])
def test_what_is_surely_no_object_is_left_out_and_what_may_be_has_no_class(certainty: float, proposed: int) -> None:
    signs = propose(approach(grey=True), ColourModel(certainty), PARAMS, ROAD).signs
    assert len(signs) == proposed
    assert sum(sign["class_id"] is None for sign in signs) == proposed - 2


def test_what_looks_like_no_class_is_proposed_without_one() -> None:
    usual, strange = (propose(approach(), ColourModel(strange=odds), PARAMS, ROAD).signs for odds in (-50, 9))
    assert [row["class_id"] for row in strange] == [None, None]
    assert min(row["confidence"] for row in strange) > 0.99
    assert [row["top_ids"][0] for row in strange] == [row["class_id"] for row in usual]


def test_in_stills_every_good_box_is_a_sign_of_its_own() -> None:
    stills = [
        Frame(0, 0.0, draw([((10, 10, 30), COLOURS[10]), ((100, 50, 30), COLOURS[20])])),
        Frame(1, 0.0, draw([((12, 10, 30), COLOURS[10])])),
        Frame(3, 0.0, draw([((12, 10, 30), COLOURS[10])], size=(400, 100))),
    ]
    model = ColourModel()
    proposal = propose(iter(stills), model, PARAMS, STILLS)
    assert [(sign["first_index"], sign["n_boxes"], sign["class_id"]) for sign in proposal.signs] == [
        (0, 1, 10), (0, 1, 20), (1, 1, 10), (3, 1, 10),
    ]  # fmt: skip
    assert model.frames == [2, 1]  # pictures of different sizes never share a call
    assert propose(iter(stills), ColourModel(), PARAMS.model_copy(update={"start_score": 0.85}), STILLS).signs == []


def test_no_frames_and_empty_frames_give_an_empty_proposal() -> None:
    nothing = propose(iter(()), ColourModel(), PARAMS, ROAD)
    assert (nothing.boxes, nothing.signs) == ([], [])
    empty = propose((Frame(i, i / 10, draw([])) for i in range(5)), ColourModel(), PARAMS, ROAD)
    assert (empty.boxes, empty.signs) == ([], [])


def test_twice_is_the_same() -> None:
    first, again = (propose(approach(grey=True), ColourModel(0.8), PARAMS, ROAD) for _ in range(2))
    assert (first.boxes, first.signs) == (again.boxes, again.signs)


def test_a_damaged_recording_says_so() -> None:
    def frames() -> Iterator[Frame]:
        yield from approach(5)
        raise DataError("the recording is damaged")

    with pytest.raises(DataError, match="damaged"):
        propose(frames(), ColourModel(), PARAMS, ROAD)
