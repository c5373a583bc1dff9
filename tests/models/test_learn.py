from pathlib import Path

import numpy as np
import pytest
import torch

from signloop.core import tables
from signloop.core.errors import ConfigError
from signloop.core.files import read_json, write_json
from signloop.core.params import Again, Params
from signloop.frames.images import read_image
from signloop.frames.truth import learnt_objects
from signloop.models.bundle import read_classifier, read_detector
from signloop.models.classifier import logits
from signloop.models.datasets import FrameTruth, crop_truths
from signloop.models.detector import detect, eager
from signloop.models.familiar import FAR
from signloop.models.learn import learn_classifier, learn_detector, spread

CPU = torch.device("cpu")


def _longer(params: Params, name: str, steps: int, **changes: object) -> Params:
    budget = getattr(params.train, name).model_copy(update={"steps": steps, "validate_every": steps // 2})
    return params.model_copy(
        update={"train": params.train.model_copy(update={name: budget}), name: getattr(params, name).model_copy(update=changes)}
    )


def test_the_detector_learns_to_find_the_shapes(truth_folder: Path, fast: Params, tmp_path: Path) -> None:
    params = _longer(fast, "detector", 120, batch=4, crop_px=96, scale_min=0.8, scale_max=1.3, exposure=0.1, ema=0.9)
    metrics = learn_detector(truth_folder, params, tmp_path, tmp_path / "mistakes", silent)
    assert metrics["val_ap50"] > 0.3
    network, cfg = read_detector(tmp_path)
    image = read_image(next((truth_folder / "frames").rglob("*.png")))
    assert detect(eager(network, CPU), [image], cfg)[0].scores[0] > 0.2
    history = read_json(tmp_path / "history.json")
    assert history["metrics"] == metrics
    assert [row["step"] for row in history["rows"]] == [60, 120]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"precision_recall.png", "worst_and_best.png"}
    crops = crop_truths([tmp_path / "mistakes"], params.taxonomy, "train")
    assert len(crops)
    assert set(crops.labels.tolist()) == {len(params.taxonomy)}


def test_the_classifier_learns_to_name_the_shapes(truth_folder: Path, mistakes: Path, fast: Params, tmp_path: Path) -> None:
    params = _longer(fast, "classifier", 80, batch=16, exposure=0.1, blur=0.0)
    metrics = learn_classifier(truth_folder, params, tmp_path, mistakes, silent)
    assert metrics["val_top1"] > 0.6
    network, cfg, taxonomy = read_classifier(tmp_path)
    assert taxonomy == fast.taxonomy.model_copy(update={"counts": ""})  # words for people are no part of a model
    assert logits(network, np.zeros((1, cfg.size_px, cfg.size_px, 3), np.uint8), CPU).shape == (1, 4)
    assert (tmp_path / "report" / "confusion.png").is_file()


@pytest.mark.parametrize(("mirror", "knows"), [(0.3, True), (0.0, False)])
def test_a_class_is_remembered_by_its_crops_and_those_mirrored_to_it(
    truth_folder: Path, mistakes: Path, fast: Params, tmp_path: Path, mirror: float, knows: bool
) -> None:
    crops = tables.read(truth_folder / "crops.parquet", "crops").to_pylist()
    (tmp_path / "crops").symlink_to(truth_folder / "crops")
    no_right_arrow = [row for row in crops if row["class_id"] != 9]
    tables.write(tmp_path / "crops.parquet", "crops", tables.from_rows("crops", no_right_arrow))
    learn_classifier(tmp_path, _longer(fast, "classifier", 2, mirror=mirror), tmp_path / "out", mistakes, silent)
    means = read_classifier(tmp_path / "out")[0].means
    assert (means[:, 0] == FAR).tolist() == [False, False, not knows]


def test_the_same_seed_gives_the_same_weights(truth_folder: Path, mistakes: Path, fast: Params, tmp_path: Path) -> None:
    for name in ("a", "b"):
        learn_classifier(truth_folder, fast, tmp_path / name, mistakes, silent)
    assert (tmp_path / "a" / "classifier.safetensors").read_bytes() == (tmp_path / "b" / "classifier.safetensors").read_bytes()


def _start(folder: Path, model_id: str | None) -> Path:
    """Leave beside a trained network what the stage `start` would."""
    write_json(folder / "start.json", {"model_id": model_id})
    return folder


@pytest.mark.parametrize("name", ["detector", "classifier"])
def test_a_training_goes_on_from_other_weights_for_as_long_as_asked(
    name: str, truth_folder: Path, mistakes: Path, fast: Params, tmp_path: Path
) -> None:
    learn, read = (learn_detector, read_detector) if name == "detector" else (learn_classifier, read_classifier)
    if name == "detector":
        mistakes = tmp_path / "mistakes"
    learn(truth_folder, fast, tmp_path / "a", mistakes, silent, start=_start(tmp_path / "none", None))
    card = read_json(tmp_path / "a" / f"{name}.json")
    assert card["start"] is None
    assert set(card["learnt"].split()) == learnt_objects(truth_folder, name)
    barely = getattr(fast.train, name).model_copy(update={"steps": 50, "again": Again(steps=2, lr=1e-9)})
    params = fast.model_copy(update={"train": fast.train.model_copy(update={name: barely})})
    learn(truth_folder, params, tmp_path / "b", mistakes, silent, start=_start(tmp_path / "a", "m0"))
    assert read_json(tmp_path / "b" / f"{name}.json")["start"] == "m0"
    assert [row["step"] for row in read_json(tmp_path / "b" / "history.json")["rows"]] == [2]
    before, after = (dict(read(tmp_path / folder)[0].named_parameters()) for folder in ("a", "b"))
    assert before.keys() == after.keys()
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, rtol=0, atol=1e-5)


def test_blocks_without_weights_are_not_frozen(truth_folder: Path, fast: Params, tmp_path: Path) -> None:
    params = fast.model_copy(update={"detector": fast.detector.model_copy(update={"weights": "none"})})
    with pytest.raises(ConfigError, match=r"frozen without weights .*found 2\. Set detector\.frozen_blocks=0"):
        learn_detector(truth_folder, params, tmp_path, tmp_path / "mistakes", silent)
    assert not list(tmp_path.iterdir())


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


def _frame(name: str, scene: str) -> FrameTruth:
    none = np.empty((0, 4), np.float32)
    return FrameTruth(Path(name), scene, none, (), none, none, ())


def test_frames_are_spread_evenly_over_scenes_and_over_each() -> None:
    film, stills = [_frame(f"film-{i}", "film") for i in range(90)], [_frame(f"still-{i}", f"still-{i}") for i in range(6)]
    names = [frame.path.name for frame in spread([*film, *stills], 9)]
    assert names == ["film-15", "film-45", "film-75", *(f"still-{i}" for i in range(6))]
    assert [frame.path.name for frame in spread([*film, *stills], 3)] == ["still-0", "still-2", "still-4"]
    assert [frame.path.name for frame in spread(film, 1)] == ["film-45"]
    assert spread([*film, *stills], 1000) == [*film, *stills]
    assert spread([], 3) == []
