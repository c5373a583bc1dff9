"""Levels of a feature pyramid in, the outputs of FCOS's two heads out; they keep their scale from training crops to whole frames."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSHead, FCOSRegressionHead

from signloop.core.params import Quality

TYPICAL_DISTANCE = 2.0  # from a place to the sides, in strides; a ReLU follows, and what begins at 0 would learn only half of the time


class Tower(nn.Module):
    """Convolutions shared by all levels, each with one batch norm (Ioffe & Szegedy, 2015) over the pixels of all levels.

    FCOS has group norms there, whose statistics are those of the picture at hand: learnt on crops full of sign, boxes on whole frames
    came out half as large again. A batch norm's statistics are fixed after training; taken over all levels together, they are the
    same for each level in training and afterwards.
    """

    def __init__(self, channels: int, convs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(convs))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(convs))

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Map (batch, channels, height, width) per level to the same shapes."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            levels = [conv(level) for level in levels]
            levels = [torch.relu(level) for level in (self._together(levels, norm) if self.training else [norm(x) for x in levels])]
        return levels

    @staticmethod
    def _together(levels: list[Tensor], norm: nn.Module) -> list[Tensor]:
        flat = norm(torch.cat([level.flatten(2) for level in levels], dim=2)[..., None])[..., 0]
        parts = flat.split([level.shape[2] * level.shape[3] for level in levels], dim=2)
        return [part.unflatten(2, level.shape[2:]) for part, level in zip(parts, levels, strict=True)]


class ClassHead(FCOSClassificationHead):  # type: ignore[misc]
    """FCOS's head for "is it an object", on a `Tower`."""

    def __init__(self, channels: int, convs: int) -> None:
        super().__init__(channels, num_anchors=1, num_classes=1, num_convs=0)
        self.tower = Tower(channels, convs)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Map the levels to logits, (batch, places, 1)."""
        logits: Tensor = super().forward(self.tower(levels))
        return logits


class RegressionHead(FCOSRegressionHead):  # type: ignore[misc]
    """FCOS's head for the distances to the four sides and for how good the box is that they make, on a `Tower`."""

    def __init__(self, channels: int, convs: int) -> None:
        super().__init__(channels, num_anchors=1, num_convs=0)
        self.tower = Tower(channels, convs)
        nn.init.constant_(self.bbox_reg.bias, TYPICAL_DISTANCE)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Map the levels to offsets, (batch, places, 4), and logits of the quality, (batch, places, 1)."""
        outputs: tuple[Tensor, Tensor] = super().forward(self.tower(levels))
        return outputs


class Heads(FCOSHead):  # type: ignore[misc]
    """Both heads, and what the class of a box is weighed by: its centreness, or how well it fits (IoU-aware detection; Wu et al., 2020).

    The centreness of a small object is a matter of the grid of places: 24 px seen 4 px beside a place on both axes lose 30 % of their
    score, and are found after what is no object. The overlap with the object does not depend on the grid.

    Args:
        channels: of the pyramid.
        convs: of each head.
        quality: "centreness", as in FCOS, or "overlap".
    """

    def __init__(self, channels: int, convs: int, quality: Quality) -> None:
        super().__init__(channels, num_anchors=1, num_classes=1, num_convs=convs)
        self.quality = quality
        self.classification_head = ClassHead(channels, convs)
        self.regression_head = RegressionHead(channels, convs)

    def compute_loss(
        self,
        targets: Sequence[Mapping[str, Tensor]],
        head_outputs: Mapping[str, Tensor],
        anchors: Sequence[Tensor],
        matched_idxs: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """Return the losses of torchvision's FCOS; that of the overlap takes the place and the name of that of the centreness."""
        losses: dict[str, Tensor] = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        if self.quality == "centreness":
            return losses
        logits, aims = [], []
        outputs = zip(targets, head_outputs["bbox_regression"], head_outputs["bbox_ctrness"], anchors, matched_idxs, strict=True)
        for target, offsets, quality, places, matched in outputs:
            inside = matched >= 0
            found = self.box_coder.decode(offsets[inside].detach(), places[inside])
            aims.append(overlap(found, target["boxes"][matched[inside]]))
            logits.append(quality[inside, 0])
        total = functional.binary_cross_entropy_with_logits(torch.cat(logits), torch.cat(aims), reduction="sum")
        return {**losses, "bbox_ctrness": total / max(1, sum(map(len, aims)))}


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of each box with the one in the same row, (n,), of xyxy boxes (n, 4) each; 0 for boxes without area."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    whole = sum((box[:, 2:] - box[:, :2]).clamp(min=0).prod(dim=1) for box in (a, b)) - inner
    return torch.where(whole > 0, inner / whole.clamp(min=1e-9), 0.0)
