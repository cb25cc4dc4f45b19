"""The champion gate: whether the evidence lets a challenger take the champion's place.

Three verdicts. Promote: it is good enough, and shown to be better than the champion, or worse by
less than the margin. Reject: it is not good enough, or does no better. Insufficient: it does
better, but chance may explain that; how many more images would tell is said.
"""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_spec import evidence, files
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlops_spec.spec import FloorGate, McnemarGate

_NUMBERS = ("metrics", "cost")  # sections of metrics.json that floors and limits are about


@dataclass(frozen=True)
class Judged:
    """A model's answers on a test set.

    Attributes:
        numbers: What was measured, by name.
        classes: Class -> what was measured of it, by name; those with test images.
        labels: The classes that it knows.
        test_digest: Which images it was asked about.
        correct: Whether it was right, in the manifest's order.
    """

    numbers: dict[str, float]
    classes: dict[str, dict[str, float]]
    labels: frozenset[str]
    test_digest: str
    correct: Sequence[bool]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.numbers["accuracy"]


@dataclass(frozen=True)
class Check:
    """One demand on the challenger alone.

    Attributes:
        about: The number, or CLASS: the number.
        value: What it is.
        bound: What it must be.
        kind: Whether the bound is the least or the most.
        passed: Whether it is kept.
    """

    about: str
    value: float
    bound: float
    kind: Literal["floor", "limit"]
    passed: bool

    def __str__(self) -> str:
        word = "below its floor" if self.kind == "floor" else "above its limit"
        return f"{self.about} {self.value:.4g} is {word} {self.bound:g}"


@dataclass(frozen=True)
class Comparison:
    """Challenger and champion on the same images.

    Attributes:
        gained: Images that the challenger alone got right.
        lost: Images that the champion alone got right.
        images: All of them.
        difference: Accuracy of the challenger less that of the champion.
        interval: Where 95 % of bootstrap samples have the difference.
        margin: Accuracy that may be lost.
        p_value: How likely such evidence is if the challenger were worse by the margin.
        alpha: The most that it may be.
        images_needed: How many images would show it; none if it is shown, or contradicted.
    """

    gained: int
    lost: int
    images: int
    difference: float
    interval: tuple[float, float]
    margin: float
    p_value: float
    alpha: float
    images_needed: int | None


@dataclass(frozen=True)
class Verdict:
    """What the gate says, why in one sentence, and why as data."""

    verdict: Literal["promote", "reject", "insufficient"]
    reason: str
    checks: tuple[Check, ...] = ()
    comparison: Comparison | None = None

    @property
    def promote(self) -> bool:
        """Whether the challenger becomes champion."""
        return self.verdict == "promote"

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


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
    except (KeyError, AttributeError, TypeError) as error:
        message = f"{evaluation / 'metrics.json'} lacks {error}"
        raise MlopsError(message, "evaluate the model again") from error
    with (evaluation / "predictions.csv").open(newline="", encoding="utf-8") as file:
        correct = [row["label"] == row["prediction"] for row in csv.DictReader(file)]
    judged = Judged(numbers, classes, labels, digest, correct)
    _number(numbers, "accuracy", evaluation.name)
    return judged


def judge(challenger: Judged, champion: Judged | None, rule: McnemarGate | FloorGate) -> Verdict:
    """Decides about a challenger, given the champion if there is one.

    Raises:
        MlopsError: A number that is asked for was not measured, or the two can not be compared.
    """
    asked = (rule.alpha, rule.power, rule.margin) if rule.kind == "mcnemar" else None
    checks = tuple(_checks(challenger, rule))
    compared = None
    if champion is not None:
        _comparable(challenger, champion)
        compared = _compare(challenger, champion, *asked) if asked else None
    accuracy = f"accuracy {challenger.accuracy:.4f}"
    failed = [str(check) for check in checks if not check.passed]
    if failed:
        return Verdict("reject", "; ".join(failed), checks, compared)
    if compared is not None and champion is not None:
        verdict, words = _decide(compared)
        against = f"{accuracy} against {champion.accuracy:.4f}"
        return Verdict(verdict, f"{words}; {against}", checks, compared)
    if asked and champion is None:
        return Verdict("promote", f"{accuracy}; there is no champion to beat yet", checks)
    return Verdict("promote", f"{accuracy}; every floor and limit is kept", checks)


