"""What a model answered on a test set, and the numbers that sum it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import bundle
from mlops_spec.rows import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from mlops_spec.rows import Row

_LEAST = 1e-15  # a probability; its logarithm is finite


@dataclass(frozen=True)
class Scores:
    """What a model answered on a test set.

    Attributes:
        rows: The images.
        labels: The order of classes.
        targets: Class indices (N), -1 for a class that the model never met; where images may have
            several labels, 0 and 1 (N, classes).
        probabilities: (N, classes).
    """

    rows: Sequence[Row]
    labels: tuple[str, ...]
    targets: np.ndarray
    probabilities: np.ndarray

    @property
    def multi_label(self) -> bool:
        """Whether images may have several labels, or none."""
        return self.targets.ndim > 1

    @property
    def predictions(self) -> np.ndarray:
        """The most probable class of each image (N)."""
        best: np.ndarray = self.probabilities.argmax(axis=1)
        return best

    @property
    def answers(self) -> list[str]:
        """For each image the predicted label, or labels, as a row of the manifest has them."""
        if self.multi_label:
            said = (bundle.answered(self.labels, each) for each in self.probabilities)
            return [SEPARATOR.join(labels) for labels in said]
        return [self.labels[winner] for winner in self.predictions]

    @property
    def right(self) -> np.ndarray:
        """Whether each image is answered right; of several labels all must be (N)."""
        import numpy as np

        pairs = zip(self.rows, self.answers, strict=True)
        return np.array([row.label == answer for row, answer in pairs], bool)

    @property
    def said(self) -> np.ndarray:
        """Whether each class was answered for each image (N, classes)."""
        import numpy as np

        if self.multi_label:
            return np.asarray(bundle.likely(self.probabilities))
        return np.asarray(np.eye(len(self.labels), dtype=bool)[self.predictions])

    @property
    def true(self) -> np.ndarray:
        """Whether each image has each class (N, classes), none that the model never met."""
        import numpy as np

        if self.multi_label:
            return self.targets > 0
        return np.asarray(np.arange(len(self.labels)) == self.targets[:, None])


@dataclass(frozen=True)
class PerClass:
    """Numbers of each class (classes)."""

    images: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    f1: np.ndarray


def per_class(scores: Scores) -> PerClass:
    """How well each class is found; 0 where there is nothing to find, or nothing was."""
    import numpy as np

    true, said = scores.true, scores.said
    images, right = true.sum(axis=0), (true & said).sum(axis=0)
    recall = right / np.maximum(images, 1)
    precision = right / np.maximum(said.sum(axis=0), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return PerClass(images, recall, precision, f1)


def measure(scores: Scores) -> dict[str, float]:
    """The numbers of a test set.

    Accuracy, macro F1 and log loss (natural logarithm), and balanced accuracy. Where images may
    have several labels an image is right when all of them are, log loss is the mean over classes
    too, and instead of balanced accuracy there are micro F1 and mean average precision.
    """
    import numpy as np

    each, true, p = per_class(scores), scores.true, scores.probabilities
    found = {"accuracy": scores.right.mean()}
    if scores.multi_label:
        found["macro_f1"] = each.f1.mean()
        both, either = (true & scores.said).sum(), true.sum() + scores.said.sum()
        found["micro_f1"] = 2 * both / max(either, 1)
        found["mean_average_precision"] = np.mean([*map(average_precision, true.T, p.T)])
        likelihood = np.where(true, p, 1 - p)
    else:
        found["balanced_accuracy"] = each.recall.mean()
        found["macro_f1"] = each.f1.mean()
        likelihood = (p * true).sum(axis=1)
    found["log_loss"] = -np.log(np.maximum(likelihood, _LEAST)).mean()
    return {name: float(number) for name, number in found.items()}


def average_precision(true: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean precision at the rank of each image that has the class; 0 where none has it.

    Images that are thought of alike have one rank.

    Args:
        true: Whether each image has the class (N).
        probabilities: What the model thinks of it (N).
    """
    import numpy as np

    order = np.argsort(-probabilities, kind="stable")
    ranked, found = probabilities[order], np.cumsum(true[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each run of equals
    gained = np.diff(found[last], prepend=0)
    return float((gained * found[last] / (last + 1)).sum() / max(found[-1], 1))


def confusion(scores: Scores) -> np.ndarray:
    """Counts of shape (true class, predicted class) where each image has one label."""
    import numpy as np

    matrix = np.zeros((len(scores.labels), len(scores.labels)), dtype=np.int64)
    known = scores.targets >= 0
    np.add.at(matrix, (scores.targets[known], scores.predictions[known]), 1)
    return matrix


def mistakes(scores: Scores, most: int) -> Sequence[int]:
    """Indices of wrong answers, the most confident first."""
    import numpy as np

    wrong = np.flatnonzero(~scores.right)
    order = np.argsort(-confidence(scores)[wrong], kind="stable")
    return [int(i) for i in wrong[order][:most]]


def confidence(scores: Scores) -> np.ndarray:
    """How sure each answer is (N): its probability, of several labels that of the least sure."""
    import numpy as np

    p = scores.probabilities
    return np.asarray(np.maximum(p, 1 - p).min(axis=1) if scores.multi_label else p.max(axis=1))
