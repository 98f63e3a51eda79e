"""Lambda's Runtime API: the only place that knows its paths, headers and status codes.

Source: "Using the Lambda runtime API" in the AWS Lambda Developer Guide.
"""

import sys

from lambda_runtime import __version__, logs, payload
from lambda_runtime.ground import settings, trusted
from lambda_runtime.runtime_api import http1
from lambda_runtime.runtime_api.connection import Connection, is_of_wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lambda_runtime.runtime_api.http1 import Reply
    from lambda_runtime.runtime_api.upload import Upload

    Handler = Callable[[object, object], object]
    Answer = Awaitable[None] | None
    """What gives an answer returns: to be awaited if the client is async, else None."""

CORE_SWITCH = "LAMBDA_RUNTIME_CORE"
CORE_PYTHON = "python"
CORE_AT_ONCE = "at-once"
"""A value for tests: the core sends the first answer too, in every process. It makes none faster,
and the first answer later; so no page has it."""

_XRAY_CAUSE_LIMIT = 1024 * 1024
_PIPELINE_LIMIT = 1024 * 1024

_STREAMING = (
    "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
    "Transfer-Encoding: chunked\r\n\r\n"
)


class RuntimeApiError(Exception):
    """The Runtime API is gone or will not go on: this process has to end.

    ``status`` is what it said, 0 where it said nothing.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Invocation:
    """One event as the Runtime API delivered it.

    ``deadline_ms`` is Unix time in milliseconds, 0 when the platform named none. Everything but the
    request id and the body may be None, as any header may be absent. ``upload`` is the response
    while it is streamed.
    """

    __slots__ = (
        "body",
        "client_context",
        "cognito_identity",
        "content_type",
        "deadline_ms",
        "function_arn",
        "invocation_id",
        "request_id",
        "tenant_id",
        "trace_id",
        "upload",
    )

    def __init__(self, reply: "Reply") -> None:
        """Take what the reply to ``next`` has brought. Raises RuntimeApiError if it is no event."""
        if reply.status != 200:
            raise RuntimeApiError(
                f"asked for the next event, the Runtime API said {_reply_text(reply)}", reply.status
            )
        header = reply.headers.get
        request_id = header("lambda-runtime-aws-request-id")
        if not request_id:
            raise RuntimeApiError("an event came without Lambda-Runtime-Aws-Request-Id")
        self.request_id = request_id
        self.body = reply.body
        self.content_type = header("content-type")
        deadline = header("lambda-runtime-deadline-ms") or ""
        is_number = deadline.isascii() and deadline.isdigit() and len(deadline) < 18
        self.deadline_ms = int(deadline) if is_number else 0
        self.function_arn = header("lambda-runtime-invoked-function-arn")
        self.trace_id = header("lambda-runtime-trace-id")
        self.client_context = header("lambda-runtime-client-context")
        self.cognito_identity = header("lambda-runtime-cognito-identity")
        self.tenant_id = header("lambda-runtime-aws-tenant-id")
        self.invocation_id = header("lambda-runtime-invocation-id")
        self.upload: Upload | None = None


class BaseLambdaRuntimeClient:
    """What the clients of the Runtime API have in common: the marshaller, replaceable by users."""

    marshaller: "payload.Marshaller" = payload
    """Reads events and writes results, looked up at every invocation: ``unmarshal_request(body,
    content_type)`` and ``marshal_response(result)``. Assign an object with these two methods to the
    class to have another format."""


class LambdaRuntimeClient(BaseLambdaRuntimeClient):
    """Speaks to the Runtime API at ``host:port`` over one connection.

    Raises ValueError for an address that is not one. The methods keep the names and the order of
    parameters that monitoring libraries wrap on awslambdaric's class of this name.
    """

    handle: "Callable[[Handler, Invocation], Awaitable[None]] | None" = None
    """Runs a handler and answers the invocation where that is done on an event loop; what gives
    answers is then to be awaited."""

    def __init__(self, address: str) -> None:
        self._connection = Connection(address)
        self._connection.meanwhile = trusted.complete
        # The next connection would get the number of the log's descriptor, and its records.
        self._connection.found_closed = logs.leave_closed
        common = (
            f"Host: {address}\r\n"
            f"User-Agent: lambda-runtime/{__version__} Python/{sys.version.partition(' ')[0]}\r\n"
        )
        self._next = f"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n{common}\r\n".encode()
        self._common = common
        self._pipelines = settings.get("LAMBDA_RUNTIME_PIPELINE") != "0"
        self.pipeline_next = False
        """Whether an answer is to take the request for the next event with it, in one ``send``."""
        self.failure: RuntimeApiError | None = None
        """Why this process has to end. User code may raise errors of the same class."""
        self._event: Invocation | None = None
        self._core_chosen = False

    def wait_next_invocation(self) -> Invocation:
        """The next event; waits for it without limit.

        Raises RuntimeApiError when the wait ends without one. It is not repeated: the platform may
        have handed the event over already, and a fresh process is what it expects then. What others
        raise goes through, and the next call goes on with the same wait.
        """
        connection = self._connection
        core = connection.core
        if core is not None and self._event is None and core.fetch(connection):
            event, core.event, connection.has_begun = core.event, None, False
            return event  # type: ignore[return-value]
        if self._event is None:
            if not self._core_chosen and (
                self._connection.has_begun or settings.get(CORE_SWITCH) == CORE_AT_ONCE
            ):
                self._choose_core()
            try:
                self._event = Invocation(self._connection.poll(self._next))
            except http1.TRANSPORT_ERRORS as error:
                if not is_of_wire(error):
                    raise
                raise self.connection_lost("next", error) from error
            except RuntimeApiError as error:
                self._connection.settle()
                self.failure = error
                raise
        self._connection.settle()
        # Nothing can be raised between the two: an event is given once.
        event, self._event, self._connection.has_begun = self._event, None, False
        return event

    def _choose_core(self) -> None:
        """From now on use the transport in C, where there is one: after the first answer.

        Loading it would delay that answer; now the next event is being waited for.
        """
        self._core_chosen = True
        if settings.get(CORE_SWITCH) == CORE_PYTHON:
            return
        try:
            from lambda_runtime.runtime_api import core

            core.adopt(self._connection)
            if (adopted := self._connection.core) is not None:
                adopted.prepare(self._common.encode(), self._next, Invocation)
        except Exception:
            pass  # user code has made it impossible: Python goes on doing all of it

    def has_answered(self) -> bool:
        """Whether the last event has been answered, or the answer has been lost on its way."""
        return self._connection.has_begun

    def has_interrupted_wait(self) -> bool:
        """Whether what ``wait_next_invocation`` raised came while no event was there."""
        return not self._holds_event() and self._connection.has_interrupted_wait()

    def _holds_event(self) -> bool:
        """Whether an event has come that ``wait_next_invocation`` has not given yet."""
        core = self._connection.core
        return self._event is not None or (core is not None and core.event is not None)

    def post_invocation_result(
        self,
        invoke_id: str,
        result_data: bytes | str,
        content_type: str = "application/json",
        invocation_id: str | None = None,
    ) -> "Answer":
        """Answer the invocation with what its handler returned, already marshalled.

        A refusal (too large, too late) is logged, not raised: the platform has answered its caller
        itself then. Raises RuntimeApiError when the environment is to end.
        """
        body = result_data if isinstance(result_data, bytes) else result_data.encode()
        connection = self._connection
        core = connection.core
        if core is not None and core.answer(
            connection,
            invoke_id,
            body,
            content_type,
            invocation_id,
            self.pipeline_next and self._pipelines,
        ):
            if core.raised is not None:
                raised, core.raised = core.raised, None
                raise raised
            return None
        extra = _echo(invocation_id) if invocation_id else ""
        return self._answer("response", invoke_id, body, content_type, extra)

    def open_upload(self, invocation: Invocation, content_type: str, prelude: bytes) -> "Upload":
        """Make ready to stream the invocation's response; nothing is sent as yet.

        The prelude, if there is one, goes before the first chunk. ``check_reply`` takes the reply.
        """
        from lambda_runtime.runtime_api.upload import Upload

        path = f"invocation/{http1.quote(invocation.request_id)}/response"
        head = self._post_head(path, content_type, _echo(invocation.invocation_id), None)
        if prelude:
            head += b"%x\r\n%b\r\n" % (len(prelude), prelude)
        invocation.upload = Upload(self._connection, head, invocation.deadline_ms)
        return invocation.upload

    def post_invocation_error(
        self,
        invoke_id: str,
        error_response_data: bytes | str,
        xray_fault: str = "",
        invocation_id: str | None = None,
        error_type: str = "",
    ) -> "Answer":
        """Answer the invocation with an error: its JSON document and the cause X-Ray shows.

        Raises as post_invocation_result does.
        """
        body = (
            error_response_data
            if isinstance(error_response_data, bytes)
            else error_response_data.encode("utf-8", "backslashreplace")
        )
        extra = _echo(invocation_id)
        if error_type:
            extra += f"Lambda-Runtime-Function-Error-Type: {http1.field_value(error_type)}\r\n"
        if xray_fault and len(xray_fault) < _XRAY_CAUSE_LIMIT:
            extra += (
                f"Lambda-Runtime-Function-XRay-Error-Cause: {http1.field_value(xray_fault)}\r\n"
            )
        return self._answer("error", invoke_id, body, "application/json", extra)

    def fail_upload(self, invocation: Invocation, error_type: str, document: bytes) -> "Answer":
        """End the invocation's response, which has begun, with an error."""
        assert invocation.upload is not None
        invocation.upload.fail(error_type, document)
        return None

    def on_upload_lost(self, invocation: Invocation) -> "Answer":
        """The connection is gone that the invocation's response was on: Lambda knows that."""
        return None

    def post_init_error(
        self, error_response_data: dict[str, object], error_type_override: str | None = None
    ) -> None:
        """Report that the function could not be initialised; the process must then exit."""
        error_type = error_type_override or str(error_response_data.get("errorType", ""))
        self._report("init/error", error_response_data, error_type)

    def restore_next(self) -> None:
        """Have the snapshot taken; returns when the environment has been restored from it.

        Raises RuntimeApiError. Only for functions with SnapStart.
        """
        path = "restore/next"
        try:
            reply = self._connection.poll(
                f"GET /2018-06-01/runtime/{path} HTTP/1.1\r\n{self._common}\r\n".encode()
            )
        except http1.TRANSPORT_ERRORS as error:
            raise self.connection_lost(path, error) from error
        self._connection.settle()
        if reply.status != 200:
            raise self._failed(f"asked to be restored, the Runtime API said {_reply_text(reply)}")

    def report_restore_error(self, restore_error_data: dict[str, object], error_type: str) -> None:
        """Report that the function is of no use after the restore; the process must then exit."""
        self._report("restore/error", restore_error_data, error_type)

    def reconnect(self) -> None:
        """Give up the connection; the next call opens another. Not while a request is under way."""
        self._connection.close()

    def _report(self, path: str, report: dict[str, object], error_type: str) -> None:
        body = payload.encode(report)
        extra = f"Lambda-Runtime-Function-Error-Type: {http1.field_value(error_type)}\r\n"
        head = self._post_head(path, "application/json", extra, body)
        try:
            reply = self._connection.exchange(head, body)
        except http1.TRANSPORT_ERRORS as error:
            raise self.connection_lost(path, error) from error
        if reply.status != 202:
            raise self._failed(
                f"the Runtime API refused the {path}: {_reply_text(reply)}", reply.status
            )
        self._raise_interruption()

    def _answer(
        self, kind: str, invoke_id: str, body: bytes, content_type: str, extra: str
    ) -> "Answer":
        path = f"invocation/{http1.quote(invoke_id)}/{kind}"
        head = self._post_head(path, content_type, extra, body)
        try:
            reply = self._connection.exchange(head, body, self._pipelined_request(body))
        except http1.TRANSPORT_ERRORS as error:
            if not is_of_wire(error):
                raise
            raise self.connection_lost(path, error) from error
        if reply.status != 202:
            self.check_reply(kind, invoke_id, len(body), reply)
        if self._connection.interruption is not None:
            self._raise_interruption()
        return None

    def _raise_interruption(self) -> None:
        """Raise what others have raised while the answer was on its way, which it went on."""
        interruption, self._connection.interruption = self._connection.interruption, None
        if interruption is not None:
            raise interruption

    def _pipelined_request(self, body: bytes) -> bytes:
        # A large answer may be refused, and what is logged of it is to be there before the event.
        small = len(body) < _PIPELINE_LIMIT
        return self._next if self.pipeline_next and self._pipelines and small else b""

    def check_reply(self, kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
        """Take the Runtime API's reply to an answer of so many bytes.

        A refusal is logged. Raises RuntimeApiError when the environment is to end.
        """
        if reply.status == 202:
            return
        if reply.status >= 500:
            raise self._failed(
                f"the Runtime API failed at an answer: {_reply_text(reply)}", reply.status
            )
        _log_refusal(kind, invoke_id, size, reply)

    def _post_head(self, path: str, content_type: str, extra: str, body: bytes | None) -> bytes:
        if content_type != "application/json":
            content_type = http1.field_value(content_type)
        framing = _STREAMING if body is None else f"Content-Length: {len(body)}\r\n\r\n"
        return (
            f"POST /2018-06-01/runtime/{path} HTTP/1.1\r\n{self._common}"
            f"Content-Type: {content_type}\r\n{extra}{framing}"
        ).encode()

    def connection_lost(self, path: str, error: Exception) -> RuntimeApiError:
        """What to raise when the call of this path ended with such an error."""
        host, port = self._connection.address
        return self._failed(
            f"lost the Runtime API at {host}:{port} ({path}): {error or type(error).__name__}"
        )

    def _failed(self, message: str, status: int = 0) -> RuntimeApiError:
        self.failure = RuntimeApiError(message, status)
        return self.failure


def _echo(invocation_id: str | None) -> str:
    return (
        f"Lambda-Runtime-Invocation-Id: {http1.field_value(invocation_id)}\r\n"
        if invocation_id
        else ""
    )


def _reply_text(reply: "Reply") -> str:
    return f"{reply.status} {bytes(reply.body[:500]).decode('utf-8', 'replace')}".rstrip()


def _log_refusal(kind: str, invoke_id: str, size: int, reply: "Reply") -> None:
    advice = ""
    if reply.status == 413:
        advice = (
            f": {size} bytes are more than Lambda takes; return less, or a link to an object in S3"
        )
    logs.warn(f"The Runtime API refused the {kind} of {invoke_id} ({_reply_text(reply)}){advice}")
