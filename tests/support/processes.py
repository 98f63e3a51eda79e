"""Reads the children and the state of processes from /proc."""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> list[int]:
    """The children of a process, started by any of its threads."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for tasks in found for child in tasks.read_text().split()]


def alive(pid: int) -> bool:
    """Whether the process exists and has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
