"""Optimizer and learning-rate schedule of a spec."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn, optim
from torch.optim import lr_scheduler

from trainers._torch import networks

if TYPE_CHECKING:
    from pytorch_lightning.utilities.types import LRSchedulerConfigType

    from trainers._torch.networks import Network
    from trainers._transfer_spec import Schedule, Spec


@dataclass(frozen=True)
class Length:
    """How long a training is: epochs, and batches and updates of the weights in each of them."""

    epochs: int
    batches: int
    updates: int


def parameter_groups(network: Network, lr: float, decay: float) -> list[dict[str, Any]]:
    """The head at the full learning rate, then the backbone's children from the top down.

    Each has `decay` times the rate of the one above it. Frozen weights are among them: the groups
    stay the same while weights are released, and the optimizer's state fits after a restart.
    """
    parts = [*filter(networks.has_weights, networks.children(network.backbone))]
    layers: list[list[nn.Parameter]] = [[*part.parameters()] for part in reversed(parts)]
    if layers:
        layers[-1] += networks.own_weights(network.backbone)
    groups = [[*network.head.parameters()], *layers]
    return [{"params": group, "lr": lr * decay**depth} for depth, group in enumerate(groups)]


def optimizer(spec: Spec, network: Network) -> optim.Optimizer:
    """The optimizer over all weights of a network."""
    groups = parameter_groups(network, spec.lr, spec.lr_decay)
    if spec.optimizer == "sgd":
        return optim.SGD(groups, momentum=spec.momentum, weight_decay=spec.weight_decay)
    kind = optim.AdamW if spec.optimizer == "adamw" else optim.Adam
    return kind(groups, weight_decay=spec.weight_decay)


def schedule(spec: Schedule, optimizer: optim.Optimizer, length: Length) -> LRSchedulerConfigType:
    """The schedule, and whether Lightning takes a step of it after an update or after an epoch."""
    match spec.kind:
        case "constant":
            return {"scheduler": lr_scheduler.ConstantLR(optimizer, factor=1.0)}
        case "step":
            stairs = lr_scheduler.StepLR(optimizer, spec.step_epochs, spec.factor)
            return {"scheduler": stairs, "interval": "epoch"}
        case "cosine":
            total, warmup = length.epochs * length.updates, spec.warmup_epochs * length.updates
            curve = lr_scheduler.LambdaLR(optimizer, lambda step: cosine(step, warmup, total))
            return {"scheduler": curve, "interval": "step"}
        case "one_cycle":
            return {"scheduler": _one_cycle(optimizer, length), "interval": "step"}
        case "plateau":
            return _plateau(spec, optimizer, length)


def cosine(step: int, warmup: int, total: int) -> float:
    """Share of the learning rate: a line up to 1, then half a cosine down to 0 at `total` steps."""
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1))) / 2


def _one_cycle(optimizer: optim.Optimizer, length: Length) -> lr_scheduler.LRScheduler:
    """Up and down once (Smith and Topin 2017, arXiv:1708.07120); sgd keeps its momentum."""
    return lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=length.epochs * length.updates,
        cycle_momentum=not isinstance(optimizer, optim.SGD),
    )


def _plateau(spec: Schedule, optimizer: optim.Optimizer, length: Length) -> LRSchedulerConfigType:
    """Reduces where val_loss does not improve.

    Lightning takes the step of an epoch's plateau after the checkpoint is written and does not make
    up for it after a restart. Every so many batches as an epoch has is right after validation.
    """
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, factor=spec.factor, patience=spec.patience)
    return {
        "scheduler": plateau,
        "interval": "step",
        "frequency": length.batches,
        "monitor": "val_loss",
    }
