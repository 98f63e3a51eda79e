"""The events and the deliveries that are not done yet.

An event leaves the store in the same write that puts in what has to be sent about it: it is either
queued or done, whenever the emulator is killed. Then what was under way is done again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from lambda_emulator.ground.destinations import Parcel
from lambda_emulator.ground.invoking import Outcome
from lambda_emulator.ground.state import State

_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    request_id TEXT PRIMARY KEY, function TEXT NOT NULL, qualifier TEXT, payload BLOB NOT NULL,
    client_context TEXT, trace_id TEXT NOT NULL, hop INTEGER NOT NULL, tenant_id TEXT,
    received REAL NOT NULL, due REAL NOT NULL,
    invocations INTEGER NOT NULL, errors INTEGER NOT NULL, delays INTEGER NOT NULL, last TEXT,
    taken INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS events_due ON events (taken, due);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, function TEXT NOT NULL, metric TEXT NOT NULL, arn TEXT NOT NULL,
    parcel TEXT NOT NULL, since REAL NOT NULL, due REAL NOT NULL, delays INTEGER NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (taken, due);
UPDATE events SET taken = 0;
UPDATE deliveries SET taken = 0;
"""


@dataclass
class Event:
    """An event in the queue.

    ``hop`` tells which invocation of the function this is in its chain of requests.
    ``received`` and ``due`` are moments; ``invocations`` counts how often the function was asked,
    ``errors`` how often it failed, ``delays`` the throttles and service errors; ``last`` is the
    outcome of the last time.
    """

    request_id: str
    function: str
    qualifier: str | None
    payload: bytes
    client_context: str | None
    trace_id: str
    hop: int
    tenant_id: str | None
    received: float
    due: float
    invocations: int = 0
    errors: int = 0
    delays: int = 0
    last: Outcome | None = None


@dataclass
class Delivery:
    """A parcel on its way; ``metric`` is what counts its failure."""

    id: int
    function: str
    metric: str
    arn: str
    parcel: Parcel
    since: float
    due: float
    delays: int


class Store:
    """The queue's tables."""

    def __init__(self, state: State) -> None:
        self._state = state
        state.create(_TABLES)

    def put(self, event: Event) -> None:
        """Queue an event."""
        values = asdict(event) | {"last": None}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        statement = f"INSERT INTO events ({names}) VALUES ({marks})"
        self._state.rows(statement, *values.values())

    def take_event(self, moment: float, except_for: Collection[str]) -> Event | None:
        """The event that is due longest, but not of one of these functions."""
        marks = ", ".join("?" * len(except_for))
        found = self._state.rows(
            "UPDATE events SET taken = 1 WHERE request_id = (SELECT request_id FROM events"
            f" WHERE taken = 0 AND due <= ? AND function NOT IN ({marks})"
            " ORDER BY due LIMIT 1) RETURNING *",
            moment,
            *except_for,
        )
        return _event(found[0]) if found else None

    def postpone(self, event: Event) -> None:
        """Put an event back until it is due."""
        self._state.rows(
            "UPDATE events SET taken = 0, due = ?, invocations = ?, errors = ?, delays = ?,"
            " last = ? WHERE request_id = ?",
            *(event.due, event.invocations, event.errors, event.delays, _text(event.last)),
            event.request_id,
        )

    def finish(
        self, event: Event, moment: float, parcels: Iterable[tuple[str, str, Parcel]]
    ) -> None:
        """Remove an event; send these parcels: each with its metric and the ARN."""
        insert = (
            "INSERT INTO deliveries (function, metric, arn, parcel, since, due, delays)"
            " VALUES (?, ?, ?, ?, ?, ?, 0)"
        )
        statements: list[tuple[str, tuple[Any, ...]]] = [
            (insert, (event.function, metric, arn, json.dumps(asdict(parcel)), moment, moment))
            for metric, arn, parcel in parcels
        ]
        remove = "DELETE FROM events WHERE request_id = ?"
        self._state.together([*statements, (remove, (event.request_id,))])

    def take_delivery(self, moment: float) -> Delivery | None:
        """The delivery that is due longest."""
        found = self._state.rows(
            "UPDATE deliveries SET taken = 1 WHERE id = (SELECT id FROM deliveries"
            " WHERE taken = 0 AND due <= ? ORDER BY due, id LIMIT 1) RETURNING *",
            moment,
        )
        return _delivery(found[0]) if found else None

    def postpone_delivery(self, delivery: Delivery) -> None:
        """Put a delivery back until it is due."""
        self._state.rows(
            "UPDATE deliveries SET taken = 0, due = ?, delays = ? WHERE id = ?",
            *(delivery.due, delivery.delays, delivery.id),
        )

    def finish_delivery(self, delivery: Delivery) -> None:
        """Remove a delivery."""
        self._state.rows("DELETE FROM deliveries WHERE id = ?", delivery.id)

    def next_due(self, except_for: Collection[str]) -> float | None:
        """The moment when something is due again, but not for one of these functions."""
        marks = ", ".join("?" * len(except_for))
        ((moment,),) = self._state.rows(
            "SELECT MIN(due) FROM (SELECT due FROM events WHERE taken = 0"
            f" AND function NOT IN ({marks})"
            " UNION ALL SELECT due FROM deliveries WHERE taken = 0)",
            *except_for,
        )
        return None if moment is None else float(moment)

    def waiting(self) -> int:
        """How many events and deliveries are not done."""
        ((number,),) = self._state.rows(
            "SELECT (SELECT COUNT(*) FROM events) + (SELECT COUNT(*) FROM deliveries)"
        )
        return int(number)


def _event(row: Any) -> Event:
    values = dict(row)
    del values["taken"]
    return Event(**values | {"last": _outcome(values["last"])})


def _delivery(row: Any) -> Delivery:
    values = dict(row)
    del values["taken"]
    return Delivery(**values | {"parcel": Parcel(**json.loads(values["parcel"]))})


def _text(outcome: Outcome | None) -> str | None:
    if outcome is None:
        return None
    return json.dumps(asdict(outcome) | {"payload": base64.b64encode(outcome.payload).decode()})


def _outcome(text: str | None) -> Outcome | None:
    if text is None:
        return None
    values = json.loads(text)
    return Outcome(**values | {"payload": base64.b64decode(values["payload"])})
