"""Hooks around a snapshot."""

import os
import time
from typing import Any

from snapshot_restore_py import (  # type: ignore[import-untyped]
    register_after_restore,
    register_before_snapshot,
)

events: list[tuple[str, float]] = []


@register_before_snapshot  # type: ignore[untyped-decorator]
def before() -> None:
    if os.environ.get("FAIL") == "before":
        raise ValueError("no snapshot")
    events.append(("before", time.time()))


@register_after_restore  # type: ignore[untyped-decorator]
def after() -> None:
    if os.environ.get("FAIL") == "after":
        raise ValueError("no restore")
    events.append(("after", time.time()))


def handler(event: Any, context: Any) -> Any:
    return events
