"""Judging a bundle on a test set: metrics with intervals, and every answer.

The bundle is all that is judged, through the preprocessing and the engine that serve it later; the
code that trained it is not needed, so that no trainer can be measured one way and served another.

    metrics.json     what was measured
    predictions.csv  an image a line: path, sha256, label, prediction, probability
    logits.npy       float32 (images, classes), in the order of predictions.csv and of `labels`
"""

from __future__ import annotations

import csv
import io
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_spec import bundle, files, learned, manifest
from mlops_spec.bundle import activated
from mlops_spec.calibration import UNFITTED
from mlops_spec.errors import MlopsError
from mlops_spec.judging import bootstrap, corruptions, cost, metrics, slices
from mlops_spec.judging.scores import Scores, confidence, decisions, finite
from mlops_spec.judging.slices import wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import numpy as np

    from mlops_spec.card import Activation, Card
    from mlops_spec.manifest import Dataset
    from mlops_spec.rows import Rows

T = TypeVar("T")
U = TypeVar("U")

_LEAST = 1e-7  # a probability that a baseline may give


@dataclass(frozen=True)
class Asked:
    """What was asked of a model, and what its logits mean.

    Attributes:
        labels: The order of classes.
        activation: How many of them an image has: one (softmax), or any number (sigmoid).
        top_k: The k of top-k accuracy.
        temperature: What logits are divided by.
    """

    labels: tuple[str, ...]
    activation: Activation
    top_k: int
    temperature: float = UNFITTED


@dataclass(frozen=True)
class How:
    """How a bundle is judged.

    Attributes:
        batch_size: Images that are answered at a time; it changes no answer.
        top_k: The k of top-k accuracy.
        robustness: Test images that are also asked about when they were made worse; 0 for none.
    """

    batch_size: int
    top_k: int
    robustness: int = 0


def evaluate(data_dir: Path, bundle_dir: Path, out_dir: Path, how: How) -> dict[str, Any]:
    """Judges a bundle on the test split.

    Args:
        data_dir: The prepared data set.
        bundle_dir: The model.
        out_dir: Where the three files go.
        how: What is asked, and how many images at a time.

    Returns:
        The metrics.

    Raises:
        MlopsError: The model and the data set do not belong together, or an answer is no number.
    """
    dataset, model = manifest.read(data_dir), bundle.load(bundle_dir)
    check_kind(dataset, model.card)
    card, logits = model.card, answers(dataset, model, how.batch_size)
    asked = Asked(card.labels, card.activation, how.top_k, card.temperature)
    scores = scored(dataset.split("test"), logits, asked)
    more = {
        "bundle_digest": bundle.digest(bundle_dir),
        "learned": _learned(dataset, card, bundle_dir),
        "cost": cost.measure(dataset, model, bundle_dir),
        "slices": [*slices.measure(scores, slices.read(data_dir, dataset.split("test")))],
        "robustness": [*corruptions.judge(dataset, model, scores, how.robustness)],
    }
    return write(out_dir, scores, logits, asked, more)


def write(
    out_dir: Path, scores: Scores, logits: np.ndarray, asked: Asked, more: dict[str, Any]
) -> dict[str, Any]:
    """Records what was answered about the test split, and what that is worth.

    Args:
        out_dir: Where the three files go.
        scores: What was answered.
        logits: The same before it became probabilities (N, classes).
        asked: What they mean.
        more: Sections of metrics.json that are about more than answers.

    Returns:
        The metrics.
    """
    import numpy as np

    measured = metrics.measure(scores, asked.top_k)
    intervals = bootstrap.intervals(bootstrap.draw(scores, asked.top_k), measured)
    document = {
        "test_digest": manifest.digest(scores.rows),
        "test_images": len(scores.rows),
        "labels": list(asked.labels),
        "activation": asked.activation,
        "top_k": asked.top_k,
        "temperature": asked.temperature,
        **more,
        "metrics": measured,
        "interval_level": bootstrap.LEVEL,
        "intervals": {**intervals, **_shares(measured, len(scores.rows))},
        "classes": list(_classes(scores)),
        "calibration": list(_calibration(scores)),
    }
    files.write_json(out_dir / "metrics.json", document)
    files.write_text(out_dir / "predictions.csv", _table(scores))
    content = io.BytesIO()
    np.save(content, logits.astype(np.float32), allow_pickle=False)
    files.write_bytes(out_dir / "logits.npy", content.getvalue())
    return {**measured, "test_images": len(scores.rows)}


