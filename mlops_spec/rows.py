"""Rows of a manifest as columns: a million images are five arrays and not four million objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, overload

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("train", "val", "test")
SEPARATOR = "|"  # between the labels of an image that may have several
_CHUNK = 65_536  # rows that are objects at a time


class Row(NamedTuple):
    """One image: its path below the root, its class, its split and its content's digest.

    Where images may have several labels, `label` holds all of them, sorted and separated.
    """

    path: str
    label: str
    split: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Rows(Sequence[Row]):
    """Rows in a fixed order; one becomes an object when it is asked for.

    Attributes:
        names: The distinct labels.
        text: All paths, one after the other, in UTF-8.
        begin: Where each row's path begins in `text` (N).
        end: Where it ends (N).
        label: Positions in `names` (N).
        place: Positions in `SPLITS` (N).
        sha256: Digests as hexadecimal text (N).
    """

    names: tuple[str, ...]
    text: bytes
    begin: np.ndarray
    end: np.ndarray
    label: np.ndarray
    place: np.ndarray
    sha256: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        """Takes rows in, some at a time.

        Raises:
            ValueError: A row names no split.
        """
        import numpy as np

        names: dict[str, int] = {}
        given = iter(rows)
        chunks = iter(lambda: [*islice(given, _CHUNK)], [])
        parts = [_columns(chunk, names) for chunk in chunks] or [_columns([], names)]
        texts, *columns = zip(*parts, strict=True)
        length, label, place, sha256 = (np.concatenate(column) for column in columns)
        end = np.cumsum(length)
        return cls(tuple(names), b"".join(texts), end - length, end, label, place, sha256)

    def in_split(self, name: str) -> Rows:
        """The rows of one split."""
        return self._at(self.place == SPLITS.index(name))

    def _at(self, where: Any) -> Rows:
        columns = ("begin", "end", "label", "place", "sha256")
        return replace(self, **{name: getattr(self, name)[where] for name in columns})

    def __len__(self) -> int:
        return len(self.label)

    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> Rows: ...
    def __getitem__(self, key: int | slice) -> Row | Rows:
        if isinstance(key, slice):
            return self._at(key)
        path = self.text[self.begin[key] : self.end[key]].decode()
        label, split = self.names[self.label[key]], SPLITS[self.place[key]]
        return Row(path, label, split, self.sha256[key].decode())

    def __iter__(self) -> Iterator[Row]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment] # as a list's


def _columns(rows: Sequence[Row], names: dict[str, int]) -> tuple[Any, ...]:
    """Some rows as text, lengths, labels, splits and digests; new labels are added to `names`."""
    import numpy as np

    paths = [row.path.encode() for row in rows]
    return (
        b"".join(paths),
        np.array([len(path) for path in paths], np.int64),
        np.array([names.setdefault(row.label, len(names)) for row in rows], np.int32),
        np.array([SPLITS.index(row.split) for row in rows], np.int8),
        np.array([row.sha256 for row in rows], "S64"),
    )
