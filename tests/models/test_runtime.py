from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from signloop.core.params import Params
from signloop.models.bundle import read_bundle, write_bundle, write_network
from signloop.models.detector import build_detector, detect, eager
from signloop.models.familiar import Familiarity, Observer, as_it_is, observe, remember
from signloop.models.runtime import NEVER, Runtime

CPU = torch.device("cpu")


def _frame(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(height).integers(0, 255, (height, width, 3)).astype(np.uint8)


def test_the_compiled_detector_agrees_with_pytorch(folder: Path) -> None:
    slow, runtime = read_bundle(folder), Runtime(read_bundle(folder), CPU)
    assert runtime.backend == "OpenVINO f32"
    for frame in (_frame(96, 128), _frame(90, 131)):  # a multiple of the strides, and one that is padded
        expected = detect(eager(slow.detector, CPU), [frame], slow.detector_params)[0]
        found = runtime.detect([frame])[0]
        assert len(found) == len(expected)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
        np.testing.assert_allclose(found.xyxy[:3], expected.xyxy[:3], atol=0.5)


def test_other_detectors_run_in_pytorch(networks: Path, fast: Params, tmp_path: Path) -> None:
    cfg = fast.detector.model_copy(update={"network": "ssdlite320_mobilenet_v3_large", "weights": "none", "max_boxes": 3})
    write_network(tmp_path, "detector", build_detector(cfg), {"params": cfg.model_dump()})
    write_bundle(tmp_path, networks, {"temperature": 1.0}, tmp_path / "bundle")
    runtime = Runtime(read_bundle(tmp_path / "bundle"), CPU)
    assert runtime.backend == "PyTorch f32 on cpu"
    assert set(runtime.bundle.onnx) == {"classifier.onnx"}
    assert len(runtime.detect([_frame(64, 64)])[0]) <= 3
    assert runtime.classify([runtime.cut(_frame(64, 64), [0, 0, 30, 30])])[0].shape == (1, 4)


@pytest.mark.parametrize(("bf16", "amx", "word"), [(False, False, "f32"), (True, False, "bf16"), (False, True, "bf16")])
def test_auto_takes_what_the_processor_has(folder: Path, monkeypatch: pytest.MonkeyPatch, bf16: bool, amx: bool, word: str) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    bundle = read_bundle(folder)
    assert Runtime(bundle, CPU, "auto").backend == f"OpenVINO {word}"
    assert Runtime(replace(bundle, may_reduce=False), CPU, "auto").backend == "OpenVINO f32"
    assert Runtime(bundle, CPU, "auto", backend="pytorch").backend == f"PyTorch {word} on cpu"


def test_the_compiled_classifier_sees_what_pytorch_sees(folder: Path) -> None:
    bundle = read_bundle(folder)
    crops = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3)).astype(np.uint8)
    remember(bundle.classifier, crops, [0, 1, 2, 0, 1], CPU)
    expected = observe(as_it_is(Observer(bundle.classifier), CPU), crops, 3)
    for found, known in zip(Runtime(replace(bundle, onnx={}), CPU).observe(list(crops)), expected, strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-3, atol=1e-2)


def test_how_strange_a_crop_is_follows_from_the_bundle(folder: Path) -> None:
    crops = list(np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3)).astype(np.uint8))
    runtime = Runtime(replace(read_bundle(folder), familiarity=Familiarity(2.0, 0.5)), CPU)
    _, strange = runtime.classify(crops)
    np.testing.assert_allclose(strange, (runtime.observe(crops)[1] - 2.0) / 0.5, rtol=1e-4)
    _, never = Runtime(read_bundle(folder), CPU).classify(crops)
    assert never.shape == (3, 3)
    assert never.max() == NEVER


def test_the_runtime_gives_boxes_crops_and_probabilities(folder: Path) -> None:
    runtime = Runtime(read_bundle(folder), CPU)
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    assert [len(boxes) for boxes in runtime.detect([image, image])] == [len(runtime.detect([image])[0])] * 2
    assert runtime.detect([]) == []
    crop = runtime.cut(image, [10, 10, 40, 40])
    assert crop.shape == (32, 32, 3)
    probs, _ = runtime.classify([crop, crop])
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    assert probs.shape == (2, 4)
    assert [part.shape for part in runtime.classify([])] == [(0, 4), (0, 3)]
    hot = runtime.observe([crop])[0][0]
    np.testing.assert_allclose(probs[0], np.exp(hot / 2) / np.exp(hot / 2).sum(), rtol=1e-4)


def test_a_bundle_without_onnx_runs_the_same(folder: Path) -> None:
    bundle = read_bundle(folder)
    first, second = Runtime(bundle, CPU), Runtime(replace(bundle, onnx={}), CPU)
    frame = _frame(96, 128)
    np.testing.assert_array_equal(first.detect([frame])[0].xyxy, second.detect([frame])[0].xyxy)
    np.testing.assert_array_equal(first.classify([frame[:32, :32]])[0], second.classify([frame[:32, :32]])[0])


def test_threads_and_sizes_do_not_get_in_each_others_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signloop.models.runtime.SIZES", 2)
    runtime = Runtime(read_bundle(folder), CPU, threads=1)
    assert str(runtime) == f"{runtime.model_id} runs in OpenVINO f32 with 1 threads"
    frames = [_frame(64 + 8 * (k % 3), 96) for k in range(9)]  # of more sizes than are kept
    alone = [runtime.detect([frame])[0] for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda frame: runtime.detect([frame])[0], frames))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.xyxy, other.xyxy)
    batch = runtime.detect(frames[:2] + frames[:1])  # of two sizes
    np.testing.assert_array_equal(batch[1].xyxy, alone[1].xyxy)


def test_reduced_precision_stays_close(folder: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    exact, reduced = (Runtime(read_bundle(folder), CPU, precision).classify([image[:32, :32]])[0] for precision in ("f32", "bf16"))
    np.testing.assert_allclose(exact, reduced, atol=0.05)  # noise through untrained layers, each rounded to 8 bits
