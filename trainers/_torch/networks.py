"""Networks by name: a small CNN for tiny pictures and torchvision's classification backbones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from mlops_spec.errors import StepError, suggest

if TYPE_CHECKING:
    from mlops_spec.spec import Head, ModelSpec


class Network(nn.Module):
    """A backbone that ends in features, and a head that turns them into logits."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of preprocessed images (N, C, H, W)."""
        logits: torch.Tensor = self.head(self.backbone(images))
        return logits


def build(spec: ModelSpec, classes: int) -> Network:
    """Makes the network of a spec.

    Raises:
        StepError: There is no such backbone, or its weights can not be had.
    """
    backbone = small_cnn(spec.channels) if spec.backbone == "small_cnn" else _torchvision(spec)
    with torch.no_grad():
        size = (2, spec.channels, spec.input_size, spec.input_size)
        features = backbone.eval()(torch.zeros(size)).shape[1]
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


def small_cnn(channels: int) -> nn.Module:
    """Three 3 x 3 convolutions with BatchNorm, halving twice, then global average pooling."""
    layers: list[nn.Module] = []
    width = channels
    for out in (32, 64, 128):
        layers += [nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        if out < 128:  # noqa: PLR2004 - the last one is pooled globally
            layers.append(nn.MaxPool2d(2))
        width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def head(features: int, classes: int, spec: Head) -> nn.Module:
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


def _torchvision(spec: ModelSpec) -> nn.Module:
    from trainers._torch.vision import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if spec.backbone not in known:
        near = suggest(spec.backbone, known)
        message = f"model.backbone: torchvision has no {spec.backbone!r}{near}"
        raise StepError(message)
    weights = "DEFAULT" if spec.weights == "imagenet" else None
    try:
        model: nn.Module = torchvision.models.get_model(spec.backbone, weights=weights)
    except OSError as error:
        message = f"the weights of {spec.backbone} could not be downloaded: {error}"
        cure = "go online once, or train without them: model.weights=none"
        raise StepError(message, cure) from error
    if spec.channels == 1:
        _grey(model)
    _drop_classifier(model)
    return model


def _grey(model: nn.Module) -> None:
    """Makes the first convolution take one channel: its kernels summed over colours."""
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    weight = first.weight.data.sum(dim=1, keepdim=True)
    first.in_channels, first.weight = 1, nn.Parameter(weight)


def _drop_classifier(model: nn.Module) -> None:
    """Replaces the last linear layer, whatever the architecture calls it."""
    name = [n for n, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    model.set_submodule(name, nn.Identity())
