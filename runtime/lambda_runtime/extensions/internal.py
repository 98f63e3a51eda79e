"""Internal extensions: threads of the runtime's process that receive INVOKE events."""

import sys

from lambda_runtime.extensions.client import ExtensionError, ExtensionsClient, connect
from lambda_runtime.extensions.events import Invoke
from lambda_runtime.ground import hooks, trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn, TypeVar

    OnInvoke = TypeVar("OnInvoke", bound=Callable[[Invoke], object])

_NO_SHUTDOWN = (
    "Lambda sends no SHUTDOWN to internal extensions; make it an external extension (an "
    "executable in /opt/extensions), or use a shutdown hook of the runtime"
)


class InternalExtension:
    """An internal extension: decorate a function with ``on_invoke``, then ``start()``.

    Start it during init, from the handler's module: Lambda refuses a later registration.
    ``events`` may be INVOKE or empty. By default it is INVOKE if there is an ``on_invoke``, else
    empty. An extension without events has no thread. It still has a use: Lambda sends the runtime
    a SIGTERM before the environment ends only if an extension is registered. On managed instances
    the runtime registers one such extension for all processes.

    Raises ValueError for any other event, SHUTDOWN included.
    """

    def __init__(self, name: str, *, events: "Iterable[str] | None" = None) -> None:
        self.name = name
        self._events = None if events is None else tuple(events)
        self._on_invoke: list[Callable[[Invoke], object]] = []
        self._client: ExtensionsClient | None = None
        for event in self._events or ():
            if event != "INVOKE":
                raise ValueError(_NO_SHUTDOWN if event == "SHUTDOWN" else f"no event {event!r}")

    def on_invoke(self, hook: "OnInvoke") -> "OnInvoke":
        """Call the function with every ``Invoke``, in the extension's thread, beside the handler.

        The invocation lasts until the function returns. An exception in it ends the environment.
        Raises TypeError for anything but a plain function.
        """
        self._on_invoke.append(hooks.check("on_invoke", hook, may_be_async=False))
        return hook

    def on_shutdown(self, hook: object) -> "NoReturn":
        """Raise TypeError: internal extensions get no SHUTDOWN. The message names alternatives."""
        raise TypeError(_NO_SHUTDOWN)

    def start(self) -> None:
        """Register, and start the thread if there are events. Raises ExtensionError."""
        if self._client is not None:
            raise ExtensionError(f"extension {self.name!r} has been started already")
        client = connect(self.name)
        events = self._wanted()
        shutdown = trusted.loaded("lambda_runtime.shutdown")
        if not events and shutdown is not None and shutdown.is_supervised():
            # A managed instance has several processes, and Lambda would accept only one of them.
            if not shutdown.ask_supervisor():
                raise ExtensionError(f"extension {self.name!r}: it must be started in init")
            self._client = client
            return
        client.register(events)
        self._client = client
        if not events:
            client.park_next_request()
            return
        import threading

        threading.Thread(target=self._follow, args=(client,), name=self.name, daemon=True).start()

    def _wanted(self) -> tuple[str, ...]:
        if self._events is not None:
            return self._events
        return ("INVOKE",) if self._on_invoke else ()

    def _follow(self, client: ExtensionsClient) -> None:
        try:
            while True:
                event = client.next_event()
                if isinstance(event, Invoke):
                    for hook in self._on_invoke:
                        hook(event)
        except ExtensionError as error:
            sys.stderr.write(f"{self.name}: {error}\n")
        except BaseException as error:
            if client.is_inherited():
                raise  # a hook has forked: this is the child, and the parent has the extension
            sys.excepthook(*sys.exc_info())
            client.exit_error(f"Extension.{type(error).__name__}", str(error)[:1000])
