"""Photographs in folders: one sub-folder a class, ROOT/[SPLIT/]CLASS/IMAGE."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

from mlops_spec.errors import StepError
from mlops_spec.rows import SPLITS
from trainers.datasets._photographs import (
    Candidate,
    Labelled,
    combined,
    draw,
    group_in,
    manifest_of,
    name_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path, PurePath

    from mlops_spec import manifest


class Layout(Labelled):
    """Photographs in one sub-folder a class, ROOT/[SPLIT/]CLASS/IMAGE."""

    unite: ClassVar[bool] = True
    train: str | None
    val: str | None
    test: str | None


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
    label = combined([label]) if layout.multi_label else label
    open_split = split == "train" and len(given_splits(layout)) < 2  # noqa: PLR2004 - val, test
    group = group_in(layout, name_of(path, root))
    return Candidate(path, label, None if open_split else split, group)


def parts(layout: Layout) -> dict[str, str]:
    """The sub-folders that splits have of their own, by key."""
    named = {f"data.{split}": getattr(layout, split) for split in SPLITS}
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
