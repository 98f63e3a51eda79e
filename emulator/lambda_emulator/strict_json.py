"""JSON as the service reads it: UTF-8 without a byte order mark, and no NaN or Infinity."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def decode(data: bytes) -> Any:
    """Decode a document. Raises ValueError if it is not JSON or is nested too deeply."""
    try:
        return _decode(data.decode(), int)
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None


def _decode(text: str, number: type[int] | type[float]) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, parse_int=number)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # Python converts no int of over 4300 digits. JSON has no such limit.
        return _decode(text, float)


def _refuse(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)
