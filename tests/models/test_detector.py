from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models.detection.fcos import FCOS

from signloop.core.errors import ModelError
from signloop.core.params import Params
from signloop.models.detector import NETWORKS, build_detector, detect, eager, to_tensor, vote_boxes

CPU = torch.device("cpu")


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_learns_and_finds_without_the_web(network: str, fast: Params) -> None:
    cfg = fast.detector.model_copy(update={"network": network, "weights": "none", "min_score": 0.0, "max_boxes": 5})
    torch.manual_seed(0)
    model = build_detector(cfg).train()
    boxes = torch.tensor([[10.0, 10.0, 60.0, 60.0]])
    target = {"boxes": boxes, "labels": torch.tensor([NETWORKS[network].label])}
    losses = model([torch.rand(3, 96, 96)] * 2, [target, {"boxes": boxes[:0], "labels": torch.tensor([], dtype=torch.int64)}])
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    found = detect(eager(model.eval(), CPU), [np.zeros((96, 128, 3), np.uint8)], cfg)[0]
    assert len(found) <= 5
    assert (np.diff(found.scores) <= 0).all()


def test_boxes_are_in_px_of_the_frame_whatever_the_input_scale(fast: Params) -> None:
    class Fixed(torch.nn.Module):
        def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
            height, width = images[0].shape[1:]
            box = torch.tensor([[0.25 * width, 0.25 * height, 0.5 * width, 2.0 * height]])
            return [{"boxes": box, "scores": torch.tensor([0.9])}]

    for scale in (0.5, 1.0, 2.0):
        cfg = fast.detector.model_copy(update={"input_scale": scale})
        found = detect(eager(Fixed(), CPU), [np.zeros((80, 160, 3), np.uint8)], cfg)[0]
        np.testing.assert_allclose(found.xyxy, [[40, 20, 80, 80]], atol=1e-4)  # clipped to the frame's lower edge


def test_without_votes_the_light_fcos_finds_what_torchvisions_does(fast: Params) -> None:
    cfg = fast.detector.model_copy(update={"weights": "none", "min_score": 0.0, "nms_iou": 0.4, "max_boxes": 40, "vote_iou": None})
    torch.manual_seed(0)
    model: Any = build_detector(cfg).eval()
    picture = torch.rand(3, 96, 128)
    mine = model([picture])[0]
    model.nms_thresh, model.detections_per_img = cfg.nms_iou, cfg.max_boxes
    model.postprocess_detections = partial(FCOS.postprocess_detections, model)
    reference = model([picture])[0]
    assert len(mine["boxes"]) == cfg.max_boxes
    for key in ("boxes", "scores", "labels"):
        torch.testing.assert_close(mine[key], reference[key])


def test_a_box_is_the_mean_of_those_like_it_weighted_by_their_scores() -> None:
    boxes = torch.tensor([[0.0, 0.0, 100.0, 100.0], [0.0, 0.0, 104.0, 100.0], [0.0, 0.0, 50.0, 100.0], [300.0, 0.0, 310.0, 10.0]])
    scores = torch.tensor([0.9, 0.3, 0.8, 0.2])
    best = torch.tensor([0, 3])
    voted = vote_boxes(boxes, scores, best, 0.85)
    torch.testing.assert_close(voted, torch.tensor([[0.0, 0.0, 101.0, 100.0], [300.0, 0.0, 310.0, 10.0]]))  # the half box has no voice
    assert torch.equal(vote_boxes(boxes, scores, best, None), boxes[best])


def test_boxes_without_area_or_score_are_left_as_they_are() -> None:
    flat = torch.tensor([[5.0, 5.0, 5.0, 9.0], [1.0, 1.0, 2.0, 2.0]])
    best = torch.tensor([0, 1])
    torch.testing.assert_close(vote_boxes(flat, torch.tensor([0.5, 0.4]), best, 0.85), flat)
    torch.testing.assert_close(vote_boxes(flat, torch.zeros(2), best, 0.85), flat)
    assert vote_boxes(flat[:0], torch.zeros(0), best[:0], 0.85).shape == (0, 4)


def test_no_frames_give_no_boxes(fast: Params) -> None:
    assert detect(eager(torch.nn.Identity(), CPU), [], fast.detector) == []


def test_frozen_blocks_do_not_learn(fast: Params) -> None:
    model = build_detector(fast.detector.model_copy(update={"frozen_blocks": 2}))
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith(("backbone.body.conv_stem", "backbone.body.blocks.0.", "backbone.body.blocks.1.")) for name in names)
    assert any(name.startswith("backbone.body.blocks.2.") for name in names)


def test_a_frame_becomes_a_tensor_in_0_to_1() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[1, 2] = [255, 0, 51]
    tensor = to_tensor(image)
    assert tensor.shape == (3, 4, 6)
    assert tensor[:, 1, 2].tolist() == pytest.approx([1.0, 0.0, 0.2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "yolo"}, "unknown detector"),
        ({"backbone": None}, "needs a backbone"),
        ({"backbone": "resnet18", "weights": "none"}, "no blocks to freeze"),
        ({"backbone": "tf_efficientnet_lite9"}, "timm cannot build this network"),
        ({"backbone": "vit_tiny_patch16_224", "weights": "none", "frozen_blocks": 0}, "has not the levels that the detector needs"),
        ({"frozen_blocks": 99}, "has not so many blocks .*at most 7"),
    ],
)
def test_wrong_parameters_are_refused(changes: dict[str, object], message: str, fast: Params) -> None:
    with pytest.raises(ModelError, match=message):
        build_detector(fast.detector.model_copy(update=changes))
