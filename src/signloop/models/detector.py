"""Class-agnostic detectors: a list of frames in, the `Boxes` of each out; torchvision's networks, the light FCOS on a timm backbone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, box_iou, clip_boxes_to_image, nms

from signloop.core.boxes import Boxes, clip
from signloop.core.errors import ModelError
from signloop.core.params import Detector
from signloop.models.heads import Heads
from signloop.models.pretrained import create_timm, freeze_blocks, load_pretrained

STRIDES = (8, 16, 32)
Find = Callable[[Sequence[NDArray[np.uint8]]], list[dict[str, Tensor]]]
CANDIDATES = 300  # boxes of each level among which the best are looked for


class Pyramid(nn.Module):
    """A timm backbone with a feature pyramid over its strides 8, 16 and 32 (Lin et al., 2017).

    Attributes:
        body: the timm network, features only.
        out_channels: channels of every level, as torchvision's detectors expect it.
    """

    def __init__(self, backbone: str, channels: int) -> None:
        super().__init__()
        self.body = create_timm(backbone, "detector.backbone", features_only=True)
        info: Any = self.body.feature_info
        reductions = info.reduction()
        if not set(STRIDES) <= set(reductions):
            raise ModelError(
                "this backbone has not the levels that the detector needs",
                where="detector.backbone",
                expected=f"strides {STRIDES}",
                found=f"{backbone}: {reductions}",
            )
        self.levels = [reductions.index(stride) for stride in STRIDES]
        self.neck = FeaturePyramidNetwork([info.channels()[level] for level in self.levels], channels)
        self.out_channels = channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map (batch, 3, H, W) to one (batch, channels, H / stride, W / stride) per stride."""
        features = self.body(images)
        out: dict[str, Tensor] = self.neck({str(stride): features[level] for stride, level in zip(STRIDES, self.levels, strict=True)})
        return out


