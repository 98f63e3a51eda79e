"""External extensions: executables in ``/opt/extensions`` that run beside the runtime.

Lambda starts the runtime only when every external extension has registered, so each millisecond
until then is added to the function's cold start. This module therefore imports only what it needs
to register; everything else is imported later, where it is used.
"""

import sys

from lambda_runtime.extensions.client import (
    LOGS,
    TELEMETRY,
    ExtensionError,
    ExtensionsClient,
    connect,
)
from lambda_runtime.ground import hooks

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
"""Seconds before the end of the shutdown window. Code that still runs then is interrupted."""

_DRAIN_SHARE = 0.5
"""The largest share of the shutdown window (0 to 1) that the wait for telemetry may take."""


class Extension:
    """An external extension: decorate functions and call ``run()``, or iterate over its events.

    ``name`` must be the name of the file in ``/opt/extensions``; by default it is the name of the
    script that runs. ``events`` are the events to register for. By default they are SHUTDOWN, and
    also INVOKE if ``on_invoke`` or no decorator at all was used.

    The decorators raise TypeError for anything but a plain function.

    As a context manager it registers on entry. If an exception leaves the block, it prints and
    reports the exception and exits with status 1. Before the first event the report is an init
    error, afterwards it is an exit error.
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

    # Decorators

    def on_init(self, hook: "OnInit") -> "OnInit":
        """Call the function once, after the registration and before any event or telemetry."""
        self._on_init.append(hooks.check("on_init", hook, may_be_async=False))
        return hook

    def on_invoke(self, hook: "OnInvoke") -> "OnInvoke":
        """Call the function with every ``Invoke``. The invocation lasts until it returns."""
        self._on_invoke.append(hooks.check("on_invoke", hook, may_be_async=False))
        return hook

    def on_shutdown(self, hook: "OnShutdown") -> "OnShutdown":
        """Call the function with the ``Shutdown``. The last one registered is called first.

        Lambda kills the process at the event's deadline. A function that still runs 0.1 seconds
        before the deadline gets a TimeoutError.
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
        """Subscribe the function to the Telemetry API; it gets lists of ``Record``.

        The function runs in a thread of its own, with one batch at a time. The platform holds the
        next batch back until the function returns. ``Subscription`` explains the options.
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
        """Subscribe to the Logs API, the predecessor of the Telemetry API. See ``on_telemetry``."""
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

    # Life cycle

    def run(self) -> "NoReturn":
        """Run until the environment ends, then exit: 0 on SHUTDOWN, 1 after a reported error."""
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
        """Register, if that has not happened yet. Raises ExtensionError."""
        if self._client is None:
            client = connect(self.name)
            self._registration = client.register(self._wanted())
            self._client = client

    @property
    def function(self) -> "Registration":
        """The platform's description of the function. Registers, if that has not happened yet."""
        from lambda_runtime.extensions import events

        self.register()
        return events.registration(self._registration)

    @property
    def dropped_records(self) -> int:
        """The number of records that the platform reports as dropped, over all subscriptions."""
        return sum(listener.dropped_records for listener in self._listeners)

    def __iter__(self) -> "Iterator[Event]":
        """Iterate over the events, up to and including the ``Shutdown``.

        The step to the next event tells the platform that this extension has finished with the
        previous one. Raises ExtensionError.
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
        # Print before reporting: the platform may end this process as soon as it has the report.
        _print_error(kind, error, trace)
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
        reason = client.subscribe(subscription.path, subscription.document(listener.port))
        if reason:
            sys.stderr.write(f"{self.name}: no telemetry will come: {reason}\n")

    def _dispatch(self, event: "Event") -> None:
        from lambda_runtime.extensions.events import Invoke, Shutdown

        if isinstance(event, Invoke):
            for invoke_hook in self._on_invoke:
                invoke_hook(event)
        elif isinstance(event, Shutdown):
            for shutdown_hook in reversed(self._on_shutdown):
                shutdown_hook(event)

    def _begin_shutdown(self, event: "Event") -> None:
        from lambda_runtime.extensions import alarm

        self._ended = True
        alarm.raise_timeout_in(event.remaining_seconds - _MARGIN)
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


def _print_error(
    kind: type[BaseException], error: BaseException, trace: "TracebackType | None"
) -> None:
    if isinstance(error, SystemExit):
        sys.stderr.write(f"{error.code}\n")
    else:
        sys.excepthook(kind, error, trace)
    sys.stderr.flush()
