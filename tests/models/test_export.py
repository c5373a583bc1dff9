"""Networks as ONNX, run by a runtime that knows nothing of PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
import torch

from signloop.models.bundle import read_bundle
from signloop.models.export import Places, export_classifier, export_detector
from signloop.models.familiar import Observer, as_it_is, observe, remember

CPU = torch.device("cpu")


def shapes(values: Any) -> dict[str, list[str | int]]:
    """Return the shape of each input or output by its name; a text is a size that is free."""
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def run(content: bytes, batch: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Run a network in float32."""
    compiled = ov.compile_model(ov.Core().read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    return list(compiled(batch).values())


@pytest.mark.parametrize("size", [(1, 64, 96), (2, 90, 131), (3, 33, 40)])
def test_the_exported_detector_takes_frames_of_any_size(folder: Path, size: tuple[int, int, int]) -> None:
    detector = read_bundle(folder).detector
    content = export_detector(detector)
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert shapes(model.graph.input) == {"frames": ["batch", "height", "width", 3]}
    assert list(shapes(model.graph.output)) == ["logits", "offsets", "quality"]
    frames = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    with torch.inference_mode():
        expected = Places(detector).eval()(torch.from_numpy(frames))
    places = sum(-(-size[1] // 32) * 32 // stride * (-(-size[2] // 32) * 32 // stride) for stride in (8, 16, 32))
    assert [part.shape for part in expected] == [(size[0], places, width) for width in (1, 4, 1)]
    for found, known in zip(run(content, frames), expected, strict=True):
        np.testing.assert_allclose(found, known.numpy(), rtol=1e-3, atol=1e-3)


def test_the_exported_classifier_takes_any_number_of_crops(folder: Path) -> None:
    bundle = read_bundle(folder)
    crops = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3)).astype(np.uint8)
    remember(bundle.classifier, crops, [0, 1, 2, 0, 1], CPU)
    content = export_classifier(bundle.classifier, 32)
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert shapes(model.graph.input) == {"crops": ["batch", 32, 32, 3]}
    assert list(shapes(model.graph.output)) == ["logits", "distances"]
    expected = observe(as_it_is(Observer(bundle.classifier), CPU), crops, 3)
    for found, known in zip(run(content, crops), expected, strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-3, atol=1e-2)
    assert [part.shape for part in run(content, crops[:1])] == [(1, 4), (1, 3)]


def test_equal_networks_give_equal_bytes(folder: Path) -> None:
    first, second = (read_bundle(folder) for _ in range(2))
    assert export_detector(first.detector) == export_detector(second.detector)
    assert export_classifier(first.classifier, 32) == export_classifier(second.classifier, 32)
