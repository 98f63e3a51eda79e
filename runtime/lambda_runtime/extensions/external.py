"""External extensions: executables in ``/opt/extensions`` that live beside the runtime.

Only what registering needs is imported here: Lambda starts the runtime when every external
extension has registered, so each millisecond until then is added to the function's cold start.
"""

import sys

from lambda_runtime import hooks
from lambda_runtime.extensions.client import (
    LOGS,
    TELEMETRY,
    ExtensionError,
    ExtensionsClient,
    connect,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import NoReturn, Self, TypeVar

    from lambda_runtime.extensions.events import Event, Invoke, Registration, Shutdown
    from lambda_runtime.extensions.listener import Listener
    from lambda_runtime.extensions.records import Record
    from lambda_runtime.extensions.subscription import Subscription

    OnInit = TypeVar("OnInit", bound=Callable[[], object])
    OnInvoke = TypeVar("OnInvoke", bound=Callable[[Invoke], object])
    OnShutdown = TypeVar("OnShutdown", bound=Callable[[Shutdown], object])
    OnRecords = TypeVar("OnRecords", bound=Callable[[list[Record]], object])

_MARGIN = 0.1
"""Seconds before the end of the shutdown window at which what still runs is interrupted."""

_DRAIN_SHARE = 0.5
"""The part of the shutdown window that may be spent on waiting for the last telemetry."""


class Extension:
    """An external extension: decorate functions and ``run()``, or iterate over its events.

    ``name`` has to be the name of the file in ``/opt/extensions``, which it is by default for a
    script started from there. ``events`` are those to register for; by default SHUTDOWN, and INVOKE
    if there is an ``on_invoke`` or no decorator was used at all.

    The decorators raise TypeError for what is not a plain function.

    Used as a context manager it registers, and reports what ends the block with an exception:
    before the first event as an init error, later as an exit error; then the process exits with 1.
    """

    def __init__(self, name: str | None = None, *, events: "Iterable[str] | None" = None) -> None:
        self.name = name or sys.argv[0].rpartition("/")[2]
        self._events = None if events is None else tuple(events)
        self._on_init: list[Callable[[], object]] = []
        self._on_invoke: list[Callable[[Invoke], object]] = []
        self._on_shutdown: list[Callable[[Shutdown], object]] = []
        self._subscriptions: list[tuple[Subscription, Callable[[list[Record]], object]]] = []
        self._listeners: list[Listener] = []
        self._client: ExtensionsClient | None = None
        self._registration: bytes | bytearray = b""
        self._started = self._ended = False

    # what to do when

    def on_init(self, hook: "OnInit") -> "OnInit":
        """Call the function once, after registering and before any event or telemetry."""
        self._on_init.append(hooks.check("on_init", hook, may_be_async=False))
        return hook

    def on_invoke(self, hook: "OnInvoke") -> "OnInvoke":
        """Call the function with every ``Invoke``. The invocation is not over until it returns."""
        self._on_invoke.append(hooks.check("on_invoke", hook, may_be_async=False))
        return hook

    def on_shutdown(self, hook: "OnShutdown") -> "OnShutdown":
        """Call the function with the ``Shutdown``; several are called last registered first.

        Lambda kills the process at the event's deadline. 0.1 seconds before it, TimeoutError is
        raised in what is still running.
        """
        self._on_shutdown.append(hooks.check("on_shutdown", hook, may_be_async=False))
        return hook

    def on_telemetry(
        self,
        *,
        types: "Iterable[str]" = ("platform", "function"),
        schema: str = "2025-01-29",
        max_items: int = 1000,
        max_bytes: int = 262_144,
        timeout_ms: int = 100,
    ) -> "Callable[[OnRecords], OnRecords]":
        """Subscribe the function to the Telemetry API: it is called with lists of ``Record``.

        It is called in a thread of its own, one batch at a time, and the platform holds the next
        one back until it returns. For the options see ``Subscription``.
        """
        limits = (max_items, max_bytes, timeout_ms)
        return self._subscriber(TELEMETRY, schema, types, limits)

    def on_logs(
        self,
        *,
        types: "Iterable[str]" = ("platform", "function"),
        schema: str = "2021-03-18",
        max_items: int = 1000,
        max_bytes: int = 262_144,
        timeout_ms: int = 100,
    ) -> "Callable[[OnRecords], OnRecords]":
        """The same by the Logs API, which the Telemetry API has replaced."""
        return self._subscriber(LOGS, schema, types, (max_items, max_bytes, timeout_ms))

    def _subscriber(
        self, path: str, schema: str, types: "Iterable[str]", limits: tuple[int, int, int]
    ) -> "Callable[[OnRecords], OnRecords]":
        from lambda_runtime.extensions.subscription import Subscription

        subscription = Subscription(path, schema, types, *limits)

        def decorate(receive: "OnRecords") -> "OnRecords":
            decorator = "on_logs" if path == LOGS else "on_telemetry"
            hooks.check(f"{decorator}()", receive, may_be_async=False)
            if self._started:
                raise ExtensionError(f"{decorator}: subscribe before the first event is asked for")
            self._subscriptions.append((subscription, receive))
            return receive

        return decorate

    # life

    def run(self) -> "NoReturn":
        """Live until the environment ends, and exit: 0 in peace, 1 with an error that was told."""
        try:
            with self:
                for hook in self._on_init:
                    hook()
                for event in self:
                    self._dispatch(event)
        except ExtensionError as error:
            sys.stderr.write(f"{self.name}: {error}\n")
            sys.exit(1)
        sys.exit(0)

    def register(self) -> None:
        """Register, unless that has been done. Raises ExtensionError."""
        if self._client is None:
            client = connect(self.name)
            self._registration = client.register(self._wanted())
            self._client = client

    @property
    def function(self) -> "Registration":
        """What the platform told about the function. Registers if that has not been done."""
        from lambda_runtime.extensions import events

        self.register()
        return events.registration(self._registration)

    @property
    def dropped_records(self) -> int:
        """How many records of its subscriptions the platform has said it dropped."""
        return sum(listener.dropped_records for listener in self._listeners)

    def __iter__(self) -> "Iterator[Event]":
        """The events; going on to the next says that the last is dealt with.

        Ends after the ``Shutdown``. Raises ExtensionError.
        """
        self.register()
        from lambda_runtime.extensions.events import Shutdown

        assert self._client is not None
        for subscription, receive in self._subscriptions[len(self._listeners) :]:
            self._subscribe(self._client, subscription, receive)
        while not self._ended:
            self._started = True
            event = self._client.next_event()
            if isinstance(event, Shutdown):
                self._begin_shutdown(event)
            yield event

    def __enter__(self) -> "Self":
        self.register()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        if kind is None or error is None or isinstance(error, ExtensionError):
            return
        if isinstance(error, SystemExit) and not error.code:
            return
        # Told before it is reported: the platform may end this process at the report.
        _tell(kind, error, trace)
        if not self._ended:
            self._report(error)
        sys.exit(1)

    def _wanted(self) -> "Iterable[str]":
        if self._events is not None:
            return self._events
        decorated = self._on_init or self._on_shutdown or self._subscriptions
        return ("INVOKE", "SHUTDOWN") if self._on_invoke or not decorated else ("SHUTDOWN",)

    def _subscribe(
        self,
        client: ExtensionsClient,
        subscription: "Subscription",
        receive: "Callable[[list[Record]], object]",
    ) -> None:
        from lambda_runtime.extensions.listener import Listener

        listener = Listener(receive, self.name)
        listener.start()
        self._listeners.append(listener)
        hindrance = client.subscribe(subscription.path, subscription.document(listener.port))
        if hindrance:
            sys.stderr.write(f"{self.name}: no telemetry will come: {hindrance}\n")

    def _dispatch(self, event: "Event") -> None:
        from lambda_runtime.extensions.events import Invoke, Shutdown

        if isinstance(event, Invoke):
            for invoke_hook in self._on_invoke:
                invoke_hook(event)
        elif isinstance(event, Shutdown):
            for shutdown_hook in reversed(self._on_shutdown):
                shutdown_hook(event)

    def _begin_shutdown(self, event: "Event") -> None:
        from lambda_runtime.extensions import window

        self._ended = True
        window.interrupt_in(event.remaining_seconds - _MARGIN)
        limit = event.remaining_seconds * _DRAIN_SHARE
        for listener, (subscription, _) in zip(self._listeners, self._subscriptions, strict=True):
            listener.drain(2 * subscription.timeout_ms / 1000, limit)

    def _report(self, error: BaseException) -> None:
        assert self._client is not None
        report = self._client.exit_error if self._started else self._client.init_error
        try:
            report(f"Extension.{type(error).__name__}", str(error)[:1000])
        except ExtensionError as refusal:
            sys.stderr.write(f"{self.name}: {refusal}\n")


def _tell(kind: type[BaseException], error: BaseException, trace: "TracebackType | None") -> None:
    if isinstance(error, SystemExit):
        sys.stderr.write(f"{error.code}\n")
    else:
        sys.excepthook(kind, error, trace)
    sys.stderr.flush()
