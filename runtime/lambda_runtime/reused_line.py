"""An environment variable that gets a new value very often, in one piece of memory.

``setenv`` of glibc keeps every value that a variable was ever given: a few hundred bytes for each
trace id, for as long as the process lives. ``putenv`` takes the memory that it is given as it is,
and here that is written over for every value. It is never freed, as others may still read it when
the interpreter is gone.
"""

import ctypes
import os

from lambda_runtime import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIZE = 4096

_libc = ctypes.CDLL(None)
_libc.malloc.argtypes = [ctypes.c_size_t]
_libc.malloc.restype = ctypes.c_void_p
_libc.putenv.argtypes = [ctypes.c_void_p]


class _Line:
    """``name=value`` where the C library looks for it."""

    def __init__(self, name: str) -> None:
        self.key = name.encode()
        self.start = self.key + b"="
        self.memory: int | None = _libc.malloc(_SIZE)


_lines: dict[str, _Line] = {}


def put(name: str, value: str) -> None:
    """Set the variable, as ``settings.put`` does, and keep nothing of the value before."""
    line = _lines.get(name) or _lines.setdefault(name, _Line(name))
    raw = value.encode("utf-8", "surrogateescape")
    text = line.start + raw + b"\0"
    environ: Any = os.environ
    if len(text) > _SIZE or b"\0" in raw or not line.memory or type(environ) is not os._Environ:
        return settings.put(name, value)
    ctypes.memmove(line.memory, text, len(text))
    # Every time: whoever has set or unset the variable since has taken the line out.
    _libc.putenv(line.memory)
    environ._data[line.key] = raw  # type: ignore[attr-defined]
