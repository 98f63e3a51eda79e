"""A handler in a folder that is no package."""

from typing import Any


def handler(event: Any, context: Any) -> str:
    return f"folder {event} {__name__}"
