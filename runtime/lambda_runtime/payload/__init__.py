"""Events in, results out: JSON, by whichever engine is cheapest. The values are the same.

Three engines:

- The interpreter's own C scanner and encoder (``_json``), there in every process without an import:
  for small payloads made of the built-in types. They are private and differ between Pythons, so
  each is tried first. Where one does not serve, ``json`` or ``exact`` does its work.
- orjson, several times faster, but its import costs as much as a megabyte of the above, unless
  the function has imported it anyway. So it takes over once it would have paid.
- ``exact``, in Python: for what the other two do not write as they should (a Decimal next
  to a namedtuple, an integer beyond 64 bits, a lone surrogate), and to say where in a result the
  value is that cannot be written at all.
"""

import gc
import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Marshaller(Protocol):
        """What may stand in for this module as a client's ``marshaller``."""

        def unmarshal_request(
            self, request: bytes | bytearray, content_type: str | None = ..., /
        ) -> object: ...

        def marshal_response(self, response: object, /) -> tuple[bytes | str, str]: ...


_WORTH_ORJSON = 1024 * 1024
"""Bytes after which importing orjson would have paid: 15 to 20 ms against 10 ns a byte."""

_MANY_OBJECTS = 64 * 1024
"""Bytes from which a document is worth a thought about the garbage collector."""

_SPACE = " \t\n\r"
_LONG_NUMBER = b"0" * 19
_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else 32 for byte in range(256))

_orjson: "Any" = None
_for_orjson: "Callable[[object], object] | None" = None
_options: tuple[int, ...] = ()
_handled = 0
_modules = sys.modules


class _ScanSettings:
    """What the C scanner reads its options from."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None  # since 3.15
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> object:
        raise ValueError(f"{name} is not JSON")


def _undecided(value: object) -> object:
    raise TypeError


# The C encoder remembers in the first argument what it is inside of, to notice a circle.
_markers: dict[int, object] = {}

_TRIAL = '{"a":[1,-2.5,true,null,"\\n\u00e9"]}'
_TRIAL_VALUE = {"a": [1, -2.5, True, None, "\n\u00e9"]}


def _find_scanner() -> "Callable[[str, int], tuple[object, int]]":
    """The interpreter's scanner if it reads as expected; else one that reads nothing."""
    try:
        from _json import make_scanner

        scan: Any = make_scanner(_ScanSettings)  # type: ignore[arg-type]
        if scan(_TRIAL, 0) == (_TRIAL_VALUE, len(_TRIAL)):
            return scan  # type: ignore[no-any-return]
    except Exception:
        pass  # a Python that is not known yet
    return _no_scanner


def _no_scanner(text: str, start: int) -> "tuple[object, int]":
    raise ValueError  # then json reads the document


def _find_encoder() -> "Callable[[object, int], tuple[str, ...]]":
    """The interpreter's encoder if it writes as expected; else one that writes nothing."""
    try:
        from _json import encode_basestring, make_encoder

        encode: Any = make_encoder(
            _markers, _undecided, encode_basestring, None, ":", ",", False, False, False
        )
        if "".join(encode(_TRIAL_VALUE, 0)) == _TRIAL and not _marshals(sys.flags):
            return encode  # type: ignore[no-any-return]
    except Exception:
        pass
    return _no_encoder


def _no_encoder(value: object, level: int) -> "tuple[str, ...]":
    raise TypeError  # then payload_exact writes the result


def _marshals(value: "Any") -> bool:
    try:
        marshal.dumps(value)
    except ValueError:
        return False
    return True


_scan = _find_scanner()
_encode = _find_encoder()


def unmarshal_request(request: bytes | bytearray, content_type: str | None = None) -> object:
    """The event: any JSON value, or the bytes themselves where the content type is not JSON.

    Raises FaultException (``Runtime.UnmarshalError``) for what claims to be JSON and is not.
    """
    if content_type not in ("application/json", None) and not _is_json(content_type):
        return bytes(request)
    try:
        return decode(request)
    except Exception as error:
        from lambda_runtime.ground.faults import FaultException

        raise FaultException(
            "Runtime.UnmarshalError", f"Unable to unmarshal input: {error}"
        ) from None


