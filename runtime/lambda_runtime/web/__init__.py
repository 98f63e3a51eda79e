"""Web applications as handlers: no server, no process, no port between Lambda and them.

Imported only for handlers that look like one.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lambda_runtime.handlers import Handler

_shutdown: "Callable[[], None] | None" = None


def adapt(application: "Any") -> "Handler":
    """The application, ASGI 3 or WSGI, as a handler; anything else as it is.

    An ASGI application's start-up is run. Raises what that raised, and FaultException for an
    application of a kind that cannot be served and for settings that cannot be used.
    """
    global _shutdown
    from lambda_runtime.web import detect

    kind = detect.interface(application)
    if kind == detect.ASGI:
        from lambda_runtime.web import asgi

        handler, _shutdown = asgi.adapt(application)
        if _shutdown is not None:
            from lambda_runtime.shutdown import on_shutdown

            on_shutdown(shutdown)
        return handler
    if kind == detect.WSGI:
        from lambda_runtime.web import wsgi

        return wsgi.adapt(application)
    return application  # type: ignore[no-any-return]


def shutdown() -> None:
    """Run the shutdown of the application's lifespan; nothing where there is none.

    A shutdown hook: for the end of the environment, between two invocations.
    Takes a few seconds at most, and raises nothing that the application raises.
    """
    global _shutdown
    if _shutdown is not None:
        run, _shutdown = _shutdown, None
        run()
