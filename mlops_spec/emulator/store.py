"""What an emulated Azure remembers: JSON documents by key, in one sqlite file."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from mlops_spec.errors import StateError
from mlops_spec.files import SCHEMA_VERSION, NewerStateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TABLE = "CREATE TABLE IF NOT EXISTS documents (key TEXT PRIMARY KEY, body TEXT NOT NULL)"
_PUT = "INSERT INTO documents VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body"


class Store:
    """Documents by key; each write is whole and on the disk before it returns.

    Args:
        path: The file; made when there is none.

    Raises:
        StateError: The file is damaged, or of a newer version of this program.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise NewerStateError(path, version)
            self._database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            self._database.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            cure = "delete the state folder and start again"
            raise StateError(f"{path} is damaged ({error})", cure) from error

    def get(self, key: str) -> dict[str, Any] | None:
        """A document; None where there is none."""
        found = self._database.execute("SELECT body FROM documents WHERE key = ?", (key,))
        row = found.fetchone()
        return dict(json.loads(row[0])) if row else None

    def put(self, key: str, body: dict[str, Any]) -> None:
        """Makes or replaces a document; a replaced one keeps its place in the order."""
        self._database.execute(_PUT, (key, json.dumps(body)))

    def delete(self, key: str) -> bool:
        """Removes a document; says whether there was one."""
        gone = self._database.execute("DELETE FROM documents WHERE key = ?", (key,))
        return gone.rowcount > 0

    def under(self, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The documents whose keys begin so, oldest first; names are what follows the prefix."""
        found = self._database.execute(
            "SELECT key, body FROM documents WHERE substr(key, 1, ?) = ? ORDER BY rowid",
            (len(prefix), prefix),
        )
        for key, body in found.fetchall():
            yield key[len(prefix) :], dict(json.loads(body))

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()
