"""A trained network as a bundle."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from mlops_spec import bundle
from mlops_spec.bundle import Card, Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.manifest import Dataset
    from mlops_spec.spec import StepSpec
    from trainers._torch.networks import Network

_GOLDEN_IMAGES = 3


def export(
    network: Network, spec: StepSpec, dataset: Dataset, how: Preprocessing, out_dir: Path
) -> None:
    """Writes the bundle; the golden answers on its card are the ONNX network's own."""
    save_file(network.state_dict(), out_dir / "model.safetensors")
    example = torch.zeros(2, how.channels, how.input_size, how.input_size)
    torch.onnx.export(
        network,
        (example,),
        out_dir / "model.onnx",
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    assert spec.training is not None
    card = Card(
        trainer=spec.training.kind,
        labels=dataset.classes,
        activation="sigmoid" if dataset.multi_label else "softmax",
        preprocessing=how,
        data_digest=dataset.digest,
        spec=spec.model_dump(mode="json", exclude_none=True),
        versions={name: version(name) for name in ("torch", "pytorch-lightning", "onnx")},
        golden=(),
    )
    bundle.write(out_dir, card)
    images = [dataset.content(row) for row in dataset.split("val")[:_GOLDEN_IMAGES]]
    golden = bundle.golden(bundle.load(out_dir), images)
    bundle.write(out_dir, card.model_copy(update={"golden": golden}))
