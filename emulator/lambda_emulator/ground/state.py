"""What survives the emulator: one SQLite file in the state folder, or memory without one.

A write is complete before the call returns, and is there after kill -9. (After a power cut the last
ones may be missing, but the file is whole: WAL, synchronous=NORMAL.)
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

_BUSY_MS = 5000


class State:
    """A database; ``folder`` is made if it is not there. Rooms bring tables of their own.

    Raises OSError if the folder cannot be used or another emulator uses it, and sqlite3.Error for a
    file that is no database.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._lock = None if folder is None else _lock(folder)
        path = ":memory:" if folder is None else str(folder / "events.sqlite3")
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        try:
            for setting in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=NORMAL"):
                self._database.execute(f"PRAGMA {setting}")
        except sqlite3.Error:
            self.close()
            raise

    def create(self, script: str) -> None:
        """Make tables, unless they are there."""
        self._database.executescript(script)

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Run one statement; its rows."""
        return self._database.execute(statement, values).fetchall()

    def together(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """Run statements as one: all of them happen or none."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in statements:
                self._database.execute(statement, values)
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()


def _lock(folder: Path) -> IO[bytes]:
    """The folder for this process alone, until the file is closed or the process ends.

    Two emulators would invoke every event twice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "events.lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise OSError("another emulator uses it") from None
    return lock
