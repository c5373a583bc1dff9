"""Task and data in, the best weights and the history of their training out."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging, LearningRateMonitor
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from signloop.core.errors import ConfigError
from signloop.core.params import Budget, Trainer
from signloop.models.tasks import Task

Progress = Callable[[str, int, int], None]
MIN_DECAY_STEPS = 10  # an average over more steps than a tenth of the training would still hold the start


@dataclass
class History:
    """What a training left.

    Attributes:
        rows: {"step", metric: value, ...} for every validation.
        best_step: the step whose weights were kept; the last one if nothing was validated.
        best_score: its validation score, NaN without validation.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    best_score: float = float("nan")


class _KeepBest(Callback):
    """Keep the weights of the best validation in memory, and stop when `patience` validations brought none better.

    It acts while the weights that were measured, averaged ones where there are any, are still in the network.
    """

    def __init__(self, task: Task, patience: int | None) -> None:
        self.task, self.history, self.patience, self.since = task, History(), patience, 0
        self.state: dict[str, Tensor] = {}

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Compare, and stop if it has been enough."""
        self.compare(trainer.global_step)
        trainer.should_stop |= self.patience is not None and self.since >= self.patience

    def compare(self, step: int) -> None:
        """Compare the score that the task has just measured with the best so far."""
        self.history.rows.append({"step": step, **self.task.measured})
        self.since += 1
        if not self.task.measured["score"] <= self.history.best_score:
            self.history.best_step, self.history.best_score, self.since = step, self.task.measured["score"], 0
            self.state = {name: value.detach().cpu().clone() for name, value in self.task.network.state_dict().items()}


class _Steps(Callback):
    """Tell how many steps are done."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self.progress, self.steps = progress, steps

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        if trainer.is_global_zero:
            self.progress("steps", trainer.global_step, self.steps)


class _One(Dataset[int]):
    """A single item: it starts a validation that brings its own data."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, item: int) -> int:
        return item


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(seed)


def _worker(_: int) -> None:
    """One thread for OpenCV in a worker; what is drawn at random depends on the item alone."""
    import cv2

    cv2.setNumThreads(0)


def _trainer(**options: Any) -> pl.Trainer:
    """Build Lightning's Trainer; what it refuses is a parameter of ours."""
    try:
        return pl.Trainer(**options)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise ConfigError(
            "Lightning refuses the trainer",
            where="trainer",
            found=" ".join(str(error).split()),
            todo="Correct trainer.accelerator, .devices, .num_nodes or .precision.",
        ) from error


def fit(
    task: Task,
    data: Dataset[Any],
    batch: int,
    budget: Budget,
    trainer: Trainer,
    *,
    folder: Path,
    ema: float = 0.0,
    collate: Callable[[list[Any]], Any] | None = None,
    logger: Any = False,
    progress: Progress,
) -> History:
    """Train `task.network` in place for `budget.steps` and leave its best weights in it.

    Args:
        task: network, loss and validation.
        data: `budget.steps * batch` items, in the order in which they are seen.
        batch: items a step.
        budget: steps, and how often to validate.
        trainer: the machine.
        folder: working folder of Lightning, nothing lasting is written there.
        ema: decay of the averaged weights; 0 averages nothing.
        collate: joins items to a batch.
        logger: a Lightning logger, or False.
        progress: called with a word, steps done and in all.
    """
    best = _KeepBest(task, budget.patience)
    callbacks: list[Callback] = [_Steps(progress, budget.steps)]
    if logger:
        callbacks.append(LearningRateMonitor("step"))
    if ema:
        callbacks.append(EMAWeightAveraging(decay=min(ema, 1 - MIN_DECAY_STEPS / max(budget.steps, 2 * MIN_DECAY_STEPS)), use_buffers=True))
    validates = task.measure is not None
    runner = _trainer(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.num_nodes,
        precision=trainer.precision,
        max_steps=budget.steps,
        val_check_interval=min(budget.validate_every, budget.steps) if validates else None,
        check_val_every_n_epoch=None if validates else 1,
        limit_val_batches=1 if validates else 0,
        num_sanity_val_steps=0,
        callbacks=[best, *callbacks],
        logger=logger,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        log_every_n_steps=min(10, budget.steps),
        default_root_dir=folder,
        gradient_clip_val=5.0,
        use_distributed_sampler=True,
    )
    loader = DataLoader(
        data,
        batch,
        num_workers=trainer.workers,
        collate_fn=collate,
        worker_init_fn=_worker,
        drop_last=True,
        persistent_workers=trainer.workers > 0,
    )
    torch.set_flush_denormal(True)  # denormal numbers slow a CPU down tenfold
    try:
        runner.fit(task, loader, DataLoader(_One(), 1) if validates else None)
    finally:
        torch.set_flush_denormal(False)
    if task.measure is not None and (not best.history.rows or best.history.rows[-1]["step"] != runner.global_step):
        task.measured = task.measure(task.network.eval())  # steps after the last validation, with the averaged weights
        best.compare(runner.global_step)
    if best.state:
        task.network.load_state_dict(best.state)
    else:
        best.history.best_step = runner.global_step
    return best.history
