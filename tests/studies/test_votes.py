"""Ways of naming a sign: what each makes of the same opinions, and that all are asked about the same signs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from signloop.core.boxes import Boxes
from signloop.core.params import Prelabel
from signloop.core.taxonomy import Taxonomy
from signloop.measure.truth import TruthRecordings
from signloop.prelabel.proposal import Opinions
from signloop.studies.votes import OWN, WAYS, compare

SAID, OTHER = 4, 5
NEAR_PX = 30


def test_each_way_listens_in_its_own_manner() -> None:
    """Two small crops are all for class 0, a large one is nearly as much for class 1, the last one is undecided but for class 2."""
    probs = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.1, 0.89, 0.01], [0.3, 0.3, 0.4]], np.float32)
    weights, strange = np.array([0.1, 0.1, 1.0, 0.2]), np.full((4, 2), -50, np.float32)
    found = {way: decide(probs, weights, strange).top_indices[0] for way, decide in WAYS.items() if way != "last of the kept crops"}
    assert found == {OWN: 1, "most trusted crop": 1, "majority": 0, "mean of probabilities": 0, "all crops trusted alike": 0}
    assert WAYS["last of the kept crops"](probs, weights, strange).class_index is None  # the last column is "not an object"
    assert WAYS["majority"](probs[:1], weights[:1], strange[:1]).confidence == pytest.approx(1.0)


class Painter:
    """Says of every crop that it is fairly sure of one class."""

    model_id = "m0"
    streams = 1

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        raise AssertionError("the boxes are stored")

    def cut(self, image: NDArray[np.uint8], xyxy: ArrayLike) -> NDArray[np.uint8]:
        return np.zeros((8, 8, 3), np.uint8)

    def classify(self, crops: Sequence[NDArray[np.uint8]]) -> Opinions:
        probs = np.full((len(crops), len(self.taxonomy) + 1), 0.2 / len(self.taxonomy), np.float32)
        probs[:, self.taxonomy.index_of[SAID]] += 0.8
        strange = np.full((len(crops), len(self.taxonomy)), -50, np.float32)
        return np.asarray(probs / probs.sum(axis=1, keepdims=True), np.float32), strange


def test_all_ways_name_the_same_signs(drawn: tuple[Path, TruthRecordings, dict[str, Any]], prelabel: Prelabel, taxonomy: Taxonomy) -> None:
    folder, truth, predictions = drawn
    told: list[tuple[int, int]] = []
    found = compare(Painter(taxonomy), folder, truth, predictions, prelabel, lambda _, done, total: told.append((done, total)))
    assert [one.way for one in found] == list(WAYS)
    real = {(a.track_id, a.category_id) for boxes in truth.annotations.values() for a in boxes if not a.iscrowd}
    share = sum(class_id == SAID for _, class_id in real) / len(real)
    assert 0 < share < 1
    assert [one.accuracy for one in found] == pytest.approx([share] * len(WAYS), abs=0.1)  # of those found, nearly all
    assert found[0].gain is None
    assert [(one.gain.value, one.gain.low, one.gain.high) for one in found[1:] if one.gain is not None] == [(0.0, 0.0, 0.0)] * 5
    assert told[-1] == (len(truth.videos), len(truth.videos))


class Approaching(Painter):
    """Reads a sign only from near by."""

    def cut(self, image: NDArray[np.uint8], xyxy: ArrayLike) -> NDArray[np.uint8]:
        x1, y1, x2, y2 = np.asarray(xyxy, float)
        return np.full((8, 8, 3), min(255, round(max(x2 - x1, y2 - y1))), np.uint8)

    def classify(self, crops: Sequence[NDArray[np.uint8]]) -> Opinions:
        probs, strange = super().classify(crops)
        far = np.array([crop.mean() < NEAR_PX for crop in crops], bool)
        said, other = self.taxonomy.index_of[SAID], self.taxonomy.index_of[OTHER]
        probs[far] = probs[far][:, [other if i == said else said if i == other else i for i in range(probs.shape[1])]]
        return probs, strange


def test_ways_that_look_at_different_crops_differ(
    drawn: tuple[Path, TruthRecordings, dict[str, Any]], prelabel: Prelabel, taxonomy: Taxonomy
) -> None:
    folder, truth, predictions = drawn
    found = {one.way: one for one in compare(Approaching(taxonomy), folder, truth, predictions, prelabel, lambda *_: None)}
    gains = {way: one.gain.value for way, one in found.items() if one.gain is not None}
    assert len(set(gains.values())) > 1
    assert found["last of the kept crops"].accuracy != found["majority"].accuracy
