"""What a function says about the items of a batch: ``{"batchItemFailures": [{"itemIdentifier"}]}``.

Sources: AWS, 'Handling errors for an SQS event source in Lambda' (services-sqs-errorhandling) and
'Configuring partial batch response with Kinesis Data Streams and Lambda'
(services-kinesis-batchfailurereporting) in the Lambda developer guide.
"""

from __future__ import annotations

import json
from collections.abc import Collection


class Nonsense(Exception):
    """The answer names no items, or unknown ones: the whole batch counts as failed."""


def failed_items(payload: bytes, known: Collection[str]) -> list[str]:
    """The identifiers that a function has reported, as it lists them.

    None are reported by an answer of null, ``{}``, or with a list that is null or empty. Raises
    Nonsense for an answer that is not JSON, and for identifiers that are missing, empty or none of
    ``known``.
    """
    try:
        answer = json.loads(payload or b"null")
        failures = (answer or {}).get("batchItemFailures") or []
        found = [failure["itemIdentifier"] for failure in failures]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Nonsense(f"no batchItemFailures: {payload[:200]!r}") from None
    for item in found:
        if not isinstance(item, str) or item not in known:
            raise Nonsense(f"the batch has no item {item!r}")
    return found
