"""What computes: each module here opens a bundle's network, and answers pictures by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Engine(Protocol):
    """A network that is ready."""

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """Logits (N, classes), float32, of pictures: uint8 (N, H, W, C)."""
        ...
