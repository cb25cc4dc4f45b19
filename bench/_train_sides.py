"""What both peers of `train.py` are given: the task, the network, and their line an epoch."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import files
from mlops_spec.spec import ModelSpec
from trainers._torch import backbones, networks

if TYPE_CHECKING:
    from trainers._torch.networks import Network


@dataclass(frozen=True)
class Task:
    """The training that is compared: values of its spec, and images in data/SPLIT/CLASS."""

    data: Path
    out: Path
    model: dict[str, Any]
    training: dict[str, Any]

    @property
    def frozen(self) -> bool:
        """Whether only the head learns."""
        return bool(self.training["freeze"]["mode"] == "backbone")

    def network(self, classes: int) -> Network:
        """The network of all sides, in evaluation mode; which parts learn is a side's business."""
        spec = ModelSpec.model_validate(self.model)
        return networks.build(spec, backbones.build(spec).module, classes)


def given() -> Task:
    """What the command line names: a step's spec, the folder of its images, and one for results."""
    spec, data, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True)
    document = files.read_json(spec)
    return Task(data, out, document["model"], document["training"])


def say(epoch: int, accuracy: float, loss: float) -> None:
    """Tells `train.py` that an epoch, validation included, is over."""
    print(f"epoch {epoch}  val_accuracy {accuracy:.4f}  val_loss {loss:.4f}", flush=True)
