"""Small networks, and files and bundles of their weights."""

from pathlib import Path

import small_bundle
import torch
from safetensors.torch import save_file

from mlops_spec import bundle
from mlops_spec.spec import ModelSpec
from trainers._torch import backbones, networks, weights

CLASSES = ("ants", "bees")


def model(backbone: str = "small_cnn", *, channels: int = 3, keep: bool = False, **changes):
    values = {"backbone": backbone, "weights": "a file", "channels": channels}
    values |= {"resize": 64, "input_size": 64, "head": {"hidden": 0, "dropout": 0.0, "keep": keep}}
    return ModelSpec.model_validate(values | {"onnx_tolerance": 0.001} | changes)


def network_of(spec: ModelSpec, classes: int = 2):
    backbone = backbones.build(spec)
    return backbone, networks.build(spec, backbone.module, classes)


def load(path: Path, spec: ModelSpec, classes: tuple[str, ...] = CLASSES):
    """A fresh network of a spec with the weights of a file."""
    backbone, network = network_of(spec, len(classes))
    found = weights.read(path, spec.channels)
    if spec.head.keep:
        weights.check_labels(found, classes, multi_label=False)
    weights.load(found, network, backbone, spec)
    return network


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def bundle_of(folder: Path, network, labels=CLASSES) -> Path:
    small_bundle.make(folder, labels)
    card = bundle.read(folder)
    save_file(network.state_dict(), folder / "model.safetensors")
    bundle.write(folder, card)
    return folder
