"""Every error is answered and logged, whatever it raises while it is described.

``reports`` describes it in full. It may not come to that: the exception's own methods raise, or the
function has used up memory, stack or descriptors, or replaced what the description needs. Then it
is tried once more with room to work in, and at last this module says what can always be said:
the type, and why there is no more. For that it imports nothing and calls nothing of the user's.
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
"""Frames that a description may need; some functions set a lower recursion limit."""

_TO_LOAD = 4 << 20
"""Bytes that loading ``reports`` takes, with room to spare."""

_UNKNOWN = b'{"errorMessage":"the error could not be described","errorType":"Unknown"}'

prepared = False
"""Whether ``prepare`` has been called."""

# A class may have another __name__, and its metaclass may raise for it.
_name_of = type.__dict__["__name__"].__get__
_set_traceback = BaseException.__dict__["__traceback__"].__set__


def answer(
    client: "LambdaRuntimeClient", invocation: "Invocation", error: BaseException
) -> "Answer":
    """Log the error and make it the invocation's answer, or the end of a response that has begun.

    With a client that is async, the answer is to be awaited. Raises what the client raises.
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
    """Log an error that is no invocation's answer; the note says what it means."""
    tell(error, request_id, note=note)


def tell(
    error: BaseException,
    request_id: str,
    *,
    in_stream: bool = False,
    in_init: bool = False,
    note: str = "",
) -> "Told":
    """Log the error, and describe it for whoever is to be told. Raises nothing.

    The JSON is that of a trailer if a response has begun (``in_stream``).
    """
    try:
        if "lambda_runtime.errors.reports" not in sys.modules:
            bytes(_TO_LOAD)  # without memory for it, CPython 3.15 crashes while it imports
        from lambda_runtime.errors import reports

        return reports.tell(error, request_id, in_stream, in_init, note)
    except BaseException as failure:
        if issubclass(type(failure), MemoryError):
            _set_traceback(error, None)  # whose frames hold what fills the memory
    limit = sys.getrecursionlimit()
    try:
        # A trace or profile function that has raised is gone now; the stack may have been too low.
        sys.setrecursionlimit(max(limit, _DEPTH))
        from lambda_runtime.errors import reports

        return reports.tell(error, request_id, in_stream, in_init, note)
    except BaseException as failure:
        return _tell_little(error, failure, request_id)
    finally:
        _set_limit(limit)


def prepare() -> None:
    """Load what describes errors, before user code may have made that impossible."""
    global prepared
    prepared = True
    try:
        from lambda_runtime.errors import reports  # noqa: F401
        from lambda_runtime.payload import exact  # noqa: F401
    except Exception:
        pass  # it has


def quietly(work: "Callable[[], object]") -> None:
    """Do what must not get in the way of an answer, whatever it raises."""
    try:
        work()
    except BaseException:
        pass


def type_name(error: BaseException) -> str:
    """The name of the error's class as it was defined, whatever the class says of itself."""
    name: str = _name_of(type(error))
    return name


def make_room(error: BaseException) -> None:
    """Raise the recursion limit for good where it has turned out to be too low for the runtime."""
    if issubclass(type(error), RecursionError):
        _set_limit(max(sys.getrecursionlimit(), _DEPTH))


def _set_limit(limit: int) -> None:
    try:
        sys.setrecursionlimit(limit)
    except (RecursionError, ValueError):
        pass


def _plain(text: str) -> str:
    """The text as JSON has it between quotation marks, but for what is rare in names."""
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
