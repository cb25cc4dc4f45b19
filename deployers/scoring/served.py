"""What is served: a bundle, opened once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deployers.scoring import choice, wire
from mlops_spec import bundle, lineage

if TYPE_CHECKING:
    from pathlib import Path

    from deployers.scoring.engines import Engine
    from deployers.scoring.settings import Serving
    from mlops_spec.card import Card


@dataclass(frozen=True)
class Served:
    """A model that is ready to answer.

    Attributes:
        name: Of the registered model.
        version: Of the same.
        digest: Of its network and weights.
        card: The bundle's.
        chosen: What computes, and why it does.
        registered: When it was, in UTC; empty of a bundle that never was.
    """

    name: str
    version: str
    digest: str
    card: Card
    chosen: choice.Choice
    registered: str = ""

    @property
    def engine(self) -> Engine:
        """What computes."""
        return self.chosen.engine

    def named(self) -> dict[str, str]:
        """Which model it is."""
        return {"name": self.name, "version": self.version, "digest": self.digest}

    def blank(self, images: int) -> np.ndarray:
        """Black pictures, for a network to get warm by (images, H, W, C)."""
        how = self.card.preprocessing
        return np.zeros((images, how.input_size, how.input_size, how.channels), np.uint8)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of logits (N, classes)."""
        return bundle.activated(logits, self.card.activation, self.card.temperature)

    def document(self, probabilities: np.ndarray, top: int) -> dict[str, Any]:
        """What a request is answered, given its images' probabilities in order (N, classes)."""
        answer = wire.answer(self.card, probabilities, top)
        return {"model": self.named(), "predictions": answer}


def load(folder: Path, name: str, version: str, how: Serving, int8: Path | None = None) -> Served:
    """Opens a bundle, and the folder of its int8 network if it is asked for.

    Raises:
        MlopsError: It is none, or was changed, or no engine computes it as the settings ask.
    """
    card = bundle.read(folder)
    chosen = choice.choose(folder, card, how, int8)
    known = lineage.read(folder / lineage.FILE) if (folder / lineage.FILE).exists() else None
    registered = known.registered if known else ""
    return Served(name, version, bundle.digest(folder), card, chosen, registered)
