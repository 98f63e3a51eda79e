"""Opens and closes a database connection in the phases of an environment.

The function opens the connection in init. It closes it before a SnapStart snapshot, because a
connection does not survive a snapshot, and opens it again after the restore. At the shutdown it
closes the connection.
"""

import os
import sqlite3
from typing import Any

import lambda_runtime

DATABASE = os.environ.get("DATABASE", "/tmp/visits.sqlite")


def connect() -> sqlite3.Connection:
    opened = sqlite3.connect(DATABASE, isolation_level=None)
    opened.execute("CREATE TABLE IF NOT EXISTS visits (name TEXT)")
    return opened


connection = connect()


@lambda_runtime.on_snapshot
@lambda_runtime.on_shutdown
def disconnect() -> None:
    print("the database is closed")
    connection.close()


@lambda_runtime.on_restore
def reconnect() -> None:
    global connection
    print("the database is open again")
    connection = connect()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    name = event.get("name", "world")
    connection.execute("INSERT INTO visits VALUES (?)", (name,))
    (visits,) = connection.execute("SELECT count(*) FROM visits WHERE name = ?", (name,)).fetchone()
    return {"name": name, "visits": visits}
