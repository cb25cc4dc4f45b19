"""From image files with labels to a manifest: looked at, split, checked.

What the kinds that read photographs share: `folder`, `table`, and those that fetch an archive.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from mlops_spec import manifest
from mlops_spec.errors import StepError
from mlops_spec.manifest import Finding, Row
from mlops_spec.spec import Fraction, Int, OpenSection
from trainers.datasets import _checks, _looks, _twins
from trainers.datasets._looks import FORMATS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path, PurePath

    from trainers.datasets._looks import Look
    from trainers.datasets._twins import Twins


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


class Layout(Photographs):
    """Photographs in one sub-folder a class, ROOT/[SPLIT/]CLASS/IMAGE."""

    train: str | None
    val: str | None
    test: str | None


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


def given_splits(layout: Layout) -> list[str]:
    """The splits that have a folder of their own."""
    return [split for split in ("val", "test") if getattr(layout, split)]


def prepare(layout: Layout, root: Path, out_dir: Path) -> manifest.Dataset:
    """Judges every file below the class folders of a root and writes the manifest.

    Raises:
        StepError: Something was found that the spec calls an error.
    """
    candidates = [_candidate(layout, root, split, path) for split, path in walk(layout, root)]
    return manifest_of(candidates, layout, root, out_dir, draw(layout, given_splits(layout)))


def _candidate(layout: Layout, root: Path, split: str, path: Path) -> Candidate:
    top = getattr(layout, split) or ""
    label = path.relative_to(root / top).parts[0]
    open_split = split == "train" and len(given_splits(layout)) < 2  # noqa: PLR2004 - val, test
    group = group_in(layout, name_of(path, root))
    return Candidate(path, label, None if open_split else split, group)


def group_in(how: Photographs, name: str) -> str | None:
    """What `data.group` finds in a file's path below the root: its subject."""
    found = re.search(how.group, name) if how.group else None
    if found is None:
        return None
    return next((part for part in found.groups() if part is not None), found[0])


def parts(layout: Layout) -> dict[str, str]:
    """The sub-folders that splits have of their own, by key."""
    named = {f"data.{split}": getattr(layout, split) for split in manifest.SPLITS}
    return {key: part for key, part in named.items() if part is not None}


def overlaps(places: Mapping[str, PurePath]) -> Iterator[tuple[str, str]]:
    """Splits whose folders, relative to the root, would give the same images twice."""
    for (one, first), (other, second) in combinations(places.items(), 2):
        if first.is_relative_to(second) or second.is_relative_to(first):
            yield other, f"overlaps {one}: the same images would be in two splits"
    for key, place in places.items() if "data.train" not in places else ():
        if len(place.parts) != 1:
            yield "data.train", f"name it too: {key} would be a class of the training folder"


def walk(layout: Layout, root: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a class folder, with the split that its place says; sorted.

    Raises:
        StepError: A folder is not there.
    """
    named = {"train": layout.train or "", "val": layout.val, "test": layout.test}
    apart = {root / part for part in named.values() if part}
    for split, part in named.items():
        if part is None:
            continue
        for label in _inside(root / part, f"data.{split}" if part else "data.root"):
            if label.is_dir() and label not in apart and not _is_junk(label.name):
                yield from ((split, path) for path in below(label))


def _inside(folder: Path, key: str) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StepError(
            f"there is no folder {folder}", f"bring it back, or correct {key}"
        ) from error


def below(folder: Path) -> Iterator[Path]:
    """Every file below a folder but those that are junk; sorted."""
    for path in sorted(folder.rglob("*")):
        junk = any(_is_junk(name) for name in path.relative_to(folder).parts)
        if not junk and path.is_file():
            yield path


def _is_junk(name: str) -> bool:
    """Whether a name is of those that systems and tools leave beside pictures."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def name_of(path: Path, root: Path) -> str:
    """A path below the root that JSON can hold, even where a file's name is not UTF-8."""
    return os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")


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
    paths = [candidate.path for candidate in candidates]
    looks = _looks.look_at(paths, how.extensions, how.checks.max_pixels)
    names = [name_of(path, root) for path in paths]
    faults = [
        Finding(name, what, check)
        for name, look in zip(names, looks, strict=True)
        for check, what in look.faults
    ]
    left_out = _checks.apply(faults, how.checks)
    good = [
        (candidate, look)
        for candidate, name, look in zip(candidates, names, looks, strict=True)
        if name not in left_out
    ]
    seen, subjects = [look for _, look in good], [candidate.group for candidate, _ in good]
    twins = _twins.find(seen, subjects, how.checks.near_distance)
    rows = _rows(good, root, drawing, twins)
    doubts = _checks.copies(rows, twins)
    left_out = _checks.apply(doubts, how.checks)
    kept = [(row, look) for row, look in zip(rows, seen, strict=True) if row.path not in left_out]
    rows = [row for row, _ in kept]
    small = list(_checks.small_classes(rows, [c.label for c in candidates], how.checks))
    _checks.apply(small, how.checks)
    training = [look for row, look in kept if row.split == "train"]
    images = _checks.summary([look for _, look in kept], training)
    return manifest.write(out_dir, root, rows, [*faults, *doubts, *small], images)


def _rows(
    good: Sequence[tuple[Candidate, Look]], root: Path, drawing: Draw, twins: Twins
) -> list[Row]:
    """Rows in their splits; what belongs together is never drawn into two."""
    drawn = [i for i, (candidate, _) in enumerate(good) if candidate.split is None]
    units = _twins.united(len(good), twins)
    labels = [good[i][0].label for i in drawn]
    shares = manifest.stratified(labels, drawing.fractions, drawing.seed, [units[i] for i in drawn])
    splits = dict(zip(drawn, shares, strict=True))
    return [
        Row(str(c.path.relative_to(root)), c.label, c.split or splits[i], look.sha256)
        for i, (c, look) in enumerate(good)
    ]
