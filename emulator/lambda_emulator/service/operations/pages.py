"""Answers of many items, page by page."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from lambda_emulator.apis.errors import invalid

_LARGEST_PAGE = 50


def page(items: list[Any], values: dict[str, Any], name: str, largest: int = _LARGEST_PAGE) -> Any:
    """The answer with the items from ``Marker`` on, ``MaxItems`` at most."""
    start = 0
    if values.get("Marker"):
        try:
            start = int(base64.urlsafe_b64decode(values["Marker"]))
        except (binascii.Error, ValueError):
            raise invalid("Invalid value for marker") from None
    end = start + min(values.get("MaxItems", largest), largest)
    answer: dict[str, Any] = {name: items[start:end]}
    if end < len(items):
        answer["NextMarker"] = base64.urlsafe_b64encode(str(end).encode()).decode("ascii")
    return answer
