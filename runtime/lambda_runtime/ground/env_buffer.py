"""The environment variable that gets a new value with every invocation, in one piece of memory.

``setenv`` of glibc keeps every value that a variable was ever given: a few hundred bytes for each
trace id, for as long as the process lives. ``putenv`` takes the memory that it is given as it is,
and here that is written over for every value. It is never freed, as others may still read it when
the interpreter is gone.
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
    """``name=value`` where the C library looks for it. Raises MemoryError."""

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
        """Set the variable, as ``settings.put`` does, and keep nothing of the value before."""
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

    None where ``os.environ`` has been replaced, or is made otherwise: then each value is assigned
    to it.
    """
    data = getattr(environ, "_data", None)
    kind = getattr(os, "_Environ", None)
    return data if type(environ) is kind and type(data) is dict else None
