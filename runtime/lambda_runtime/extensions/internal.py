"""Internal extensions: threads of the runtime's process that are told of invocations."""

import sys

from lambda_runtime import hooks
from lambda_runtime.extensions.client import ExtensionError, ExtensionsClient, connect
from lambda_runtime.extensions.events import Invoke

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn, TypeVar

    OnInvoke = TypeVar("OnInvoke", bound=Callable[[Invoke], object])

_NO_SHUTDOWN = (
    "Lambda does not tell internal extensions of SHUTDOWN; make it an external extension (an "
    "executable in /opt/extensions), or use a shutdown hook of the runtime"
)


class InternalExtension:
    """An internal extension: decorate a function with ``on_invoke``, then ``start()``.

    Start it while the function is initialised, from the module of the handler; later Lambda
    refuses. ``events`` may be INVOKE or nothing, by default INVOKE if there is an ``on_invoke``.
    Without events no thread is needed: the extension is only there, which entitles the runtime to
    a SIGTERM before the environment ends. In the processes of a managed instance the runtime
    registers one for all of them.

    Raises ValueError for any other event, SHUTDOWN above all.
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

        The invocation is not over until it returns. What it raises ends the environment. Raises
        TypeError for what is not a plain function.
        """
        self._on_invoke.append(hooks.check("on_invoke", hook, may_be_async=False))
        return hook

    def on_shutdown(self, hook: object) -> "NoReturn":
        """Not for internal extensions: raises TypeError that says what to do instead."""
        raise TypeError(_NO_SHUTDOWN)

    def start(self) -> None:
        """Register, and begin to follow the invocations. Raises ExtensionError."""
        if self._client is not None:
            raise ExtensionError(f"extension {self.name!r} has been started already")
        client = connect(self.name)
        events = self._wanted()
        shutdown = sys.modules.get("lambda_runtime.shutdown")
        if not events and shutdown is not None and shutdown.is_supervised():
            # One of several processes of a managed instance, which would all be refused but one.
            if not shutdown.ask_supervisor():
                raise ExtensionError(f"extension {self.name!r}: it is to be started in init")
            self._client = client
            return
        client.register(events)
        self._client = client
        if not events:
            client.wait_unheard()
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
                raise  # the hook has forked: the extension is the parent's
            sys.excepthook(*sys.exc_info())
            client.exit_error(f"Extension.{type(error).__name__}", str(error)[:1000])
