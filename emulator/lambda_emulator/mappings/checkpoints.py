"""How far the shards of streams have been read, in the state."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lambda_emulator.ground.state import State

_TABLE = """
CREATE TABLE IF NOT EXISTS checkpoints (
    uuid TEXT NOT NULL, shard TEXT NOT NULL, sequence TEXT, closed INTEGER NOT NULL,
    window_start REAL, window_state TEXT, PRIMARY KEY (uuid, shard));
"""


@dataclass
class Window:
    """A tumbling window that is open: when it began, and what the function has made of it."""

    start: float
    state: dict[str, Any] = field(default_factory=dict)


@dataclass
class Checkpoint:
    """What is done of a shard: all records up to ``sequence``; ``closed`` if there are no more."""

    sequence: str | None = None
    closed: bool = False
    window: Window | None = None


class Checkpoints:
    """The checkpoints of one mapping."""

    def __init__(self, state: State, uuid: str) -> None:
        self._state = state
        self._uuid = uuid
        state.create(_TABLE)

    def load(self, shard: str) -> Checkpoint | None:
        """That of a shard, or None if nothing is done of it."""
        for row in self._state.rows(
            "SELECT * FROM checkpoints WHERE uuid = ? AND shard = ?", self._uuid, shard
        ):
            window = None
            if row["window_start"] is not None:
                window = Window(row["window_start"], json.loads(row["window_state"]))
            return Checkpoint(row["sequence"], bool(row["closed"]), window)
        return None

    def save(self, shard: str, checkpoint: Checkpoint) -> None:
        """Keep that of a shard."""
        window = checkpoint.window
        self._state.rows(
            "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?)",
            self._uuid,
            shard,
            checkpoint.sequence,
            checkpoint.closed,
            None if window is None else window.start,
            None if window is None else json.dumps(window.state),
        )

    def forget(self) -> None:
        """Remove all of the mapping."""
        self._state.rows("DELETE FROM checkpoints WHERE uuid = ?", self._uuid)


class Progress:
    """What of a shard is under way; the checkpoint moves over what is done without a gap."""

    def __init__(self, checkpoints: Checkpoints, shard: str) -> None:
        self._checkpoints = checkpoints
        self._shard = shard
        self.checkpoint = checkpoints.load(shard) or Checkpoint()
        self._done: dict[str, bool] = {}

    def begin(self, sequence: str) -> None:
        """A record was read."""
        self._done[sequence] = False

    def finish(self, sequences: list[str], window: Window | None = None) -> None:
        """Records are done, and ``window`` is open then."""
        for sequence in sequences:
            self._done[sequence] = True
        while self._done and self._done[first := next(iter(self._done))]:
            del self._done[first]
            self.checkpoint.sequence = first
        self.checkpoint.window = window
        self._checkpoints.save(self._shard, self.checkpoint)

    def close(self) -> None:
        """All records of the closed shard are done."""
        self.checkpoint.closed = True
        self._checkpoints.save(self._shard, self.checkpoint)
