"""Boxes of signs and their frames in, a few good crops per sign kept, and one vote per sign out once the sign has ended."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from signloop.core.boxes import Boxes
from signloop.prelabel.proposal import Image, Runtime
from signloop.prelabel.track import Track
from signloop.prelabel.vote import Vote, trust, vote

Decide = Callable[[NDArray[np.float32], NDArray[np.float64], NDArray[np.float32]], Vote]


@dataclass(frozen=True, eq=False)
class _Crop:
    index: int
    view: Image
    trust: float


@dataclass(eq=False)
class _Album:
    """The best crop of each stretch of a sign's life; stretches double when there are too many.

    So the crops are spread over the time a sign was seen, where neighbours show nearly the same, whenever it ends.

    Attributes:
        first: frame index of the first crop.
        stretch: frames.
        best: number of the stretch -> its best crop.
    """

    first: int
    stretch: int = 1
    best: dict[int, _Crop] = field(default_factory=dict)

    def add(self, crop: _Crop, most: int) -> None:
        self._offer((crop.index - self.first) // self.stretch, crop)
        while len(self.best) > most:
            crops, self.best, self.stretch = self.best, {}, 2 * self.stretch
            for number, old in crops.items():
                self._offer(number // 2, old)

    def _offer(self, number: int, crop: _Crop) -> None:
        if number not in self.best or crop.trust > self.best[number].trust:
            self.best[number] = crop


class Gallery:
    """Holds at most `crops_per_sign` crops of each sign that is still followed, and only the votes of those that have ended.

    Args:
        runtime: cuts and names crops.
        crops_per_sign: most crops that vote for one sign.
        decide: makes one vote of the opinions of a sign's crops, in order of time, of the trust in each, and of how strange each is.

    Attributes:
        votes: sign number -> vote.
        contrary: sign number -> frame index of the crop that may show another thing (`Vote.contrary`), of signs that have one.
    """

    def __init__(self, runtime: Runtime, crops_per_sign: int, decide: Decide = vote) -> None:
        self.votes: dict[int, Vote] = {}
        self.contrary: dict[int, int] = {}
        self._runtime, self._most, self._decide = runtime, crops_per_sign, decide
        self._albums: dict[int, _Album] = {}

    def add(self, index: int, image: Image, boxes: Boxes, numbers: NDArray[np.int64]) -> None:
        """Cut the boxes of a frame that belong to signs (number >= 0) and keep what is worth it."""
        worth = np.maximum(trust(boxes.xyxy, boxes.scores), 1e-6)  # a score of 0 is no reason to have no opinion at all
        for i in np.flatnonzero(numbers >= 0):
            album = self._albums.setdefault(int(numbers[i]), _Album(index))
            album.add(_Crop(index, self._runtime.cut(image, boxes.xyxy[i]), float(worth[i])), self._most)

    def settle(self, live: AbstractSet[int], kept: Mapping[int, Track]) -> None:
        """Let the crops of signs that have ended vote, in one call of the classifier, and forget the crops; dropped signs get no vote."""
        ended = [number for number in self._albums if number not in live]
        crops = {number: _shown(list(self._albums.pop(number).best.values()), kept.get(number)) for number in ended}
        voters = [number for number in ended if number in kept]
        if not voters:
            return
        probs, strange = self._runtime.classify([crop.view for number in voters for crop in crops[number]])
        start = 0
        for number in voters:
            end = start + len(crops[number])
            result = self._decide(probs[start:end], np.array([crop.trust for crop in crops[number]]), strange[start:end])
            self.votes[number] = result
            if result.contrary is not None:
                self.contrary[number] = crops[number][result.contrary].index
            start = end


def _shown(crops: list[_Crop], track: Track | None) -> list[_Crop]:
    """Return the crops of the frames in which the sign is; all of them if a stretch's best crop is nowhere one of these."""
    if track is None:
        return []
    return [crop for crop in crops if track.indices[0] <= crop.index <= track.indices[-1]] or crops
