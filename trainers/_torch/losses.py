"""What training makes small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from mlops_spec.manifest import Dataset
    from trainers._transfer_spec import Spec

_LEAST = 1e-7  # below it, powers of less than 1 have no finite slope


class Focal(nn.Module):
    """Cross entropy that counts less where the answer is right already.

    (1 - p) ** gamma * -log p, p the probability of the true class (Lin et al. 2017,
    arXiv:1708.02002), times its weight.
    """

    def __init__(self, gamma: float, weight: torch.Tensor | None) -> None:
        super().__init__()
        self.gamma = gamma
        self.weight: torch.Tensor | None
        self.register_buffer("weight", weight)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of logits (N, classes) and class indices (N)."""
        surprise = functional.cross_entropy(logits, targets, reduction="none")
        wrong = (-torch.expm1(-surprise)).clamp(min=_LEAST)
        losses = wrong**self.gamma * surprise
        return (losses if self.weight is None else self.weight[targets] * losses).mean()


def judge(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the losses of some images, and how many of them are answered right.

    Args:
        logits: (N, classes).
        targets: Class indices (N), or 0 and 1 (N, classes), where all must be right.
    """
    if targets.ndim == 1:
        right = logits.argmax(dim=1) == targets
        return functional.cross_entropy(logits, targets, reduction="sum"), right.sum()
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return each.mean(dim=1).sum(), ((logits > 0) == (targets > 0)).all(dim=1).sum()


class CrossEntropy(nn.Module):
    """Cross entropy, times the weight of the true class, averaged over images.

    torch's own divides by the weights of a batch instead, so that the parts of a batch, which
    devices or accumulation make, would not add up to the whole.
    """

    def __init__(self, weight: torch.Tensor | None, smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = smoothing
        self.weight: torch.Tensor | None
        self.register_buffer("weight", weight)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of logits (N, classes) and class indices (N), or shares of them (N, classes)."""
        smoothing = self.label_smoothing
        total = functional.cross_entropy(
            logits, targets, self.weight, reduction="sum", label_smoothing=smoothing
        )
        return total / len(targets)


class Binary(nn.Module):
    """Binary cross entropy of every class, or its focal form, averaged over images and classes.

    `weight` is how much an image that has a class counts beside one that has not.
    """

    def __init__(self, spec: Spec, weight: torch.Tensor | None) -> None:
        super().__init__()
        self.gamma = spec.focal_gamma if spec.loss == "focal" else 0.0
        self.smoothing = spec.label_smoothing
        self.weight: torch.Tensor | None
        self.register_buffer("weight", weight)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of logits and of 0 and 1 or something between (N, classes)."""
        wanted = targets * (1 - self.smoothing) + self.smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(
            logits, wanted, pos_weight=self.weight, reduction="none"
        )
        if self.gamma:
            wrong = (logits.sigmoid() - targets).abs().clamp(min=_LEAST)
            losses = wrong**self.gamma * losses
        return losses.mean()


def loss(spec: Spec, dataset: Dataset) -> nn.Module:
    """The loss of a spec, for the training split of a data set."""
    targets = torch.as_tensor(dataset.targets(dataset.split("train")))
    balance = spec.class_weights == "balanced"
    if dataset.multi_label:
        return Binary(spec, rarer(targets) if balance else None)
    weight = balanced(targets, len(dataset.classes)) if balance else None
    if spec.loss == "focal":
        return Focal(spec.focal_gamma, weight)
    return CrossEntropy(weight, spec.label_smoothing)


def balanced(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """A weight a class (classes), such that each counts alike and a picture counts 1 on average."""
    counts = torch.bincount(targets, minlength=classes)
    return len(targets) / (classes * counts.clamp(min=1))


def rarer(targets: torch.Tensor) -> torch.Tensor:
    """For each class how many images lack it for one that has it (classes); 1 where none does."""
    has = targets.sum(dim=0)
    lacks = len(targets) - has
    return torch.where(lacks > 0, lacks / has.clamp(min=1), 1.0)


def rarity(targets: torch.Tensor) -> torch.Tensor:
    """How often each image is to be drawn (N), such that each class is as often as any other.

    Of an image with several labels the rarest one counts.
    """
    if targets.ndim == 1:
        return 1.0 / torch.bincount(targets)[targets]
    shares = targets / targets.sum(dim=0).clamp(min=1)
    unlabelled = (targets.sum(dim=1) == 0) / len(targets)
    return shares.max(dim=1).values + unlabelled
