"""A buffer for an environment variable that gets a new value with every invocation.

``setenv`` of glibc keeps every value of a variable for ever: a few hundred bytes for each trace id.
``putenv`` uses the caller's memory instead, and this module writes every value into that memory. It
never frees the memory: C code may still read it after the interpreter's end.
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
    """Holds ``name=value`` for the C library. Raises MemoryError."""

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
        """Set the variable, as ``settings.put`` does, but overwrite the previous value."""
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
        # Code that has set or unset the variable meanwhile has removed our line from the C
        # library's table; code that has set another variable may have moved the table.
        if _table.value != self._known_table or self._line.value != self._address:
            self._enter()
        data[self._key] = raw

    def _enter(self) -> None:
        """Put the line into the table, and remember its place."""
        _libc.putenv(self._address)
        self._known_table = place = _table.value or 0
        size = ctypes.sizeof(ctypes.c_void_p)
        self._line = ctypes.c_void_p.from_address(place)
        while self._line.value != self._address:
            if self._line.value is None:  # the end: another thread has removed the line again
                self._known_table = None
                return
            place += size
            self._line = ctypes.c_void_p.from_address(place)


def _known_data(environ: object) -> "dict[bytes, bytes] | None":
    """The dict in which ``os.environ`` keeps the variables.

    None if user code has replaced ``os.environ``, or this version of Python keeps it elsewhere.
    """
    data = getattr(environ, "_data", None)
    kind = getattr(os, "_Environ", None)
    return data if type(environ) is kind and type(data) is dict else None
