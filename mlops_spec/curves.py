"""How a training went, epoch by epoch: a small table beside a model, and its charts."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILE = "history.csv"  # in a bundle's folder, for people: it is no part of the model
COLUMNS = ("epoch", "train_loss", "val_loss", "val_accuracy", "learning")
WIDTH, HEIGHT = 480, 180  # of a chart, pixels


@dataclass(frozen=True)
class Chart:
    """A chart: lines by name as points of an SVG, what its edges stand for, and marks.

    Attributes:
        lines: Name of a line -> its points.
        least: The value at the lower edge.
        most: The value at the upper edge.
        marks: Where the share of weights that learn changes, pixels from the left.
    """

    lines: dict[str, str]
    least: float
    most: float
    marks: tuple[float, ...]


def write(folder: Path, epochs: Sequence[Sequence[float]]) -> None:
    """Keeps a row of `COLUMNS` for each epoch."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(epochs)
    files.write_text(folder / FILE, text.getvalue())


def charts(folder: Path) -> dict[str, Chart]:
    """The losses and the accuracy of a training; nothing where there are no two epochs."""
    path = folder / FILE
    if not path.is_file():
        return {}
    rows = [*csv.DictReader(path.read_text("utf-8").splitlines())]
    known = {name: [float(row[name]) for row in rows] for name in COLUMNS}
    if len(rows) < 2:  # noqa: PLR2004 - a line has two ends
        return {}
    marks = _changes(known["learning"])
    return {
        "loss": _chart(known, ("train_loss", "val_loss"), marks),
        "accuracy": _chart(known, ("val_accuracy",), marks),
    }


def _chart(known: dict[str, list[float]], names: Sequence[str], marks: tuple[float, ...]) -> Chart:
    values = [value for name in names for value in known[name]]
    least, most = min(values), max(values)
    lines = {name: _points(known[name], least, (most - least) or 1.0) for name in names}
    return Chart(lines, least, most, marks)


def _points(values: Sequence[float], least: float, height: float) -> str:
    step = WIDTH / (len(values) - 1)
    pairs = ((i * step, HEIGHT * (1 - (v - least) / height)) for i, v in enumerate(values))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _changes(learning: Sequence[float]) -> tuple[float, ...]:
    step = WIDTH / (len(learning) - 1)
    return tuple(i * step for i in range(1, len(learning)) if learning[i] != learning[i - 1])
