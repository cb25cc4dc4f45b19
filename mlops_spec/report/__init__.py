"""What people read about a model: `report.html`, one self-contained page, and `model_card.md`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from mlops_spec import bundle, curves, files, manifest
from mlops_spec.judging import bootstrap, evaluation
from mlops_spec.report import answers, charts, data, pictures
from mlops_spec.spec import leaves

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_spec.judging.scores import Scores
    from mlops_spec.report.answers import Attention
    from mlops_spec.rows import Rows

PAGE, CARD = "report.html", "model_card.md"
_TEMPLATES = Path(__file__).parent
_MANY_CLASSES, _MANY_ROWS = 200, 25  # tables of more are folded: of metrics, of data
_LOWER_IS_BETTER = ("log_loss", "brier", "calibration_error")
_WORDS = {
    "promote": "Promoted",
    "reject": "Rejected",
    "insufficient": "Not enough evidence",
}


@dataclass(frozen=True)
class Inputs:
    """What a report is made from.

    Attributes:
        data: The prepared data set.
        bundle: The model.
        evaluation: How it was judged.
        verdict: What the gate said.
        settings: The part of the spec that is about the model.
        champion: How the champion was judged, if there is one.
        benchmark: How the benchmark was judged, if there is one.
        origins: Where each setting was written.
        seconds: How long the steps before took.
        attention: What draws where the network looked, if its trainer can tell.
    """

    data: Path
    bundle: Path
    evaluation: Path
    verdict: Path
    settings: dict[str, Any]
    champion: Path | None = None
    benchmark: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    attention: Attention | None = None


def write(found: Inputs, out_dir: Path) -> None:
    """Writes the page and the card."""
    known = _known(found)
    files.write_text(out_dir / CARD, _rendered("model_card.md.j2", known, autoescape=False))
    dataset = manifest.read(found.data)
    card = bundle.read(found.bundle)
    gallery = answers.Gallery(known["scores"], dataset, card.preprocessing, found.attention)
    page = {
        **known,
        "charts": curves.charts(found.bundle),
        "size": (curves.WIDTH, curves.HEIGHT),
        "reliability": charts.reliability(known["measured"]["calibration"]),
        "curves": charts.curves(known["scores"]),
        "matrix": answers.matrix(known["scores"]),
        "mistakes": gallery.mistakes(),
        "doubtful": gallery.doubtful(),
        "pairs": gallery.pairs(),
        "sheet": pictures.sheet(found.bundle / bundle.SHEET),
    }
    files.write_text(out_dir / PAGE, _rendered("report.html.j2", page))


def render_data(data_dir: Path) -> str:
    """A page about a prepared data set: pictures of each class, counts, sizes, findings."""
    dataset = manifest.read(data_dir)
    return _rendered("data.html.j2", {"data": data.section(data_dir, dataset)})


def _known(found: Inputs) -> dict[str, Any]:
    """What page and card have in common."""
    dataset, card = manifest.read(found.data), bundle.read(found.bundle)
    rows = dataset.split("test")
    measured = files.read_json(found.evaluation / "metrics.json")
    scores = evaluation.read(found.evaluation, rows)
    given = {"champion": found.champion, "benchmark": found.benchmark}
    others = {name: folder for name, folder in given.items() if folder}
    return {
        "settings": found.settings,
        "card": card,
        "labels": scores.labels,
        "measured": measured,
        "scores": scores,
        "verdict": files.read_json(found.verdict / "verdict.json"),
        "words": _WORDS,
        "names": _names(measured["top_k"]),
        "classes": answers.classes(scores, measured["classes"]),
        "others": list(others),
        "comparison": list(_comparison(rows, scores, measured, others)),
        "commonest": _commonest(dataset),
        "data": data.section(found.data, dataset),
        "values": [
            (key, value, found.origins.get(key, "")) for key, value in leaves(found.settings)
        ],
        "seconds": dict(found.seconds),
    }


def _names(top_k: int) -> dict[str, str]:
    """What people call the metrics."""
    return {
        "accuracy": "accuracy",
        "top_k_accuracy": f"top-{top_k} accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
        "micro_f1": "micro F1",
        "matthews": "Matthews correlation",
        "log_loss": "log loss",
        "brier": "Brier score",
        "calibration_error": "calibration error",
        "roc_auc": "ROC AUC",
        "mean_average_precision": "mean average precision",
        "latency_ms": "ms an image",
        "latency_p95_ms": "ms, 95th percentile",
        "size_mb": "MB",
    }


def _comparison(
    rows: Rows, scores: Scores, measured: dict[str, Any], others: Mapping[str, Path]
) -> Iterator[dict[str, Any]]:
    """A metric a row: this model's, and the others' beside it with the difference.

    A difference comes with the interval of a paired bootstrap, and whether it is one for the better
    or the worse, if 0 is not inside.
    """
    drawn = bootstrap.draw(scores, measured["top_k"]) if others else {}
    table = {name: _beside(folder, rows, drawn) for name, folder in others.items()}
    for name, value in measured["metrics"].items():
        yield {
            "metric": name,
            "value": value,
            "interval": measured["intervals"].get(name),
            "others": [
                _difference(name, value, metrics, differences)
                for metrics, differences in table.values()
            ],
        }


_Beside = tuple[dict[str, float], bootstrap.Intervals]


def _beside(folder: Path, rows: Rows, drawn: Mapping[str, Any]) -> _Beside:
    """Another model's metrics, and how far this one's are from them in the same samples."""
    measured = files.read_json(folder / "metrics.json")
    theirs = bootstrap.draw(evaluation.read(folder, rows), measured["top_k"])
    differences = {name: drawn[name] - theirs[name] for name in drawn.keys() & theirs.keys()}
    return measured["metrics"], bootstrap.intervals(differences)


def _difference(
    name: str, value: float, metrics: Mapping[str, float], differences: bootstrap.Intervals
) -> dict[str, Any]:
    if name not in metrics:
        return {}
    interval = differences.get(name)
    sign = -1 if name in _LOWER_IS_BETTER else 1
    better = None
    if interval and (interval[0] > 0 or interval[1] < 0):
        better = sign * interval[0] > 0
    shown = {"value": metrics[name], "difference": value - metrics[name]}
    return {**shown, "interval": interval, "better": better}


def _commonest(dataset: manifest.Dataset) -> dict[str, Any]:
    """What always answering the commonest class of the training split would be right about."""
    if dataset.multi_label:
        return {}
    train, test = (_counts(dataset, split) for split in ("train", "test"))
    label = max(dataset.classes, key=lambda name: train.get(name, 0))
    return {"label": label, "accuracy": test.get(label, 0) / sum(test.values())}


def _counts(dataset: manifest.Dataset, split: str) -> dict[str, int]:
    import numpy as np

    rows = dataset.split(split)
    found, counts = np.unique(rows.label, return_counts=True)
    return {rows.names[i]: int(n) for i, n in zip(found, counts, strict=True)}


def _rendered(template: str, context: Mapping[str, Any], *, autoescape: bool = True) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,  # noqa: S701 - a card is Markdown, and `plain` is its escape
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"many_classes": _MANY_CLASSES, "many_rows": _MANY_ROWS}
    environment.filters["plain"] = plain
    environment.filters["shown"] = shown
    return environment.get_template(template).render(context)


def plain(text: object) -> str:
    """Text in a cell of a Markdown table: one line, and nothing in it is markup."""
    line = " ".join(str(text).split())
    return "".join("\\" + char if char in "\\`*_{}[]<>()#+!|~" else char for char in line)


def shown(value: float, digits: int = 4) -> str:
    """A number with so many digits that count: 0.9735, 12.31, 1204."""
    size = abs(value)
    places = digits if size <= 1 else max(digits - 1 - len(f"{int(size)}"), 0)
    return f"{value:.{places}f}"
