"""Judging a bundle on a test set: metrics, predictions and a report.

The bundle is all that is judged, through the preprocessing and the engine that serve it later; the
code that trained it is not needed, so that no trainer can be measured one way and served another.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_spec import bundle, files, manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from mlops_spec.manifest import Dataset, Row


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


def evaluate(data_dir: Path, bundle_dir: Path, out_dir: Path, batch_size: int) -> dict[str, Any]:
    """Judges a bundle on the test split; writes metrics.json, predictions.csv and report.html.

    Returns:
        The metrics.
    """
    dataset, model = manifest.read(data_dir), bundle.load(bundle_dir)
    scores = score(dataset, model, batch_size)
    metrics = {**measure(scores), "test_images": len(scores.rows)}
    test_digest = manifest.digest(scores.rows)
    files.write_json(out_dir / "metrics.json", {**metrics, "test_digest": test_digest})
    files.write_text(out_dir / "predictions.csv", _table(scores))
    from mlops_spec import report

    files.write_text(out_dir / "report.html", report.render(scores, metrics, model.card, dataset))
    return metrics


def score(dataset: Dataset, model: bundle.Model, batch_size: int) -> Scores:
    """Asks a model about every test image, in the manifest's order."""
    import numpy as np

    rows = dataset.split("test")
    logits = np.concatenate(list(model.batches(dataset.paths(rows), batch_size)))
    labels = model.card.labels
    index = {label: i for i, label in enumerate(labels)}
    # A class that the model never met can not be answered right; -1 matches no prediction.
    targets = np.array([index.get(row.label, -1) for row in rows])
    return Scores(tuple(rows), labels, targets, bundle.softmax(logits))


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


def _table(scores: Scores) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "sha256", "label", "prediction", "probability"))
    predictions = scores.predictions
    for row, winner, probabilities in zip(
        scores.rows, predictions, scores.probabilities, strict=True
    ):
        answer = (scores.labels[winner], f"{probabilities[winner]:.6f}")
        writer.writerow((row.path, row.sha256, row.label, *answer))
    return text.getvalue()


def mistakes(scores: Scores, most: int) -> Sequence[int]:
    """Indices of wrong answers, the most confident first."""
    import numpy as np

    wrong = np.flatnonzero(scores.predictions != scores.targets)
    confidence = scores.probabilities.max(axis=1)[wrong]
    return [int(i) for i in wrong[np.argsort(-confidence, kind="stable")][:most]]
