"""Detector, classifier and calibration in one folder: safetensors, cards, hashes; what is registered, promoted and delivered.

bundle.json              model_id, calibration, sha256 of every other file
detector.safetensors     weights, and detector.json: the card that says how to build the network
classifier.safetensors   and classifier.json, with the taxonomy
classifier.onnx          both networks for other runtimes, made of the above and no part of the model id; detector.onnx if it is a FCOS
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from signloop.core.errors import ConfigError, ModelError, SignloopError
from signloop.core.files import atomic_path, read_json, sha256_file, sha256_json, write_bytes, write_json
from signloop.core.params import Classifier as ClassifierParams
from signloop.core.params import Detector as DetectorParams
from signloop.core.taxonomy import Taxonomy
from signloop.models.classifier import Classifier
from signloop.models.detector import build_detector
from signloop.models.export import export_classifier, export_detector
from signloop.models.familiar import Familiarity

M = TypeVar("M", bound=BaseModel)
FORMAT = 1
LATER: dict[str, dict[str, Any]] = {  # parameters that cards of older models do not name, and what these were made with
    "detector": {"quality": "centreness", "vote_iou": None, "partial_share": 0.0, "rejected_share": 0.0, "mirror": 0.0},
    "classifier": {"frozen_blocks": 0, "hybrid_share": 0.0, "painted_share": 0.0},
}
ADDED = ("centre", "axes", "means")  # tensors that older weights lack: such a classifier knows no class by its looks
NETWORK_FILES = ("detector.safetensors", "detector.json", "classifier.safetensors", "classifier.json")
ONNX_FILES = ("detector.onnx", "classifier.onnx")


@dataclass(frozen=True)
class Bundle:
    """Both networks, ready to label.

    Attributes:
        detector, classifier: in evaluation mode, on the CPU.
        detector_params, classifier_params: how they were built.
        taxonomy: classes in the order of the classifier's outputs.
        temperature: divides the classifier's logits so that its probabilities mean what they say.
        familiarity: from when on an object is of no class; None, also in older bundles: never.
        model_id: names the content.
        onnx: the networks as `models.export` writes them, by the name of their file; older bundles have none.
        may_reduce: whether reduced arithmetic was not seen to cost anything.
    """

    detector: nn.Module
    classifier: Classifier
    detector_params: DetectorParams
    classifier_params: ClassifierParams
    taxonomy: Taxonomy
    temperature: float
    familiarity: Familiarity | None
    model_id: str
    onnx: Mapping[str, bytes] = field(default_factory=dict)
    may_reduce: bool = True


def write_network(folder: Path, name: str, network: nn.Module, card: dict[str, Any]) -> None:
    """Write weights and card of one network, the card last: a folder with a card is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / f"{name}.safetensors") as temporary:
        save_file({key: value.contiguous().cpu() for key, value in network.state_dict().items()}, temporary)
    write_json(folder / f"{name}.json", {"format": FORMAT, **card})


def fill(network: nn.Module, path: Path) -> None:
    """Fill a network, in place, with the weights of one that was built alike.

    Raises:
        ModelError: they are missing, damaged or of another network.
    """
    kept = {name: network.state_dict()[name] for name in ADDED if name in network.state_dict()}
    try:
        network.load_state_dict({**kept, **load_file(path)})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(
            "weights are missing, damaged or of another network",
            where=path,
            found=str(error).splitlines()[0],
            todo="Train again: `dvc repro`.",
        ) from error


def _card(path: Path) -> dict[str, Any]:
    try:
        card: dict[str, Any] = read_json(path)
    except SignloopError as error:
        raise ModelError("a model's card cannot be read", where=path, found=str(error), todo="Train again: `dvc repro`.") from error
    if card.get("format") != FORMAT:
        raise ModelError("the model was written by another version", where=path, expected=f"format {FORMAT}", found=card.get("format"))
    return card


def _parse(model: type[M], card: Mapping[str, Any], key: str, later: Mapping[str, Any], path: Path) -> M:
    """Read a part of a card; `later` are values of before they were parameters."""
    try:
        return model.model_validate_json(json.dumps({**later, **card[key]}))
    except (KeyError, TypeError, ValidationError) as error:
        problems = error.errors() if isinstance(error, ValidationError) else [{"loc": (), "msg": str(error)}]
        lines = [f"{'.'.join(map(str, (key, *one['loc'])))}: {one['msg']}" for one in problems[:5]]
        raise ModelError(
            "the model was written by another version", where=path, found="; ".join(lines), todo="Train again: `dvc repro`."
        ) from error