class AsItIs(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Normalise and pad frames but keep their resolution: torchvision resizes to 800 px in evaluation, whatever its options say."""

    def __init__(self, other: GeneralizedRCNNTransform) -> None:
        super().__init__(1, 1, other.image_mean, other.image_std, size_divisible=other.size_divisible)

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Return both unchanged."""
        return image, target


class LightFcos(FCOS):  # type: ignore[misc]
    """torchvision's FCOS, whose boxes are each the mean of all that the places around propose for the same object."""

    def __init__(self, backbone: Pyramid, cfg: Detector, **options: Any) -> None:
        super().__init__(backbone, num_classes=1, score_thresh=cfg.min_score, topk_candidates=CANDIDATES, **options)
        self._nms_iou, self._vote_iou, self._max_boxes = cfg.nms_iou, cfg.vote_iou, cfg.max_boxes

    def postprocess_detections(
        self, head_outputs: dict[str, list[Tensor]], anchors: list[list[Tensor]], image_shapes: list[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        """Return the boxes of each picture, best score first, merged.

        The candidates are those of torchvision's method, which would also compare all of them with one another here, to no effect.
        """
        names = ("cls_logits", "bbox_ctrness", "bbox_regression")
        found = []
        for number, (places, shape) in enumerate(zip(anchors, image_shapes, strict=True)):
            levels = zip(*([level[number] for level in head_outputs[name]] for name in names), places, strict=True)
            boxes, scores = zip(*(self._candidates(*level) for level in levels), strict=True)
            found.append(self._merged(clip_boxes_to_image(torch.cat(boxes), shape), torch.cat(scores)))
        return found

    def _candidates(self, logits: Tensor, quality: Tensor, offsets: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return the boxes, (n, 4), and scores, (n,), of the best places of one level of one picture."""
        scores = (logits[:, 0].sigmoid() * quality[:, 0].sigmoid()).sqrt()
        good = torch.nonzero(scores > self.score_thresh)[:, 0]
        scores, order = scores[good].topk(min(CANDIDATES, len(good)))
        best = good[order]
        boxes: Tensor = self.box_coder.decode(offsets[best], places[best])
        return boxes, scores

    def _merged(self, boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
        best = nms(boxes, scores, self._nms_iou)[: self._max_boxes]
        voted = vote_boxes(boxes, scores, best, self._vote_iou)
        return {"boxes": voted, "scores": scores[best], "labels": torch.zeros(len(best), dtype=torch.int64, device=boxes.device)}


def vote_boxes(boxes: Tensor, scores: Tensor, best: Tensor, least: float | None) -> Tensor:
    """Replace each chosen box by the mean of those like it, weighted by their scores (box voting; Gidaris & Komodakis, 2015).

    Every place near the middle of an object proposes a box for it; their errors differ, and partly cancel.

    Args:
        boxes: (n, 4) xyxy.
        scores: (n,).
        best: indices of the chosen ones, (k,).
        least: IoU from which on a box is like another, itself always; None leaves all as they are.

    Returns:
        (k, 4).
    """
    chosen = boxes[best]
    if least is None:
        return chosen
    like = (box_iou(chosen, boxes) >= least).to(scores)
    like[torch.arange(len(best), device=best.device), best] = 1
    weights = like * scores.clamp(min=1e-6)
    voted: Tensor = (weights @ boxes) / weights.sum(dim=1, keepdim=True)
    return voted


def _fcos_lite(cfg: Detector) -> nn.Module:
    """FCOS (Tian et al., 2019) with shallow heads on three levels: signs are small and seldom overlap."""
    if cfg.backbone is None:
        raise ModelError("network fcos_lite needs a backbone", where="detector.backbone", expected="a timm model name")
    backbone = Pyramid(cfg.backbone, cfg.channels)
    load_pretrained(backbone.body, cfg.weights, cfg.backbone)
    freeze_blocks(backbone.body, cfg.frozen_blocks, "detector.frozen_blocks")
    anchors = AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * len(STRIDES))
    head = Heads(cfg.channels, cfg.head_convs, cfg.quality)
    model: nn.Module = LightFcos(backbone, cfg, anchor_generator=anchors, head=head, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    model.transform = AsItIs(model.transform)
    return model


def _torchvision(
    builder: Callable[..., nn.Module], new: str, prefix: str = "", *, fixed_size: bool = False, **options: Any
) -> Callable[[Detector], nn.Module]:
    """A detector of torchvision with two classes, background and object, filled with COCO weights but for the class layer `new`."""

    def build(cfg: Detector) -> nn.Module:
        values = {"detections_per_img": cfg.max_boxes, "score_thresh": cfg.min_score, "nms_thresh": cfg.nms_iou}
        limits = {f"{prefix}{name}": value for name, value in values.items()}
        model = builder(weights=None, weights_backbone=None, num_classes=2, **limits, **options)
        load_pretrained(model, cfg.weights, cfg.network, new=[new])
        if not fixed_size:
            model.transform = AsItIs(model.transform)
        return model

    return build


@dataclass(frozen=True)
class Network:
    """How one network is built, and the label that its loss gives to an object."""

    build: Callable[[Detector], nn.Module]
    label: int


LOGITS = "head.classification_head.cls_logits."
NETWORKS: dict[str, Network] = {
    "fcos_lite": Network(_fcos_lite, 0),
    "fasterrcnn_mobilenet_v3_large_320_fpn": Network(
        _torchvision(detection.fasterrcnn_mobilenet_v3_large_320_fpn, "roi_heads.box_predictor.", "box_", rpn_score_thresh=0.0), 1
    ),
    "ssdlite320_mobilenet_v3_large": Network(
        _torchvision(detection.ssdlite320_mobilenet_v3_large, "head.classification_head.", fixed_size=True), 1
    ),
    "fcos_resnet50_fpn": Network(_torchvision(detection.fcos_resnet50_fpn, LOGITS), 1),
    "retinanet_resnet50_fpn_v2": Network(_torchvision(detection.retinanet_resnet50_fpn_v2, LOGITS), 1),
}


def build_detector(cfg: Detector) -> nn.Module:
    """Build the network named by `cfg.network` with its pretrained weights.

    Returns:
        A torchvision detector: in training (images, targets) -> losses, in evaluation images -> one dict per image.

    Raises:
        ModelError: unknown network, or weights that cannot be had.
    """
    if cfg.network not in NETWORKS:
        raise ModelError("unknown detector", where="detector.network", expected=list(NETWORKS), found=cfg.network)
    return NETWORKS[cfg.network].build(cfg)


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """Turn a uint8 (H, W, 3) RGB frame into a float32 (3, H, W) tensor in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255


def eager(model: nn.Module, device: torch.device) -> Find:
    """Return a torchvision detector in evaluation mode, on its device, as what `detect` asks."""

    def find(images: Sequence[NDArray[np.uint8]]) -> list[dict[str, Tensor]]:
        found: list[dict[str, Tensor]] = model([to_tensor(image).to(device) for image in images])
        return found

    return find


@torch.inference_mode()
def detect(find: Find, images: Sequence[NDArray[np.uint8]], cfg: Detector) -> list[Boxes]:
    """Find objects in frames.

    Args:
        find: returns boxes and scores of frames, as a torchvision detector does.
        images: uint8 (H, W, 3) RGB frames; no frames give an empty list.
        cfg: its `min_score` and `input_scale` are used.

    Returns:
        Per frame its boxes in px of the frame given, clipped to it, best score first.
    """
    if not images:
        return []
    found = []
    for image, output in zip(images, find([_scaled(image, cfg.input_scale) for image in images]), strict=True):
        height, width = image.shape[:2]
        xyxy = clip(output["boxes"].float().cpu().numpy() / cfg.input_scale, width, height)
        scores = output["scores"].float().cpu().numpy().clip(0, 1)
        keep = (scores >= cfg.min_score) & (xyxy[:, 2:] - xyxy[:, :2] >= 1).all(axis=1)
        order = np.argsort(-scores[keep], kind="stable")
        found.append(Boxes(xyxy[keep][order], scores[keep][order]))
    return found


def _scaled(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1.0:
        return image
    size = [max(1, round(side * scale)) for side in reversed(image.shape[:2])]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8)
