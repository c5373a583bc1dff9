"""Two small Lightning modules: the loss of a step, what a validation measures, and the optimiser; nothing else."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional


class Task(pl.LightningModule):
    """What both trainings share: AdamW with a gentler rate for the pretrained part, on a one-cycle schedule (Smith, 2018).

    Args:
        network: the network to train.
        is_pretrained: tells by its name whether a tensor came with weights.
        lr, backbone_lr, weight_decay: peak rates of new and pretrained tensors.
        steps: optimiser steps in all.
        validate: measures the network in evaluation mode; higher `score` is better. None validates never.

    Attributes:
        measured: what the last validation found, the same in all processes of a training.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        is_pretrained: Callable[[str], bool],
        lr: float,
        backbone_lr: float,
        weight_decay: float,
        steps: int,
        validate: Callable[[nn.Module], dict[str, float]] | None,
    ) -> None:
        super().__init__()
        self.network, self.is_pretrained, self.rates, self.weight_decay = network, is_pretrained, (lr, backbone_lr), weight_decay
        self.steps, self.measure = steps, validate
        self.measured: dict[str, float] = {}

    def configure_optimizers(self) -> Any:
        """Two groups of tensors, one schedule a step."""
        groups: tuple[list[Tensor], list[Tensor]] = ([], [])
        for name, tensor in self.network.named_parameters():
            if tensor.requires_grad:
                groups[self.is_pretrained(name)].append(tensor)
        optimizer = torch.optim.AdamW(
            [{"params": tensors, "lr": lr} for tensors, lr in zip(groups, self.rates, strict=True) if tensors],
            weight_decay=self.weight_decay,
            fused=not str(self.trainer.precision).endswith("mixed"),  # Lightning cannot clip gradients of a fused one there
        )
        peaks = [group["lr"] for group in optimizer.param_groups]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=max(self.steps, 2), pct_start=0.15)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def validation_step(self, batch: Any, index: int) -> None:
        """Measure in the first process and tell the others, so that all stop at the same step; the single batch only starts it."""
        if self.measure is not None:
            measured = self.measure(self.network) if self.trainer.is_global_zero else {}
            self.measured = self.trainer.strategy.broadcast(measured)
            self.log_dict({f"val_{key}": value for key, value in self.measured.items()}, batch_size=1)


class DetectorTask(Task):
    """The sum of the losses that the torchvision detector itself gives."""

    def training_step(self, batch: tuple[list[Tensor], list[dict[str, Tensor]]], index: int) -> Tensor:
        """One step on crops of frames."""
        losses: dict[str, Tensor] = self.network(*batch)
        total = torch.stack(list(losses.values())).sum()
        self.log_dict({"loss": total.detach(), **{f"loss_{k}": v.detach() for k, v in losses.items()}}, batch_size=len(batch[0]))
        return total


class ClassifierTask(Task):
    """Cross-entropy with label smoothing (Szegedy et al., 2016)."""

    def __init__(self, network: nn.Module, *, smoothing: float, **options: Any) -> None:
        super().__init__(network, **options)
        self.smoothing = smoothing

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """One step on crops of signs."""
        crops, labels = batch
        loss = functional.cross_entropy(self.network(crops), labels, label_smoothing=self.smoothing)
        self.log("loss", loss.detach(), batch_size=len(labels))
        return loss
