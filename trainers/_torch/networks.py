"""Networks: a backbone, and a head that turns its features into logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from mlops_spec.errors import StepError

if TYPE_CHECKING:
    from mlops_spec.spec import Head, ModelSpec


class Network(nn.Module):
    """A backbone that ends in features, and a head that turns them into logits."""

    def __init__(self, backbone: nn.Module, head: nn.Sequential) -> None:
        super().__init__()
        self.backbone = backbone
        self.head: nn.Sequential = head

    @property
    def classes(self) -> int:
        """How many classes the head tells apart."""
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        return last.out_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of preprocessed images (N, C, H, W)."""
        logits: torch.Tensor = self.head(self.backbone(images))
        return logits


def build(spec: ModelSpec, backbone: nn.Module, classes: int) -> Network:
    """Puts the head of a spec on a backbone.

    Raises:
        StepError: The backbone does not take pictures of the spec's size.
    """
    side = spec.input_size
    try:
        with torch.no_grad():
            features = backbone.eval()(torch.zeros(1, spec.channels, side, side)).shape[1]
    except (RuntimeError, AssertionError, ValueError) as error:
        from pytorch_lightning.utilities.memory import is_oom_error  # slow; a report needs none

        if is_oom_error(error):
            message = f"out of memory with a single image of {side} x {side} pixels"
            raise StepError(message, "make model.input_size smaller") from error
        message = f"{spec.backbone} does not take pictures of {side} x {side} pixels: {error}"
        raise StepError(message, "change model.input_size (and model.resize)") from error
    return Network(backbone, head(features, classes, spec.head))


def children(backbone: nn.Module) -> list[nn.Module]:
    """A backbone's direct children, from the input on.

    Where a single one of them holds all the weights and has children, such as `features` in
    EfficientNet and DenseNet, these are meant.
    """
    parts = [*backbone.children()]
    learned = [part for part in parts if has_weights(part)]
    if len(learned) == 1 and [*learned[0].children()]:
        return children(learned[0])
    return parts


def has_weights(module: nn.Module) -> bool:
    """Whether there is anything in a module to learn."""
    return next(module.parameters(), None) is not None


def own_weights(backbone: nn.Module) -> list[nn.Parameter]:
    """Weights of a backbone that are in none of its children, such as a class token."""
    within = {id(weight) for part in children(backbone) for weight in part.parameters()}
    return [weight for weight in backbone.parameters() if id(weight) not in within]


def head(features: int, classes: int, spec: Head) -> nn.Sequential:
    """Linear, or Linear-BatchNorm-ReLU-Dropout-Linear when a hidden width is given."""
    if not spec.hidden:
        return nn.Sequential(nn.Dropout(spec.dropout), nn.Linear(features, classes))
    return nn.Sequential(
        nn.Linear(features, spec.hidden),
        nn.BatchNorm1d(spec.hidden),
        nn.ReLU(),
        nn.Dropout(spec.dropout),
        nn.Linear(spec.hidden, classes),
    )
