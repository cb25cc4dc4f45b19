"""Frozen parts of a backbone: which, when, and what it means for a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_spec.errors import StepError
from trainers._torch import networks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainers._torch.networks import Network
    from trainers._transfer_spec import Freeze


def frozen_children(spec: Freeze, learned: Sequence[bool], epoch: int) -> int:
    """How many children of a backbone, from the input on, are frozen in an epoch (from 0).

    It follows from the epoch alone: a training that is resumed needs no memory of it.

    Args:
        spec: What is asked for.
        learned: For each child of the backbone, from the input on, whether it has weights.
        epoch: The epoch.

    Raises:
        StepError: More are asked for than there are.
    """
    match spec.mode:
        case "none":
            return 0
        case "backbone":
            return len(learned)
        case "first":
            return _first(spec.children, len(learned))
        case "gradual":
            boundaries = [i for i, has_weights in enumerate(learned) if has_weights]
            frozen = [0, *boundaries[1:], len(learned)]
            return frozen[max(len(frozen) - 1 - epoch // spec.unfreeze_every, 0)]


def _first(asked: int, there: int) -> int:
    if asked > there:
        message = f"training.freeze.children={asked}: the backbone has {there} children"
        raise StepError(message, f"training.freeze.children={there}, or fewer")
    return asked


def freeze(network: Network, spec: Freeze, epoch: int) -> None:
    """Puts a network into the state of an epoch: what learns is in training mode, the rest is not.

    A frozen weight has no gradient, so that neither weight decay nor momentum moves it; a frozen
    BatchNorm is in evaluation mode, so that its statistics stay too.
    """
    parts = networks.children(network.backbone)
    count = frozen_children(spec, [networks.has_weights(part) for part in parts], epoch)
    network.train()
    network.backbone.train(mode=count < len(parts))
    for i, part in enumerate(parts):
        part.train(mode=i >= count)
        part.requires_grad_(requires_grad=i >= count)
    for weight in networks.own_weights(network.backbone):
        weight.requires_grad = count == 0
    for weight in network.parameters():
        if not weight.requires_grad:
            weight.grad = None
