"""What the peers compute with: eager PyTorch in float32 and Pillow, or what they are given of ours.

Both take the bytes of an image, and answer its label and probability.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from deployers.scoring.engines import Precision

SIZE, RESIZE, LABELS = 224, 256, 10
OURS = " with our engine "  # NAME with our engine PRECISION


class Eager:
    """ResNet-18 in PyTorch, on the image as torchvision prepares it."""

    def __init__(self) -> None:
        import torch

        from trainers._torch.vision import torchvision

        self.torch = torch
        self.network = torchvision.models.resnet18(num_classes=LABELS).eval()
        t = torchvision.transforms
        steps = [t.Resize(RESIZE), t.CenterCrop(SIZE), t.ToTensor()]
        self.prepare = t.Compose([*steps, t.Normalize([0.5] * 3, [0.25] * 3)])

    def picture(self, content: bytes) -> Any:
        """The bytes of an image as the network takes it."""
        from PIL import Image

        return self.prepared(Image.open(io.BytesIO(content)))

    def prepared(self, image: Image.Image) -> Any:
        """An opened image as the network takes it."""
        return self.prepare(image.convert("RGB"))

    def image(self, content: bytes) -> dict[str, Any]:
        """Answers the bytes of an image."""
        return self.answers([self.picture(content)])[0]

    def tensor(self, content: bytes | str) -> dict[str, Any]:
        """Answers pixels that the client sent as JSON, as the script of the origin does."""
        data = np.array(json.loads(content)["data"], np.float32)
        return self.answers(self.torch.from_numpy(data))[0]

    def answers(self, pictures: Any) -> list[dict[str, Any]]:
        """Label and probability of each."""
        batch = self.torch.stack([*pictures])
        with self.torch.no_grad():
            return [said(row) for row in self.network(batch).softmax(dim=1).numpy()]


class Given:
    """Our engine and preprocessing, for a peer that is given both."""

    def __init__(self, folder: Path, precision: Precision) -> None:
        from deployers.scoring import engines, quantized
        from mlops_spec import bundle

        self.bundle, self.card = bundle, bundle.read(folder)
        whole = folder / bundle.FILES[1]
        network = quantized.network(folder, folder) if precision == "int8" else whole
        self.engine = engines.named(engine()).load(network, self.card, precision)

    def picture(self, content: bytes) -> np.ndarray:
        """The bytes of an image as the network takes it."""
        return self.bundle.pixels(content, self.card.preprocessing)

    def image(self, content: bytes) -> dict[str, Any]:
        """Answers the bytes of an image."""
        return self.answers([self.picture(content)])[0]

    def answers(self, pictures: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """Label and probability of each."""
        logits = self.engine.logits(np.stack(pictures))
        found = self.bundle.activated(logits, self.card.activation, self.card.temperature)
        return [said(row) for row in found]


def engine() -> str:
    """The fastest engine that is installed, as bench/engines.py has it on a busy machine."""
    from deployers.scoring import engines
    from mlops_spec.errors import MlopsError

    try:
        engines.named("openvino").demand("fp32")
    except MlopsError:
        return "onnxruntime"
    return "openvino"


def computing(name: str, folder: Path) -> Eager | Given:
    """What a peer of this name computes with."""
    _, given, precision = name.partition(OURS)
    return Given(folder, cast("Precision", precision)) if given else Eager()


def here() -> Eager | Given:
    """The same, of a peer that a program of its own starts: the environment says which."""
    return computing(os.environ["PEER"], Path(os.environ["BUNDLE"]))


def said(row: np.ndarray) -> dict[str, Any]:
    """The most probable label of one image."""
    best = int(row.argmax())
    return {"label": str(best), "probability": float(row[best])}