def baseline(
    dataset: Dataset, probabilities: np.ndarray, out_dir: Path, top_k: int
) -> dict[str, Any]:
    """Judges what something that is no bundle answered on the test split.

    Args:
        dataset: The prepared data set.
        probabilities: Of the test images (N, classes), in the order of the data set's classes.
        out_dir: Where the three files go.
        top_k: The k of top-k accuracy.

    Returns:
        The metrics.

    Raises:
        MlopsError: They are not a probability of each class for each image.
    """
    import numpy as np

    shape = (len(dataset.split("test")), len(dataset.classes))
    if probabilities.shape != shape or not np.isfinite(probabilities).all():
        message = f"the benchmark answers numbers of shape {probabilities.shape}, and asked for"
        message += f" are finite ones of shape {shape}: (test images, classes)"
        raise MlopsError(message, "look at `predict` of its kind")
    p = np.clip(probabilities, _LEAST, 1 - _LEAST)
    several = dataset.multi_label
    logits = np.log(p / (1 - p)) if several else np.log(p)
    asked = Asked(dataset.classes, "sigmoid" if several else "softmax", top_k)
    scores = scored(dataset.split("test"), logits, asked)
    return write(out_dir, scores, logits, asked, {"learned": []})


def answers(dataset: Dataset, model: bundle.Model, batch_size: int) -> np.ndarray:
    """Logits of every test image (N, classes), float32, in the manifest's order.

    Raises:
        MlopsError: An answer is no number.
    """
    import numpy as np

    rows = dataset.split("test")
    starts = range(0, len(rows), batch_size)

    def pictures(start: int) -> np.ndarray:
        contents = (dataset.content(row) for row in rows[start : start + batch_size])
        return np.stack([bundle.pixels(one, model.card.preprocessing) for one in contents])

    found = [model.answer(batch) for batch in _ahead(pictures, starts)]
    return finite(np.concatenate(found).astype(np.float32), rows)


def _ahead(make: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """What is made of items, in order, each while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        coming: Future[U] | None = None
        for item in items:
            ready, coming = coming, pool.submit(make, item)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()


def check_kind(dataset: Dataset, card: Card) -> None:
    """Refuses a model that gives an image one label where it may have several, or the reverse.

    Raises:
        MlopsError: It does.
    """
    several = card.activation == "sigmoid"
    if several != dataset.multi_label:
        has = "any number of labels" if several else "one label"
        message = f"the model gives an image {has}, and the data set another number"
        raise MlopsError(message, "train a model on this data set: choose another registered_model")


def scored(rows: Rows, logits: np.ndarray, asked: Asked) -> Scores:
    """What logits of the test images say (N, classes)."""
    # A class that the model never met can not be answered right.
    targets = manifest.targets(rows, asked.labels, multi_label=asked.activation == "sigmoid")
    probabilities = activated(logits, asked.activation, asked.temperature)
    return Scores(rows, asked.labels, targets, probabilities)


def read(folder: Path, rows: Rows) -> Scores:
    """What was answered, without asking again.

    Args:
        folder: What `evaluate` wrote.
        rows: The test images.
    """
    import numpy as np

    known = files.read_json(folder / "metrics.json")
    logits = np.load(folder / "logits.npy", allow_pickle=False)
    names = ("activation", "top_k", "temperature")
    return scored(rows, logits, Asked(tuple(known["labels"]), *(known[name] for name in names)))


def _classes(scores: Scores) -> Iterator[dict[str, Any]]:
    each = metrics.per_class(scores)
    curves = metrics.ranked(scores) if scores.multi_label else []
    for i, label in enumerate(scores.labels):
        numbers = {
            "images": int(each.images[i]),
            "recall": float(each.recall[i]),
            "precision": float(each.precision[i]),
            "f1": float(each.f1[i]),
        }
        if curves:
            numbers["roc_auc"] = metrics.roc_auc(*curves[i])
            numbers["average_precision"] = metrics.average_precision(*curves[i])
        yield {"label": label, **numbers}


def _calibration(scores: Scores) -> Iterator[dict[str, float]]:
    """For each bin of confidence that has any: how sure decisions are, and how often right."""
    sure, right = (array.ravel() for array in decisions(scores))
    place = metrics.bin_of(sure)
    for number in range(metrics.BINS):
        inside = place == number
        if inside.any():
            yield {
                "confidence": float(sure[inside].mean()),
                "accuracy": float(right[inside].mean()),
                "decisions": int(inside.sum()),
            }


def _learned(dataset: Dataset, card: Card, bundle_dir: Path) -> list[int] | None:
    """Which test images the model was trained on, by position; none where nobody knows."""
    if card.data_digest == dataset.digest and not (bundle_dir / learned.FILE).exists():
        return []
    return learned.among(bundle_dir, dataset.split("test"))


def _shares(measured: Mapping[str, float], images: int) -> bootstrap.Intervals:
    """Intervals of what is a share of images: samples of a test set without mistakes have none."""
    names = measured.keys() & {"accuracy", "top_k_accuracy"}
    return {name: wilson(measured[name], images) for name in names}


def _table(scores: Scores) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "sha256", "label", "prediction", "probability"))
    for row, answer, sure in zip(scores.rows, scores.answers, confidence(scores), strict=True):
        writer.writerow((row.path, row.sha256, row.label, answer, f"{sure:.6f}"))
    return text.getvalue()
