"""Levels of a feature pyramid in, the outputs of FCOS's two heads out; they keep their scale from training crops to whole frames."""

import torch
from torch import Tensor, nn
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSRegressionHead

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
    """FCOS's head for the distances to the four sides and for the centreness, on a `Tower`."""

    def __init__(self, channels: int, convs: int) -> None:
        super().__init__(channels, num_anchors=1, num_convs=0)
        self.tower = Tower(channels, convs)
        nn.init.constant_(self.bbox_reg.bias, TYPICAL_DISTANCE)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Map the levels to offsets, (batch, places, 4), and centreness, (batch, places, 1)."""
        outputs: tuple[Tensor, Tensor] = super().forward(self.tower(levels))
        return outputs
