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

from signloop.core.errors import ConfigError, ModelError
from signloop.core.params import Budget, Trainer
from signloop.models.bundle import pick_device
from signloop.models.tasks import Task

Progress = Callable[[str, int, int], None]
LOOK_EVERY = 10  # steps between looks at the loss
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

    def finish(self, step: int) -> None:
        """Measure the end, if steps came after the last validation, and put the best weights into the network."""
        if self.task.measure is not None and (not self.history.rows or self.history.rows[-1]["step"] != step):
            self.task.measured = self.task.measure(self.task.network.eval())  # the averaged weights are in it by now
            self.compare(step)
        if self.state:
            self.task.network.load_state_dict(self.state)
        else:
            self.history.best_step = step


class _Steps(Callback):
    """Tell how many steps are done."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self.progress, self.steps = progress, steps

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each step."""
        if trainer.is_global_zero:
            self.progress("steps", trainer.global_step, self.steps)


class _Finite(Callback):
    """Stop a training whose loss is no number any more: what it would leave finds nothing, and says so nowhere."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Look every few steps, as reading the loss of a GPU waits for it; a loss that is lost stays so."""
        step = trainer.global_step
        if (step % LOOK_EVERY == 0 or step == trainer.max_steps) and not bool(torch.isfinite(outputs["loss"])):
            raise ModelError(
                "the training has diverged",
                where=f"step {step}",
                found=f"a loss of {float(outputs['loss'])}",
                todo="Lower lr and backbone_lr of this network, or use trainer.precision=32-true.",
            )


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


def _callbacks(budget: Budget, ema: float, logger: Any, progress: Progress) -> list[Callback]:
    callbacks: list[Callback] = [_Steps(progress, budget.steps), _Finite()]
    if logger:
        callbacks.append(LearningRateMonitor("step"))
    if ema:
        callbacks.append(EMAWeightAveraging(decay=min(ema, 1 - MIN_DECAY_STEPS / max(budget.steps, 2 * MIN_DECAY_STEPS)), use_buffers=True))
    return callbacks


def _trainer(trainer: Trainer, budget: Budget, validates: bool, callbacks: list[Callback], logger: Any, folder: Path) -> pl.Trainer:
    """Build Lightning's Trainer; what it refuses is a parameter of ours."""
    try:
        return pl.Trainer(
            accelerator=trainer.accelerator,
            devices=trainer.devices,
            num_nodes=trainer.num_nodes,
            precision=trainer.precision,  # type: ignore[arg-type]  # checked by Lightning
            max_steps=budget.steps,
            val_check_interval=min(budget.validate_every, budget.steps) if validates else None,
            check_val_every_n_epoch=None if validates else 1,
            limit_val_batches=1 if validates else 0,
            num_sanity_val_steps=0,
            callbacks=callbacks,
            logger=logger,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            log_every_n_steps=min(10, budget.steps),
            default_root_dir=folder,
            gradient_clip_val=5.0,
            use_distributed_sampler=True,  # of n processes each takes every nth item, so that a step's shares make up its batch
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise ConfigError(
            "Lightning refuses the trainer",
            where="trainer",
            found=" ".join(str(error).split()),
            todo="Correct trainer.accelerator, .devices, .num_nodes or .precision.",
        ) from error


def _loader(data: Dataset[Any], batch: int, processes: int, workers: int, collate: Callable[[list[Any]], Any] | None) -> DataLoader[Any]:
    """Load the share of each step that one of `processes` takes."""
    if batch % processes:
        raise ConfigError(
            "the batch cannot be shared out evenly",
            where="trainer.devices, trainer.num_nodes",
            expected=f"a number of processes that divides the batch of {batch}",
            found=processes,
            todo="Choose other trainer.devices, or another detector.batch and classifier.batch.",
        )
    return DataLoader(
        data,
        batch // processes,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_worker,
        drop_last=True,
        persistent_workers=workers > 0,
    )


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
) -> History | None:
    """Train `task.network` in place for `budget.steps` and leave its best weights in it.

    Several processes (`trainer.devices`, `trainer.num_nodes`) share each step's batch: a step learns from the same items as with one.

    Args:
        task: network, loss and validation.
        data: `budget.steps * batch` items, in the order in which they are seen.
        batch: items a step, of all processes together.
        budget: steps, and how often to validate.
        trainer: the machine.
        folder: working folder of Lightning, nothing lasting is written there.
        ema: decay of the averaged weights; 0 averages nothing.
        collate: joins items to a batch.
        logger: a Lightning logger, or False.
        progress: called with a word, steps done and in all.

    Returns:
        The history; None in a process that only helped the first one, whose network is the trained one.

    Raises:
        ConfigError: Lightning refuses the trainer, or the processes cannot share the batch.
        ModelError: the training has diverged.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    best = _KeepBest(task, budget.patience)
    validates = task.measure is not None
    runner = _trainer(trainer, budget, validates, [best, *_callbacks(budget, ema, logger, progress)], logger, folder)
    loader = _loader(data, batch, runner.world_size, trainer.workers, collate)
    torch.set_flush_denormal(True)  # denormal numbers slow a CPU down tenfold
    try:
        runner.fit(task, loader, DataLoader(_One(), 1) if validates else None)
    except SystemExit as error:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from error
    finally:
        torch.set_flush_denormal(False)
    if not runner.is_global_zero:
        return None
    task.network.to(pick_device(trainer.accelerator))  # Lightning has taken it off the GPU
    best.finish(runner.global_step)
    return best.history
