"""`data.kind: archive`: photographs in one sub-folder a class, in a zip or tar file or at a URL."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from mlops_spec.errors import StepError
from trainers.datasets import _archive, _folders, _photographs
from trainers.datasets._archive import Limit, Limits, Sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_spec import manifest
    from mlops_spec.spec import Spec as WholeSpec


class Spec(_folders.Layout):
    """Where the archive is, which it is, and how much it may unpack to."""

    kind: Literal["archive"]
    source: str
    sha256: Sha256 | None
    inside: str
    max_files: Limit
    max_bytes: Limit
    max_file_bytes: Limit


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """No archive, one that may be another tomorrow, folders that overlap, nothing to train on."""
    assert isinstance(spec.data, Spec)
    yield from _archive.contradictions("data.sha256", spec.data.source, spec.data.sha256)
    if not _archive.is_there(spec.data.source):
        yield "data.source", f"there is no file {spec.data.source}"
    yield from _misplaced(spec.data)
    yield from _photographs.contradictions(spec.data, _folders.given_splits(spec.data))


def _parts(spec: Spec) -> dict[str, PurePosixPath]:
    """The sub-folders that splits have of their own, by key."""
    return {key: PurePosixPath(part) for key, part in _folders.parts(spec).items()}


def _misplaced(spec: Spec) -> Iterator[tuple[str, str]]:
    """Folders outside the archive, and splits that would have the same images."""
    parts = _parts(spec)
    for key, part in {"data.inside": PurePosixPath(spec.inside), **parts}.items():
        if part.is_absolute() or ".." in part.parts:
            yield key, "should be a folder inside the archive"
    yield from _folders.overlaps(parts)


def fingerprint(spec: Spec) -> dict[str, str]:
    """The archive's digest, and where it is taken from if that is the web."""
    return _archive.fingerprint(spec.source, spec.sha256)


def prepare(spec: Spec, out_dir: Path) -> manifest.Dataset:
    """Fetches and unpacks the archive, judges every file and writes the manifest.

    Raises:
        StepError: It can not be had, is not safe, lacks a folder, or holds what is an error.
    """
    limits = Limits(spec.max_files, spec.max_bytes, spec.max_file_bytes)
    content = _archive.bring(spec.source, spec.sha256, limits)
    inside = PurePosixPath(spec.inside)
    for key, part in {"data.inside": PurePosixPath(), **_parts(spec)}.items():
        if not (content / inside / part).is_dir():
            what = f"{key}: there is no folder {inside / part} in the archive"
            raise StepError(what, _near(content / inside / part))
    root = content / inside
    return _folders.prepare(spec, root, out_dir)


def _near(absent: Path) -> str:
    """What there is instead of a folder that is not there."""
    above = next(folder for folder in absent.parents if folder.is_dir())
    names = sorted(path.name for path in above.iterdir() if path.is_dir())
    return f"there are: {', '.join(names[:10])}"
