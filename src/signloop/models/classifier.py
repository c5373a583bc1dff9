"""The classifier: a crop in, one logit per class out, the last for "not an object"; probabilities and the view of a crop."""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from torch import Tensor, nn

from signloop.core.boxes import clip, expand
from signloop.core.params import Classifier as ClassifierParams
from signloop.models.pretrained import create_timm, freeze_blocks, load_pretrained

AXES = 128  # of a classifier's space, along which distances are measured


class Classifier(nn.Module):
    """A timm network that sees crops in [0, 1] and looks at each in its own contrast if asked to.

    Attributes:
        net: the timm network; its last layer has one output per class and one for "not an object".
        contrast: shift and scale every crop to mean 0 and deviation 0.5: many crops are nearly black.
        centre, axes, means: what the classes look like, as `familiar.remember` sets them: the mean embedding, (features,), directions in
            which crops of one class differ, (features, axes), and where each class lies along these, (classes, axes); zeros before.
    """

    centre: Tensor
    axes: Tensor
    means: Tensor

    def __init__(self, cfg: ClassifierParams, classes: int) -> None:
        super().__init__()
        self.net: Any = create_timm(cfg.backbone, "classifier.backbone", num_classes=classes + 1)
        load_pretrained(self.net, cfg.weights, cfg.backbone, new=[self.head_name.removeprefix("net.")])
        freeze_blocks(self.net, cfg.frozen_blocks, "classifier.frozen_blocks")
        self.contrast = cfg.contrast
        axes = min(AXES, self.features)
        for name, shape in (("centre", (self.features,)), ("axes", (self.features, axes)), ("means", (classes, axes))):
            self.register_buffer(name, torch.zeros(shape))

    @property
    def head_name(self) -> str:
        """Prefix of the names of the last layer's tensors, which no pretrained weights fill."""
        last = self.net.get_classifier()
        return next(f"net.{name}" for name, module in self.net.named_modules() if module is last)

    @property
    def features(self) -> int:
        """Length of an embedding."""
        return int(self.net.head_hidden_size)

    def forward(self, crops: Tensor) -> Tensor:
        """Map (crops, 3, size, size) in [0, 1] to logits (crops, classes + 1)."""
        logits: Tensor = self.net(self._lit(crops))
        return logits

    def embed(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Map crops to logits as `forward` does, and to the embeddings that these are made of, (crops, features)."""
        features = self.net.forward_head(self.net.forward_features(self._lit(crops)), pre_logits=True)
        return self.net.get_classifier()(features), features

    def _lit(self, crops: Tensor) -> Tensor:
        mean = crops.mean(dim=(1, 2, 3), keepdim=True) if self.contrast else 0.5
        deviation = crops.std(dim=(1, 2, 3), keepdim=True) + 0.02 if self.contrast else 1.0
        return (crops - mean) / deviation * 0.5 if self.contrast else (crops - mean) * 2


def cut(image: NDArray[np.uint8], xyxy: ArrayLike, margin: float, size_px: int) -> NDArray[np.uint8]:
    """Cut the square view of one box that the classifier sees; training and labelling both go through here.

    Args:
        image: uint8 (H, W, 3).
        xyxy: the box, px of `image`.
        margin: context on each side as a share of the box; what lies outside the image is left out.
        size_px: side of the result.

    Returns:
        uint8 (size_px, size_px, 3); a view of at least 1x1 px is always taken.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (int(v) for v in np.rint(clip(expand(xyxy, margin), width, height)[0]))
    x1, y1 = min(x1, width - 1), min(y1, height - 1)
    view = image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    shrinks = max(view.shape[:2]) > size_px
    out: NDArray[np.uint8] = cv2.resize(view, (size_px, size_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return out


def to_batch(crops: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 (crops, size, size, 3) into float32 (crops, 3, size, size) in [0, 1]."""
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255


def probabilities(raw: ArrayLike, temperature: float) -> NDArray[np.float32]:
    """Turn logits, (crops, classes + 1), into probabilities of the same shape, rows sum to 1; `temperature` > 0 divides the logits."""
    return np.asarray(softmax(np.asarray(raw, np.float64) / temperature, axis=1), np.float32)


@torch.inference_mode()
def logits(model: Any, crops: NDArray[np.uint8], device: torch.device, batch: int = 256) -> NDArray[np.float32]:
    """Return the logits of uint8 (crops, size, size, 3), (crops, classes + 1) float32; no crops give (0, classes + 1)."""
    width = model.net.num_classes
    parts = [model(to_batch(crops[i : i + batch]).to(device)).float().cpu().numpy() for i in range(0, len(crops), batch)]
    return np.concatenate([np.zeros((0, width), np.float32), *parts]).astype(np.float32)
