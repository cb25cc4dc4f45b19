"""Parts of a test set by what else is known of its images: a camera, a hospital, a season.

`slices.csv` beside a manifest holds columns that a data set's table had and that a spec asked for.
A model that is right on the whole may be wrong on one of its parts.
"""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any

from mlops_spec import files
from mlops_spec.judging.metrics import sampled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops_spec.judging.scores import Scores
    from mlops_spec.manifest import Dataset
    from mlops_spec.rows import Rows

FILE = "slices.csv"
_MOST = 50  # values of a column, the most frequent ones
_Z = 1.959964  # of the middle 95 % of a normal distribution


def write(
    folder: Path, dataset: Dataset, columns: Sequence[str], values: Mapping[str, Sequence[str]]
) -> None:
    """Records what else is known of the images, by which a model is judged too.

    Args:
        folder: The prepared data set.
        dataset: The same.
        columns: What is known; nothing is written where it is nothing.
        values: Path of an image -> a value for each column.
    """
    (folder / FILE).unlink(missing_ok=True)
    if not columns:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", *columns))
    writer.writerows((row.path, *values[row.path]) for row in dataset.rows)
    files.write_text(folder / FILE, text.getvalue())


def read(folder: Path, rows: Rows) -> dict[str, list[str]]:
    """Column -> its value for each of some rows; no column where none was recorded."""
    path = folder / FILE
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        columns = next(lines)[1:]
        known = {cells[0]: cells[1:] for cells in lines}
    found = [known[row.path] for row in rows]
    return {name: [cells[i] for cells in found] for i, name in enumerate(columns)}


def measure(scores: Scores, columns: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    """The metrics of each part, the largest parts of a column first, and not all of very many.

    Args:
        scores: What was answered about the test set.
        columns: Name -> its value for each test image.
    """
    import numpy as np

    for column, cells in columns.items():
        values, place, counts = np.unique([*cells], return_inverse=True, return_counts=True)
        largest = np.argsort(-counts, kind="stable")[:_MOST]
        inside = (place == largest[:, None]).astype(float)
        found = sampled(scores, inside)
        for number, i in enumerate(largest):
            images = int(counts[i])
            metrics = {name: float(numbers[number]) for name, numbers in found.items()}
            yield {
                "column": column,
                "value": str(values[i]),
                "values": len(values),
                "images": images,
                "interval": wilson(metrics["accuracy"], images),
                "metrics": metrics,
            }


def wilson(share: float, count: int) -> tuple[float, float]:
    """Where a share is with 95 % certainty, of few images too.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    1927.
    """
    square = _Z**2 / count
    middle = (share + square / 2) / (1 + square)
    spread = _Z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(middle - spread, 0.0), min(middle + spread, 1.0)
