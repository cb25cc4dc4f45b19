"""Rows of tables, CSV or by its extension Parquet, of which only the wanted columns are read."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from mlops_spec.errors import StepError
from mlops_spec.rows import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def header(file: Path) -> list[str]:
    """The names of the columns; none for an empty CSV file.

    Raises:
        StepError: It is no table.
    """
    if _is_parquet(file):
        return list(_parquet(file).schema_arrow.names)
    return next(_lines(file), (0, []))[1]


def rows(
    file: Path, columns: Sequence[str], *, lists: bool = False
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The cells of some columns as text, "" for none, row by row.

    With `lists` a cell of a Parquet file may be a list, whose parts are joined by `SEPARATOR`.

    Each with its number: the line where it ends in a CSV file, counted from 1 in a Parquet file.

    Raises:
        StepError: It is no table, or damaged.
    """
    return (
        _parquet_rows(file, columns, lists=lists) if _is_parquet(file) else _csv_rows(file, columns)
    )


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() == ".parquet"


def _csv_rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    lines = _lines(file)
    names = next(lines, (0, []))[1]
    places = [names.index(name) for name in columns]
    for number, cells in lines:
        if cells:
            if len(cells) < len(names):
                cells.extend([""] * (len(names) - len(cells)))
            yield number, tuple(cells[place] for place in places)


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    with file.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.reader(opened)
        try:
            for cells in reader:
                yield reader.line_num, cells
        except UnicodeDecodeError as error:
            message = f"{file}:{_not_utf8(file)} is not UTF-8: {error.reason}"
            raise StepError(message, "save it as UTF-8, in a spreadsheet as `CSV UTF-8`") from error
        except csv.Error as error:
            message = f"{file}:{reader.line_num} can not be read as CSV: {error}"
            raise StepError(message, "mend the line, or save the table as CSV again") from error


def _not_utf8(file: Path) -> int:
    """The first line that is not UTF-8; the reader is some thousand bytes behind the decoder."""
    with file.open("rb") as opened:
        return next(number for number, line in enumerate(opened, 1) if not _is_utf8(line))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parquet(file: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        cure = "pip install mlops_spec[parquet], or save the table as CSV"
        raise StepError(f"to read {file} takes pyarrow, which is not here", cure) from error
    try:
        return parquet.ParquetFile(file)
    except (ArrowException, OSError) as error:
        raise _no_parquet(file, error) from error


def _no_parquet(file: Path, error: Exception) -> StepError:
    return StepError(f"{file} is no Parquet file, or damaged: {error}", "write it again")


def _parquet_rows(
    file: Path, columns: Sequence[str], *, lists: bool
) -> Iterator[tuple[int, tuple[str, ...]]]:
    opened, number = _parquet(file), 0
    from pyarrow import ArrowException

    batches = opened.iter_batches(columns=list(dict.fromkeys(columns)))
    try:
        for batch in batches:
            found = (batch.column(name) for name in columns)
            where = (f"{file}: the column {name!r}" for name in columns)
            cells = [_texts(*pair, lists=lists) for pair in zip(found, where, strict=True)]
            for row in zip(*cells, strict=True):
                number += 1
                yield number, row
    except (ArrowException, OSError) as error:
        raise _no_parquet(file, error) from error


def _texts(column: Any, where: str, *, lists: bool) -> list[str]:
    """A column of a batch as text; its strings are the only objects that are made."""
    import pyarrow as pa

    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    try:
        if lists and any(is_one(column.type) for is_one in kinds):
            cells = column.cast(pa.list_(pa.string())).to_pylist()
            return [_joined(cell or [], where) for cell in cells]
        return list(column.cast(pa.string()).fill_null("").to_pylist())
    except pa.ArrowException as error:
        message = f"{where} is of the type {column.type}, which is no text"
        raise StepError(message, "write it as text, or name another column") from error


def _joined(parts: Sequence[str | None], where: str) -> str:
    """A list of texts as one text; a part that has the separator would read as two."""
    found = [part for part in parts if part]
    if any(SEPARATOR in part for part in found):
        message = f"{where} has a value with the character that separates values, {SEPARATOR}"
        raise StepError(message, "rename it")
    return SEPARATOR.join(found)
