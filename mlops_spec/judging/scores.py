"""What a model answered on a test set, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mlops_spec import bundle
from mlops_spec.errors import MlopsError
from mlops_spec.rows import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from mlops_spec.rows import Row


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

    @cached_property
    def predictions(self) -> np.ndarray:
        """The most probable class of each image (N)."""
        best: np.ndarray = self.probabilities.argmax(axis=1)
        return best

    @cached_property
    def answers(self) -> list[str]:
        """For each image the predicted label, or labels, as a row of the manifest has them."""
        if self.multi_label:
            said = (bundle.answered(self.labels, each) for each in self.probabilities)
            return [SEPARATOR.join(sorted(labels)) for labels in said]
        return [self.labels[winner] for winner in self.predictions]

    @cached_property
    def right(self) -> np.ndarray:
        """Whether each image is answered right; of several labels all must be (N)."""
        import numpy as np

        pairs = zip(self.rows, self.answers, strict=True)
        return np.array([row.label == answer for row, answer in pairs], bool)

    @cached_property
    def said(self) -> np.ndarray:
        """Whether each class was answered for each image (N, classes)."""
        import numpy as np

        if self.multi_label:
            return np.asarray(bundle.likely(self.probabilities))
        return np.asarray(np.arange(len(self.labels)) == self.predictions[:, None])

    @cached_property
    def true(self) -> np.ndarray:
        """Whether each image has each class (N, classes), none that the model never met."""
        import numpy as np

        if self.multi_label:
            return self.targets > 0
        return np.asarray(np.arange(len(self.labels)) == self.targets[:, None])


def finite(logits: np.ndarray, rows: Sequence[Row], made: str = "") -> np.ndarray:
    """The same logits (N, classes), all of which are numbers.

    Args:
        logits: What a model answered.
        rows: The images that it was asked about.
        made: How they were changed before, if they were.

    Raises:
        MlopsError: It answered something else.
    """
    import numpy as np

    wrong = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(wrong):
        first = rows[int(wrong[0])].path
        message = f"the model answers no number for {len(wrong)} images{made}, {first} first"
        raise MlopsError(message, "look at its training: lower training.lr, training.precision")
    return logits


def decisions(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """What calibration is about: how sure each decision is, and whether it is right.

    One decision an image (N, 1), of several labels one for each of them (N, classes).
    """
    import numpy as np

    p = scores.probabilities
    if scores.multi_label:
        return np.maximum(p, 1 - p), scores.said == scores.true
    return p.max(axis=1, keepdims=True), scores.right[:, None]


def mistakes(scores: Scores, most: int) -> Sequence[int]:
    """Indices of wrong answers, the most confident first."""
    import numpy as np

    wrong = np.flatnonzero(~scores.right)
    order = np.argsort(-confidence(scores)[wrong], kind="stable")
    return [int(i) for i in wrong[order][:most]]


def doubtful(scores: Scores, most: int) -> Sequence[int]:
    """Indices of right answers, the least confident first."""
    import numpy as np

    right = np.flatnonzero(scores.right)
    order = np.argsort(confidence(scores)[right], kind="stable")
    return [int(i) for i in right[order][:most]]


def confidence(scores: Scores) -> np.ndarray:
    """How sure each answer is (N): its probability, of several labels that of the least sure."""
    import numpy as np

    p = scores.probabilities
    return np.asarray(np.maximum(p, 1 - p).min(axis=1) if scores.multi_label else p.max(axis=1))
