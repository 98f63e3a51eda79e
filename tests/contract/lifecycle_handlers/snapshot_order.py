"""Who is called around a snapshot, in which order, with what."""

import os
from typing import Any

from snapshot_restore_py import (  # type: ignore[import-untyped]
    register_after_restore,
    register_before_snapshot,
)

calls: list[list[Any]] = []


@register_before_snapshot  # type: ignore[untyped-decorator]
def before() -> None:
    calls.append(["before"])
    register_before_snapshot(note, "registered by a hook")


def note(*args: Any, **kwargs: Any) -> None:
    calls.append(["note", *args, kwargs])


def leave(status: int) -> None:
    raise SystemExit(status)


register_before_snapshot(note, "before", 2, key="value")
register_after_restore(note, "after", 1)
register_after_restore(note, key="after")
register_before_snapshot(note, "last")
if os.environ.get("LEAVE") == "before":
    register_before_snapshot(leave, 7)
if os.environ.get("LEAVE") == "after":
    register_after_restore(leave, 7)


def handler(event: Any, context: Any) -> Any:
    return calls
