"""A client of Lambda's Extensions, Telemetry and Logs APIs.

No other module knows their paths and headers.

Source: "Using the Lambda Extensions API to create extensions" and "Lambda Telemetry API reference"
in the AWS Lambda Developer Guide.
"""

from lambda_runtime.ground import settings
from lambda_runtime.runtime_api.connection import Connection
from lambda_runtime.runtime_api.http1 import Disconnected, ProtocolError, Reply, field_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lambda_runtime.extensions.events import Event

_EXTENSION = "/2020-01-01/extension/"
TELEMETRY = "/2022-07-01/telemetry"
LOGS = "/2020-08-15/logs"


class ExtensionError(Exception):
    """The platform refused a call, or cannot be reached.

    ``error_type`` is the type that the platform gave the error; "" if it gave none.
    """

    def __init__(self, message: str, error_type: str = "") -> None:
        super().__init__(message)
        self.error_type = error_type


def connect(name: str) -> "ExtensionsClient":
    """Make a client for the extension ``name``; the address comes from the environment.

    Raises ExtensionError if the environment has no address, or a bad one.
    """
    address = settings.get("AWS_LAMBDA_RUNTIME_API")
    if not address:
        raise ExtensionError(
            "AWS_LAMBDA_RUNTIME_API is not set: extensions run only in Lambda or an emulator of it"
        )
    try:
        return ExtensionsClient(address, name)
    except ValueError as error:
        raise ExtensionError(f"AWS_LAMBDA_RUNTIME_API: {error}") from None


class ExtensionsClient:
    """One extension's client of the Extensions API, over one connection.

    Only one thread may use it at a time. Every call raises ExtensionError if the platform refuses
    it, or cannot be reached. Raises ValueError for an address that is not ``host:port``.
    """

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self._connection = Connection(address)
        self._host = f"Host: {address}\r\n"
        self._identifier = ""

    def is_inherited(self) -> bool:
        """Whether this process is a forked child of the process that the extension runs in."""
        return self._connection.is_inherited()

    def register(self, events: "Iterable[str]") -> bytes | bytearray:
        """Register for these events; return the platform's description of the function, in JSON."""
        wanted = ",".join(f'"{event}"' for event in events)
        extra = (
            f"Lambda-Extension-Name: {field_value(self.name)}\r\n"
            "Lambda-Extension-Accept-Feature: accountId\r\n"
        )
        reply = self._post("register", extra, b'{"events":[%b]}' % wanted.encode())
        identifier = reply.headers.get("lambda-extension-identifier")
        if reply.status != 200 or not identifier:
            raise self._refusal("register", reply)
        self._identifier = f"Lambda-Extension-Identifier: {field_value(identifier)}\r\n"
        return reply.body

    def next_event(self) -> "Event":
        """Wait for the next event and return it.

        The wait has no limit, because Lambda may freeze the environment meanwhile. The request
        also tells the platform that this extension has finished with the previous event.
        """
        reply = self._exchange(self._next_request())
        if reply.status != 200:
            raise self._refusal("event/next", reply)
        from lambda_runtime.extensions import events

        return events.parse(reply.body)

    def park_next_request(self) -> None:
        """Request the next event and never read the reply. For extensions without events.

        The platform counts an extension as ready while its request waits. This request waits for
        as long as the client exists, and needs no thread.
        """
        try:
            self._connection.begin((self._next_request(),))
        except OSError as error:
            raise self._lost("event/next", error) from error

    def init_error(self, error_type: str, message: str) -> None:
        """Report that the extension could not start; its process must then exit."""
        self._report("init/error", error_type, message)

    def exit_error(self, error_type: str, message: str) -> None:
        """Report the error that ends the extension; its process must then exit."""
        self._report("exit/error", error_type, message)

    def subscribe(self, path: str, document: bytes) -> str:
        """Subscribe to telemetry at the path ``TELEMETRY`` or ``LOGS``.

        Returns "", or the reason why no telemetry will come: emulators accept subscriptions that
        they do not serve.
        """
        head = (
            f"PUT {path} HTTP/1.1\r\n{self._host}{self._identifier}"
            f"Content-Type: application/json\r\nContent-Length: {len(document)}\r\n\r\n"
        )
        reply = self._exchange(head.encode(), document)
        if reply.status == 202:
            from lambda_runtime.extensions import errors

            return errors.explain(reply)[1] or "not supported here"
        if reply.status != 200:
            raise self._refusal(path, reply)
        return ""

    def _next_request(self) -> bytes:
        return f"GET {_EXTENSION}event/next HTTP/1.1\r\n{self._host}{self._identifier}\r\n".encode()

    def _report(self, call: str, error_type: str, message: str) -> None:
        from lambda_runtime import payload

        extra = (
            f"{self._identifier}Lambda-Extension-Function-Error-Type: {field_value(error_type)}\r\n"
        )
        document = {"errorMessage": message, "errorType": error_type, "stackTrace": []}
        reply = self._post(call, extra, payload.encode(document))
        if reply.status != 202:
            raise self._refusal(call, reply)

    def _post(self, call: str, extra: str, body: bytes) -> Reply:
        head = (
            f"POST {_EXTENSION}{call} HTTP/1.1\r\n{self._host}{extra}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return self._exchange(head.encode(), body)

    def _exchange(self, head: bytes, body: bytes = b"") -> Reply:
        try:
            return self._connection.exchange(head, body)
        except (OSError, Disconnected, ProtocolError) as error:
            raise self._lost(head.split(b" ", 2)[1].decode(), error) from error

    def _lost(self, call: str, error: Exception) -> ExtensionError:
        host, port = self._connection.address
        return ExtensionError(
            f"lost the Extensions API at {host}:{port} ({call}): {error or type(error).__name__}"
        )

    def _refusal(self, call: str, reply: Reply) -> ExtensionError:
        from lambda_runtime.extensions import errors

        return errors.make(self.name, call, reply)
