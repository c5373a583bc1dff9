"""Boxes of signs and their frames in, a few good crops per sign kept, and one vote per sign out once the sign has ended."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signloop.core.boxes import Boxes
from signloop.prelabel.proposal import Image, Runtime
from signloop.prelabel.vote import Vote, trust, vote


@dataclass(frozen=True, eq=False)
class _Crop:
    index: int
    view: Image
    trust: float


class Gallery:
    """Holds at most `crops_per_sign` crops of each sign that is still followed, and only the votes of those that have ended.

    Attributes:
        votes: sign number -> vote.
    """

    def __init__(self, runtime: Runtime, crops_per_sign: int) -> None:
        self.votes: dict[int, Vote] = {}
        self._runtime, self._most = runtime, crops_per_sign
        self._crops: dict[int, list[_Crop]] = {}

    def add(self, index: int, image: Image, boxes: Boxes, numbers: NDArray[np.int64]) -> None:
        """Cut the boxes of a frame that belong to signs (number >= 0) and keep what is worth it."""
        worth = np.maximum(trust(boxes.xyxy, boxes.scores), 1e-6)  # a score of 0 is no reason to have no opinion at all
        for i in np.flatnonzero(numbers >= 0):
            crops = self._crops.setdefault(int(numbers[i]), [])
            crops.append(_Crop(index, self._runtime.cut(image, boxes.xyxy[i]), float(worth[i])))
            if len(crops) > self._most:
                del crops[_least(crops)]

    def settle(self, live: AbstractSet[int], kept: AbstractSet[int]) -> None:
        """Let the crops of signs that have ended vote, in one call of the classifier, and forget the crops; dropped signs get no vote."""
        ended = [number for number in self._crops if number not in live]
        crops = {number: self._crops.pop(number) for number in ended}
        voters = [number for number in ended if number in kept]
        if not voters:
            return
        probs = self._runtime.classify([crop.view for number in voters for crop in crops[number]])
        start = 0
        for number in voters:
            end = start + len(crops[number])
            self.votes[number] = vote(probs[start:end], np.array([crop.trust for crop in crops[number]]))
            start = end


def _least(crops: list[_Crop]) -> int:
    """Return the crop to give up: little trusted, and close in time to its neighbours, which show nearly the same."""
    if len(crops) == 2:
        return int(crops[0].trust > crops[1].trust)
    index, worth = np.array([crop.index for crop in crops]), np.array([crop.trust for crop in crops])
    gaps = np.diff(index)
    span = np.concatenate([[2 * gaps[0]], gaps[:-1] + gaps[1:], [2 * gaps[-1]]])
    return int(np.argmin(worth * span))
