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
from signloop.studies.votes import OWN, WAYS, compare

SAID = 4


def test_each_way_listens_in_its_own_manner() -> None:
    """Two small crops are all for class 0, a large one is nearly as much for class 1, the last one is undecided but for class 2."""
    probs = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.1, 0.89, 0.01], [0.3, 0.3, 0.4]], np.float32)
    weights = np.array([0.1, 0.1, 1.0, 0.2])
    found = {way: decide(probs, weights).top_indices[0] for way, decide in WAYS.items() if way != "last frame"}
    assert found == {OWN: 1, "most trusted crop": 1, "majority": 0, "mean of probabilities": 0, "all crops trusted alike": 0}
    assert WAYS["last frame"](probs, weights).class_index is None  # the last column is "not an object"
    assert WAYS["majority"](probs[:1], weights[:1]).confidence == pytest.approx(1.0)


class Painter:
    """Says of every crop that it is fairly sure of one class."""

    model_id = "m0"

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        raise AssertionError("the boxes are stored")

    def cut(self, image: NDArray[np.uint8], xyxy: ArrayLike) -> NDArray[np.uint8]:
        return np.zeros((8, 8, 3), np.uint8)

    def classify(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        probs = np.full((len(crops), len(self.taxonomy) + 1), 0.2 / len(self.taxonomy), np.float32)
        probs[:, self.taxonomy.index_of[SAID]] += 0.8
        return np.asarray(probs / probs.sum(axis=1, keepdims=True), np.float32)


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
