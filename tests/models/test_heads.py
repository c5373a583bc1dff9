import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchvision.models.detection.fcos import FCOSHead

from signloop.core.boxes import iou
from signloop.models.heads import TYPICAL_DISTANCE, ClassHead, Heads, RegressionHead, Tower, overlap


def test_a_tower_answers_in_training_as_afterwards_for_levels_of_any_scale() -> None:
    torch.manual_seed(0)
    tower = Tower(4, 2).train()
    for norm in tower.norms:
        assert isinstance(norm, torch.nn.BatchNorm2d)
        norm.momentum = 1.0  # the running statistics are those of the last batch
    levels = [torch.randn(2, 4, 16, 16), 5 + 3 * torch.randn(2, 4, 8, 8)]
    with torch.no_grad():
        learnt, answered = tower(levels), tower.eval()(levels)
    for a, b, level in zip(learnt, answered, levels, strict=True):
        assert a.shape == level.shape
        torch.testing.assert_close(a, b, atol=0.02, rtol=0.02)  # the running variance is the unbiased one


def test_the_inside_of_a_crop_is_seen_as_in_the_whole_frame() -> None:
    torch.manual_seed(0)
    tower = Tower(4, 2).eval()
    frame = torch.randn(1, 4, 24, 32)
    with torch.no_grad():
        whole, crop = tower([frame])[0], tower([frame[:, :, 8:20, 8:20]])[0]
    torch.testing.assert_close(crop[:, :, 2:-2, 2:-2], whole[:, :, 10:18, 10:18])  # two convolutions see two places beyond


@pytest.mark.parametrize("training", [True, False])
def test_heads_answer_for_every_place_of_every_level(training: bool) -> None:
    levels = [torch.zeros(2, 4, 6, 8), torch.zeros(2, 4, 3, 4)]
    places = 6 * 8 + 3 * 4
    logits = ClassHead(4, 1).train(training)(levels)
    offsets, quality = RegressionHead(4, 1).train(training)(levels)
    assert logits.shape == (2, places, 1)
    assert offsets.shape == (2, places, 4)
    assert quality.shape == (2, places, 1)
    assert offsets.detach().unique().tolist() == [TYPICAL_DISTANCE]  # nothing to see: the box begins at its usual size


@given(arrays(np.float64, (5, 2, 4), elements=st.floats(0, 50)))
def test_the_overlap_of_pairs_is_the_iou(corners: np.ndarray) -> None:
    boxes = np.concatenate([np.minimum(corners[..., :2], corners[..., 2:]), np.maximum(corners[..., :2], corners[..., 2:])], axis=-1)
    boxes = boxes.round()
    a, b = (torch.from_numpy(boxes[:, k]) for k in (0, 1))
    np.testing.assert_allclose(overlap(a, b).numpy(), np.diag(iou(boxes[:, 0], boxes[:, 1])), atol=1e-6)


@pytest.mark.parametrize("logit", [-2.0, 0.0, 3.0])
def test_a_box_is_weighed_by_how_well_it_fits(logit: float) -> None:
    """The first place is matched: its box covers the upper half of the object. The second one is background."""
    heads = Heads(32, 1, "overlap")
    offsets = torch.ones(1, 2, 4, requires_grad=True)
    quality = torch.full((1, 2, 1), logit, requires_grad=True)
    outputs = {"cls_logits": torch.zeros(1, 2, 1), "bbox_regression": offsets, "bbox_ctrness": quality}
    places = torch.tensor([[0.0, 0.0, 8.0, 8.0], [80.0, 80.0, 88.0, 88.0]])
    target = {"boxes": torch.tensor([[-4.0, -4.0, 12.0, 28.0]]), "labels": torch.tensor([0])}
    loss = heads.compute_loss([target], outputs, [places], [torch.tensor([0, -1])])["bbox_ctrness"]
    share = 1 / (1 + np.exp(-logit))
    assert loss.item() == pytest.approx(-(np.log(share) + np.log(1 - share)) / 2)  # least where the share is the IoU, one half
    loss.backward()  # type: ignore[no-untyped-call]
    assert quality.grad is not None
    assert quality.grad[0, 1] == 0
    assert offsets.grad is None or not offsets.grad.any()  # a box is not made worse for being judged rightly


def test_a_picture_without_an_object_has_no_overlap_to_learn() -> None:
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    outputs = {name: torch.zeros(1, 3, size) for name, size in (("cls_logits", 1), ("bbox_regression", 4), ("bbox_ctrness", 1))}
    losses = Heads(32, 1, "overlap").compute_loss([empty], outputs, [torch.zeros(3, 4)], [torch.full((3,), -1)])
    assert losses["bbox_ctrness"].item() == 0


def test_the_centreness_is_that_of_torchvision() -> None:
    torch.manual_seed(0)
    outputs = {name: torch.randn(1, 3, size) for name, size in (("cls_logits", 1), ("bbox_regression", 4), ("bbox_ctrness", 1))}
    outputs["bbox_regression"] = outputs["bbox_regression"].abs() + 1
    places = torch.tensor([[0.0, 0.0, 8.0, 8.0], [8.0, 0.0, 16.0, 8.0], [80.0, 80.0, 88.0, 88.0]])
    target = {"boxes": torch.tensor([[-4.0, -4.0, 28.0, 28.0]]), "labels": torch.tensor([0])}
    given = ([target], outputs, [places], [torch.tensor([0, 0, -1])])
    expected, found, own = FCOSHead(32, 1, 1).compute_loss(*given), Heads(32, 1, "centreness").compute_loss(*given), Heads(32, 1, "overlap")
    assert found == expected
    losses = own.compute_loss(*given)
    assert {name for name in losses if losses[name] != expected[name]} == {"bbox_ctrness"}
