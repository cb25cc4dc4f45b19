"""Judging a bundle on a test set: metrics, predictions and a report.

The bundle is all that is judged, through the preprocessing and the engine that serve it later; the
code that trained it is not needed, so that no trainer can be measured one way and served another.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from mlops_spec import bundle, files, manifest
from mlops_spec.errors import MlopsError
from mlops_spec.metrics import Scores, confidence, measure

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.manifest import Dataset


def evaluate(data_dir: Path, bundle_dir: Path, out_dir: Path, batch_size: int) -> dict[str, Any]:
    """Judges a bundle on the test split; writes metrics.json, predictions.csv and report.html.

    Returns:
        The metrics.
    """
    dataset, model = manifest.read(data_dir), bundle.load(bundle_dir)
    scores = score(dataset, model, batch_size)
    numbers = {**measure(scores), "test_images": len(scores.rows)}
    test_digest = manifest.digest(scores.rows)
    files.write_json(out_dir / "metrics.json", {**numbers, "test_digest": test_digest})
    files.write_text(out_dir / "predictions.csv", _table(scores))
    from mlops_spec import report

    files.write_text(
        out_dir / "report.html", report.render(scores, numbers, model.card, data_dir, bundle_dir)
    )
    return numbers


def score(dataset: Dataset, model: bundle.Model, batch_size: int) -> Scores:
    """Asks a model about every test image, in the manifest's order."""
    import numpy as np

    rows, labels = dataset.split("test"), model.card.labels
    several = model.card.activation == "sigmoid"
    if several != dataset.multi_label:
        has = "any number of labels" if several else "one label"
        message = f"the model gives an image {has}, and the data set another number"
        raise MlopsError(message, "train a model on this data set: choose another registered_model")
    starts = range(0, len(rows), batch_size)
    batches = ([dataset.content(row) for row in rows[i : i + batch_size]] for i in starts)
    probabilities = np.concatenate([model.probabilities(batch) for batch in batches])
    # A class that the model never met can not be answered right.
    targets = manifest.targets(rows, labels, multi_label=several)
    return Scores(rows, labels, targets, probabilities)


def _table(scores: Scores) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "sha256", "label", "prediction", "probability"))
    for row, answer, sure in zip(scores.rows, scores.answers, confidence(scores), strict=True):
        writer.writerow((row.path, row.sha256, row.label, answer, f"{sure:.6f}"))
    return text.getvalue()
