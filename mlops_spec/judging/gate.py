"""The champion gate: whether the evidence lets a challenger take the champion's place.

Three verdicts. Promote: it is good enough, and shown to be better than the champion, or worse by
less than the margin. Reject: it is not good enough, or does no better. Insufficient: it does
better, but chance may explain that; how many more images would tell is said.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_spec.errors import MlopsError
from mlops_spec.judging import evidence
from mlops_spec.judging.judged import Judged, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.spec import FloorGate, McnemarGate

_BETTER = {
    "promote": "better than the champion",
    "reject": "not better than the champion",
    "insufficient": "not shown to be better than the champion",
}
_WITHIN = {
    "promote": "not worse than the champion by {:g} or more",
    "reject": "worse than the champion by {:g} or more, as it stands",
    "insufficient": "not shown to be within {:g} of the champion",
}


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
        left_out: More test images, which one of the two was trained on.
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
    left_out: int
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


def judge(challenger: Judged, champion: Judged | None, rule: McnemarGate | FloorGate) -> Verdict:
    """Decides about a challenger, given the champion if there is one.

    Raises:
        MlopsError: A number that is asked for was not measured, or the two can not be compared.
    """
    asked = (rule.alpha, rule.power, rule.margin) if rule.kind == "mcnemar" else None
    checks = tuple(_checks(challenger, rule))
    itself = False
    compared = None
    if champion is not None:
        _comparable(challenger, champion)
        itself = bool(challenger.bundle) and challenger.bundle == champion.bundle
        compared = _compare(challenger, champion, *asked) if asked and not itself else None
    accuracy = f"accuracy {challenger.accuracy:.4f}"
    failed = [str(check) for check in checks if not check.passed]
    if failed:
        return Verdict("reject", "; ".join(failed), checks, compared)
    if itself:
        return Verdict("promote", f"it is the champion, by network and weights; {accuracy}", checks)
    if compared is not None and champion is not None:
        verdict, words = _decide(compared)
        words += f"; {accuracy} against {champion.accuracy:.4f}"
        return Verdict(verdict, words + _doubts(compared, champion), checks, compared)
    if asked and champion is None:
        return Verdict("promote", f"{accuracy}; there is no champion to beat yet", checks)
    return Verdict("promote", f"{accuracy}; every floor and limit is kept", checks)


def _checks(judged: Judged, rule: McnemarGate | FloorGate) -> Iterator[Check]:
    for name, least in _asked(rule.floors):
        value = number(judged.numbers, name, "this evaluation")
        yield Check(name, value, least, "floor", value >= least)
    for name, least in _asked(rule.class_floors):
        for label, numbers in judged.classes.items():
            value = number(numbers, name, label)
            yield Check(f"{label}: {name}", value, least, "floor", value >= least)
    for name, most in _asked(rule.limits):
        value = number(judged.numbers, name, "this evaluation")
        yield Check(name, value, most, "limit", value <= most)


def _asked(section: Any) -> list[tuple[str, float]]:
    """The bounds that a section sets."""
    values = ((name, getattr(section, name)) for name in type(section).model_fields)
    return [(name, value) for name, value in values if value is not None]


def _comparable(challenger: Judged, champion: Judged) -> None:
    if champion.test_digest != challenger.test_digest:
        message = "champion and challenger were judged on different test images"
        raise MlopsError(message, "evaluate the champion on the challenger's test images")
    other = sorted(challenger.labels ^ champion.labels)
    if other:
        message = f"champion and challenger know other classes: {', '.join(other[:5])}"
        raise MlopsError(message, "register the challenger apart: choose another registered_model")
    if champion.images != challenger.images:
        message = "champion and challenger were not asked about the same images in the same order"
        raise MlopsError(message, "evaluate both again")


def _compare(
    challenger: Judged, champion: Judged, alpha: float, power: float, margin: float
) -> Comparison:
    met = (challenger.learned or frozenset()) | (champion.learned or frozenset())
    asked = enumerate(zip(challenger.correct, champion.correct, strict=True))
    both = [answers for i, answers in asked if i not in met]
    if not both:
        message = "every test image is one that champion or challenger was trained on"
        raise MlopsError(message, "keep data.split_seed, or add images: no comparison is fair")
    gained = sum(new and not old for new, old in both)
    pairs = evidence.Pairs(gained, sum(old and not new for new, old in both), len(both))
    p_value = evidence.p_value(pairs, margin)
    shown = p_value <= alpha
    return Comparison(
        **asdict(pairs),
        left_out=len(met),
        difference=pairs.difference,
        interval=evidence.interval(pairs, evidence.LEVEL),
        margin=margin,
        p_value=p_value,
        alpha=alpha,
        images_needed=None if shown else evidence.images_needed(pairs, margin, alpha, power),
    )


def _doubts(found: Comparison, champion: Judged) -> str:
    """What is to be known about a comparison beside what it says."""
    if found.left_out:
        return f"; {found.left_out} test images are left out, one of the two was trained on them"
    if champion.learned is None:
        return "; whether the champion was trained on some of the test images is not known"
    return ""


def _decide(found: Comparison) -> tuple[Literal["promote", "reject", "insufficient"], str]:
    """The verdict on a challenger that is good enough, in words."""
    words = _WITHIN if found.margin else _BETTER
    seen = f"{found.gained} images gained, {found.lost} lost of {found.images}"
    if found.p_value <= found.alpha:
        verdict, said = "promote", f" (p = {found.p_value:.3g} <= {found.alpha:g})"
        return "promote", f"{words[verdict].format(found.margin)}: {seen}{said}"
    seen += f" (p = {found.p_value:.3g} > {found.alpha:g})"
    if found.images_needed is None:
        return "reject", f"{words['reject'].format(found.margin)}: {seen}"
    more = max(found.images_needed - found.images, 1)
    told = f"about {more} more test images would tell" if more < 10**7 else "no test set would tell"
    return "insufficient", f"{words['insufficient'].format(found.margin)}: {seen}; {told}"
