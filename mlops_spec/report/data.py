"""The part of a page that is about a prepared data set."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from mlops_spec import manifest
from mlops_spec.report.pictures import thumbnail
from mlops_spec.rows import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlops_spec.manifest import Dataset
    from mlops_spec.rows import Row

_MOST_FINDINGS = 200
_GRID = 240  # pictures, shared by the classes
_A_CLASS = 6  # at most


def section(data_dir: Path, dataset: Dataset) -> dict[str, Any]:
    """Pictures of each class, counts, sizes, findings."""
    summary = manifest.summary(data_dir)
    a_class = max(1, min(_A_CLASS, _GRID // len(dataset.classes)))
    by_label: dict[str, list[Row]] = {label: [] for label in dataset.classes}
    for row in dataset.split("train"):
        for label in dataset.labels(row):
            by_label[label].append(row)
    return {
        **summary,
        "sizes": {split: len(dataset.split(split)) for split in SPLITS},
        "most_findings": _MOST_FINDINGS,
        "grid": {
            label: list(_pictures(_some(rows, a_class), dataset)) if number < _GRID else []
            for number, (label, rows) in enumerate(by_label.items())
        },
    }


def _some(rows: Sequence[Row], most: int) -> Sequence[Row]:
    """At most so many rows, from all over the sequence."""
    return rows[:: max(1, len(rows) // most)][:most]


def _pictures(rows: Sequence[Row], dataset: Dataset) -> Iterator[dict[str, str]]:
    """Thumbnails; a kind's images that are no picture files have none."""
    for row in rows:
        with contextlib.suppress(OSError, ValueError, SyntaxError):
            yield {"path": row.path, "picture": thumbnail(dataset.root / row.path)}
