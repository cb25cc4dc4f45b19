"""`data.kind: folder`: photographs in one sub-folder a class; they stay where they are."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops_spec import files, manifest
from trainers.datasets import _folders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.spec import Spec as WholeSpec


class Spec(_folders.Layout):
    """Where the photographs lie, how they are judged and split."""

    kind: Literal["folder"]
    root: str


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """Folders that are not there or overlap, and fractions that leave nothing."""
    assert isinstance(spec.data, Spec)
    root = _root(spec.data)
    parts = {f"data.{split}": getattr(spec.data, split) for split in manifest.SPLITS}
    places = {key: root / part for key, part in parts.items() if part is not None}
    absent = [key for key, place in {"data.root": root, **places}.items() if not place.is_dir()]
    if absent:
        key, cure = absent[0], f"; {absent[0]}=null draws it from the training folder"
        yield key, f"there is no folder {places.get(key, root)}{cure if key in places else ''}"
    else:
        yield from _overlaps(places, root)
    yield from _folders.contradictions(spec.data, _folders.given_splits(spec.data))


def _overlaps(places: dict[str, Path], root: Path) -> Iterator[tuple[str, str]]:
    """Splits whose folders would give the same images twice."""
    resolved = {key: place.resolve() for key, place in places.items()}
    for (one, first), (other, second) in itertools.combinations(resolved.items(), 2):
        if first.is_relative_to(second) or second.is_relative_to(first):
            yield other, f"overlaps {one}: the same images would be in two splits"
    for key, place in resolved.items():
        if not place.is_relative_to(root.resolve()):
            yield key, "should be a sub-folder of data.root"
        elif "data.train" not in places and place.parent != root.resolve():
            yield "data.train", f"name it too: {key} would be a class of the training folder"


def _root(spec: Spec) -> Path:
    return Path(spec.root).expanduser()


def fingerprint(spec: Spec) -> dict[str, str]:
    """What the data set is read from: each file's path and content."""
    root = _root(spec)
    found = _folders.walk(spec, root)
    return {_folders.name_of(path, root): files.sha256_file(path) for _, path in found}


def prepare(spec: Spec, out_dir: Path) -> manifest.Dataset:
    """Judges every file and writes the manifest.

    Raises:
        StepError: Something was found that the spec calls an error.
    """
    return _folders.prepare(spec, _root(spec), out_dir)
