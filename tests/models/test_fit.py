from pathlib import Path

import pytest
import torch

from signloop.core.errors import ConfigError, ModelError
from signloop.core.params import Params
from signloop.models.fit import fit, seed_everything
from signloop.models.tasks import ClassifierTask


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
    assert history is not None
    assert history.best_step == 4
    assert history.best_score == pytest.approx(0.9)
    again = _task([0.5, 0.9], 6)
    fit(again, _Ones(), 4, budget.model_copy(update={"steps": 4}), fast.trainer, folder=tmp_path, progress=silent)
    assert torch.allclose(next(task.network.parameters()), next(again.network.parameters()), atol=1e-6)


def test_the_end_of_the_schedule_is_validated_too(fast: Params, tmp_path: Path) -> None:
    budget = fast.train.classifier.model_copy(update={"steps": 7, "validate_every": 5})
    history = fit(_task([0.5, 0.9], 7), _Ones(), 4, budget, fast.trainer, folder=tmp_path, ema=0.5, progress=silent)
    assert history is not None
    assert [row["step"] for row in history.rows] == [5, 7]
    assert history.best_step == 7


def test_reduced_precision_is_an_ordinary_override(fast: Params, tmp_path: Path) -> None:
    budget = fast.train.classifier.model_copy(update={"steps": 2, "validate_every": 2})
    trainer = fast.trainer.model_copy(update={"precision": "bf16-mixed", "accelerator": "cpu"})
    task = _task([0.5], 2)
    fit(task, _Ones(), 4, budget, trainer, folder=tmp_path, progress=silent)
    assert task.network.weight[0] > task.network.weight[1]  # type: ignore[index]  # class 0 was learnt


@pytest.mark.parametrize("share", [{"devices": 3}, {"num_nodes": 3}])
def test_processes_that_cannot_share_a_batch_are_refused(share: dict[str, object], fast: Params, tmp_path: Path) -> None:
    trainer = fast.trainer.model_copy(update={"accelerator": "cpu", "devices": 1, **share})
    with pytest.raises(ConfigError, match=r"divides the batch of 4; found 3\. Choose other trainer\.devices"):
        fit(_task([], 2), _Ones(), 4, fast.train.classifier, trainer, folder=tmp_path, progress=silent)


@pytest.mark.parametrize("wrong", [{"accelerator": "foo"}, {"precision": "foo"}, {"accelerator": "cpu", "devices": -3}])
def test_a_trainer_that_cannot_be_is_refused(wrong: dict[str, object], fast: Params, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Lightning refuses the trainer .*Correct trainer\.accelerator"):
        fit(_task([], 2), _Ones(), 4, fast.train.classifier, fast.trainer.model_copy(update=wrong), folder=tmp_path, progress=silent)


def test_patience_stops_early(fast: Params, tmp_path: Path) -> None:
    budget = fast.train.classifier.model_copy(update={"steps": 16, "validate_every": 2, "patience": 2})
    task = _task([0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1], 16)
    history = fit(task, _Ones(), 4, budget, fast.trainer, folder=tmp_path, progress=silent)
    assert history is not None
    assert [row["step"] for row in history.rows] == [2, 4, 6]


def test_a_training_that_diverges_is_stopped(fast: Params, tmp_path: Path) -> None:
    class Diverging(_Tiny):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * torch.nan

    task = _task([], 30)
    task.network = Diverging()
    task.measure = None
    budget = fast.train.classifier.model_copy(update={"steps": 30, "validate_every": 30})
    told: list[int] = []
    with pytest.raises(ModelError, match=r"the training has diverged \(step 10\).*a loss of nan.*Lower lr"):
        fit(task, _Ones(), 4, budget, fast.trainer, folder=tmp_path, progress=lambda what, done, total: told.append(done))
    assert told[-1] == 10


def test_an_interrupt_is_passed_on(fast: Params, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(_task([0.5], 6), _Ones(), 4, fast.train.classifier, fast.trainer, folder=tmp_path, progress=interrupt)
