"""The handler around a web application: it turns events into requests."""

from lambda_runtime import handlers
from lambda_runtime.ground.user_code import calls_user_code
from lambda_runtime.web import detect, events
from lambda_runtime.web.settings import EVENT_HANDLER, WEBSOCKET_PATH, WebSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_runtime.web.events import Request

    Serve = Callable[[Request, object, object], object]


class WebHandler:
    """A handler that passes HTTP events to a web application, and other events to a function.

    ``is_async`` says that ``serve`` returns an awaitable. The constructor imports the function for
    other events, and raises the exceptions of that import.
    """

    def __init__(self, serve: "Serve", settings: WebSettings, is_async: bool = False) -> None:
        self.is_async = is_async
        self._serve = serve
        self._base_path = settings.base_path
        self._websocket_path = settings.websocket_path
        name = settings.event_handler
        self._event_handler = reject_event if name is None else _event_handler(name)

    @calls_user_code
    def __call__(self, event: object, context: object) -> object:
        request = events.read(event, self._base_path, self._websocket_path)
        if request is None:
            return self._event_handler(event, context)
        return self._serve(request, event, context)


def reject_event(event: object, context: object) -> object:
    """Raise FaultException (``Runtime.NotAnHttpEvent``) with a description of the event."""
    from lambda_runtime.ground.faults import FaultException

    raise FaultException(
        "Runtime.NotAnHttpEvent",
        f"the handler is a web application, and this event ({_describe_event(event)}) is not an "
        "HTTP request of API Gateway, a function URL, a load balancer or VPC Lattice; name a "
        f"function for such events in {EVENT_HANDLER}=module.function{_websocket_advice(event)}",
    )


def _describe_event(event: object) -> str:
    if not isinstance(event, dict):
        return type(event).__name__
    if events.is_authorizer(event):
        return f"of API Gateway's {event['type']} authorizer, which expects a policy"
    records = event.get("Records")
    if isinstance(records, list) and records and isinstance(records[0], dict):
        source = records[0].get("eventSource") or records[0].get("EventSource")
        if source:
            return f"from {source}"
    if isinstance(event.get("source"), str):
        return f"from {event['source']}"
    keys = ", ".join(str(key) for key in list(event)[:8])
    return f"with the keys {keys}"[:200] if keys else "an empty object"


def _websocket_advice(event: object) -> str:
    if not isinstance(event, dict) or events.is_authorizer(event):
        return ""
    context = event.get("requestContext")
    if not isinstance(context, dict) or "connectionId" not in context:
        return ""
    return f", or for WebSocket APIs the route of their messages in {WEBSOCKET_PATH}=/path"


def _event_handler(name: str) -> "Callable[[object, object], object]":
    handler = handlers.resolve(name)
    if detect.interface(handler) is not None:
        from lambda_runtime.ground.faults import FaultException

        raise FaultException(
            "Runtime.InvalidSetting",
            f"{EVENT_HANDLER} is {name!r}, which is a web application: it must be a function of "
            "event and context",
        )
    return handlers.prepare(handler)
