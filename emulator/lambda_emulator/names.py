"""Names and ARNs of functions and layers, in all the forms that callers may use."""

from __future__ import annotations

import re
from typing import NamedTuple

_FUNCTION = re.compile(
    r"(?:arn:(?:aws[a-zA-Z-]*):lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):function:"
    r"|(?P<partial>\d{12}):function:)?"
    r"(?P<name>[a-zA-Z0-9-_]{1,64})(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
_LAYER = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:layer:)?"
    r"(?P<name>[a-zA-Z0-9-_]{1,140})(?::(?P<version>\d+))?"
)


class FunctionName(NamedTuple):
    """A function as a caller has named it; ``qualifier`` is None if none was given."""

    name: str
    qualifier: str | None


def parse_function(text: str) -> FunctionName | None:
    """Take a name, a partial or a whole ARN apart; None if it is none of these."""
    match = _FUNCTION.fullmatch(text)
    return None if match is None else FunctionName(match["name"], match["qualifier"])


def parse_layer(text: str) -> tuple[str, int | None] | None:
    """The name and the version in a layer's name or ARN; None if it is neither."""
    match = _LAYER.fullmatch(text)
    if match is None:
        return None
    return match["name"], int(match["version"]) if match["version"] else None
