"""A buffer for an environment variable that gets a new value with every invocation.

``setenv`` of glibc keeps every value of a variable for ever: a few hundred bytes for each trace id.
``putenv`` uses the caller's memory instead, and this module writes every value into that memory. It
never frees the memory: C code may still read it after the interpreter's end.
"""

import ctypes
import os

from lambda_runtime.ground import settings

_SIZE = 4096

_libc = ctypes.CDLL(None)
_libc.calloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
_libc.calloc.restype = ctypes.c_void_p
_libc.putenv.argtypes = [ctypes.c_void_p]


class EnvBuffer:
    """Holds ``name=value`` for the C library. Raises MemoryError."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._key = name.encode()
        self._start = self._key + b"="
        self._address = _libc.calloc(1, _SIZE)
        if not self._address:
            raise MemoryError
        self._memory = memoryview((ctypes.c_char * _SIZE).from_address(self._address)).cast("B")
        self._put = _libc.putenv

    def put(self, value: str) -> None:
        """Set the variable, as ``settings.put`` does, but overwrite the previous value."""
        raw = value.encode("utf-8", "surrogateescape")
        text = self._start + raw + b"\0"
        data = _known_data(os.environ)
        if len(text) > _SIZE or b"\0" in raw or data is None:
            return settings.put(self._name, value)
        self._memory[: len(text)] = text
        # Every time: whoever has set or unset the variable since has taken the line out.
        self._put(self._address)
        data[self._key] = raw


def _known_data(environ: object) -> "dict[bytes, bytes] | None":
    """The dict in which ``os.environ`` keeps the variables.

    None if user code has replaced ``os.environ``, or this version of Python keeps it elsewhere.
    """
    data = getattr(environ, "_data", None)
    kind = getattr(os, "_Environ", None)
    return data if type(environ) is kind and type(data) is dict else None
