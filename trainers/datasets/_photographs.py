"""From image files with labels to a manifest: looked at, split, checked.

What the kinds that read photographs share, wherever the files and labels come from.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator

from mlops_spec import manifest, splits
from mlops_spec.errors import StepError
from mlops_spec.manifest import Finding, Notes
from mlops_spec.rows import SEPARATOR, Row
from mlops_spec.spec import Fraction, Int, OpenSection
from trainers.datasets import _checks, _looks, _twins
from trainers.datasets._looks import FORMATS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from trainers.datasets._looks import Look


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        message = f"is no regular expression: {error}"
        raise ValueError(message) from error
    return text


class Judged(OpenSection):
    """Which files are images, and what is done about those that are not as they should be."""

    extensions: tuple[Literal[tuple(FORMATS)], ...]  # type: ignore[valid-type]
    checks: _checks.Checks


class Photographs(Judged):
    """How image files are judged and, where they are not in splits already, split."""

    val_fraction: Fraction
    test_fraction: Fraction
    split_seed: Int
    group: Annotated[str, AfterValidator(_pattern)] | None


class Labelled(Photographs):
    """Photographs whose labels are the user's own: one each, or any number.

    Where a copy of a picture tells another of its labels, as in folders, copies `unite`; where a
    row has all of them, a copy with others contradicts it.
    """

    unite: ClassVar[bool] = False
    multi_label: bool


@dataclass(frozen=True)
class Draw:
    """How splits are drawn from the images that are in none: shares of them, and a seed."""

    fractions: dict[str, float]
    seed: int


NO_DRAW = Draw({}, 0)


@dataclass(frozen=True)
class Candidate:
    """An image file on its way into a data set; `split` and `group` are None where open."""

    path: Path
    label: str
    split: str | None
    group: str | None = None
    values: tuple[str, ...] = ()  # of the columns that a model is judged by too


def contradictions(how: Photographs, given: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Fractions that leave nothing."""
    if sum(draw(how, given).fractions.values()) >= 1:
        yield "data.test_fraction", "val_fraction and test_fraction leave nothing to train on"


def draw(how: Photographs, given: Collection[str]) -> Draw:
    """How the splits that are not given are drawn from the training images."""
    shares = {
        split: getattr(how, f"{split}_fraction") for split in ("test", "val") if split not in given
    }
    return Draw(shares, how.split_seed) if shares else NO_DRAW  # what has no effect stays unread


def group_in(how: Photographs, name: str) -> str | None:
    """What `data.group` finds in a file's path below the root: its subject."""
    found = re.search(how.group, name) if how.group else None
    if found is None:
        return None
    return next((part for part in found.groups() if part is not None), found[0])


def name_of(path: Path, root: Path) -> str:
    """A path below the root that JSON can hold, even where a file's name is not UTF-8."""
    return os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")


def combined(labels: Iterable[str]) -> str:
    """Several labels as a manifest has them.

    Raises:
        StepError: One of them can not be told from several.
    """
    found = sorted({*labels})
    for label in found:
        if SEPARATOR in label:
            message = f"the class {label!r} has the character that separates classes, {SEPARATOR}"
            raise StepError(message, "rename the class")
    return SEPARATOR.join(found)


def manifest_of(
    candidates: Sequence[Candidate],
    how: Judged,
    root: Path,
    out_dir: Path,
    drawing: Draw = NO_DRAW,
) -> manifest.Dataset:
    """Judges the files, draws a split for those that are in none, and writes the manifest.

    Raises:
        StepError: Something was found that the spec calls an error.
    """
    several = isinstance(how, Labelled) and how.multi_label
    good, faults = _readable(candidates, how, root)
    good = _merged(good) if isinstance(how, Labelled) and several and how.unite else good
    seen, subjects = [look for _, look in good], [candidate.group for candidate, _ in good]
    twins = _twins.find(seen, subjects, how.checks.near_distance)
    rows = _rows(
        good, root, _drawn(good, drawing, _twins.united(len(good), twins), several=several)
    )
    doubts = _checks.copies(rows, twins)
    left_out = _checks.apply(doubts, how.checks)
    kept = [(row, look) for row, look in zip(rows, seen, strict=True) if row.path not in left_out]
    rows = [row for row, _ in kept]
    asked = {label for c in candidates for label in manifest.labels(c.label, multi_label=several)}
    small = list(_checks.small_classes(_per_label(rows, several=several), asked, how.checks))
    _checks.apply(small, how.checks)
    training = [look for row, look in kept if row.split == "train"]
    images = _checks.summary([look for _, look in kept], training)
    return manifest.write(out_dir, root, rows, Notes([*faults, *doubts, *small], images, several))


Good = list[tuple[Candidate, "Look"]]


def _readable(
    candidates: Sequence[Candidate], how: Judged, root: Path
) -> tuple[Good, list[Finding]]:
    """What is to be kept of the candidates by a look at each, and what was found."""
    looks = _looks.look_at([c.path for c in candidates], how.extensions, how.checks.max_pixels)
    named = [name_of(candidate.path, root) for candidate in candidates]
    faults = [
        Finding(name, what, check)
        for name, look in zip(named, looks, strict=True)
        for check, what in look.faults
    ]
    left_out = _checks.apply(faults, how.checks)
    pairs = zip(candidates, looks, strict=True)
    return [pair for name, pair in zip(named, pairs, strict=True) if name not in left_out], faults


def _merged(good: Good) -> Good:
    """The same picture under several labels is one with all of them; the first file stays."""
    same: dict[tuple[str, str | None], Good] = {}
    for candidate, look in good:
        same.setdefault((look.sha256, candidate.split), []).append((candidate, look))
    return [
        (replace(family[0][0], label=combined(_several(family))), family[0][1])
        for family in same.values()
    ]


def _several(family: Good) -> list[str]:
    found = (manifest.labels(candidate.label, multi_label=True) for candidate, _ in family)
    return sorted({*chain.from_iterable(found)})


def _drawn(good: Good, drawing: Draw, units: Sequence[int], *, several: bool) -> dict[int, str]:
    """The splits of the images that are in none; what belongs together is never divided."""
    drawn = [i for i, (candidate, _) in enumerate(good) if candidate.split is None]
    named, together = [good[i][0].label for i in drawn], [units[i] for i in drawn]
    if several:
        each = [manifest.labels(label, multi_label=True) for label in named]
        shares = splits.multi_stratified(each, drawing.fractions, drawing.seed, together)
    else:
        keys = [good[i][1].sha256 for i in drawn]
        shares = splits.stratified(named, drawing.fractions, drawing.seed, keys, together)
    return dict(zip(drawn, shares, strict=True))


def _rows(good: Good, root: Path, drawn: dict[int, str]) -> list[Row]:
    return [
        Row(str(c.path.relative_to(root)), c.label, c.split or drawn[i], look.sha256)
        for i, (c, look) in enumerate(good)
    ]


def _per_label(rows: Sequence[Row], *, several: bool) -> list[Row]:
    """A row for each label of each image."""
    return [
        row._replace(label=label)
        for row in rows
        for label in manifest.labels(row.label, multi_label=several)
    ]
