import pytest
import torch

from signloop.models.heads import TYPICAL_DISTANCE, ClassHead, RegressionHead, Tower


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
    offsets, centreness = RegressionHead(4, 1).train(training)(levels)
    assert logits.shape == (2, places, 1)
    assert offsets.shape == (2, places, 4)
    assert centreness.shape == (2, places, 1)
    assert offsets.detach().unique().tolist() == [TYPICAL_DISTANCE]  # nothing to see: the box begins at its usual size
