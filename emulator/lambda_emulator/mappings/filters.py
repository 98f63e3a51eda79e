"""Which records a function gets: filter criteria, matched by moto's event patterns.

Sources: AWS, 'Control which events Lambda sends to your function' (Lambda developer guide,
invocation-eventfiltering), and the pages on filtering of SQS (with-sqs-filtering), Kinesis
(with-kinesis-filtering) and DynamoDB (with-ddb-filtering).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

_DATA_KEYS = {"sqs": "body", "kinesis": "data"}
_NO_MATCH = object()


class Filters:
    """The filters of a mapping; a record passes if one of them matches, or if there are none.

    Raises ValueError for a pattern that is none.
    """

    def __init__(self, patterns: Sequence[str], service: str) -> None:
        self._data_key = _DATA_KEYS.get(service)
        self._patterns = [_parse(pattern) for pattern in patterns]

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Is the record, in the shape that functions get, for the function?"""
        return not self._patterns or any(self._match(one, record) for one in self._patterns)

    def _match(self, pattern: dict[str, Any], record: Mapping[str, Any]) -> bool:
        from moto.events.models import EventPattern

        # Patterns for Kinesis speak of what is below the record's key "kinesis".
        event: Any = {**record, **record.get("kinesis", {})}
        if self._data_key is not None and self._data_key in pattern:
            event[self._data_key] = data = _data(event[self._data_key], pattern, self._data_key)
            if data is _NO_MATCH:
                return False
        return bool(EventPattern(None, pattern).matches_event(event))


def _parse(pattern: str) -> dict[str, Any]:
    from moto.events.exceptions import InvalidEventPatternException
    from moto.events.models import EventPatternParser

    try:
        parsed = EventPatternParser(pattern).parse()
    except (InvalidEventPatternException, AttributeError, RecursionError) as error:
        reason = getattr(error, "message", "") or "a JSON object is needed"
        raise ValueError(f"Invalid filter pattern definition: {reason}") from None
    return dict(parsed)


def _data(text: str, pattern: Mapping[str, Any], key: str) -> Any:
    """What a pattern for the data is matched with, if data and pattern are of one format.

    A pattern that is an object is for JSON, one that is a list for plain text; records of the other
    format are dropped.
    """
    try:
        plain = base64.b64decode(text).decode() if key == "data" else text
    except ValueError:
        return _NO_MATCH
    try:
        document = json.loads(plain)
    except ValueError:
        document = None
    is_json = isinstance(document, dict)
    if is_json != isinstance(pattern[key], dict):
        return _NO_MATCH
    return document if is_json else plain
