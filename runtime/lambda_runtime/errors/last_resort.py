"""Answers and logs every error, even one that cannot be described.

``reports`` describes an error in full. This can fail: the exception's own methods raise, or the
function has used up memory, stack or descriptors, or has replaced what the description needs. Then
this module tries once more with more room. If that fails too, it reports the type, and why there is
no more: for this it imports nothing, and calls no user code.
"""

import sys

from lambda_runtime import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_runtime.runtime_api.client import Answer, Invocation, LambdaRuntimeClient

    Told = tuple[dict[str, object], str, bytes, str]
    """The document, the type for the platform, the document as JSON, and the cause for X-Ray."""

_DEPTH = 400
"""The recursion limit that a description needs; some functions set a lower one."""

_TO_LOAD = 4 << 20
"""Bytes that loading ``reports`` takes, and some more."""

_UNKNOWN = b'{"errorMessage":"the error could not be described","errorType":"Unknown"}'

prepared = False
"""Whether ``prepare`` has been called."""

# A class may define another __name__, and its metaclass may raise when asked for it.
_name_of = type.__dict__["__name__"].__get__
_set_traceback = BaseException.__dict__["__traceback__"].__set__


def answer(
    client: "LambdaRuntimeClient", invocation: "Invocation", error: BaseException
) -> "Answer":
    """Log the error and make it the invocation's answer, or the end of a response that has begun.

    With an async client, await the result. Raises what the client raises.
    """
    upload = invocation.upload
    in_stream = upload is not None and upload.started
    _, kind, document, cause = tell(error, invocation.request_id, in_stream=in_stream)
    quietly(logs.flush)
    if in_stream:
        return client.fail_upload(invocation, kind, document)
    return client.post_invocation_error(
        invocation.request_id, document, cause, invocation.invocation_id, kind
    )


def fail_init(client: "LambdaRuntimeClient", error: BaseException) -> None:
    """Log why the function cannot be initialised, and tell the platform."""
    report, kind, _, _ = tell(error, "", in_init=True)
    quietly(logs.flush)
    client.post_init_error(report, kind)


def log(error: BaseException, request_id: str = "", note: str = "") -> None:
    """Log an error that is not an invocation's answer; the note says what it means."""
    tell(error, request_id, note=note)


def tell(
    error: BaseException,
    request_id: str,
    *,
    in_stream: bool = False,
    in_init: bool = False,
    note: str = "",
) -> "Told":
    """Log the error, and describe it for the platform, the caller and X-Ray. Raises nothing.

    If a response has begun (``in_stream``), the JSON is short enough for a trailer.
    """
    try:
        if "lambda_runtime.errors.reports" not in sys.modules:
            bytes(_TO_LOAD)  # without memory for it, CPython 3.15 crashes while it imports
        from lambda_runtime.errors import reports

        return reports.tell(error, request_id, in_stream, in_init, note)
    except BaseException as failure:
        if issubclass(type(failure), MemoryError):
            _set_traceback(error, None)  # its frames hold the objects that fill the memory
    limit = sys.getrecursionlimit()
    try:
        # A trace or profile function that raised is gone now. The recursion limit may be too low.
        sys.setrecursionlimit(max(limit, _DEPTH))
        from lambda_runtime.errors import reports
        from lambda_runtime.ground import trusted

        return trusted.soundly(reports.tell, error, request_id, in_stream, in_init, note)
    except BaseException as failure:
        return _tell_little(error, failure, request_id)
    finally:
        _set_limit(limit)


def prepare() -> None:
    """Load the modules that describe errors, before user code can make that impossible."""
    global prepared
    prepared = True
    try:
        from lambda_runtime.errors import reports  # noqa: F401
        from lambda_runtime.payload import exact  # noqa: F401
    except Exception:
        pass  # user code has made it impossible already


def quietly(work: "Callable[[], object]") -> None:
    """Do the work and drop what it raises: it must not get in the way of an answer."""
    try:
        work()
    except BaseException:
        pass


def type_name(error: BaseException) -> str:
    """The name in the definition of the error's class, even if the class hides it."""
    name: str = _name_of(type(error))
    return name


def make_room(error: BaseException) -> None:
    """After a RecursionError, raise a recursion limit that is too low for the runtime, for good."""
    if issubclass(type(error), RecursionError):
        _set_limit(max(sys.getrecursionlimit(), _DEPTH))


def _set_limit(limit: int) -> None:
    try:
        sys.setrecursionlimit(limit)
    except (RecursionError, ValueError):
        pass


def _plain(text: str) -> str:
    """The text for a JSON string, with ``?`` for everything that needs escaping or is not ASCII."""
    return "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in text)


def _tell_little(error: BaseException, failure: BaseException, request_id: str) -> "Told":
    try:
        kind = type_name(error)
        message = f"the error could not be described: {type_name(failure)}"
        document = (
            f'{{"errorMessage":"{_plain(message)}","errorType":"{_plain(kind)}",'
            f'"requestId":"{_plain(request_id)}","stackTrace":[]}}'
        )
        line = (
            f'{{"level":"ERROR",{document[1:]}'
            if logs.json_format
            else f"[ERROR] {kind}: {message}"
        )
        quietly(lambda: logs.sink.log_error([line]))
        report: dict[str, object] = {
            "errorMessage": message,
            "errorType": kind,
            "requestId": request_id,
            "stackTrace": [],
        }
        return report, "Function.Unknown", document.encode(), ""
    except BaseException:
        return {"errorType": "Unknown"}, "Function.Unknown", _UNKNOWN, ""