def read_detector(folder: Path) -> tuple[nn.Module, DetectorParams]:
    """Build a detector from its card and fill it with its weights; pretrained weights are not needed for it."""
    card = _card(folder / "detector.json")
    params = _parse(DetectorParams, card, "params", LATER["detector"], folder / "detector.json")
    network = build_detector(params.model_copy(update={"weights": "none"}))
    fill(network, folder / "detector.safetensors")
    return network.eval(), params


def read_classifier(folder: Path) -> tuple[Classifier, ClassifierParams, Taxonomy]:
    """Build a classifier from its card and fill it with its weights; pretrained weights are not needed for it."""
    card = _card(folder / "classifier.json")
    params = _parse(ClassifierParams, card, "params", LATER["classifier"], folder / "classifier.json")
    taxonomy = _parse(Taxonomy, card, "taxonomy", {}, folder / "classifier.json")
    network = Classifier(params.model_copy(update={"weights": "none"}), len(taxonomy))
    fill(network, folder / "classifier.safetensors")
    network.eval()
    return network, params, taxonomy


def write_bundle(detector_folder: Path, classifier_folder: Path, calibration: dict[str, Any], out: Path) -> str:
    """Join two trained networks to a bundle; equal content gives an equal model id.

    Args:
        detector_folder, classifier_folder: written by `write_network`.
        calibration: at least {"temperature": float > 0}; "familiarity", if there, has "limit" and "width".
        out: a folder, emptied first.

    Returns:
        The model id.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name in NETWORK_FILES:
        shutil.copyfile((detector_folder if name.startswith("detector") else classifier_folder) / name, out / name)
    files = {name: sha256_file(out / name) for name in NETWORK_FILES}
    content = {"format": FORMAT, "files": files, "calibration": calibration}
    model_id = "m" + sha256_json(content)[:12]
    _write_onnx(out)
    files |= {name: sha256_file(out / name) for name in ONNX_FILES if (out / name).exists()}
    write_json(out / "bundle.json", {"model_id": model_id, **content, "files": files})
    return model_id


def note(folder: Path, parity: Mapping[str, Any]) -> None:
    """Write into a bundle's card what was seen when its runtime was compared with PyTorch; the model id stays."""
    write_json(folder / "bundle.json", {**read_json(folder / "bundle.json"), "parity": parity})


def _may_reduce(card: Mapping[str, Any]) -> bool:
    return bool(card.get("parity", {}).get("bf16", {}).get("is_small", True))


def _write_onnx(folder: Path) -> None:
    detector, cfg = read_detector(folder)
    if cfg.network == "fcos_lite":
        write_bytes(folder / "detector.onnx", export_detector(detector))
    classifier, params, _ = read_classifier(folder)
    write_bytes(folder / "classifier.onnx", export_classifier(classifier, params.size_px))


def read_model_id(folder: Path) -> str:
    """Return the model id of a bundle without loading it.

    Raises:
        ModelError: there is no card that this version reads.
    """
    return str(_card(folder / "bundle.json")["model_id"])


def read_bundle(folder: Path) -> Bundle:
    """Load a bundle.

    Raises:
        ModelError: it is incomplete, damaged (a hash differs), or was written by another version.
    """
    card = _card(folder / "bundle.json")
    for name, expected in card["files"].items():
        path = folder / name
        if name not in NETWORK_FILES + ONNX_FILES or not path.is_file() or sha256_file(path) != expected:
            raise ModelError(
                "a file of the bundle is missing or damaged",
                where=path,
                expected=f"sha256 {expected}",
                todo="Fetch it again from the registry, or `dvc checkout`.",
            )
    detector, detector_params = read_detector(folder)
    classifier, classifier_params, taxonomy = read_classifier(folder)
    calibration = card["calibration"]
    known = calibration.get("familiarity")
    familiarity = None if known is None else Familiarity(float(known["limit"]), float(known["width"]))
    temperature, model_id = float(calibration["temperature"]), str(card["model_id"])
    onnx = {name: (folder / name).read_bytes() for name in ONNX_FILES if name in card["files"]}
    return Bundle(
        detector, classifier, detector_params, classifier_params, taxonomy, temperature, familiarity, model_id, onnx, _may_reduce(card)
    )


def pick_device(accelerator: str) -> torch.device:
    """Choose where networks run: "cpu" forces the CPU, "auto" takes a GPU if there is one.

    Raises:
        ConfigError: a GPU is asked for, and there is none.
    """
    if accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ConfigError("there is no GPU here", where="trainer.accelerator", expected="auto or cpu", found=accelerator)
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")
