"""The environment variable that gets a new value with every invocation, in one piece of memory.

``setenv`` of glibc keeps every value that a variable was ever given: a few hundred bytes for each
trace id, for as long as the process lives. ``putenv`` takes the memory that it is given as it is,
and here that is written over for every value. It is never freed, as others may still read it when
the interpreter is gone.
"""

import ctypes
import os

from lambda_runtime.ground import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIZE = 4096

_libc = ctypes.CDLL(None)
_libc.calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
_libc.calloc.restype = ctypes.c_void_p
_libc.putenv.argtypes = [ctypes.c_void_p]
try:
    _table = ctypes.c_void_p.in_dll(_libc, "environ")
except ValueError as error:
    raise ImportError("a C library that does not show its environment") from error


class EnvBuffer:
    """``name=value`` where the C library looks for it. Raises MemoryError."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._key = name.encode()
        self._start = self._key + b"="
        self._address: int | None = _libc.calloc(1, _SIZE)
        if not self._address:
            raise MemoryError
        self._memory = memoryview((ctypes.c_char * _SIZE).from_address(self._address)).cast("B")
        self._environ: Any = os.environ
        self._data = _known_data(os.environ)
        self._known_table: int | None = None
        self._line = ctypes.c_void_p()

    def put(self, value: str) -> None:
        """Set the variable, as ``settings.put`` does, and keep nothing of the value before."""
        raw = value.encode("utf-8", "surrogateescape")
        text = self._start + raw + b"\0"
        data = self._data
        if (
            data is None
            or self._environ._data is not data
            or os.environ is not self._environ
            or "\0" in value
            or len(text) > _SIZE
        ):
            return settings.put(self._name, value)
        self._memory[: len(text)] = text
        # Whoever has set or unset the variable since has taken the line out of the C library's
        # table; whoever has set another may have moved the table.
        if _table.value != self._known_table or self._line.value != self._address:
            self._enter()
        data[self._key] = raw

    def _enter(self) -> None:
        """Put the line into the table, and remember where."""
        _libc.putenv(self._address)
        self._known_table = place = _table.value or 0
        size = ctypes.sizeof(ctypes.c_void_p)
        self._line = ctypes.c_void_p.from_address(place)
        while self._line.value != self._address:
            place += size
            self._line = ctypes.c_void_p.from_address(place)


def _known_data(environ: object) -> "dict[bytes, bytes] | None":
    """The dict in which ``os.environ`` keeps the variables.

    None where ``os.environ`` has been replaced, or is made otherwise: then each value is assigned
    to it.
    """
    data = getattr(environ, "_data", None)
    kind = getattr(os, "_Environ", None)
    return data if type(environ) is kind and type(data) is dict else None
