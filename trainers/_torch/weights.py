"""Weights from a file or a bundle, put into a network that they fit.

A file holds tensors by name: safetensors, or what `torch.save(model.state_dict(), PATH)` writes.
Nothing in it is executed: a pickle that asks for more than tensors is refused.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from mlops_spec import bundle
from mlops_spec.errors import StepError
from trainers._torch.backbones import Normalisation, of_channels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from mlops_spec.spec import ModelSpec
    from trainers._torch.backbones import Backbone
    from trainers._torch.networks import Network

_BACKBONE, _HEAD = "backbone.", "head."
_COLOURS = 3
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Weights:
    """Tensors by name; a bundle's come with their labels and the normalisation they expect."""

    source: Path
    tensors: Mapping[str, torch.Tensor]
    labels: tuple[str, ...] | None = None
    multi_label: bool = False
    normalisation: Normalisation | None = None


def read(path: Path, channels: int) -> Weights:
    """Reads a file or a bundle.

    Raises:
        StepError: It holds no tensors by name, or wants code to run.
        MlopsError: A bundle's file is not the one that training recorded.
    """
    if not path.is_dir():
        return Weights(path, _tensors(path))
    card = bundle.read(path)
    how = card.preprocessing
    normalisation = of_channels(how.mean, how.std, channels)
    several = card.activation == "sigmoid"
    return Weights(path, _tensors(path / bundle.FILES[0]), card.labels, several, normalisation)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    cure = "keep tensors only: torch.save(model.state_dict(), PATH), or safetensors"
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except OSError:
        raise
    except UnpicklingError as error:
        message = f"{path} is no file of weights, or wants to run code, which it may not"
        raise StepError(message, cure) from error
    except Exception as error:  # a damaged file fails in any way
        why = f"{type(error).__name__}: {error}"
        raise StepError(f"{path} is damaged, or no file of weights ({why})", cure) from error
    named = content.get("state_dict", content) if isinstance(content, dict) else {}
    whole = named.items() if isinstance(named, dict) else ()
    tensors = {str(name): one for name, one in whole if isinstance(one, torch.Tensor)}
    if not tensors:
        raise StepError(f"{path} holds no tensors by name", cure)
    return {name.removeprefix("module."): one for name, one in tensors.items()}


def _unpickled(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickles that torch did not write
        return torch.load(path, map_location="cpu", weights_only=True)


def load(weights: Weights, network: Network, backbone: Backbone, spec: ModelSpec) -> None:
    """Puts weights into a network's backbone, and into its head where that is to be kept.

    Raises:
        StepError: They are of another architecture.
    """
    ours = any(name.startswith(_BACKBONE) for name in weights.tensors)
    given = _below(weights.tensors, _BACKBONE) if ours else {**weights.tensors}
    if not ours:
        given = {name: one for name, one in given.items() if not _of(name, backbone.classifiers)}
    _fill(network.backbone, given, weights.source, spec.backbone)
    if spec.head.keep:
        head = _below(weights.tensors, _HEAD)
        _fill(network.head, head, weights.source, "model.head")


def check_labels(weights: Weights, labels: Sequence[str], *, multi_label: bool) -> None:
    """Makes sure that a head that is kept answers the classes of the data set.

    Raises:
        StepError: It answers others, or nobody knows which.
    """
    cure = "start with a new head: model.head.keep=false"
    if weights.labels is None:
        raise StepError(f"{weights.source} does not say which classes its head answers", cure)
    if weights.multi_label != multi_label:
        raise StepError(f"the head of {weights.source} answers another number of labels", cure)
    if weights.labels == tuple(labels):
        return
    gone, new = ({*weights.labels} - {*labels}), ({*labels} - {*weights.labels})
    parts = [f"only it has {_some(gone)}"] * bool(gone) + [f"it lacks {_some(new)}"] * bool(new)
    counted = f"{len(weights.labels)} classes, the data set has {len(labels)}"
    what = "; ".join([counted, *(parts or ["their order differs"])])
    raise StepError(f"the head of {weights.source} answers {what}", cure)


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)
    }


def _of(name: str, layers: Iterable[str]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)


def _fill(module: nn.Module, given: Mapping[str, torch.Tensor], source: Path, what: str) -> None:
    """Loads tensors into a module that they all belong to."""
    wanted = module.state_dict()
    fitted = {n: _channels(one, wanted[n]) if n in wanted else one for n, one in given.items()}
    absent, surplus = wanted.keys() - fitted.keys(), fitted.keys() - wanted.keys()
    wrong = [f"it lacks {_some(absent)}"] * bool(absent)
    wrong += [f"{_some(surplus)} has no place in it"] * bool(surplus)
    wrong += [
        f"{name} is {_shape(one)} there and {_shape(wanted[name])} here"
        for name, one in fitted.items()
        if name in wanted and one.shape != wanted[name].shape
    ][:1]
    if wrong:
        message = f"{source} is of another architecture than {what}: {'; '.join(wrong)}"
        raise StepError(message, "name the backbone, head and channels that it was trained with")
    odd = [name for name, one in fitted.items() if _odd(one, wanted[name])]
    if odd:
        message = f"{source}: nothing can be learned from the numbers of {_some(odd)}"
        raise StepError(message, "keep dense, finite floating-point weights, not quantised ones")
    module.load_state_dict(fitted)


def _odd(given: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether a tensor is quantised, complex, sparse, or has what is no number."""
    if given.layout != torch.strided or given.is_floating_point() != wanted.is_floating_point():
        return True
    return not bool(torch.isfinite(given).all())


def _channels(given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """A first convolution for colours made one for grey, or the reverse; others as they are."""
    if not given.ndim == wanted.ndim == 4:  # noqa: PLR2004 - of a convolution
        return given
    if (given.shape[1], wanted.shape[1]) == (_COLOURS, 1):
        return given.sum(dim=1, keepdim=True)
    if (given.shape[1], wanted.shape[1]) == (1, _COLOURS):
        return given.expand(-1, _COLOURS, -1, -1) / _COLOURS
    return given


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more


def _shape(tensor: torch.Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
