"""`benchmark.kind: majority`: always answer the most frequent class of the training split."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from mlops_spec.spec import OpenSection

if TYPE_CHECKING:
    from mlops_spec.manifest import Dataset


class Spec(OpenSection):
    """No settings."""

    kind: Literal["majority"]


def score(_spec: Spec, dataset: Dataset) -> dict[str, float]:
    """Accuracy on the test split."""
    trained = Counter(row.label for row in dataset.split("train"))
    answer = max(sorted(trained), key=trained.__getitem__)
    test = dataset.split("test")
    return {"accuracy": sum(row.label == answer for row in test) / len(test)}
