"""A runtime that differs from PyTorch by a little, and by too much, in each way in which it can."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from signloop.core import tables
from signloop.core.boxes import Boxes
from signloop.core.errors import ModelError
from signloop.core.params import Params
from signloop.frames.extract import extract
from signloop.frames.truth import assemble
from signloop.prelabel.parity import Cost, check_exact, cost
from signloop.prelabel.proposal import Image, Opinions, Runtime

MakeFilms = Callable[..., dict[str, Any]]
Publish = Callable[[Path, dict[str, Any], Params], Path]
Change = Callable[[Boxes], Boxes]


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_films: MakeFilms, publish_truth: Publish, shape_params: Params) -> Path:
    """data/truth of two films of three shapes, for training."""
    params = shape_params.model_copy(update={"data": shape_params.data.model_copy(update={"test_share": 0.0, "val_share": 0.0})})
    data = tmp_path_factory.mktemp("project") / "data"
    publish_truth(data, make_films(data / "recordings", {"a.avi": [4, 30], "b.avi": [11]}), params)
    extract(data / "recordings", data / "frames", params.extract, 0.0)
    assemble(data / "frames", data / "verified", data / "truth", params.data, params.taxonomy, silent)
    return data / "truth"


class Other:
    """A model that says the same as another one, but for a change."""

    streams = 1

    def __init__(self, runtime: Runtime, change: Change = lambda boxes: boxes, doubt: float = 0.0) -> None:
        self.runtime, self.taxonomy, self.model_id, self.change, self.doubt = runtime, runtime.taxonomy, "mother", change, doubt
        self.looks = 0

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        self.looks += len(images)
        return [self.change(boxes) for boxes in self.runtime.detect(images)]

    def cut(self, image: Image, xyxy: ArrayLike) -> Image:
        return self.runtime.cut(image, xyxy)

    def classify(self, crops: Sequence[Image]) -> Opinions:
        probs, strange = self.runtime.classify(crops)
        return np.asarray(probs + self.doubt * (np.roll(probs, 1, axis=1) - probs), np.float32), strange


def moved(px: float = 0.0, score: float = 0.0) -> Change:
    """Move all boxes, and change their scores."""
    return lambda boxes: Boxes(boxes.xyxy + np.float32(px), boxes.scores + np.float32(score))


def added(score: float) -> Change:
    """Add a box."""

    def change(boxes: Boxes) -> Boxes:
        ghost = np.array([[1, 1, 9, 9]], np.float32)
        return Boxes(np.concatenate([boxes.xyxy, ghost]), np.append(boxes.scores, np.float32(score)))

    return change


def cut_short(boxes: Boxes) -> Boxes:
    """Leave a box out."""
    return Boxes(boxes.xyxy[1:], boxes.scores[1:])


@pytest.mark.parametrize(
    "change", [moved(), moved(px=0.4), moved(score=-0.0009), added(0.0505)], ids=["none", "px", "score", "at the limit"]
)
def test_what_differs_by_little_is_the_same(folder: Path, seer: Runtime, change: Change) -> None:
    other = Other(seer, change, doubt=0.0005)
    assert check_exact(seer, other, folder, 0.05, 100) == other.looks
    assert 4 <= other.looks <= 8


def test_at_a_full_list_the_last_box_may_be_another(folder: Path, seer: Runtime) -> None:
    full = Other(seer, added(0.3))
    with pytest.raises(ModelError, match=r"a box that only PyTorch has, at 1\.0, 1\.0, 9\.0, 9\.0 with score 0\.3000"):
        check_exact(full, seer, folder, 0.05, 100)
    only_red = Other(seer, lambda boxes: added(0.3)(Boxes(boxes.xyxy[:1], boxes.scores[:1])))
    other = Other(seer, lambda boxes: Boxes(boxes.xyxy[:1], boxes.scores[:1]))
    assert check_exact(only_red, other, folder, 0.05, 2) == other.looks


@pytest.mark.parametrize(
    ("change", "doubt", "expected"),
    [
        (moved(px=0.6), 0.0, r"a box that only PyTorch has, at .* with score 0\.9000"),
        (moved(score=-0.01), 0.0, "a box that only PyTorch has"),
        (cut_short, 0.0, "a box that only PyTorch has"),
        (added(0.2), 0.0, r"a box that only the runtime has, at 1\.0, 1\.0, 9\.0, 9\.0 with score 0\.2000"),
        (moved(), 0.01, r"probabilities of classes that are 0\.0092 apart"),
    ],
    ids=["px", "score", "fewer", "more", "classes"],
)
def test_what_differs_is_an_error_that_says_where(folder: Path, seer: Runtime, change: Change, doubt: float, expected: str) -> None:
    with pytest.raises(ModelError, match=rf"does not find what PyTorch finds \(frame \w+/\d+\).*{expected}.*prelabel\.backend=pytorch"):
        check_exact(seer, Other(seer, change, doubt), folder, 0.05, 100)


def test_the_cost_is_what_is_lost_on_verified_frames(folder: Path, seer: Runtime) -> None:
    told: list[tuple[str, int, int]] = []
    nothing = cost(seer, Other(seer, moved(px=0.4)), folder, lambda *what: told.append(what))
    assert (nothing.ap50, nothing.class_accuracy, nothing.is_small) == (0.0, 0.0, True)
    assert told[-1] == ("frames compared", 2 * nothing.frames, 2 * nothing.frames)
    fewer = cost(seer, Other(seer, cut_short), folder, silent)
    assert -1 <= fewer.ap50 < -0.2
    assert not fewer.is_small
    misnamed = cost(seer, Other(seer, doubt=0.9), folder, silent)
    assert (misnamed.ap50, misnamed.class_accuracy, misnamed.is_small) == (0.0, -1.0, False)
    assert misnamed.as_json() == {"frames": misnamed.frames, "ap50": 0.0, "class_accuracy": -1.0, "is_small": False}


def test_without_verified_frames_nothing_is_compared(tmp_path: Path, seer: Runtime) -> None:
    for name, table in (("frames", "truth_frames"), ("truth", "truth")):
        tables.write(tmp_path / f"{name}.parquet", table, tables.empty(table))
    assert check_exact(seer, Other(seer, cut_short), tmp_path, 0.05, 100) == 0
    assert cost(seer, Other(seer, cut_short), tmp_path, silent) == Cost(0, 0.0, 0.0)
