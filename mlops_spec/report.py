"""`report.html`: one self-contained page about a model, for people."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from mlops_spec import files
from mlops_spec.metrics import confusion, mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.bundle import Card
    from mlops_spec.manifest import Dataset
    from mlops_spec.metrics import Scores

_MOST_MISTAKES = 24
_TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"


def render(scores: Scores, metrics: dict[str, Any], card: Card, dataset: Dataset) -> str:
    """The page: main numbers, classes, confusion matrix, mistakes with their pictures, the spec."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    matrix = confusion(scores)
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        metrics=metrics,
        card=card,
        labels=scores.labels,
        matrix=matrix.tolist(),
        largest=int(matrix.max()),
        classes=list(_classes(scores)),
        mistakes=list(_mistakes(scores, dataset)),
        counts={split: len(dataset.split(split)) for split in ("train", "val", "test")},
        settings=files.canonical(card.spec).decode(),
    )


def _classes(scores: Scores) -> Iterator[dict[str, Any]]:
    matrix = confusion(scores)
    for i, label in enumerate(scores.labels):
        right, true, said = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
        recall, precision = right / max(true, 1), right / max(said, 1)
        yield {"label": label, "images": true, "recall": recall, "precision": precision}


def _mistakes(scores: Scores, dataset: Dataset) -> Iterator[dict[str, Any]]:
    for i in mistakes(scores, _MOST_MISTAKES):
        row, probabilities = scores.rows[i], scores.probabilities[i]
        winner = int(probabilities.argmax())
        yield {
            "path": row.path,
            "label": row.label,
            "prediction": scores.labels[winner],
            "probability": float(probabilities[winner]),
            "picture": _thumbnail(dataset.root / row.path),
        }


def _thumbnail(path: Path) -> str:
    """A small PNG of a picture as a data URL."""
    import io

    from PIL import Image

    from mlops_spec.bundle import open_image

    image = open_image(path, channels=3)
    scale = 96 / max(image.size)
    how = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BILINEAR  # noqa: PLR2004
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), how
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
