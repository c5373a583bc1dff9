from pathlib import Path

import numpy as np
import pytest
import torch

from signloop.core.errors import ConfigError
from signloop.core.files import read_json
from signloop.core.params import Params
from signloop.frames.images import read_image
from signloop.models.bundle import read_classifier, read_detector
from signloop.models.classifier import logits
from signloop.models.detector import detect
from signloop.models.fit import fit, seed_everything
from signloop.models.learn import learn_classifier, learn_detector, spread
from signloop.models.tasks import ClassifierTask

CPU = torch.device("cpu")


def _longer(params: Params, name: str, steps: int, **changes: object) -> Params:
    budget = getattr(params.train, name).model_copy(update={"steps": steps, "validate_every": steps // 2})
    return params.model_copy(
        update={"train": params.train.model_copy(update={name: budget}), name: getattr(params, name).model_copy(update=changes)}
    )


def test_the_detector_learns_to_find_the_shapes(truth_folder: Path, fast: Params, tmp_path: Path) -> None:
    params = _longer(fast, "detector", 120, batch=4, crop_px=96, scale_min=0.8, scale_max=1.3, exposure=0.1, ema=0.9)
    metrics = learn_detector(truth_folder, params, tmp_path, silent)
    assert metrics["val_ap50"] > 0.3
    network, cfg = read_detector(tmp_path)
    image = read_image(next((truth_folder / "frames").rglob("*.png")))
    assert detect(network, [image], cfg, CPU)[0].scores[0] > 0.2
    history = read_json(tmp_path / "history.json")
    assert history["metrics"] == metrics
    assert [row["step"] for row in history["rows"]] == [60, 120]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"precision_recall.png", "worst_and_best.png"}


def test_the_classifier_learns_to_name_the_shapes(truth_folder: Path, fast: Params, tmp_path: Path) -> None:
    params = _longer(fast, "classifier", 40, batch=16, exposure=0.1, blur=0.0)
    metrics = learn_classifier(truth_folder, params, tmp_path, silent)
    assert metrics["val_top1"] > 0.6
    network, cfg, taxonomy = read_classifier(tmp_path)
    assert taxonomy == fast.taxonomy
    assert logits(network, np.zeros((1, cfg.size_px, cfg.size_px, 3), np.uint8), CPU).shape == (1, 4)
    assert (tmp_path / "report" / "confusion.png").is_file()


def test_the_same_seed_gives_the_same_weights(truth_folder: Path, fast: Params, tmp_path: Path) -> None:
    for name in ("a", "b"):
        learn_classifier(truth_folder, fast, tmp_path / name, silent)
    assert (tmp_path / "a" / "classifier.safetensors").read_bytes() == (tmp_path / "b" / "classifier.safetensors").read_bytes()


def silent(what: str, done: int, total: int) -> None:
    """No progress bar."""


class _Ones(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        return torch.ones(3, 8, 8), 0


class _Tiny(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.weight.expand(len(images), 2)


def _task(scores: list[float], steps: int) -> ClassifierTask:
    answers = iter(scores)
    return ClassifierTask(
        _Tiny(),
        smoothing=0.0,
        is_pretrained=lambda _: False,
        lr=0.1,
        backbone_lr=0.1,
        weight_decay=0.0,
        steps=steps,
        validate=lambda _: {"score": next(answers)},
    )


def test_the_best_weights_are_kept_not_the_last(fast: Params, tmp_path: Path) -> None:
    seed_everything(0)
    budget = fast.train.classifier.model_copy(update={"steps": 6, "validate_every": 2})
    task = _task([0.5, 0.9, 0.1], 6)
    told: list[tuple[str, int, int]] = []
    history = fit(task, _Ones(), 4, budget, fast.trainer, folder=tmp_path, progress=lambda *step: told.append(step))
    assert told == [("steps", done, 6) for done in range(1, 7)]
    assert history.best_step == 4
    assert history.best_score == pytest.approx(0.9)
    again = _task([0.5, 0.9], 6)
    fit(again, _Ones(), 4, budget.model_copy(update={"steps": 4}), fast.trainer, folder=tmp_path, progress=silent)
    assert torch.allclose(next(task.network.parameters()), next(again.network.parameters()), atol=1e-6)


def test_the_end_of_the_schedule_is_validated_too(fast: Params, tmp_path: Path) -> None:
    budget = fast.train.classifier.model_copy(update={"steps": 7, "validate_every": 5})
    history = fit(_task([0.5, 0.9], 7), _Ones(), 4, budget, fast.trainer, folder=tmp_path, ema=0.5, progress=silent)
    assert [row["step"] for row in history.rows] == [5, 7]
    assert history.best_step == 7


def test_reduced_precision_is_an_ordinary_override(fast: Params, tmp_path: Path) -> None:
    budget = fast.train.classifier.model_copy(update={"steps": 2, "validate_every": 2})
    trainer = fast.trainer.model_copy(update={"precision": "bf16-mixed", "accelerator": "cpu"})
    task = _task([0.5], 2)
    fit(task, _Ones(), 4, budget, trainer, folder=tmp_path, progress=silent)
    assert task.network.weight[0] > task.network.weight[1]  # type: ignore[index]  # class 0 was learnt


@pytest.mark.parametrize("wrong", [{"accelerator": "foo"}, {"precision": "foo"}, {"accelerator": "cpu", "devices": -3}])
def test_a_trainer_that_cannot_be_is_refused(wrong: dict[str, object], fast: Params, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Lightning refuses the trainer .*Correct trainer\.accelerator"):
        fit(_task([], 2), _Ones(), 4, fast.train.classifier, fast.trainer.model_copy(update=wrong), folder=tmp_path, progress=silent)


def test_patience_stops_early(fast: Params, tmp_path: Path) -> None:
    budget = fast.train.classifier.model_copy(update={"steps": 16, "validate_every": 2, "patience": 2})
    task = _task([0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1], 16)
    history = fit(task, _Ones(), 4, budget, fast.trainer, folder=tmp_path, progress=silent)
    assert [row["step"] for row in history.rows] == [2, 4, 6]


def test_frames_are_spread_evenly() -> None:
    assert spread(list(range(100)), 3) == [0, 49, 99]  # type: ignore[arg-type, comparison-overlap]
    assert spread([], 3) == []
