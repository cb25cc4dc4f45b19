"""What a data set was read from, kept beside it so that a plan can say what is new in it.

`source.json` among the outputs of the data step: name -> digest of the content, as the kind's
`fingerprint` gave it.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mlops_spec import files
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_FILE = "source.json"
_SHOWN = 3  # names of each sort of change


def keep(folder: Path, fingerprint: Mapping[str, str]) -> None:
    """Keeps a fingerprint beside the data set that was made from it."""
    files.write_json(folder / _FILE, {"files": dict(fingerprint)})


def changes(folder: Path, fingerprint: Mapping[str, str]) -> str:
    """What is new since a data set was made, in words; empty when nobody knows."""
    try:
        known = files.read_json(folder / _FILE)["files"]
    except (FileNotFoundError, StateError, KeyError):
        known = None  # it only serves to explain
    if not isinstance(known, dict) or not all(isinstance(value, str) for value in known.values()):
        return ""
    return told(known, fingerprint)


def told(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The difference of two fingerprints in words: added, removed, changed, moved, relabelled.

    A file is moved when its content is there under another name only; in another folder, which is
    where photographs have their labels, it is relabelled.
    """
    gone = [name for name in before if name not in after]
    new = [name for name in after if name not in before]
    homes: dict[str, list[str]] = {}
    for name in gone:
        homes.setdefault(before[name], []).append(name)
    moved = {name: homes[after[name]].pop() for name in new if homes.get(after[name])}
    relabelled = [name for name, old in moved.items() if _folder(name) != _folder(old)]
    left = {*moved.values()}
    sorts = {
        "added": [name for name in new if name not in moved],
        "removed": [name for name in gone if name not in left],
        "changed": [name for name in after if name in before and before[name] != after[name]],
        "relabelled": relabelled,
        "renamed": [name for name in moved if name not in {*relabelled}],
    }
    return ", ".join(_counted(word, names) for word, names in sorts.items() if names)


def _folder(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _counted(word: str, names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return f"{len(names)} {word} ({', '.join(sorted(names)[:_SHOWN])}{more})"
