"""`data.kind: folder`: photographs in one sub-folder a class; they stay where they are."""

from __future__ import annotations

import itertools
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mlops_spec import files, manifest
from mlops_spec.errors import StepError
from mlops_spec.manifest import Finding, Row
from mlops_spec.spec import Fraction, Int, OpenSection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.spec import Spec as WholeSpec

# Pillow's name of each format, by extension
_FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF",
}  # fmt: skip


class Spec(OpenSection):
    """Where the photographs lie and how they are split."""

    kind: Literal["folder"]
    root: str
    train: str | None
    val: str | None
    test: str | None
    val_fraction: Fraction
    test_fraction: Fraction
    split_seed: Int
    extensions: tuple[Literal[tuple(_FORMATS)], ...]  # type: ignore[valid-type]
    max_pixels: Annotated[Int, Field(ge=1)]
    bad_files: Literal["skip", "error"]


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
    if sum(_fractions(spec.data).values()) >= 1:
        yield "data.test_fraction", "val_fraction and test_fraction leave nothing to train on"


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
    return {_name(path, root): files.sha256_file(path) for _, path in _walk(spec)}


def _name(path: Path, root: Path) -> str:
    """A path below the root that JSON can hold, even where a file's name is not UTF-8."""
    return os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")


def prepare(spec: Spec, out_dir: Path) -> manifest.Dataset:
    """Judges every file and writes the manifest.

    Raises:
        StepError: A file is bad and the spec says that this is an error.
    """
    root, good, findings = _root(spec), [], []
    for split, path in _walk(spec):
        what = _fault(path, spec)
        if what:
            findings.append(Finding(_name(path, root), what))
        else:
            good.append((split, path))
    _report(findings, spec)
    rows = _split(spec, good)
    return manifest.write(out_dir, root, rows, findings)


def _walk(spec: Spec) -> Iterator[tuple[str, Path]]:
    """Every file below a class folder, with the split that its place says; sorted."""
    root = _root(spec)
    named = {"train": spec.train or "", "val": spec.val, "test": spec.test}
    apart = {root / part for part in named.values() if part}
    for split, part in named.items():
        if part is None:
            continue
        for label in sorted((root / part).iterdir()):
            if label.is_dir() and label not in apart and not _is_junk(label.name):
                for path in sorted(label.rglob("*")):
                    inside = path.relative_to(label).parts
                    if path.is_file() and not any(_is_junk(name) for name in inside):
                        yield split, path


def _is_junk(name: str) -> bool:
    """Whether a name is of those that systems and tools leave beside pictures."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _fault(path: Path, spec: Spec) -> str:
    """Why a file is no usable image; empty when it is one."""
    from PIL import Image, UnidentifiedImageError

    extension = path.suffix.lower()
    if any("\udc80" <= letter <= "\udcff" for letter in str(path)):
        return "has a name that is not UTF-8"
    if extension not in spec.extensions:
        return f"{extension or 'no extension'} is not among data.extensions"
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            if image.format != _FORMATS[extension]:
                return f"is a {image.format}, not the {_FORMATS[extension]} its name says"
            if image.width * image.height > spec.max_pixels:
                return f"has {image.width} x {image.height} pixels, more than data.max_pixels"
            image.load()
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        ValueError,
        SyntaxError,
    ) as error:
        return f"can not be read as an image: {error}".replace(str(path), path.name)
    return ""


def _report(findings: list[Finding], spec: Spec) -> None:
    for finding in findings:
        print(f"left out {finding.path}: {finding.what}", flush=True)  # noqa: T201 - a step's log
    if findings and spec.bad_files == "error":
        message = f"{len(findings)} bad file(s), the first: {findings[0].path} {findings[0].what}"
        raise StepError(message, "mend or remove them, or set data.bad_files=skip")


def _fractions(spec: Spec) -> dict[str, float]:
    """Shares of the training folder for the splits that have no folder of their own."""
    shares = {"test": spec.test_fraction, "val": spec.val_fraction}
    return {split: share for split, share in shares.items() if getattr(spec, split) is None}


def _split(spec: Spec, images: list[tuple[str, Path]]) -> list[Row]:
    root = _root(spec)
    tops = {"train": spec.train or "", "val": spec.val or "", "test": spec.test or ""}
    labels = [path.relative_to(root / tops[split]).parts[0] for split, path in images]
    trained = [i for i, (split, _) in enumerate(images) if split == "train"]
    shares = manifest.stratified([labels[i] for i in trained], _fractions(spec), spec.split_seed)
    splits = dict(zip(trained, shares, strict=True))
    return [
        Row(str(path.relative_to(root)), labels[i], splits.get(i, split), files.sha256_file(path))
        for i, (split, path) in enumerate(images)
    ]
