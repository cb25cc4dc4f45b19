"""Numbers and names as people say them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deployers.frontends._page.client import Model

# Shares of test pictures, and other numbers, by what they are called in a card
_SHARES = {
    "accuracy": "accuracy",
    "top_k_accuracy": "right among the first",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "calibration_error": "calibration error",
    "mean_average_precision": "mean average precision",
}
_NUMBERS = {
    "log_loss": "log loss",
    "brier": "Brier score",
    "matthews": "Matthews correlation",
    "roc_auc": "ROC AUC",
}
_MAIN = ("accuracy", "micro_f1", "balanced_accuracy", "macro_f1", "mean_average_precision")
_LOW, _HIGH = 0.001, 0.999


def percent(share: float) -> str:
    """A share with one digit, never rounded to what would be certain."""
    if share and share < _LOW:
        return "< 0.1 %"
    if share != 1 and share > _HIGH:
        return "> 99.9 %"
    return f"{share * 100:.1f} %"


def megabytes(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1e6:.3g} MB"


def day(moment: str) -> str:
    """A moment's day, as `25 November 2026`; what is no moment as it is."""
    try:
        return f"{datetime.fromisoformat(moment):%-d %B %Y}"
    except ValueError:
        return moment


def headline(model: Model) -> tuple[str, str] | None:
    """The number that says most of a model, and its name."""
    metrics = model.card.metrics
    found = next((name for name in _MAIN if name in metrics), None)
    return (percent(metrics[found]), _SHARES[found]) if found else None


def metrics(model: Model) -> Iterator[tuple[str, str]]:
    """All numbers of the test, each with its name."""
    for name, value in model.card.metrics.items():
        if name in _SHARES:
            yield _SHARES[name], percent(value)
        else:
            yield _NUMBERS.get(name, name.replace("_", " ")), f"{value:.3g}"


def training(model: Model) -> Iterator[tuple[str, str]]:
    """How a model was trained, as far as its card tells."""
    network, how = (_section(model.card.spec, name) for name in ("model", "training"))
    told = {
        "network": network.get("backbone"),
        "started from": "chance" if network.get("weights") == "none" else network.get("weights"),
        "picture size": network.get("input_size") and f"{network['input_size']} pixels",
        "epochs": how.get("epochs"),
        "trainer": model.card.trainer,
    }
    yield from ((name, str(value)) for name, value in told.items() if value)
    yield from ((name, version) for name, version in model.card.versions.items() if name == "torch")


def _section(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = spec.get(name)
    return found if isinstance(found, dict) else {}
