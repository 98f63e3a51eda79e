"""Gives back what it was given."""

from typing import Any


def handler(event: Any, context: Any) -> Any:
    return event


def describe(event: Any, context: Any) -> str:
    """What Python made of the event, which its JSON form does not tell."""
    return f"{type(event).__name__} {event!r}"
