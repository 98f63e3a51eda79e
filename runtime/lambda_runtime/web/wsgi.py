"""WSGI applications as handlers.

Source: PEP 3333.
"""

import io
import sys

from lambda_runtime.ground.user_code import calls_user_code
from lambda_runtime.web import errors
from lambda_runtime.web.handler import WebHandler
from lambda_runtime.web.paths import raw
from lambda_runtime.web.responses import NameCache, single_values
from lambda_runtime.web.settings import WebSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any

    from lambda_runtime.handlers import Handler
    from lambda_runtime.web.events import Request

    Application = Callable[[dict[str, Any], "StartResponse"], Iterable[bytes]]
    Failure = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
    StartResponse = Callable[..., Callable[[bytes], object]]


_shared_with = {"wsgi.multithread": False, "wsgi.multiprocess": False}


def share(threads: bool, processes: bool) -> None:
    """Set whether another thread, or another process, may call the application at the same time.

    The application finds both in its environment.
    """
    _shared_with.update({"wsgi.multithread": threads, "wsgi.multiprocess": processes})


def adapt(application: "Application") -> "Handler":
    """Wrap the application in a handler."""
    settings = WebSettings()
    return WebHandler(Server(application, settings), settings)


class Server:
    """Calls the application for a request."""

    def __init__(self, application: "Application", settings: WebSettings) -> None:
        self._application = application
        self._settings = settings

    @calls_user_code
    def __call__(self, request: "Request", event: object, context: object) -> object:
        exchange = Exchange(request)
        try:
            exchange.start(self._application(_environ(request, event, context), exchange.begin))
            if self._settings.can_stream(request) and self._settings.should_stream(
                exchange.headers, exchange.in_one_piece
            ):
                return exchange.stream()
            exchange.collect()
            return exchange.buffered_response()
        except Exception as error:
            errors.log(error)
            return request.respond(errors.STATUS, errors.HEADERS, errors.BODY)


class Exchange:
    """One request and its response."""

    def __init__(self, request: "Request") -> None:
        self._request = request
        self._status = ""
        self.headers: list[tuple[bytes, bytes]] = []
        self._written: list[bytes] = []
        self._result: Iterable[bytes] = ()
        self._chunks: Iterator[bytes] = iter(())
        self._streaming = False
        self.in_one_piece = False

    def begin(
        self, status: str, headers: list[tuple[str, str]], exc_info: "Failure | None" = None
    ) -> "Callable[[bytes], object]":
        """Take the head of the response: the application gets this as ``start_response``."""
        if exc_info is not None and exc_info[1] is not None and self._streaming:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._status:
            raise AssertionError("start_response was called again without exc_info")
        self._status = status
        # HTTP ignores spaces around a value, and Django relies on that.
        try:
            self.headers = [
                (name.lower().encode("latin-1"), value.strip(" \t").encode("latin-1"))
                for name, value in headers
            ]
        except (AttributeError, TypeError, UnicodeError):
            _check(headers)
            raise
        return self._written.append

    @calls_user_code
    def start(self, result: "Iterable[bytes]") -> None:
        """Read the application's result up to the first piece of the body.

        The application's code may run meanwhile, and may raise any exception.
        """
        self._result = result
        self.in_one_piece = isinstance(result, (list, tuple))
        self._chunks = iter(result)
        # A generator calls start_response only when its first item is requested.
        while not self._status or not any(self._written):
            chunk = next(self._chunks, None)
            if chunk is None:
                self.in_one_piece = True
                break
            self._written.append(chunk)
        if not self._status:
            raise RuntimeError("the application returned without calling start_response")

    @calls_user_code
    def collect(self) -> None:
        """Read the rest of the body. The application may raise any exception meanwhile."""
        try:
            self._written += self._chunks
        finally:
            self._close()

    def buffered_response(self) -> object:
        """The collected response as the invocation's answer."""
        body = b"" if self._request.method == "HEAD" else b"".join(self._written)
        return self._request.respond(self._code(), self.headers, body)

    def stream(self) -> object:
        """The response as a stream. The application goes on producing its body."""
        from lambda_runtime.streaming import HttpResponse

        self._streaming = True
        headers, cookies = single_values(self.headers)
        return HttpResponse(self._body(), self._code(), headers, cookies)

    @calls_user_code
    def _body(self) -> "Iterator[bytes]":
        silent = self._request.method == "HEAD"
        try:
            while True:
                written = b"".join(self._written)
                self._written.clear()
                if written and not silent:
                    yield written
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._written.append(chunk)
        finally:
            self._close()
        if self._written and not silent:
            yield b"".join(self._written)

    def _code(self) -> int:
        return int(self._status[:3])

    @calls_user_code
    def _close(self) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            close()


def _check(headers: "Iterable[tuple[object, object]]") -> None:
    """Raise an error that names the header which cannot be sent: TypeError or ValueError."""
    for name, value in headers:
        for text, what in (
            (name, f"the header name {name!r}"),
            (value, f"for the header {name!r} a value"),
        ):
            if not isinstance(text, str):
                raise TypeError(
                    f"the application sent {what} of type {type(text).__name__}: WSGI has str there"
                )
            if not text.isascii() and max(text) > "\xff":
                raise ValueError(
                    f"the application sent {what} with characters that are not in Latin-1: encode "
                    "them, as in urllib.parse.quote(text)"
                )


def _environ(request: "Request", event: object, context: object) -> "dict[str, Any]":
    host, port = request.server
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": raw(request.root_path),
        "PATH_INFO": raw(request.path),
        "QUERY_STRING": request.query.decode("latin-1"),
        "RAW_URI": request.target,
        "REQUEST_URI": request.target,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        **_shared_with,
        "wsgi.run_once": False,
        "aws.event": event,
        "aws.context": context,
    }
    if request.client is not None:
        environ["REMOTE_ADDR"] = request.client[0]
    _add_headers(environ, request.headers)
    return environ


def _key(name: bytes) -> str:
    """A header's name in the environment; "" if it has none.

    A name with an underscore has none: it would look like the header with a hyphen.
    """
    if b"_" in name:
        return ""
    key = name.decode("latin-1").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


_keys: "dict[bytes, str]" = NameCache(_key)


def _add_headers(environ: "dict[str, Any]", headers: list[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        key = _keys[name]
        if not key:
            continue
        text = value.decode("latin-1")
        if key in environ:
            text = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        environ[key] = text
