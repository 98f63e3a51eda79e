"""The sample events by name, and the values of ``--event``."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambda_emulator.project.errors import UsageError
from lambda_emulator.samples.parameters import change

_FOLDER = Path(__file__).with_name("events")


def names() -> list[str]:
    """The names of the sample events."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def sample(name: str, changes: Sequence[str] = ()) -> Any:
    """A sample event, changed by ``NAME=VALUE`` pairs. Raises UsageError."""
    known = _normal(name)
    if known not in names():
        close = difflib.get_close_matches(known, names(), 3) or [
            one for one in names() if known in one
        ]
        hint = f"did you mean {' or '.join(close)}?" if close else "lambda-emulator events lists"
        raise UsageError(f"there is no sample event {name!r}: {hint}")
    event = json.loads((_FOLDER / f"{known}.json").read_text())
    for pair in changes:
        change(event, pair)
    return event


def read(text: str, changes: Sequence[str] = (), *folders: Path) -> tuple[bytes, str]:
    """The event that ``text`` names, as JSON, and a few words about its source.

    ``text`` is the name of a sample, JSON itself, ``-`` for standard input, or a file here or in
    one of ``folders``. Raises UsageError.
    """
    if _normal(text) in names():
        return json.dumps(sample(text, changes)).encode(), f"the sample event {_normal(text)}"
    encoded, origin = _content(text, folders)
    try:
        event = json.loads(encoded)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise UsageError(f"event {origin}: not JSON: {error.msg}, {place}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"event {origin}: not JSON: {error}") from error
    if not changes:
        return encoded, origin
    for pair in changes:
        change(event, pair)
    return json.dumps(event).encode(), origin


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")


def _content(text: str, folders: Sequence[Path]) -> tuple[bytes, str]:
    if text == "-":
        return sys.stdin.buffer.read() or b"{}", "of standard input"
    if _looks_like_json(text):
        return text.encode("utf-8", "surrogateescape"), "given as it is"
    for place in (Path(text), *(folder / text for folder in folders)):
        try:
            if place.exists():
                return place.read_bytes(), str(place)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"event {text}: cannot be read: {reason}") from error
    close = difflib.get_close_matches(_normal(text), names(), 3)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise UsageError(
        f"event {text}: no sample event{hint}, no file, no JSON; "
        "`lambda-emulator events` lists the samples"
    )


def _looks_like_json(text: str) -> bool:
    if text.lstrip()[:1] in ("{", "[", '"'):
        return True
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
