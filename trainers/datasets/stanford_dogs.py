"""`data.kind: stanford_dogs`: 20,580 photographs of 120 breeds, with their official lists.

Source: A. Khosla, N. Jayadevaprakash, B. Yao, L. Fei-Fei, Novel dataset for fine-grained image
categorization, FGVC workshop at CVPR 2011. Every fifth image of the official training list, its
first one included, validates: 9,600 for training, 2,400 for validation, 8,580 for testing.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mlops_spec.errors import StepError
from trainers.datasets import _archive, _photographs
from trainers.datasets._archive import Limit, Limits, Sha256
from trainers.datasets._photographs import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlops_spec import manifest
    from mlops_spec.spec import Spec as WholeSpec

_EVERY = 5  # training images, of which the first validates
_NAME = re.compile(r"n\d{8}-[\w-]+/n\d{8}_\d+\.jpg", re.ASCII)
_LIST_BYTES = 32 << 20  # of a list, unpacked: the official ones have a tenth of it
_HEAD = 128  # bytes before the first element of a .mat file
_MATRIX, _COMPRESSED = 14, 15  # types of elements of it
_SMALL = 1 << 16  # from here on a type is that of an element that lies inside its own tag
_TEXT, _NUMBERS = 4, 15  # the first and the last class of arrays that hold no other arrays
_NESTED = 3  # arrays of arrays in a list; the official ones have two, names and annotations
_SHOWN = 3  # names of each sort of disagreement
_ARCHIVES = ("images", "lists")

_Order = Literal["little", "big"]


class Spec(_photographs.Judged):
    """Where the two archives are, which they are, and how much they may unpack to."""

    kind: Literal["stanford_dogs"]
    images: str
    lists: str
    images_sha256: Sha256 | None
    lists_sha256: Sha256 | None
    max_files: Limit
    max_bytes: Limit
    max_file_bytes: Limit


class Listed(NamedTuple):
    """An image of an official list: BREED_FOLDER/FILE, and its breed's number from 1 on."""

    name: str
    number: int


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """Archives that are not there, or may be others tomorrow."""
    assert isinstance(spec.data, Spec)
    for name in _ARCHIVES:
        source, sha256 = _source(spec.data, name)
        yield from _archive.contradictions(f"data.{name}_sha256", source, sha256)
        if not _archive.is_there(source):
            yield f"data.{name}", f"there is no file {source}"


def _source(spec: Spec, name: str) -> tuple[str, str | None]:
    return getattr(spec, name), getattr(spec, f"{name}_sha256")


def fingerprint(spec: Spec) -> dict[str, str]:
    """The digests of the archives, and where they are taken from if that is the web."""
    return {
        f"{name}.{key}": value
        for name in _ARCHIVES
        for key, value in _archive.fingerprint(*_source(spec, name)).items()
    }


def prepare(spec: Spec, out_dir: Path) -> manifest.Dataset:
    """Fetches and unpacks the archives, and writes the manifest of the official split.

    Raises:
        StepError: One can not be had or is not safe, or lists and images are not of one another.
    """
    limits = Limits(spec.max_files, spec.max_bytes, spec.max_file_bytes)
    images, lists = (_archive.bring(*_source(spec, name), limits) for name in _ARCHIVES)
    root = images / "Images"
    training, test = (read_list(lists / f"{part}_list.mat") for part in ("train", "test"))
    _compare([*training, *test], root)
    splits = [*splits_of(len(training)), *("test" for _ in test)]
    candidates = [
        Candidate(root / listed.name, _breed(listed.name), split)
        for listed, split in zip([*training, *test], splits, strict=True)
    ]
    return _photographs.manifest_of(candidates, spec, root, out_dir)


def splits_of(count: int) -> list[str]:
    """The split of each image of the official training list, in its order."""
    return ["val" if i % _EVERY == 0 else "train" for i in range(count)]


def _breed(name: str) -> str:
    """`Chihuahua` of `n02085620-Chihuahua/n02085620_10074.jpg`."""
    return name.partition("/")[0].partition("-")[2]


