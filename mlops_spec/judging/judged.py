"""What an evaluation recorded about a model, as a gate reads it: nothing is guessed."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import files
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ROUNDING = 1e-9
_RANKED = "where there are two classes, or images may have several labels"
_ONLY = {
    "top_k_accuracy": "where there are more classes than evaluation.top_k",
    "roc_auc": _RANKED,
    "mean_average_precision": _RANKED,
}
_NUMBERS = ("metrics", "cost")  # sections of metrics.json that floors and limits are about


@dataclass(frozen=True)
class Judged:
    """A model's answers on a test set.

    Attributes:
        numbers: What was measured, by name.
        classes: Class -> what was measured of it, by name; those with test images.
        labels: The classes that it knows.
        test_digest: Which images it was asked about.
        images: The digest of each, in the manifest's order.
        correct: Whether it was right about each.
        learned: Positions of images that it was trained on; none where nobody knows.
        bundle: The digest of its network and weights; empty for what is no bundle.
    """

    numbers: dict[str, float]
    classes: dict[str, dict[str, float]]
    labels: frozenset[str]
    test_digest: str
    images: Sequence[str]
    correct: Sequence[bool]
    learned: frozenset[int] | None = frozenset()
    bundle: str = ""

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.numbers["accuracy"]


def read(evaluation: Path) -> Judged:
    """Reads what the evaluation step recorded.

    Raises:
        MlopsError: A metric is missing or no number; a gate must not guess.
    """
    document = files.read_json(evaluation / "metrics.json")
    try:
        numbers = {k: v for part in _NUMBERS for k, v in document[part].items()}
        classes = {each.pop("label"): each for each in document["classes"] if each["images"]}
        labels, digest = frozenset(document["labels"]), document["test_digest"]
        learned = document["learned"]
        learned = None if learned is None else frozenset(map(int, learned))
    except KeyError as error:
        raise _unreadable(evaluation, f"metrics.json lacks {error}") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise _unreadable(evaluation, f"metrics.json is not understood: {error}") from error
    images, correct = _answers(evaluation)
    bundle = str(document.get("bundle_digest", ""))
    accuracy = number(numbers, "accuracy", evaluation.name)
    if abs(accuracy - sum(correct) / len(correct)) > _ROUNDING:
        raise _unreadable(evaluation, "predictions.csv and metrics.json tell of other answers")
    return Judged(numbers, classes, labels, digest, images, correct, learned, bundle)


def _answers(evaluation: Path) -> tuple[list[str], list[bool]]:
    """The digest of each test image, and whether it was answered right."""
    try:
        with (evaluation / "predictions.csv").open(newline="", encoding="utf-8") as file:
            rows = [*csv.DictReader(file)]
        found = [row["sha256"] for row in rows], [row["label"] == row["prediction"] for row in rows]
    except (FileNotFoundError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(evaluation, f"predictions.csv is not understood: {error}") from error
    if not rows:
        raise _unreadable(evaluation, "predictions.csv has no answer")
    return found


def _unreadable(evaluation: Path, what: str) -> MlopsError:
    return MlopsError(f"{evaluation}: {what}", "evaluate the model again")


def number(numbers: dict[str, float], name: str, where: str) -> float:
    """A number that was measured.

    Raises:
        MlopsError: It was not.
    """
    value = numbers.get(name)
    if not isinstance(value, float | int) or isinstance(value, bool) or not math.isfinite(value):
        known = ", ".join(numbers)
        message = f"{where} has no {name} (it has: {known})"
        if name in _ONLY:
            raise MlopsError(f"{message}; it is measured {_ONLY[name]}", "ask for another number")
        raise MlopsError(message, "evaluate the model again, or ask the gate for another number")
    return float(value)
