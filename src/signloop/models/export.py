"""A trained network in, its ONNX form out: uint8 pictures in, the outputs of its heads out, for any runtime in any language.

What comes before the network (normalising, padding) is part of it; what comes after is not: `runtime` and PyTorch share that code.
"""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from signloop.models.classifier import Classifier
from signloop.models.familiar import Observer

OPSET = 17  # of ONNX 1.12 (2022): runtimes of the last years read it


class Places(nn.Module):
    """The part of an anchor-free detector that costs: from frames to what its heads say at each place, level behind level."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.head, self.step = detector.backbone, detector.head, int(detector.transform.size_divisible)
        self.register_buffer("mean", torch.tensor(detector.transform.image_mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(detector.transform.image_std).view(1, 3, 1, 1))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map uint8 (batch, H, W, 3) to class logits, box offsets and quality, (batch, places, 1 or 4)."""
        images = (frames.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.deviation
        height, width = images.shape[-2:]
        right, bottom = ((self.step - side % self.step) % self.step for side in (width, height))
        out: dict[str, Tensor] = self.head(list(self.backbone(functional.pad(images, (0, right, 0, bottom))).values()))
        return out["cls_logits"], out["bbox_regression"], out["bbox_ctrness"]


class Crops(nn.Module):
    """A classifier that looks at crops as they are cut."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.observer = Observer(classifier)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 (crops, size, size, 3) to logits, (crops, classes + 1), and distances, (crops, classes)."""
        out: tuple[Tensor, Tensor] = self.observer(crops.permute(0, 3, 1, 2).float() / 255)
        return out


def export_detector(detector: nn.Module) -> bytes:
    """Return a FCOS in evaluation mode as ONNX: `frames` of any number and size in, `logits`, `offsets` and `quality` out."""
    example = torch.zeros(2, 70, 100, 3, dtype=torch.uint8)  # of an odd size, so that it is padded
    return _export(Places(detector), example, "frames", {0: "batch", 1: "height", 2: "width"}, ("logits", "offsets", "quality"))


def export_classifier(classifier: Classifier, size_px: int) -> bytes:
    """Return a classifier in evaluation mode as ONNX: any number of `crops` in, `logits` and `distances` out."""
    example = torch.zeros(2, size_px, size_px, 3, dtype=torch.uint8)
    return _export(Crops(classifier), example, "crops", {0: "batch"}, ("logits", "distances"))


def _export(network: nn.Module, example: Tensor, name: str, free: dict[int, str], outputs: Sequence[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        # The exporter that replaces this one does not end for free heights and widths (PyTorch 2.14).
        warnings.simplefilter("ignore")
        path = Path(folder) / "network.onnx"
        axes = {name: free} | {output: {0: "batch"} for output in outputs}
        options: dict[str, Any] = {"input_names": [name], "output_names": list(outputs), "dynamic_axes": axes, "dynamo": False}
        torch.onnx.export(network.eval(), (example,), path, opset_version=OPSET, **options)
        return path.read_bytes()
