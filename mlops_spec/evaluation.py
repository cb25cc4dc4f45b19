"""Judging a bundle on a test set: metrics, predictions and a report.

The bundle is all that is judged, through the preprocessing and the engine that serve it later; the
code that trained it is not needed, so that no trainer can be measured one way and served another.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from mlops_spec import bundle, files, manifest
from mlops_spec.metrics import Scores, measure

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

    files.write_text(out_dir / "report.html", report.render(scores, numbers, model.card, data_dir))
    return numbers


def score(dataset: Dataset, model: bundle.Model, batch_size: int) -> Scores:
    """Asks a model about every test image, in the manifest's order."""
    import numpy as np

    rows = dataset.split("test")
    starts = range(0, len(rows), batch_size)
    batches = ([dataset.content(row) for row in rows[i : i + batch_size]] for i in starts)
    logits = np.concatenate([model.logits(batch) for batch in batches])
    labels = model.card.labels
    index = {label: i for i, label in enumerate(labels)}
    # A class that the model never met can not be answered right; -1 matches no prediction.
    targets = np.array([index.get(row.label, -1) for row in rows])
    return Scores(tuple(rows), labels, targets, bundle.softmax(logits))


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
