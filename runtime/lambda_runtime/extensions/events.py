"""The events of the Extensions API."""

import time

from lambda_runtime import payload
from lambda_runtime.extensions.client import ExtensionError


class Registration:
    """The platform's description of the function, from its reply to a registration.

    ``account_id`` is "" if the platform leaves it out.
    """

    __slots__ = ("account_id", "function_name", "function_version", "handler")

    def __init__(self, document: dict[str, object]) -> None:
        self.function_name = str(document.get("functionName", ""))
        self.function_version = str(document.get("functionVersion", ""))
        self.handler = str(document.get("handler", ""))
        self.account_id = str(document.get("accountId", ""))


class Event:
    """An event from ``event/next``. ``deadline_ms`` is Unix time in milliseconds."""

    __slots__ = ("deadline_ms",)

    def __init__(self, document: dict[str, object]) -> None:
        deadline = document.get("deadlineMs")
        self.deadline_ms = deadline if isinstance(deadline, int) else 0

    @property
    def remaining_seconds(self) -> float:
        """Time left until the deadline; negative when it has passed."""
        return self.deadline_ms / 1000 - time.time()


class Invoke(Event):
    """The function is invoked. The runtime gets its event at the same time.

    ``trace_id`` is the X-Ray trace header; None if tracing is off.
    """

    __slots__ = ("invoked_function_arn", "request_id", "trace_id")

    def __init__(self, document: dict[str, object]) -> None:
        super().__init__(document)
        self.request_id = str(document.get("requestId", ""))
        self.invoked_function_arn = str(document.get("invokedFunctionArn", ""))
        tracing = document.get("tracing")
        value = tracing.get("value") if isinstance(tracing, dict) else None
        self.trace_id = None if value is None else str(value)


class Shutdown(Event):
    """The environment ends: Lambda kills all processes at ``deadline_ms``.

    ``reason`` is ``spindown``, ``timeout`` or ``failure``; emulators may give other reasons.
    """

    __slots__ = ("reason",)

    def __init__(self, document: dict[str, object]) -> None:
        super().__init__(document)
        self.reason = str(document.get("shutdownReason", ""))


_KINDS: dict[object, type[Event]] = {"INVOKE": Invoke, "SHUTDOWN": Shutdown}


def parse(body: bytes | bytearray) -> Event:
    """Read the event in a reply's body. Raises ExtensionError if the body is no event."""
    try:
        document = payload.decode(body)
    except ValueError as error:
        raise ExtensionError(f"event/next delivered no JSON: {error}") from error
    kind = document.get("eventType") if isinstance(document, dict) else None
    if kind not in _KINDS:
        raise ExtensionError(f"event/next delivered an unknown kind of event: {kind!r}")
    assert isinstance(document, dict)
    return _KINDS[kind](document)


def registration(body: bytes | bytearray) -> Registration:
    """Read the function's description in the reply to a registration."""
    document = payload.decode(body)
    return Registration(document if isinstance(document, dict) else {})
