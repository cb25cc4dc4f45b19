"""`data.kind: folder`: photographs in one sub-folder a class; they stay where they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops_spec import files, manifest
from trainers.datasets import _folders, _photographs

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
    places = {key: root / part for key, part in _folders.parts(spec.data).items()}
    absent = [key for key, place in {"data.root": root, **places}.items() if not place.is_dir()]
    if absent:
        key, cure = absent[0], f"; {absent[0]}=null draws it from the training folder"
        yield key, f"there is no folder {places.get(key, root)}{cure if key in places else ''}"
    else:
        yield from _misplaced(places, root)
    yield from _photographs.contradictions(spec.data, _folders.given_splits(spec.data))


def _misplaced(places: dict[str, Path], root: Path) -> Iterator[tuple[str, str]]:
    """Folders outside the root, and splits that would have the same images."""
    resolved, top = {key: place.resolve() for key, place in places.items()}, root.resolve()
    for key, place in resolved.items():
        if not place.is_relative_to(top):
            yield key, "should be a sub-folder of data.root"
    inside = {key: place for key, place in resolved.items() if place.is_relative_to(top)}
    yield from _folders.overlaps({key: p.relative_to(top) for key, p in inside.items()})


def _root(spec: Spec) -> Path:
    return Path(spec.root).expanduser()


def fingerprint(spec: Spec) -> dict[str, str]:
    """What the data set is read from: each file's path and content."""
    root = _root(spec)
    found = _folders.walk(spec, root)
    return {_photographs.name_of(path, root): files.sha256_file(path) for _, path in found}


def prepare(spec: Spec, out_dir: Path) -> manifest.Dataset:
    """Judges every file and writes the manifest.

    Raises:
        StepError: Something was found that the spec calls an error.
    """
    return _folders.prepare(spec, _root(spec), out_dir)
