"""What a model answered on a test set, and the numbers that sum it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from mlops_spec.manifest import Row


@dataclass(frozen=True)
class Scores:
    """What a model answered on a test set.

    `probabilities` has shape (images, classes), `targets` and `predictions` (images,), in the
    order of `rows`; `labels` is the order of classes.
    """

    rows: tuple[Row, ...]
    labels: tuple[str, ...]
    targets: np.ndarray
    probabilities: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """The most probable class of each image."""
        best: np.ndarray = self.probabilities.argmax(axis=1)
        return best


def measure(scores: Scores) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1 and log loss (natural logarithm)."""
    import numpy as np

    matrix = confusion(scores)
    right = matrix.diagonal()
    recall = right / np.maximum(matrix.sum(axis=1), 1)
    precision = right / np.maximum(matrix.sum(axis=0), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    known = scores.targets >= 0
    chosen = np.where(known, scores.targets, 0)
    likelihood = scores.probabilities[np.arange(len(chosen)), chosen] * known
    return {
        "accuracy": float((scores.predictions == scores.targets).mean()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
        "log_loss": float(-np.log(np.maximum(likelihood, 1e-15)).mean()),
    }


def confusion(scores: Scores) -> np.ndarray:
    """Counts of shape (true class, predicted class)."""
    import numpy as np

    matrix = np.zeros((len(scores.labels), len(scores.labels)), dtype=np.int64)
    known = scores.targets >= 0
    np.add.at(matrix, (scores.targets[known], scores.predictions[known]), 1)
    return matrix


def mistakes(scores: Scores, most: int) -> Sequence[int]:
    """Indices of wrong answers, the most confident first."""
    import numpy as np

    wrong = np.flatnonzero(scores.predictions != scores.targets)
    confidence = scores.probabilities.max(axis=1)[wrong]
    return [int(i) for i in wrong[np.argsort(-confidence, kind="stable")][:most]]