def _checks(judged: Judged, rule: McnemarGate | FloorGate) -> Iterator[Check]:
    for name, least in _asked(rule.floors):
        value = _number(judged.numbers, name, "this evaluation")
        yield Check(name, value, least, "floor", value >= least)
    for name, least in _asked(rule.class_floors):
        for label, numbers in judged.classes.items():
            value = _number(numbers, name, label)
            yield Check(f"{label}: {name}", value, least, "floor", value >= least)
    for name, most in _asked(rule.limits):
        value = _number(judged.numbers, name, "this evaluation")
        yield Check(name, value, most, "limit", value <= most)


def _asked(section: Any) -> list[tuple[str, float]]:
    """The bounds that a section sets."""
    values = ((name, getattr(section, name)) for name in type(section).model_fields)
    return [(name, value) for name, value in values if value is not None]


def _number(numbers: dict[str, float], name: str, where: str) -> float:
    """A number that was measured.

    Raises:
        MlopsError: It was not.
    """
    value = numbers.get(name)
    if not isinstance(value, float | int) or isinstance(value, bool) or not math.isfinite(value):
        known = ", ".join(numbers)
        message = f"{where} has no {name} (it has: {known})"
        raise MlopsError(message, "evaluate the model again, or ask the gate for another number")
    return float(value)


def _comparable(challenger: Judged, champion: Judged) -> None:
    if champion.test_digest != challenger.test_digest:
        message = "champion and challenger were judged on different test images"
        raise MlopsError(message, "evaluate the champion on the challenger's test images")
    other = sorted(challenger.labels ^ champion.labels)
    if other:
        message = f"champion and challenger know other classes: {', '.join(other[:5])}"
        raise MlopsError(message, "register the challenger apart: choose another registered_model")
    if len(champion.correct) != len(challenger.correct):
        message = "champion and challenger gave different numbers of answers"
        raise MlopsError(message, "evaluate both again")


def _compare(
    challenger: Judged, champion: Judged, alpha: float, power: float, margin: float
) -> Comparison:
    both = [*zip(challenger.correct, champion.correct, strict=True)]
    gained = sum(new and not old for new, old in both)
    pairs = evidence.Pairs(gained, sum(old and not new for new, old in both), len(both))
    p_value = evidence.p_value(pairs, margin)
    shown = p_value <= alpha
    return Comparison(
        **asdict(pairs),
        difference=pairs.difference,
        interval=evidence.interval(pairs, evidence.LEVEL),
        margin=margin,
        p_value=p_value,
        alpha=alpha,
        images_needed=None if shown else evidence.images_needed(pairs, margin, alpha, power),
    )


def _decide(found: Comparison) -> tuple[Literal["promote", "reject", "insufficient"], str]:
    """The verdict on a challenger that is good enough, in words."""
    aim = f"worse than the champion by less than {found.margin:g}"
    aim = aim if found.margin else "better than the champion"
    seen = f"{found.gained} images gained, {found.lost} lost of {found.images}"
    if found.p_value <= found.alpha:
        return "promote", f"{aim}: {seen} (p = {found.p_value:.3g} <= {found.alpha:g})"
    seen += f" (p = {found.p_value:.3g} > {found.alpha:g})"
    if found.images_needed is None:
        return "reject", f"not {aim}: {seen}"
    more = max(found.images_needed - found.images, 1)
    told = f"about {more} more test images would tell" if more < 10**7 else "no test set would tell"
    return "insufficient", f"not shown to be {aim}: {seen}; {told}"
