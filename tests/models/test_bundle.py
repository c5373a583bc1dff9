from pathlib import Path

import numpy as np
import pytest
import torch

from signloop.core.errors import ModelError
from signloop.core.files import read_json, write_json
from signloop.core.params import Params
from signloop.models.bundle import pick_device, read_bundle, write_bundle, write_network
from signloop.models.classifier import Classifier
from signloop.models.detector import build_detector
from signloop.models.runtime import Runtime


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory, fast: Params) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    write_network(folder, "detector", build_detector(fast.detector), {"params": fast.detector.model_dump()})
    card = {"params": fast.classifier.model_dump(), "taxonomy": fast.taxonomy.model_dump()}
    write_network(folder, "classifier", Classifier(fast.classifier, len(fast.taxonomy)), card)
    return folder


@pytest.fixture
def folder(networks: Path, tmp_path: Path) -> Path:
    write_bundle(networks, networks, {"temperature": 2.0}, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_bundle_comes_back_as_it_was(folder: Path, networks: Path, tmp_path: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.taxonomy.ids == (5, 7, 9)
    assert bundle.temperature == 2.0
    again = write_bundle(networks, networks, {"temperature": 2.0}, tmp_path / "again")
    assert again == bundle.model_id == read_json(folder / "bundle.json")["model_id"]
    assert write_bundle(networks, networks, {"temperature": 3.0}, tmp_path / "other") != again


def test_the_runtime_gives_boxes_crops_and_probabilities(folder: Path) -> None:
    runtime = Runtime(read_bundle(folder), torch.device("cpu"))
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    assert [len(boxes) >= 0 for boxes in runtime.detect([image, image])] == [True, True]
    crop = runtime.cut(image, [10, 10, 40, 40])
    assert crop.shape == (32, 32, 3)
    probs = runtime.classify([crop, crop])
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    assert probs.shape == (2, 4)
    assert runtime.classify([]).shape == (0, 4)
    hot = runtime.logits([crop])[0]
    np.testing.assert_allclose(probs[0], np.exp(hot / 2) / np.exp(hot / 2).sum(), rtol=1e-4)


def test_reduced_precision_stays_close(folder: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    exact, reduced = (
        Runtime(read_bundle(folder), torch.device("cpu"), precision).classify([image[:32, :32]]) for precision in ("32", "bf16")
    )
    np.testing.assert_allclose(exact, reduced, atol=0.02)


def test_damage_is_noticed(folder: Path) -> None:
    weights = folder / "detector.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"missing or damaged .*detector\.safetensors"):
        read_bundle(folder)
    weights.unlink()
    with pytest.raises(ModelError, match="missing or damaged"):
        read_bundle(folder)


def test_a_bundle_of_another_version_or_none_is_refused(folder: Path) -> None:
    card = read_json(folder / "bundle.json")
    write_json(folder / "bundle.json", {**card, "format": 99})
    with pytest.raises(ModelError, match="another version"):
        read_bundle(folder)
    (folder / "bundle.json").unlink()
    with pytest.raises(ModelError, match="card cannot be read"):
        read_bundle(folder)


def test_weights_of_another_network_are_refused(networks: Path, tmp_path: Path, fast: Params) -> None:
    wide = fast.detector.model_copy(update={"channels": 64})
    write_network(tmp_path, "detector", build_detector(wide), {"params": fast.detector.model_dump()})
    write_bundle(tmp_path, networks, {"temperature": 1.0}, tmp_path / "bundle")
    with pytest.raises(ModelError, match="of another network"):
        read_bundle(tmp_path / "bundle")


def test_cpu_is_forced() -> None:
    assert pick_device("cpu") == torch.device("cpu")
