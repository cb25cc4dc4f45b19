"""MLflow's tables of registered models, read by SQL: importing MLflow takes a second, this none.

Only what MLflow documents is read, and that the tags of a deleted version stay; tests hold this
view against MLflow's own.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, TypeVar

from mlops_spec import tracking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

Row = tuple[int, int, int]  # of a version: number, milliseconds of its creation, is it champion
Tag = tuple[int, str, str]  # number of a version, key, value
Note = tuple[str, str]  # key and value of a tag of the model
Rows = tuple[list[Row], list[Tag], list[Note]]

_NAMES = """
    SELECT DISTINCT v.name FROM model_versions v
    JOIN model_version_tags tag
      ON tag.name = v.name AND tag.version = v.version AND tag."key" = ?
    WHERE COALESCE(v.current_stage, '') <> 'Deleted_Internal'
    ORDER BY v.name
"""
_VERSIONS = """
    SELECT v.version, v.creation_time, alias.version IS NOT NULL FROM model_versions v
    LEFT JOIN registered_model_aliases alias
      ON alias.name = v.name AND alias.version = v.version AND alias.alias = ?
    WHERE v.name = ? AND COALESCE(v.current_stage, '') <> 'Deleted_Internal'
    ORDER BY v.version
"""
_TAGS = 'SELECT version, "key", value FROM model_version_tags WHERE name = ?'
_NOTES = """
    SELECT "key", value FROM registered_model_tags WHERE name = ? AND "key" GLOB ? ORDER BY "key"
"""


def names(database: Path, tag: str) -> list[str]:
    """The models with a version that has a tag, sorted.

    Raises:
        StateError: The database can not be read.
    """
    rows = _ask(database, lambda connection: connection.execute(_NAMES, (tag,)).fetchall())
    return [name for (name,) in rows or []]


def rows(database: Path, model: str, alias: str, notes: str) -> Rows:
    """A model's versions with who has an alias, their tags, and its own tags that match a pattern.

    Tags are also those of versions that were deleted. All are of one moment; there are none while
    there is no database.

    Raises:
        StateError: The database can not be read.
    """

    def question(connection: sqlite3.Connection) -> Rows:
        connection.execute("BEGIN")  # the three of them see one moment
        return (
            connection.execute(_VERSIONS, (alias, model)).fetchall(),
            connection.execute(_TAGS, (model,)).fetchall(),
            connection.execute(_NOTES, (model, notes)).fetchall(),
        )

    return _ask(database, question) or ([], [], [])


def _ask(database: Path, question: Callable[[sqlite3.Connection], T]) -> T | None:
    """What a database answers; None while there is none, or MLflow has only begun to make it."""
    if not database.exists() or (database.is_file() and not database.stat().st_size):
        return None
    try:
        return _connected(database, "ro", question)
    except sqlite3.DatabaseError as error:
        if tracking.is_locked(error):
            raise tracking.unusable(database, error, "read") from error
    try:
        # What a killed process left half-written, sqlite mends when it may write.
        return _connected(database, "rw", question)
    except sqlite3.DatabaseError as error:
        raise tracking.unusable(database, error, "read") from error


def _connected(database: Path, mode: str, question: Callable[[sqlite3.Connection], T]) -> T:
    uri = f"{database.resolve().as_uri()}?mode={mode}"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        return question(connection)