def _compare(listed: Sequence[Listed], root: Path) -> None:
    """Makes sure that every image is in one list, once, and under one number a breed.

    Raises:
        StepError: Lists and images are not of one another.
    """
    names = [image.name for image in listed]
    known, there = {*names}, {p.relative_to(root).as_posix() for p in root.glob("n*/n*.jpg")}
    pairs = {(image.number, _breed(image.name)) for image in listed}
    numbers, breeds = [number for number, _ in pairs], [breed for _, breed in pairs]
    sorts = {
        "listed, but not in the archive": known - there,
        "in the archive, but not listed": there - known,
        "listed twice": _repeated(names),
        "breeds of several numbers": _repeated(breeds),
        "numbers of several breeds": _repeated([str(number) for number in numbers]),
    }
    wrong = [f"{len(found)} {what} ({_first(found)})" for what, found in sorts.items() if found]
    if wrong:
        message = f"lists and images do not fit each other: {'; '.join(wrong)}"
        raise StepError(message, "take images.tar and lists.tar of the same release, both complete")


def _repeated(words: Sequence[str]) -> set[str]:
    return {word for word, count in Counter(words).items() if count > 1}


def _first(names: set[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more


def read_list(path: Path) -> list[Listed]:
    """The images of an official list, in its order.

    Raises:
        StepError: It is not there, too large, or not what a list should be.
    """
    if not path.is_file():
        raise StepError(f"there is no {path.name} in the lists", "take the official lists.tar")
    try:
        content = _load(path)
        names, numbers = content["file_list"], content["labels"]
        listed = [
            Listed(_name(cell), int(number))
            for (cell,), (number,) in zip(names, numbers, strict=True)
        ]
    except _damage() as error:
        message = f"{path.name} is not one of the official lists ({error})"
        raise StepError(message, "take the official lists.tar") from error
    return listed


def _damage() -> tuple[type[Exception], ...]:
    """What is said of a file that is no list."""
    from scipy.io.matlab import MatReadError  # type: ignore[import-untyped]

    return (
        MatReadError, OSError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError,
        NotImplementedError, AttributeError, zlib.error,
    )  # fmt: skip


def _load(path: Path) -> dict[str, Any]:
    """The two variables that count, of a file whose size in memory is known before it is read."""
    from scipy.io import loadmat  # type: ignore[import-untyped]
    from scipy.io.matlab import matfile_version

    if path.stat().st_size > _LIST_BYTES:
        raise ValueError("it is too large")
    with path.open("rb") as file:
        if matfile_version(file)[0] != 1:
            raise ValueError("it is no MATLAB file of version 5")
    _measure(path.read_bytes())
    return dict(loadmat(path, variable_names=("file_list", "labels"), appendmat=False))


def _measure(content: bytes) -> None:
    """Looks through a .mat file before it is read: that may take any memory, and any depth.

    Raises:
        ValueError: It unpacks to too much, or holds more cell arrays than an official list.
    """
    order: _Order = "little" if content[_HEAD - 2 : _HEAD] == b"IM" else "big"
    nested = islice(_nested(content[_HEAD:], order, _LIST_BYTES), _NESTED + 1)
    if len([*nested]) > _NESTED:
        raise ValueError("it is nested")


def _nested(content: bytes, order: _Order, left: int) -> Iterator[None]:
    """One for each matrix of other matrices, in elements that may be compressed."""
    for kind, element in _elements(content, order):
        if kind == _COMPRESSED:
            unpacked = zlib.decompressobj().decompress(element, max(left, 1))  # 0 is no limit
            left -= len(unpacked)
            if left <= 0:
                raise ValueError("it unpacks to too much")
            yield from _nested(unpacked, order, 0)
        elif kind == _MATRIX:
            array_class = int.from_bytes(element[8:12], order) & 0xFF
            if not _TEXT <= array_class <= _NUMBERS:
                yield None


def _elements(content: bytes, order: _Order) -> Iterator[tuple[int, bytes]]:
    """The elements of a .mat file with their types, those inside a matrix after it."""
    view, position = memoryview(content), 0
    while position + 8 <= len(view):
        kind, size = (int.from_bytes(view[position + i :][:4], order) for i in (0, 4))
        position += 8
        yield kind, bytes(view[position : position + (32 if kind == _MATRIX else size)])
        if kind == _COMPRESSED:
            position += size
        elif kind != _MATRIX and kind < _SMALL:
            position += size + -size % 8


def _name(cell: Any) -> str:
    """The text in a cell, where it is the name of an image."""
    text = str(cell.item())
    if not _NAME.fullmatch(text):
        message = f"{text[:100]!r} is no name of an image"
        raise ValueError(message)
    return text
