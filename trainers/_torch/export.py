"""A trained network as a bundle: what is served is compared with what was trained."""

from __future__ import annotations

import base64
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from mlops_spec import bundle, calibration, files, golden, network
from mlops_spec.bundle import Card, Preprocessing
from mlops_spec.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_spec.manifest import Dataset
    from mlops_spec.rows import Rows
    from mlops_spec.step_spec import StepSpec
    from trainers._torch.networks import Network

_LIBRARIES = ("torch", "pytorch-lightning", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")
_ASKED = 1000  # validation images: enough for one number, the temperature, and a few examples
_COMPARED = 32  # of them, with torch
_BATCH = 32
_NOT_SERVED = ("doc_string", "metadata_props")  # paths and lines of our code, among others


class Served(nn.Module):
    """A network with its normalisation: from what `bundle.pixels` makes, stacked, to logits."""

    def __init__(self, network: Network, how: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(how.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(how.std).view(-1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of uint8 pictures (N, H, W, C)."""
        planes = images.permute(0, 3, 1, 2).float()
        logits: torch.Tensor = self.network((planes / 255.0 - self.mean) / self.std)
        return logits


def export(
    network: Network, spec: StepSpec, dataset: Dataset, how: Preprocessing, out_dir: Path
) -> None:
    """Writes the bundle; its temperature and golden answers are the ONNX network's own.

    Raises:
        StepError: The ONNX network answers otherwise than the one that was trained.
    """
    assert spec.model is not None
    save_file(network.state_dict(), out_dir / bundle.FILES[0])
    served = Served(network, how).eval()
    files.write_bytes(out_dir / bundle.FILES[1], onnx_of(served, how))
    model = bundle.opened(out_dir, _card(spec, dataset, how))
    rows = dataset.split("val")
    rows = rows[:: -(-len(rows) // _ASKED)]  # from all over the split
    some = [dataset.content(row) for row in rows[:: -(-len(rows) // _COMPARED)]]
    worst = compare(served, model, some, spec.model.onnx_tolerance)
    card = _judged(model, dataset, rows)
    examples = [base64.b64decode(one.image) for one in card.golden]
    worst = max(worst, compare(served, model, examples, spec.model.onnx_tolerance))
    said = f"temperature {card.temperature:g}, {len(card.golden)} golden inputs"
    print(f"exported: logits within {worst:.1g} of torch's, {said}", flush=True)  # noqa: T201 - as elsewhere
    bundle.write(out_dir, card)


def _card(spec: StepSpec, dataset: Dataset, how: Preprocessing) -> Card:
    assert spec.training is not None
    return Card(
        trainer=spec.training.kind,
        labels=dataset.classes,
        activation="sigmoid" if dataset.multi_label else "softmax",
        preprocessing=how,
        data_digest=dataset.digest,
        spec=spec.model_dump(mode="json", exclude_none=True),
        versions={name: version(name) for name in _LIBRARIES},
        golden=(),
    )


def _judged(model: bundle.Model, dataset: Dataset, rows: Rows) -> Card:
    """The card with what validation images tell: the temperature and the golden answers."""
    starts = range(0, len(rows), _BATCH)
    batches = ([dataset.content(row) for row in rows[i : i + _BATCH]] for i in starts)
    logits = np.concatenate([model.logits(batch) for batch in batches])
    targets, several = dataset.targets(rows), dataset.multi_label
    found = calibration.temperature(logits, targets, several=several)
    model = bundle.Model(model.card.model_copy(update={"temperature": found}), model.session)
    chosen = golden.record(model, dataset, rows, logits)
    return model.card.model_copy(update={"golden": chosen})


def onnx_of(served: Served, how: Preprocessing) -> bytes:
    """A network as an ONNX file's content: the same for the same weights, wherever it is made."""
    example = torch.zeros(2, how.input_size, how.input_size, how.channels, dtype=torch.uint8)
    program = torch.onnx.export(
        served,
        (example,),
        input_names=[network.INPUT],
        output_names=[network.OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    made = program.model_proto
    _strip(made)
    return bytes(made.SerializeToString(deterministic=True))


def _strip(message: Any) -> None:
    """Takes out, all the way down, what an exporter notes for its developers."""
    for name in _NOT_SERVED:
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _strip(part)


def compare(
    served: Served, model: bundle.Model, images: Sequence[bytes], tolerance: float
) -> float:
    """The largest difference between the logits of the ONNX network and of the one in torch.

    Raises:
        StepError: It is beyond the tolerance.
    """
    how, differences = model.card.preprocessing, [0.0]
    for start in range(0, len(images), _BATCH):
        batch = np.stack([bundle.pixels(image, how) for image in images[start : start + _BATCH]])
        with torch.no_grad():
            expected = served(torch.from_numpy(batch)).numpy()
        differences.append(float(np.abs(model.answer(batch) - expected).max()))
    worst = float(np.max(differences))  # no number, where one of them is none
    if worst <= tolerance:
        return worst
    message = (
        f"model.onnx answers otherwise than the network it was made from: logits of {len(images)}"
        f" validation images differ by up to {worst:.3g}, model.onnx_tolerance is {tolerance:g}"
    )
    cure = (
        "choose another backbone or another version of torch, or allow more: model.onnx_tolerance"
    )
    raise StepError(message, cure)
