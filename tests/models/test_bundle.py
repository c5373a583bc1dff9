import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from signloop.core.errors import ConfigError, ModelError
from signloop.core.files import read_json, write_json
from signloop.core.params import Params
from signloop.models.bundle import ADDED, LATER, note, pick_device, read_bundle, read_classifier, read_detector, write_bundle, write_network
from signloop.models.detector import build_detector
from signloop.models.export import export_classifier, export_detector
from signloop.models.familiar import Familiarity


def test_a_bundle_comes_back_as_it_was(folder: Path, networks: Path, tmp_path: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.taxonomy.ids == (5, 7, 9)
    assert (bundle.temperature, bundle.familiarity) == (2.0, None)
    again = write_bundle(networks, networks, {"temperature": 2.0}, tmp_path / "again")
    assert again == bundle.model_id == read_json(folder / "bundle.json")["model_id"]
    assert write_bundle(networks, networks, {"temperature": 3.0}, tmp_path / "other") != again
    assert bundle.onnx["detector.onnx"] == export_detector(bundle.detector)
    assert bundle.onnx["classifier.onnx"] == export_classifier(bundle.classifier, 32)
    write_bundle(networks, networks, {"temperature": 2.0, "familiarity": {"limit": 0.5, "width": 0.1}}, tmp_path / "strict")
    assert read_bundle(tmp_path / "strict").familiarity == Familiarity(0.5, 0.1)


def test_networks_from_before_a_parameter_was_there_are_read(networks: Path, tmp_path: Path) -> None:
    shutil.copytree(networks, tmp_path / "old")
    for name, added in LATER.items():
        card = read_json(tmp_path / "old" / f"{name}.json")
        for parameter in added:
            del card["params"][parameter]
        write_json(tmp_path / "old" / f"{name}.json", card)
    assert read_detector(tmp_path / "old")[1].partial_share == 0.0
    assert read_classifier(tmp_path / "old")[1].frozen_blocks == 0


def test_weights_from_before_classes_were_remembered_by_their_looks_are_read(networks: Path, tmp_path: Path) -> None:
    shutil.copytree(networks, tmp_path / "old")
    weights = load_file(tmp_path / "old" / "classifier.safetensors")
    for name in ADDED:
        del weights[name]
    save_file(weights, tmp_path / "old" / "classifier.safetensors")
    assert not read_classifier(tmp_path / "old")[0].means.any()
    weights.popitem()
    save_file(weights, tmp_path / "old" / "classifier.safetensors")
    with pytest.raises(ModelError, match="damaged or of another network"):
        read_classifier(tmp_path / "old")


@pytest.mark.parametrize(("parity", "expected"), [({}, True), ({"bf16": {"is_small": True}}, True), ({"bf16": {"is_small": False}}, False)])
def test_what_reduced_arithmetic_costs_is_noted_and_changes_no_id(folder: Path, parity: dict[str, object], expected: bool) -> None:
    before = read_bundle(folder)
    assert before.may_reduce
    note(folder, parity)
    after = read_bundle(folder)
    assert (after.may_reduce, after.model_id) == (expected, before.model_id)


@pytest.mark.parametrize("name", ["detector.safetensors", "classifier.onnx"])
def test_damage_is_noticed(folder: Path, name: str) -> None:
    weights = folder / name
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=rf"missing or damaged .*{name}"):
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


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("detector", {"params": {"channels": 64}}),
        ("classifier", {"params": None}),
        ("classifier", {"taxonomy": {"name": "t", "object_name": "sign", "classes": []}}),
    ],
)
def test_a_card_that_lacks_a_part_is_of_another_version(networks: Path, tmp_path: Path, name: str, change: dict[str, object]) -> None:
    shutil.copytree(networks, tmp_path / "networks")
    write_json(tmp_path / "networks" / f"{name}.json", {**read_json(networks / f"{name}.json"), **change})
    read = read_detector if name == "detector" else read_classifier
    with pytest.raises(ModelError, match=rf"written by another version \(.*{name}\.json\); found {next(iter(change))}.*Train again"):
        read(tmp_path / "networks")


def test_weights_of_another_network_are_refused(networks: Path, tmp_path: Path, fast: Params) -> None:
    wide = fast.detector.model_copy(update={"channels": 64})
    write_network(tmp_path, "detector", build_detector(wide), {"params": fast.detector.model_dump()})
    with pytest.raises(ModelError, match="of another network"):
        write_bundle(tmp_path, networks, {"temperature": 1.0}, tmp_path / "bundle")
    assert not (tmp_path / "bundle" / "bundle.json").exists()


def test_cpu_is_forced() -> None:
    assert pick_device("cpu") == torch.device("cpu")


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"there is no GPU here \(trainer\.accelerator\)"):
        pick_device("gpu")
    assert pick_device("auto") == torch.device("cpu")
