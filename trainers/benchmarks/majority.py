"""`benchmark.kind: majority`: always answer the most frequent class of the training split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mlops_spec.spec import OpenSection

if TYPE_CHECKING:
    import numpy as np

    from mlops_spec.manifest import Dataset


class Spec(OpenSection):
    """No settings."""

    kind: Literal["majority"]


def predict(_spec: Spec, dataset: Dataset) -> np.ndarray:
    """How frequent each class is in the training split, whatever the image (N, classes)."""
    import numpy as np

    targets = dataset.targets(dataset.split("train"))
    several = dataset.multi_label
    classes = range(len(dataset.classes))
    shares = targets.mean(axis=0) if several else [(targets == i).mean() for i in classes]
    return np.tile(np.asarray(shares, np.float64), (len(dataset.split("test")), 1))
