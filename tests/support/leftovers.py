"""Finds running processes, for tests which check that no process stays behind."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def processes_with(setting: str) -> list[int]:
    """The IDs of the processes with ``setting`` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if setting.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return sorted(found)
