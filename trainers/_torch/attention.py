"""Where in a picture a network found what it answers: Grad-CAM.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", 2017, arXiv:1610.02391.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import interpolate

from mlops_spec import bundle
from mlops_spec.spec import ModelSpec
from trainers._torch import backbones, networks, weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from torch import nn

    from trainers._torch.networks import Network

_MAP = 4  # dimensions of what a convolution gives: images, channels, height, width
_LEAST = 4  # pixels of a map's side below which it says nothing about places


def of(folder: Path, images: Sequence[bytes], classes: Sequence[int]) -> np.ndarray | None:
    """How much each part of some pictures spoke for a class, 0 to 1 (N, H, W) of network input.

    Args:
        folder: The bundle.
        images: Image files.
        classes: For each of them the class that is asked about.

    Returns:
        None for a network without maps of features, such as a transformer.
    """
    import numpy as np

    card = bundle.read(folder)
    network = _network(folder, card)
    layer = _last_map(network, card.preprocessing)
    if layer is None:
        return None
    batch = _prepared(images, card.preprocessing)
    return np.concatenate(
        [_heat(network, layer, batch[i : i + 1], label) for i, label in enumerate(classes)]
    )


def _prepared(images: Sequence[bytes], how: bundle.Preprocessing) -> torch.Tensor:
    """What the network takes (N, C, H, W)."""
    import numpy as np

    pixels = np.stack([bundle.pixels(image, how) for image in images])
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (how.mean, how.std))
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std


def _network(folder: Path, card: bundle.Card) -> Network:
    """The network of a bundle, with its weights."""
    model = ModelSpec.model_validate(card.spec["model"]).model_copy(update={"weights": "none"})
    network = networks.build(model, backbones.build(model).module, len(card.labels))
    network.load_state_dict(weights.read(folder, model.channels).tensors)
    return network.eval()


def _last_map(network: Network, how: bundle.Preprocessing) -> nn.Module | None:
    """The last layer whose output still has places large enough to tell apart."""
    found: list[nn.Module] = []

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        is_map = isinstance(output, torch.Tensor) and output.dim() == _MAP
        if is_map and min(output.shape[2:]) >= _LEAST:
            found.append(module)

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    with torch.no_grad():
        network(torch.zeros(1, how.channels, how.input_size, how.input_size))
    for hook in hooks:
        hook.remove()
    return found[-1] if found else None


def _heat(network: Network, layer: nn.Module, picture: torch.Tensor, label: int) -> np.ndarray:
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output)
        return output.clone()  # what comes after may change it in place

    hook = layer.register_forward_hook(keep)
    with torch.enable_grad():
        logits = network(picture.requires_grad_())
    hook.remove()
    maps = kept[0]
    (gradient,) = torch.autograd.grad(logits[0, label], maps)
    share = (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
    size = tuple(picture.shape[2:])
    heat = interpolate(share.detach(), size, mode="bilinear", align_corners=False)[:, 0]
    most = heat.amax()
    return (heat / most if most > 0 else heat).numpy()
