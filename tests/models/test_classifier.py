import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from signloop.core.errors import ModelError
from signloop.core.params import Params
from signloop.models.classifier import AXES, Classifier, cut, logits, probabilities, to_batch


def test_cut_shows_the_box_with_its_margin() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 40:60] = 255
    assert cut(image, [40, 40, 60, 60], 0.0, 32).min() == 255
    with_margin = cut(image, [40, 40, 60, 60], 0.5, 40)
    assert with_margin[20, 20, 0] == 255
    assert with_margin[2, 20, 0] == 0
    assert (with_margin == 255).all(axis=2).mean() == pytest.approx(0.25, abs=0.03)  # 20 of 40 px on each side


@pytest.mark.parametrize("box", [[-50, -50, -10, -10], [99.6, 99.6, 120, 120], [10, 10, 10.2, 10.2], [-5, -5, 200, 200]])
def test_cut_always_gives_a_view(box: list[float]) -> None:
    assert cut(np.full((100, 100, 3), 7, np.uint8), box, 0.1, 16).shape == (16, 16, 3)


@given(st.floats(0.1, 10))
def test_a_temperature_never_changes_the_answer(temperature: float) -> None:
    raw = np.random.default_rng(0).normal(0, 3, (20, 5))
    probs = probabilities(raw, temperature)
    np.testing.assert_array_equal(probs.argmax(axis=1), raw.argmax(axis=1))
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)


def test_probabilities_of_huge_logits_stay_finite_and_none_give_none() -> None:
    assert np.isfinite(probabilities(np.array([[1e4, -1e4]]), 0.1)).all()
    assert probabilities(np.zeros((0, 4)), 1.0).shape == (0, 4)


def test_a_dark_crop_looks_like_a_bright_one(fast: Params) -> None:
    torch.manual_seed(0)
    model = Classifier(fast.classifier.model_copy(update={"weights": "none"}), 3).eval()
    bright = np.random.default_rng(0).integers(0, 250, (1, 32, 32, 3)).astype(np.uint8)
    with torch.inference_mode():
        a, b = model(to_batch(bright)), model(to_batch(bright) * 0.5)
    assert torch.allclose(a, b, atol=0.15 * float(a.std()) + 1e-3)


def test_one_logit_per_class_and_one_for_no_object(fast: Params) -> None:
    model = Classifier(fast.classifier, 3).eval()
    assert logits(model, np.zeros((5, 32, 32, 3), np.uint8), torch.device("cpu"), batch=2).shape == (5, 4)
    assert logits(model, np.zeros((0, 32, 32, 3), np.uint8), torch.device("cpu")).shape == (0, 4)


def test_an_embedding_is_what_the_same_logits_are_made_of(fast: Params) -> None:
    model = Classifier(fast.classifier, 3).eval()
    crops = to_batch(np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3)).astype(np.uint8))
    with torch.inference_mode():
        raw, embeddings = model.embed(crops)
        torch.testing.assert_close(raw, model(crops))
        torch.testing.assert_close(model.net.get_classifier()(embeddings), raw)
    assert embeddings.shape == (2, model.features)
    assert model.axes.shape == (model.features, min(AXES, model.features))
    assert not model.means.any()  # nothing was learnt yet


def test_the_head_is_what_pretrained_weights_do_not_fill(fast: Params) -> None:
    model = Classifier(fast.classifier, 3)
    names = [name for name, _ in model.named_parameters() if name.startswith(model.head_name)]
    assert names == ["net.classifier.weight", "net.classifier.bias"]


def test_frozen_blocks_do_not_learn(fast: Params) -> None:
    model = Classifier(fast.classifier.model_copy(update={"frozen_blocks": 2}), 3)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith(("net.conv_stem", "net.blocks.0.", "net.blocks.1.")) for name in names)
    assert any(name.startswith("net.blocks.2.") for name in names)
    with pytest.raises(ModelError, match=r"has not so many blocks \(classifier.frozen_blocks"):
        Classifier(fast.classifier.model_copy(update={"frozen_blocks": 99}), 3)
