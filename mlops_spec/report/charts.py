"""Charts about a model's answers, as points of an SVG in a square of 100 by 100."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_spec.judging.metrics import ranked, roc

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from mlops_spec.judging.scores import Scores

_SIDE = 100.0
_POINTS = 120  # of a curve, at most
_CURVES = 40  # of a chart, at most


def reliability(bins: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """A circle a bin of confidence: where it is, and how large for the decisions in it."""
    total = sum(each["decisions"] for each in bins)
    return [
        {
            "x": _SIDE * each["confidence"],
            "y": _SIDE * (1 - each["accuracy"]),
            "r": 1.2 + 6 * (each["decisions"] / total) ** 0.5,
            **each,
        }
        for each in bins
    ]


def curves(scores: Scores) -> dict[str, Any]:
    """ROC and precision-recall curves, where each class is a question of yes and no."""
    pairs = [(true, p) for true, p in ranked(scores) if true.any() and not true.all()]
    if not pairs:
        return {}
    return {
        "ROC": {
            "x": "false positive rate",
            "y": "true positive rate",
            "lines": [_line(*roc(true, p)) for true, p in pairs[:_CURVES]],
        },
        "precision and recall": {
            "x": "recall",
            "y": "precision",
            "lines": [_line(*_precision_recall(true, p)) for true, p in pairs[:_CURVES]],
        },
    }


def _precision_recall(true: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    x, y = roc(true, p)
    found, wrong = y * true.sum(), x * (~true).sum()
    precision = found[1:] / np.maximum(found[1:] + wrong[1:], 1e-12)
    return y[1:], precision


def _line(x: np.ndarray, y: np.ndarray) -> str:
    import numpy as np

    chosen = np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(int))
    pairs = zip(x[chosen] * _SIDE, (1 - y[chosen]) * _SIDE, strict=True)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)
