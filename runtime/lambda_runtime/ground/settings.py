"""Reads and writes environment variables without loading ``os``.

``os`` costs a tenth of the interpreter's start. ``os.environ`` keeps its values in the dictionary
``posix.environ``, so each sees the changes of the other. They differ only if user code has replaced
``os.environ`` by an object of its own: this module asks that object first, and ignores its errors.
"""

import posix
import sys

TRACE_ID = "_X_AMZN_TRACE_ID"
_AFTER_PUTS = 1000
_trace_ids = 0
_put_reused: "Callable[[str], None] | None" = None
put_in_place: "Callable[[str, dict[bytes, bytes], dict[str, Any]], bool] | None" = None
"""Sets the trace ID in memory that is used again, and in these variables; whether it has. From the
core in C, if it is used."""
_environ: "dict[bytes, bytes]" = posix.environ
_modules = sys.modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def get(name: str) -> str | None:
    """The value of the variable, or None when it is not set."""
    if (replaced := _replaced_environ()) is not None:
        try:
            value = replaced.get(name)
            if value is None or type(value) is str:
                return value
        except Exception:
            pass  # the user's object has failed: take the process's own value
    raw = _environ.get(name.encode())
    return None if raw is None else raw.decode("utf-8", "surrogateescape")


def put(name: str, value: str) -> None:
    """Set the variable for this process and for the processes that it starts."""
    posix.putenv(name, value)
    _environ[name.encode()] = value.encode("utf-8", "surrogateescape")
    if (replaced := _replaced_environ()) is not None:
        try:
            replaced[name] = value
        except Exception:
            pass  # the user's object may refuse it


def _replaced_environ() -> "Any":
    """The object with which user code has replaced ``os.environ``; None if it has not."""
    os = _modules.get("os")
    environ: Any = getattr(os, "environ", None)
    # Not isinstance(): a subclass's methods may raise, like those of any other object.
    if type(environ) is getattr(os, "_Environ", None) and environ._data is _environ:
        return None
    return environ


def put_trace_id(value: str) -> None:
    """Set ``_X_AMZN_TRACE_ID``, which gets a new value with every invocation.

    The C library keeps all values for ever. The core in C keeps only one. Without it, ``EnvBuffer``
    takes over after a thousand values: it keeps only one too, but costs half a megabyte.
    """
    global _trace_ids, _put_reused
    if put_in_place is not None and put_in_place(value, _environ, _modules):
        return
    if _put_reused is not None:
        return _put_reused(value)
    _trace_ids += 1
    if _trace_ids == _AFTER_PUTS:
        try:
            from lambda_runtime.ground.env_buffer import EnvBuffer

            _put_reused = EnvBuffer(TRACE_ID).put
        except (ImportError, MemoryError):
            pass  # an interpreter without ctypes
    put(TRACE_ID, value)


def remove(name: str) -> str | None:
    """Unset the variable. Returns its value until now, or None if it was not set."""
    value = get(name)
    if _environ.pop(name.encode(), None) is not None:
        posix.unsetenv(name)
    if value is not None and (replaced := _replaced_environ()) is not None:
        try:
            del replaced[name]
        except Exception:
            pass  # the user's object lacks the variable, or refuses to delete it
    return value
