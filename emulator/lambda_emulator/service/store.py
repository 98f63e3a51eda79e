"""What the service keeps: documents in an SQLite database, and folders of code beside it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lambda_emulator.project.errors import RunError

Document = dict[str, Any]
_FORMAT = 1


class Store:
    """The folder with all that the service keeps.

    Every change is committed when it is made, so that it outlives a kill -9. One process at a time
    may use a folder. Raises RunError if it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(
                folder / "state.sqlite", isolation_level=None, timeout=1.0
            )
            self._lock()
            self._check_format()
        except (OSError, sqlite3.Error) as error:
            raise RunError(f"--state {folder}: {error}{_advice(error)}") from error

    def _lock(self) -> None:
        """Keep others out until this process ends, however it ends."""
        self.database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = NORMAL")
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS documents "
            "(kind TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, key))"
        )

    def _check_format(self) -> None:
        (found,) = self.database.execute("PRAGMA user_version").fetchone()
        if found not in (0, _FORMAT):
            raise RunError(
                f"--state {self.folder}: is of another version of lambda-emulator: "
                "use that one, or another folder"
            )
        self.database.execute(f"PRAGMA user_version = {_FORMAT}")

    def table(self, kind: str) -> Table:
        """The documents of one kind."""
        return Table(self.database, kind)

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def _advice(error: Exception) -> str:
    if "locked" in str(error):
        return " (another lambda-emulator uses this folder)"
    return ""


class Table:
    """The documents of one kind by their keys; ``save`` makes a change last."""

    def __init__(self, database: sqlite3.Connection, kind: str) -> None:
        self._database = database
        self._kind = kind
        rows = database.execute("SELECT key, body FROM documents WHERE kind = ?", (kind,))
        self._documents: dict[str, Document] = {key: json.loads(body) for key, body in rows}

    def get(self, key: str) -> Document | None:
        """The document, None if there is none."""
        return self._documents.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self._documents

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._documents))

    def values(self) -> list[Document]:
        """All documents, in the order of their keys."""
        return [self._documents[key] for key in self]

    def save(self, key: str, document: Document) -> None:
        """Keep a document that is new or has changed."""
        self._documents[key] = document
        self._database.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)",
            (self._kind, key, json.dumps(document)),
        )

    def delete(self, key: str) -> None:
        """Forget a document."""
        self._documents.pop(key, None)
        self._database.execute(
            "DELETE FROM documents WHERE kind = ? AND key = ?", (self._kind, key)
        )
