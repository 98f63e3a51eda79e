"""A subscription to telemetry: the types of records, and the limits of a batch.

Source: "Lambda Telemetry API reference" and "Lambda Logs API" in the AWS Lambda Developer Guide.
"""

from lambda_runtime import payload
from lambda_runtime.extensions.client import LOGS, TELEMETRY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

TYPES = ("platform", "function", "extension")
SCHEMAS = {
    TELEMETRY: ("2022-07-01", "2022-12-13", "2025-01-29"),
    LOGS: ("2020-08-15", "2021-03-18"),
}
_LIMITS = {
    "max_items": (1000, 10_000),
    "max_bytes": (262_144, 1_048_576),
    "timeout_ms": (25, 30_000),
}


class Subscription:
    """One subscription to the Telemetry API or to the Logs API; ``path`` says to which.

    ``types`` are some of ``TYPES``. A subscriber to ``extension`` also receives its own lines, so
    an extension that writes a line for each batch would never come to an end.

    The platform sends a batch when it has ``max_items`` records (1000 to 10 000) or ``max_bytes``
    bytes (262 144 to 1 048 576), or when its first record is ``timeout_ms`` (25 to 30 000) old. At
    the shutdown the extension waits twice ``timeout_ms`` for the last batch. ``schema`` is the
    version of the records; managed instances accept only 2025-01-29.

    Raises ValueError for options that the platform would refuse.
    """

    __slots__ = ("max_bytes", "max_items", "path", "schema", "timeout_ms", "types")

    def __init__(
        self,
        path: str,
        schema: str,
        types: "Iterable[str]",
        max_items: int,
        max_bytes: int,
        timeout_ms: int,
    ) -> None:
        self.path = path
        self.schema = _one_of("schema", schema, SCHEMAS[path])
        if isinstance(types, str):
            raise ValueError(f"types should be a list, as in [{types!r}]")
        self.types = tuple(_one_of("types", kind, TYPES) for kind in types)
        self.max_items = _within("max_items", max_items)
        self.max_bytes = _within("max_bytes", max_bytes)
        self.timeout_ms = _within("timeout_ms", timeout_ms)
        if not self.types:
            raise ValueError(f"types should name some of {', '.join(TYPES)}")

    def document(self, port: int) -> bytes:
        """The request body that subscribes; the platform then delivers to ``port``."""
        return payload.encode(
            {
                "schemaVersion": self.schema,
                "types": list(self.types),
                "buffering": {
                    "maxItems": self.max_items,
                    "maxBytes": self.max_bytes,
                    "timeoutMs": self.timeout_ms,
                },
                "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{port}/"},
            }
        )


def _one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{option}: {value!r} is not one of {', '.join(known)}")
    return value


def _within(option: str, value: int) -> int:
    low, high = _LIMITS[option]
    if not (isinstance(value, int) and low <= value <= high):
        raise ValueError(f"{option}: {value!r} is not a whole number from {low} to {high}")
    return value
