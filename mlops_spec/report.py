"""`report.html`: one self-contained page about a model, for people."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from mlops_spec import bundle, curves, files, manifest
from mlops_spec.metrics import confidence, confusion, mistakes, per_class
from mlops_spec.rows import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_spec.bundle import Card
    from mlops_spec.manifest import Dataset
    from mlops_spec.metrics import Scores
    from mlops_spec.rows import Row

_MOST_MISTAKES = 24
_MOST_FINDINGS = 200
_GRID = 240  # pictures of a data page, shared by its classes
_A_CLASS = 6  # at most
_SIZE = 96  # pixels of a thumbnail
_TEMPLATES = Path(__file__).parent / "templates"


def render(
    scores: Scores, metrics: dict[str, Any], card: Card, data_dir: Path, bundle_dir: Path
) -> str:
    """The page: main numbers, classes, confusion matrix, mistakes with pictures, data, the spec."""
    dataset = manifest.read(data_dir)
    return _page(
        "report.html.j2",
        metrics=metrics,
        card=card,
        labels=scores.labels,
        matrix=[] if scores.multi_label else confusion(scores).tolist(),
        sheet=_sheet(bundle_dir / bundle.SHEET),
        charts=curves.charts(bundle_dir),
        size=(curves.WIDTH, curves.HEIGHT),
        classes=list(_classes(scores)),
        mistakes=list(_mistakes(scores, dataset)),
        data=_data(data_dir, dataset),
        settings=files.canonical(card.spec).decode(),
    )


def render_data(data_dir: Path) -> str:
    """A page about a prepared data set: pictures of each class, counts, sizes, findings."""
    return _page("data.html.j2", data=_data(data_dir, manifest.read(data_dir)))


def _page(template: str, **context: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**context)


def _data(data_dir: Path, dataset: Dataset) -> dict[str, Any]:
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
            yield {"path": row.path, "picture": _thumbnail(dataset.root / row.path)}


def _classes(scores: Scores) -> Iterator[dict[str, Any]]:
    each = per_class(scores)
    for i, label in enumerate(scores.labels):
        yield {"label": label, **{name: column[i] for name, column in vars(each).items()}}


def _mistakes(scores: Scores, dataset: Dataset) -> Iterator[dict[str, Any]]:
    answers, sure = scores.answers, confidence(scores)
    for i in mistakes(scores, _MOST_MISTAKES):
        row = scores.rows[i]
        yield {
            "path": row.path,
            "label": row.label or "nothing",
            "prediction": answers[i] or "nothing",
            "probability": float(sure[i]),
            "picture": _thumbnail(dataset.root / row.path),
        }


def _sheet(path: Path) -> str:
    """The contact sheet that training left beside a model, as a data URL; empty without one."""
    if not path.is_file():
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()


def _thumbnail(path: Path) -> str:
    """A small PNG of a picture as a data URL."""
    import io

    from PIL import Image

    image = bundle.open_image(path, channels=3)
    scale = _SIZE / max(image.size)
    how = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BILINEAR  # noqa: PLR2004
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), how
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
