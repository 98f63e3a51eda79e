"""The environment variables, read and written without loading ``os``.

``os`` costs a tenth of the interpreter's start. Until somebody imports it, ``posix.environ`` is the
truth, and ``os.environ`` is made from it; from then on ``os.environ`` is.
"""

import posix
import sys

TRACE_ID = "_X_AMZN_TRACE_ID"
_MANY = 1000
_trace_ids = 0
_put_reused: "Callable[[str], None] | None" = None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def get(name: str) -> str | None:
    """The value of the variable, or None when it is not set."""
    os = sys.modules.get("os")
    if os is not None:
        value: str | None = os.environ.get(name)
        return value
    raw = posix.environ.get(name.encode())
    return None if raw is None else raw.decode("utf-8", "surrogateescape")


def put(name: str, value: str) -> None:
    """Set the variable for this process and for those it starts."""
    os = sys.modules.get("os")
    if os is not None:
        os.environ[name] = value
    else:
        posix.putenv(name, value)
        posix.environ[name.encode()] = value.encode("utf-8", "surrogateescape")


def put_trace_id(value: str) -> None:
    """Set ``_X_AMZN_TRACE_ID``, which gets a new value with every invocation.

    The C library keeps the values for ever. After a thousand of them that is worth the half
    megabyte which it takes to do without.
    """
    global _trace_ids, _put_reused
    if _put_reused is not None:
        return _put_reused(value)
    _trace_ids += 1
    if _trace_ids == _MANY:
        try:
            from lambda_runtime.reused_line import ReusedLine

            _put_reused = ReusedLine(TRACE_ID).put
        except (ImportError, MemoryError):
            pass  # an interpreter without ctypes
    put(TRACE_ID, value)


def remove(name: str) -> str | None:
    """Unset the variable; its value until now, or None when it was not set."""
    value = get(name)
    if value is not None:
        os = sys.modules.get("os")
        if os is not None:
            del os.environ[name]
        else:
            posix.unsetenv(name)
            del posix.environ[name.encode()]
    return value
