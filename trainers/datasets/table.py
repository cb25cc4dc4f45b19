"""`data.kind: table`: a table that names photographs, their classes and, if it likes, splits.

A CSV file in UTF-8 or, by its extension, a Parquet file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

from mlops_spec import files, manifest
from mlops_spec.errors import StepError
from mlops_spec.judging import slices
from mlops_spec.rows import SEPARATOR, SPLITS
from mlops_spec.spec import Section
from trainers.datasets import _looks, _photographs, _tables
from trainers.datasets._photographs import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.spec import Spec as WholeSpec

_DRAWN = ("test", "val")
_SLICE = "slices."


class Columns(Section):
    """The names of the columns; null where the table has none of the sort."""

    path: str
    label: str
    split: str | None
    group: str | None


class Spec(_photographs.Labelled):
    """Where the table and the photographs lie."""

    kind: Literal["table"]
    file: str
    root: str | None
    columns: Columns
    slices: tuple[str, ...]


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """No table, no such column, two kinds of groups, nothing left to train on."""
    assert isinstance(spec.data, Spec)
    file, root = _file(spec.data), _root(spec.data)
    if not file.is_file():
        yield "data.file", f"there is no file {file}"
    else:
        yield from _missing_columns(spec.data)
    if not root.is_dir():
        yield "data.root", f"there is no folder {root}"
    if spec.data.group and spec.data.columns.group:
        yield (
            "data.group",
            "the table has groups already: data.group=null or data.columns.group=null",
        )
    yield from _photographs.contradictions(spec.data)


def _missing_columns(spec: Spec) -> Iterator[tuple[str, str]]:
    try:
        header = _tables.header(_file(spec))
    except StepError as error:
        yield "data.file", f"{error.message}; {error.cure}"
        return
    for key, name in _named(spec).items():
        if header.count(name) != 1:
            what = "several columns" if name in header else "no column"
            where = "slices" if key.startswith(_SLICE) else f"columns.{key}"
            yield f"data.{where}", f"{what} {name!r} in the table ({', '.join(header)})"


def _named(spec: Spec) -> dict[str, str]:
    """The columns that are read, by what they are for."""
    columns: dict[str, str | None] = spec.columns.model_dump()
    parts = {f"{_SLICE}{number}": name for number, name in enumerate(spec.slices)}
    return {key: name for key, name in (columns | parts).items() if name is not None}


def _file(spec: Spec) -> Path:
    return Path(spec.file).expanduser()


def _root(spec: Spec) -> Path:
    return Path(spec.root).expanduser() if spec.root is not None else _file(spec).parent


def fingerprint(spec: Spec) -> dict[str, str]:
    """What the data set is read from: the table, and each file's path and content."""
    root, found = _root(spec), {"": files.sha256_file(_file(spec))}
    for candidate in _listed(spec):
        path = candidate.path
        there = _looks.is_there(path)
        found[_photographs.name_of(path, root)] = files.sha256_file(path) if there else ""
    return found


def prepare(spec: Spec, out_dir: Path) -> manifest.Dataset:
    """Judges every file of the table and writes the manifest.

    Splits that the table does not name are drawn from its training images.

    Raises:
        StepError: A row can not be used, or something was found that the spec calls an error.
    """
    candidates = list(_listed(spec))
    given = {c.split for c in candidates if c.split} & {*_DRAWN}
    if given != {*_DRAWN}:  # training images may become one of the splits that nobody named
        candidates = [c if c.split in given else replace(c, split=None) for c in candidates]
    drawing, root = _photographs.draw(spec, given), _root(spec)
    dataset = _photographs.manifest_of(candidates, spec, root, out_dir, drawing)
    values = {_photographs.name_of(c.path, root): c.values for c in candidates}
    slices.write(out_dir, dataset, spec.slices, values)
    return dataset


def _listed(spec: Spec) -> Iterator[Candidate]:
    """The images of the table, in its order.

    Raises:
        StepError: A row lacks a label, names no split, leaves the root or stands twice.
    """
    file, root, named = _file(spec), _root(spec), _named(spec)
    seen: dict[str, int] = {}
    for number, cells in _tables.rows(file, [*named.values()], lists=spec.multi_label):
        row = dict(zip(named, cells, strict=True))
        candidate = _candidate(row, spec, root, f"{file.name}:{number}")
        known = seen.setdefault(str(candidate.path), number)
        if known != number:
            what = f"{file.name}:{number}: the image of line {known} again"
            raise StepError(what, "an image has one row")
        yield candidate


def _candidate(row: dict[str, str], spec: Spec, root: Path, where: str) -> Candidate:
    name, label, split = row["path"], row["label"].strip(), row.get("split", "").strip()
    if spec.multi_label:
        label = _photographs.combined(filter(None, map(str.strip, label.split(SEPARATOR))))
    if not name or not (label or spec.multi_label):
        raise StepError(f"{where}: a row needs a path and a label", "complete or remove it")
    if split and split not in SPLITS:
        known = ", ".join(SPLITS)
        raise StepError(f"{where}: unknown split {split!r} (known: {known})", "correct the table")
    written = PurePath(name)
    if written.is_absolute() or ".." in written.parts:
        raise StepError(f"{where}: {name} lies outside {root}", "set data.root above it")
    group = row["group"] if "group" in row else _photographs.group_in(spec, str(written))
    values = tuple(cell for key, cell in row.items() if key.startswith(_SLICE))
    return Candidate(root / written, label, split or None, group or None, values)
