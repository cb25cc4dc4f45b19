"""How alike two trainings of one request are: what differs around them, and what came of them.

Pure: documents and lines from what was read elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_spec.model_view import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_spec.view import Style

_ABSENT = "none"
_DIGEST = 8  # characters of one that are shown
_SHOWN = 3  # differences in a sentence
_UNKNOWN = (
    "nothing that is recorded differs, so that this training does not give the same numbers twice"
)


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was then and could change what comes of a training.

    Attributes:
        kind: images, request, code, library or machine.
        what: Which of them: a module, a library, a key.
        then: What it was; of code and images a digest.
        now: What it is.
    """

    kind: str
    what: str
    then: str
    now: str

    @property
    def text(self) -> str:
        """The difference in a few words."""
        if self.kind in ("code", "images"):
            return f"{self.kind} {self.what}".rstrip()
        return " ".join(filter(None, (self.what, self.then, "->", self.now)))


def differences(kind: str, then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Difference]:
    """What differs between two sides, by name."""
    for name in sorted({*then, *now}):
        sides = then.get(name, _ABSENT), now.get(name, _ABSENT)
        if sides[0] != sides[1]:
            yield Difference(kind, name, *sides)


def before_lines(found: Sequence[Difference], style: Style) -> Iterator[str]:
    """What a person sees of the differences before anything is trained."""
    if not found:
        yield "nothing that is recorded differs from then"
        return
    yield style.paint("different from then:", "yellow")
    rows = [(f"  {one.kind}", one.what, _short(one.then), "->", _short(one.now)) for one in found]
    yield from table(rows)


def _short(value: str) -> str:
    digest = len(value) == 64 and value.isalnum()  # noqa: PLR2004 - characters of a sha256
    return value[:_DIGEST] if digest else value


@dataclass(frozen=True)
class Metric:
    """A metric of both trainings; `difference` is now less then, None where one has none."""

    then: float | None
    now: float | None
    difference: float | None
    within: bool


def compared(
    then: Mapping[str, float], now: Mapping[str, float], tolerance: float
) -> dict[str, Metric]:
    """Both sides of every metric.

    A metric is within tolerance when it differs by `tolerance` at most; one that is not measured
    any more is not, and one that was not measured then does not count.
    """
    return {name: _metric(then.get(name), now.get(name), tolerance) for name in {**then, **now}}


def _metric(then: float | None, now: float | None, tolerance: float) -> Metric:
    if then is None or now is None:
        return Metric(then, now, None, within=then is None)
    return Metric(then, now, now - then, within=abs(now - then) <= tolerance)


@dataclass(frozen=True)
class Likeness:
    """What came of a training that was done again.

    Attributes:
        reproduces: The run that it repeats.
        tolerance: Most that a metric may differ by.
        digests: File of the bundle -> its digest then and now.
        metrics: Name -> then and now.
        differences: What is not as it was then.
    """

    reproduces: str
    tolerance: float
    digests: dict[str, tuple[str, str]]
    metrics: dict[str, Metric]
    differences: tuple[Difference, ...] = field(default=())

    @property
    def same_bytes(self) -> bool:
        """Whether weights and network are what they were, byte for byte."""
        return all(then == now for then, now in self.digests.values())

    @property
    def within(self) -> bool:
        """Whether it was reproduced."""
        return all(metric.within for metric in self.metrics.values())

    @property
    def sentence(self) -> str:
        """The answer: yes or no, by how much, and the likely why."""
        outside = [name for name, metric in self.metrics.items() if not metric.within]
        if outside:
            return f"no: {self._of(outside)}; the likely why: {self._why()}"
        moved = [name for name, metric in self.metrics.items() if metric.difference]
        if moved:
            return f"yes, within tolerance: {self._of(moved)}; the likely why: {self._why()}"
        if self.same_bytes:
            return "yes: the same bytes, and the same metrics"
        return f"yes: other bytes, and the same metrics; the likely why: {self._why()}"

    def _of(self, names: Sequence[str]) -> str:
        """By how much the metric that differs most does, and how many others do."""
        far = max(names, key=lambda name: abs(self.metrics[name].difference or float("inf")))
        others = f", {len(names) - 1} others by less" if len(names) > 1 else ""
        difference = self.metrics[far].difference
        if difference is None:
            return f"{far} is not measured any more{others}"
        allowed = f"{self.tolerance:g} is allowed"
        return f"{far} differs by {abs(difference):.4g}{others} ({allowed})"

    def _why(self) -> str:
        if not self.differences:
            return _UNKNOWN
        more = len(self.differences) - _SHOWN
        words = [one.text for one in self.differences[:_SHOWN]]
        return "; ".join([*words, *([f"and {more} more"] if more > 0 else [])])

    def document(self) -> dict[str, Any]:
        """All of it as JSON values."""
        answers = {"same_bytes": self.same_bytes, "within": self.within, "sentence": self.sentence}
        return {**asdict(self), **answers}


def after_lines(found: Likeness, style: Style) -> Iterator[str]:
    """What a person sees in the end: bytes, metrics side by side where any differs, the answer."""
    for name, (then, now) in found.digests.items():
        yield f"{name}: {'the same bytes' if then == now else 'other bytes'}"
    if not found.same_bytes or any(metric.difference for metric in found.metrics.values()):
        head = ("metric", "then", "now", "difference", "")
        rows = [head, *(_row(name, metric) for name, metric in found.metrics.items())]
        first, *rest = table(rows, "-rrr")
        yield style.paint(first, "dim")
        yield from rest
    yield style.paint(found.sentence, "green" if found.within else "yellow")


def _row(name: str, metric: Metric) -> tuple[str, ...]:
    def shown(value: float | None, form: str = ".4f") -> str:
        return "-" if value is None else f"{value:{form}}"

    verdict = "within" if metric.within else "not within"
    return name, shown(metric.then), shown(metric.now), shown(metric.difference, "+.4f"), verdict
