"""A bundle in, the fast callable that labels frames out: `detect`, `cut`, `classify`, each with the numbers of the bundle."""

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from signloop.core.boxes import Boxes
from signloop.core.taxonomy import Taxonomy
from signloop.models.bundle import Bundle
from signloop.models.classifier import cut, logits
from signloop.models.detector import detect

Net = TypeVar("Net", bound=nn.Module)


class Runtime:
    """Both networks of a bundle on one device.

    Args:
        bundle: from `read_bundle`; its networks are moved and laid out anew.
        device: where they run.
        precision: "32", or "bf16" for bfloat16 arithmetic (about three times as fast where the processor has it).

    Attributes:
        taxonomy: classes in the order of the columns of `classify`.
        model_id: of the bundle.
    """

    def __init__(self, bundle: Bundle, device: torch.device, precision: Literal["32", "bf16"] = "32") -> None:
        self.bundle, self.device = bundle, device
        self.taxonomy: Taxonomy = bundle.taxonomy
        self.model_id: str = bundle.model_id
        self.reduced = precision == "bf16"
        torch.set_flush_denormal(True)
        self.detector = self._ready(bundle.detector)
        self.classifier = self._ready(bundle.classifier)

    def _ready(self, network: Net) -> Net:
        network.eval()
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Boxes]:
        """Find objects in uint8 (H, W, 3) RGB frames; per frame its boxes, best score first; no frames give an empty list."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced):
            return detect(self.detector, images, self.bundle.detector_params, self.device)

    def cut(self, image: NDArray[np.uint8], xyxy: ArrayLike) -> NDArray[np.uint8]:
        """Cut what the classifier sees of one box, uint8 (size, size, 3)."""
        params = self.bundle.classifier_params
        return cut(image, xyxy, params.margin, params.size_px)

    def logits(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the raw outputs for crops from `cut`, (crops, classes + 1); no crops give (0, classes + 1)."""
        size = self.bundle.classifier_params.size_px
        stack = np.stack(crops) if len(crops) else np.zeros((0, size, size, 3), np.uint8)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced):
            return logits(self.classifier, stack, self.device)

    def classify(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return calibrated probabilities of crops from `cut`, (crops, classes + 1); the last column is "not an object"."""
        scaled = self.logits(crops) / self.bundle.temperature
        exp = np.exp(scaled - scaled.max(axis=1, keepdims=True)) if len(scaled) else scaled
        return np.asarray(exp / exp.sum(axis=1, keepdims=True), np.float32)
