"""ONNX Runtime on the CPU, float32: what judged the model, everywhere there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import bundle

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from mlops_spec.card import Card


@dataclass(frozen=True)
class Engine:
    """The bundle's network."""

    model: bundle.Model

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """Logits (N, classes) of pictures (N, H, W, C)."""
        return self.model.answer(pictures)


def load(folder: Path, card: Card) -> Engine:
    """Opens the network of a bundle whose card is known."""
    return Engine(bundle.opened(folder, card))
