"""Changes values of an event: ``key=a.png``, ``Records.0.s3.bucket.name=pictures``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lambda_emulator.project.errors import UsageError

_Path = tuple[str | int, ...]


def change(event: Any, pair: str) -> None:
    """Set the value that ``NAME=VALUE`` names. Raises UsageError.

    A name with dots is a path from the event's top. Any other name is searched in the whole event,
    in upper or lower case: the value nearest to the top counts, and the first of several records.
    In place of a text, VALUE is used unchanged. In place of a number, a boolean, an object or
    nothing, VALUE is read as JSON if it is JSON.
    """
    name, equals, text = pair.partition("=")
    if not (name and equals):
        raise UsageError(f"--set {pair}: is not NAME=VALUE")
    path = _exact(event, name) or _search(event, name)
    parent = _at(event, path[:-1])
    old = _get(parent, path[-1])
    parent[path[-1]] = text if isinstance(old, str) else _value(text)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _exact(event: Any, name: str) -> _Path | None:
    """The path that ``name`` spells, if it is one; only its last part may be new in the event."""
    parts = name.split(".")
    path: list[str | int] = []
    here = event
    for number, part in enumerate(parts):
        if isinstance(here, list) and part.isdecimal() and int(part) < len(here):
            path.append(int(part))
        elif isinstance(here, dict) and (part in here or 0 < number == len(parts) - 1):
            path.append(part)
        elif number == 0:
            return None
        else:
            done = ".".join(parts[:number])
            raise UsageError(f"--set {name}: {done} has no {part}, but {_names(here)}")
        here = _get(here, path[-1])
    return tuple(path)


def _names(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(value) or "nothing"
    return f"0 to {len(value) - 1}" if isinstance(value, list) else f"is {json.dumps(value)}"


def _search(event: Any, name: str) -> _Path:
    found = [path for path in _paths(event, ()) if str(path[-1]).lower() == name.lower()]
    if not found:
        raise UsageError(f"--set {name}: the event has no such value; give its path (a.b.0.c)")
    nearest = min(len(path) for path in found)
    # Records have the same form: the same place in several records counts as one value.
    alike: dict[_Path, _Path] = {}
    for path in found:
        if len(path) == nearest:
            alike.setdefault(tuple(p for p in path if not isinstance(p, int)), path)
    if len(alike) > 1:
        places = ", ".join(".".join(map(str, path)) for path in alike.values())
        raise UsageError(f"--set {name}: could be any of {places}; give one of these")
    return next(iter(alike.values()))


def _paths(value: Any, path: _Path) -> Iterator[_Path]:
    if path:
        yield path
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for name, member in members:
        yield from _paths(member, (*path, name))


def _at(event: Any, path: _Path) -> Any:
    for part in path:
        event = event[part]
    return event


def _get(parent: Any, part: str | int) -> Any:
    return parent.get(part) if isinstance(parent, dict) else parent[part]
