"""Backbones by name: a small CNN for tiny pictures, torchvision's, and timm's where installed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from mlops_spec.errors import StepError, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.spec import ModelSpec

_TIMM = "timm/"
_INCEPTION = (0.5,) * 3  # mean and deviation
# Built without their auxiliary classifiers, which would answer in training mode too.
_AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


@dataclass(frozen=True)
class Normalisation:
    """Mean and deviation of each channel, of values in 0..1, that weights were trained with."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Backbone:
    """A network that ends in features.

    Attributes:
        module: The network.
        classifiers: Names of the layers that were taken away, as files of weights have them.
        normalisation: What its pretrained weights expect; None without such weights.
    """

    module: nn.Module
    classifiers: tuple[str, ...] = ()
    normalisation: Normalisation | None = None


def build(spec: ModelSpec) -> Backbone:
    """Makes the backbone of a spec, with the weights of its library where these are asked for.

    Raises:
        StepError: There is no such backbone, or its weights can not be had.
    """
    if spec.backbone == "small_cnn":
        return Backbone(small_cnn(spec.channels))
    return _timm(spec) if spec.backbone.startswith(_TIMM) else _torchvision(spec)


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


def _torchvision(spec: ModelSpec) -> Backbone:
    from trainers._torch.vision import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if spec.backbone not in known:
        near = suggest(spec.backbone, known)
        message = f"model.backbone: torchvision has no {spec.backbone!r}{near}"
        raise StepError(message, f"see torchvision.models, or take one of timm's: {_TIMM}NAME")
    auxiliary = _AUXILIARY.get(spec.backbone, ())
    pretrained = spec.weights == "imagenet"
    weights = torchvision.models.get_model_weights(spec.backbone).DEFAULT if pretrained else None
    # torchvision insists on the auxiliary classifiers where there are weights for them.
    alone = {"aux_logits": False, "init_weights": True} if auxiliary and not pretrained else {}
    try:
        model: nn.Module = torchvision.models.get_model(spec.backbone, weights=weights, **alone)
    except OSError as error:
        raise _offline(spec, error) from error
    for name in auxiliary:
        setattr(model, name, None)
        model.aux_logits = False  # type: ignore[assignment] # torch sees modules everywhere
    if spec.channels == 1:
        _grey(model)
    normalisation = _expected(model, weights, spec.channels) if weights else None
    return Backbone(model, (_drop_classifier(model), *auxiliary), normalisation)


def _expected(model: nn.Module, weights: Any, channels: int) -> Normalisation:
    """What torchvision's weights were trained with."""
    if getattr(model, "transform_input", False):  # ImageNet's into their own, of three channels
        model.transform_input = False  # type: ignore[assignment]
        return of_channels(_INCEPTION, _INCEPTION, channels)
    shown = weights.transforms()
    return of_channels(shown.mean, shown.std, channels)


def _timm(spec: ModelSpec) -> Backbone:
    """A backbone of timm (R. Wightman, PyTorch Image Models), which adapts to grey by itself."""
    if importlib.util.find_spec("timm") is None:
        message = f"model.backbone: {spec.backbone} needs timm, which is not installed"
        raise StepError(message, "pip install 'mlops_spec[timm]'")
    import timm

    name, pretrained = spec.backbone.removeprefix(_TIMM), spec.weights == "imagenet"
    if not timm.is_model(name):
        near = suggest(name.partition(".")[0], timm.list_models())
        raise StepError(f"model.backbone: timm has no {name!r}{near}", "see timm.list_models()")
    try:
        model = timm.create_model(name, pretrained, num_classes=0, in_chans=spec.channels)
    except RuntimeError as error:  # of unknown tags, and of weights that there are none of
        raise StepError(f"model.backbone: timm: {error}", "see timm.list_pretrained()") from error
    except OSError as error:
        raise _offline(spec, error) from error
    config: dict[str, Any] = vars(model)["pretrained_cfg"]
    named = config["classifier"]
    classifiers = (named,) if isinstance(named, str) else tuple(named or ())
    known = of_channels(config["mean"], config["std"], spec.channels) if pretrained else None
    return Backbone(model, classifiers, known)


def _offline(spec: ModelSpec, error: Exception) -> StepError:
    message = f"the weights of {spec.backbone} could not be downloaded: {error}"
    cure = (
        "go online once, start from a file: model.weights=PATH, or from chance: model.weights=none"
    )
    return StepError(message, cure)


def of_channels(mean: Sequence[float], std: Sequence[float], channels: int) -> Normalisation:
    """A normalisation for so many channels: grey takes the mean of colours', these grey's."""
    if len(mean) == channels:
        return Normalisation(tuple(mean), tuple(std))
    each = (sum(mean) / len(mean),), (sum(std) / len(std),)
    return Normalisation(*(one * channels for one in each))


def _grey(model: nn.Module) -> None:
    """Makes the first convolution take one channel: its kernels summed over colours."""
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    weight = first.weight.data.sum(dim=1, keepdim=True)
    first.in_channels, first.weight = 1, nn.Parameter(weight)


def _drop_classifier(model: nn.Module) -> str:
    """Takes the last linear layer away, or convolution in SqueezeNet; returns what it is called."""
    layers = [*model.named_modules()]
    linear = [name for name, module in layers if isinstance(module, nn.Linear)]
    name: str = (linear or [name for name, m in layers if isinstance(m, nn.Conv2d)])[-1]
    model.set_submodule(name, nn.Identity())
    return name
