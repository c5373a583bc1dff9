"""What a model must offer to be asked; a frame, boxes and such a model in, the class of each box out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from signloop.core.boxes import Boxes
from signloop.core.taxonomy import Taxonomy

NamedBoxes = tuple[Boxes, NDArray[np.int64]]
NO_CLASS = -1
Image = NDArray[np.uint8]
Opinions = tuple[NDArray[np.float32], NDArray[np.float32]]


class Runtime(Protocol):
    """What finds and names objects; `models.runtime.Runtime` is one, tests bring their own."""

    @property
    def taxonomy(self) -> Taxonomy:
        """Classes in the order of the columns of `classify`."""

    @property
    def model_id(self) -> str:
        """Named in every row."""

    @property
    def streams(self) -> int:
        """How many calls of `detect` may run at the same time."""

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        """Return the boxes of each uint8 (H, W, 3) RGB frame."""

    def cut(self, image: Image, xyxy: ArrayLike) -> Image:
        """Return what the classifier sees of one box."""

    def classify(self, crops: Sequence[Image]) -> Opinions:
        """Return what `vote` is asked about crops from `cut`.

        Calibrated probabilities, (crops, classes + 1), the last column for "not an object"; and, were a crop called a class, the logarithm
        of the odds that it shows an object of another kind, (crops, classes).
        """


def name_boxes(runtime: Runtime, image: NDArray[np.uint8], boxes: Boxes) -> NamedBoxes:
    """Classify every box of a picture on its own; "not an object" is class -1."""
    probs, _ = runtime.classify([runtime.cut(image, box) for box in boxes.xyxy])
    return boxes, np.array([*runtime.taxonomy.ids, NO_CLASS])[probs.argmax(axis=1)]
