"""The champion gate: whether the evidence lets a challenger take the champion's place.

Source of the test: McNemar (1947), in its exact one-sided binomial form. Only images that exactly
one of the two models got right carry evidence; if the models were equally good, each of them would
be a fair coin.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import files
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.spec import FloorGate, McnemarGate


@dataclass(frozen=True)
class Judged:
    """A model's answers on a test set."""

    accuracy: float
    test_digest: str
    correct: tuple[bool, ...]  # per test image, in the manifest's order


@dataclass(frozen=True)
class Verdict:
    """What the gate says, and why in one sentence."""

    promote: bool
    reason: str
    p_value: float | None = None


def read(evaluation: Path) -> Judged:
    """Reads what the evaluation step recorded.

    Raises:
        MlopsError: A metric is missing; a gate must not guess.
    """
    metrics = files.read_json(evaluation / "metrics.json")
    accuracy = metrics.get("accuracy")
    if not isinstance(accuracy, float) or not math.isfinite(accuracy):
        message = f"{evaluation / 'metrics.json'} has no accuracy"
        raise MlopsError(message, "evaluate the model again")
    with (evaluation / "predictions.csv").open(newline="", encoding="utf-8") as file:
        correct = tuple(row["label"] == row["prediction"] for row in csv.DictReader(file))
    return Judged(metrics["accuracy"], metrics["test_digest"], correct)


def judge(challenger: Judged, champion: Judged | None, rule: McnemarGate | FloorGate) -> Verdict:
    """Compares a challenger with the champion, if there is one.

    Raises:
        MlopsError: The two were judged on different test images.
    """
    accuracy = f"accuracy {challenger.accuracy:.4f}"
    alpha = rule.alpha if rule.kind == "mcnemar" else None  # read even where it does not decide
    if challenger.accuracy < rule.min_accuracy:
        return Verdict(
            promote=False, reason=f"{accuracy} is below min_accuracy {rule.min_accuracy}"
        )
    if champion is None:
        return Verdict(promote=True, reason=f"{accuracy}; there is no champion to beat yet")
    if champion.test_digest != challenger.test_digest:
        message = "champion and challenger were judged on different test images"
        raise MlopsError(message, "evaluate the champion on the challenger's test images")
    if alpha is None:
        return Verdict(promote=True, reason=f"{accuracy} reaches the floor {rule.min_accuracy}")
    return _mcnemar(challenger, champion, alpha)


def _mcnemar(challenger: Judged, champion: Judged, alpha: float) -> Verdict:
    pairs = list(zip(challenger.correct, champion.correct, strict=True))
    gained = sum(new and not old for new, old in pairs)
    lost = sum(old and not new for new, old in pairs)
    p_value = at_least(gained, gained + lost)
    promote = p_value <= alpha
    sign, words = ("<=", "better than") if promote else (">", "not shown to be better than")
    return Verdict(
        promote=promote,
        reason=(
            f"{words} the champion: {gained} images gained, {lost} lost of {len(pairs)}"
            f" (p = {p_value:.3g} {sign} {alpha}; accuracy {challenger.accuracy:.4f}"
            f" against {champion.accuracy:.4f})"
        ),
        p_value=p_value,
    )


def at_least(successes: int, trials: int) -> float:
    """The chance of so many heads or more from a fair coin, exactly; 1 for no trials."""
    term = math.comb(trials, successes)
    heads = term
    for k in range(successes, trials):
        term = term * (trials - k) // (k + 1)  # C(n, k+1) from C(n, k): linear, not cubic
        heads += term
    return heads / (1 << trials)