def marshal_response(response: object) -> tuple[bytes, str]:
    """The result as bytes and their content type; bytes pass through as they are.

    Raises FaultException (``Runtime.MarshalError``) that names the place of what cannot be JSON.
    """
    if isinstance(response, bytes):
        return response, "application/unknown"
    return encode(response), "application/json"


def _is_json(content_type: str | None) -> bool:
    return (content_type or "").partition(";")[0].strip().lower() == "application/json"


def decode(document: bytes | bytearray | str) -> object:
    """The value of a JSON document, as the standard library reads it (NaN and Infinity refused).

    Raises ValueError where it is not one, RecursionError where it is nested too deeply.
    """
    if _orjson is None:
        _weigh(len(document))
    if _orjson is not None and not isinstance(document, str) and _fits_orjson(document):
        try:
            return _orjson.loads(document) if len(document) < _MANY_OBJECTS else _loads(document)
        except ValueError:
            pass  # a lone surrogate, an overflow to infinity, or really not JSON: see below
    try:
        text = document if isinstance(document, str) else document.decode()
        value, end = _scan(text, 0)
    except Exception:
        # 3.11 to 3.13 cannot raise JSONDecodeError before json.decoder is loaded: SystemError, or
        # what importing it raises.
        return _decode_slowly(document)
    if end != len(text) and text[end:].strip(_SPACE):
        return _decode_slowly(document)
    return value


def _loads(document: bytes | bytearray) -> object:
    # A collection finds nothing in objects that are only just being made, and a large document
    # would set off many.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _orjson.loads(document)
    finally:
        if enabled:
            gc.enable()


def encode(value: "Any") -> bytes:
    """The value as a JSON document in UTF-8.

    Raises FaultException (``Runtime.MarshalError``) for what has no form in JSON.
    """
    if _orjson is not None:
        for option in _options:
            try:
                document: bytes = _orjson.dumps(value, _for_orjson, option)
            except TypeError:
                pass  # an integer beyond 64 bits, a lone surrogate, a depth of 255, or no JSON
            else:
                return document
    try:
        # Of these only the built-in types themselves can be marshalled; a subclass may be a
        # namedtuple, which the C encoder would write as an array.
        marshal.dumps(value)
        text = "".join(_encode(value, 0))
    except Exception:
        from lambda_runtime.payload import exact

        _markers.clear()
        text = exact.encode(value)
    # A lone surrogate cannot be UTF-8; its backslash form is what JSON has for it.
    document = text.encode("utf-8", "backslashreplace")
    if _orjson is None:
        _weigh(len(document))
    return document


def _weigh(size: int) -> None:
    """Count what the interpreter's engine has done, and change engines once it pays."""
    global _handled
    _handled += size
    if _handled > _WORTH_ORJSON or "orjson" in _modules:
        _adopt_orjson()


def _adopt_orjson() -> None:
    global _orjson, _for_orjson, _options, _handled
    try:
        import orjson
    except Exception:
        # Not installed, or built for another interpreter, or user code has replaced what imports:
        # do without for as long as ints last.
        _handled = -sys.maxsize
    else:
        from lambda_runtime.payload.exact import for_orjson

        _orjson, _for_orjson = orjson, for_orjson
        # Its own form of a time with few microseconds is wrong (3.13.0: 10 000 of them as .10000);
        # and allowing for keys that are not strings makes it three times slower where all are.
        plain: int = orjson.OPT_PASSTHROUGH_DATETIME
        _options = (plain, plain | orjson.OPT_NON_STR_KEYS)


def _fits_orjson(document: bytes | bytearray) -> bool:
    """Whether no integer in it can be beyond 64 bits, which orjson would read as a float."""
    # find, as "in" takes twice as long for bytes.
    return document.translate(_DIGITS).find(_LONG_NUMBER) < 0


def _decode_slowly(document: bytes | bytearray | str) -> object:
    """Other encodings than UTF-8, leading blanks, and errors that say where they are."""
    import json

    return json.loads(document, parse_constant=_ScanSettings.parse_constant)
