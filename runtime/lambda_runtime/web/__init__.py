"""Web applications as handlers. The runtime calls them directly, without a server or a port.

This package is imported only for handlers that look like a web application.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lambda_runtime.handlers import Handler

_shutdown: "Callable[[], None] | None" = None


def adapt(application: "Any") -> "Handler":
    """Wrap an ASGI 3 or WSGI application in a handler; return anything else unchanged.

    Runs an ASGI application's start-up, and raises the start-up's exception. Raises FaultException
    for an unsupported kind of application, and for invalid settings.
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
    """Run the shutdown of the application's lifespan, if it has one.

    This is a shutdown hook: the runtime calls it at the end of the environment, between two
    invocations. It takes a few seconds at most. Exceptions of the application do not leave it.
    """
    global _shutdown
    if _shutdown is not None:
        run, _shutdown = _shutdown, None
        run()
