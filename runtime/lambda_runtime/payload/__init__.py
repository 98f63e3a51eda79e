"""Reads events and writes results as JSON, with the cheapest engine. The values are the same.

Three engines:

- The interpreter's own C scanner and encoder (``_json``) handle small payloads of built-in types,
  without an import. They are private and differ between versions of Python, so the module tests
  each before use. If one fails the test, ``json`` or ``exact`` does its work.
- orjson is several times faster, but its import costs as much as a megabyte in the first engine,
  unless the function has imported it anyway. So it takes over once its import would have paid off.
- ``exact``, in Python, writes what the other two write wrongly (a Decimal next to a namedtuple, an
  integer beyond 64 bits, a lone surrogate). It also names the place of a value in a result that
  cannot be written at all.
"""

import _thread
import gc
import marshal
import sys

from lambda_runtime.ground import trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    class Marshaller(Protocol):
        """The functions of a client's ``marshaller``: this module, or its replacement."""

        def unmarshal_request(
            self, request: bytes | bytearray, content_type: str | None = ..., /
        ) -> object: ...

        def marshal_response(self, response: object, /) -> tuple[bytes | str, str]: ...


_WORTH_ORJSON = 2 * 1024 * 1024
"""Bytes after which importing orjson would have paid off: 11 to 16 ms against 5 to 9 ns a byte."""

_MANY_OBJECTS = 64 * 1024
"""Bytes from which it pays off to stop the garbage collector while a document is read."""

_PIECE = 16 * 1024
"""Bytes of a document that are searched at once for long numbers."""

_SPACE = " \t\n\r"
_LONG_NUMBER = b"0" * 19
_DIGITS = b" " * 48 + b"0" * 10 + b" " * 198  # a table for bytes.translate

_thresholds: "tuple[tuple[int, int, int], tuple[int, int, int]] | None" = None
"""The garbage collector's usual thresholds, and those for the event that is being handled."""
_postponing = _thread.allocate_lock()

_orjson: "Any" = None
_for_orjson: "Callable[[object], object] | None" = None
_options: tuple[int, ...] = ()
_handled = 0
_modules = sys.modules

_NEEDED = ("dataclasses", "datetime", "enum", "json", "uuid")
"""What orjson imports."""


class _ScanSettings:
    """The options of the C scanner."""

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


# The C encoder keeps the containers around a value in its first argument, to detect a circle.
_markers: dict[int, object] = {}

_TRIAL = '{"a":[1,-2.5,true,null,"\\n\u00e9"]}'
_TRIAL_VALUE = {"a": [1, -2.5, True, None, "\n\u00e9"]}


def _find_scanner() -> "Callable[[str, int], tuple[object, int]]":
    """The interpreter's scanner if it reads as expected; otherwise one that always raises."""
    try:
        from _json import make_scanner

        scan: Any = make_scanner(_ScanSettings)  # type: ignore[arg-type]
        if scan(_TRIAL, 0) == (_TRIAL_VALUE, len(_TRIAL)):
            return scan  # type: ignore[no-any-return]
    except Exception:
        pass  # a version of Python with another scanner
    return _no_scanner


def _no_scanner(text: str, start: int) -> "tuple[object, int]":
    raise ValueError  # so that json reads the document


def _find_encoder() -> "Callable[[object, int], tuple[str, ...]]":
    """The interpreter's encoder if it writes as expected; otherwise one that always raises."""
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
    raise TypeError  # so that ``exact`` writes the result


def _marshals(value: "Any") -> bool:
    try:
        marshal.dumps(value)
    except ValueError:
        return False
    return True


_scan = _find_scanner()
_encode = _find_encoder()


def unmarshal_request(request: bytes | bytearray, content_type: str | None = None) -> object:
    """The event: any JSON value, or the bytes themselves if the content type is not JSON.

    Raises FaultException (``Runtime.UnmarshalError``) for a document that is not valid JSON.
    """
    if content_type not in ("application/json", None) and not _is_json(content_type):
        return bytes(request)
    # Nearly every event, as ``decode`` reads it: here, as a call costs as much as the rest.
    if (
        _orjson is not None
        and _thresholds is None
        and type(request) is bytes
        and len(request) < _MANY_OBJECTS
        and not has_long_number(request)
    ):
        try:
            return _orjson.loads(request)
        except ValueError:
            pass
    try:
        return decode(request)
    except Exception as error:
        from lambda_runtime.ground.faults import FaultException

        raise FaultException(
            "Runtime.UnmarshalError", f"Unable to unmarshal input: {error}"
        ) from None


def marshal_response(response: object) -> tuple[bytes, str]:
    """The result as bytes, and their content type; bytes stay as they are.

    Raises FaultException (``Runtime.MarshalError``), which names the place of a value that has no
    form in JSON.
    """
    if isinstance(response, bytes):
        # Of a subclass as plain bytes: its own __len__ is not to say how long the answer is.
        return b"".join((response,)), "application/unknown"
    if _orjson is not None:
        try:  # nearly every result, as ``encode`` writes it
            return _orjson.dumps(response, _for_orjson, _options[0]), "application/json"
        except TypeError:
            pass
    return _encode_with(response, _options[1:]), "application/json"


def _is_json(content_type: str | None) -> bool:
    return (content_type or "").partition(";")[0].strip().lower() == "application/json"


def decode(document: bytes | bytearray | str) -> object:
    """The value of a JSON document, as the standard library reads it (NaN and Infinity refused).

    Raises ValueError if it is not JSON, RecursionError if it is nested too deeply.
    """
    if _thresholds is not None:
        _restore_thresholds()
    if _orjson is None:
        _weigh(len(document))
    if _orjson is not None and not isinstance(document, str) and _fits_orjson(document):
        try:
            return _orjson.loads(document) if len(document) < _MANY_OBJECTS else _loads(document)
        except ValueError:
            pass  # a lone surrogate, a float too large, or no JSON: the code below decides
    try:
        text = document if isinstance(document, str) else document.decode()
        value, end = _scan(text, 0)
    except Exception:
        # Any exception: 3.11 to 3.13 cannot raise JSONDecodeError before json.decoder is loaded.
        # They raise SystemError, or what its import raises.
        return _decode_slowly(document)
    if end != len(text) and text[end:].strip(_SPACE):
        return _decode_slowly(document)
    return value


def _loads(document: bytes | bytearray) -> object:
    # A large document would start many garbage collections, and they would find nothing in objects
    # that are all in use.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _orjson.loads(document)
    finally:
        if enabled:
            _postpone_collection()
            gc.enable()


def _postpone_collection() -> None:
    """Start no collection for the objects that exist: what the handler makes still starts one.

    Holds until the next document is read.
    """
    global _thresholds
    with _postponing:
        first, *others = usual = gc.get_threshold()
        if first and _thresholds is None:
            gc.set_threshold(first + gc.get_count()[0], *others)
            _thresholds = usual, gc.get_threshold()


def _restore_thresholds() -> None:
    global _thresholds
    with _postponing:
        postponed, _thresholds = _thresholds, None
        # User code may have set others meanwhile.
        if postponed is not None and gc.get_threshold() == postponed[1]:
            gc.set_threshold(*postponed[0])


def encode(value: "Any") -> bytes:
    """The value as a JSON document in UTF-8.

    Raises FaultException (``Runtime.MarshalError``) for a value that has no form in JSON.
    """
    return _encode_with(value, _options)


def _encode_with(value: "Any", options: tuple[int, ...]) -> bytes:
    """Encode by orjson with one of these options; what it does not write, without it."""
    for option in options if _orjson is not None else ():
        try:
            written: bytes = _orjson.dumps(value, _for_orjson, option)
            return written
        except TypeError:
            pass  # an integer beyond 64 bits, a lone surrogate, a depth of 255, or not JSON
    try:
        # ``marshal`` accepts the built-in types, and refuses subclasses: the C encoder would write
        # a namedtuple as an array.
        marshal.dumps(value)
        text = "".join(_encode(value, 0))
    except Exception:
        from lambda_runtime.payload import exact

        _markers.clear()
        text = exact.encode(value)
    # UTF-8 cannot hold a lone surrogate; JSON writes it with a backslash.
    document = text.encode("utf-8", "backslashreplace")
    if _orjson is None:
        _weigh(len(document))
    return document


def _weigh(size: int) -> None:
    """Count the bytes of the interpreter's engine, and change to orjson once that pays off."""
    global _handled
    _handled += size
    if _handled > _WORTH_ORJSON or "orjson" in _modules:
        _adopt_orjson()


def load_orjson() -> None:
    """Change to orjson now, before a fork: it is paid for once, and serves every process."""
    if _orjson is None:
        _adopt_orjson()


def _adopt_orjson() -> None:
    global _orjson, _for_orjson, _options, _handled
    try:
        if "orjson" not in _modules and not _finds_its_own():
            raise ImportError
        import orjson

        from lambda_runtime.payload.exact import for_orjson

        # orjson 3.13.0 writes some times wrongly (10 000 microseconds as .10000), so ``for_orjson``
        # writes them. Try without OPT_NON_STR_KEYS first: it takes three times as long.
        plain: int = orjson.OPT_PASSTHROUGH_DATETIME
        _options = (plain, plain | orjson.OPT_NON_STR_KEYS)
    except Exception:
        # orjson is not installed, or built for another interpreter, or user code has something else
        # of its name, or has replaced the import function: never try again.
        _handled = -sys.maxsize
    else:
        _orjson, _for_orjson = orjson, for_orjson


def _finds_its_own() -> bool:
    """Whether orjson would import the standard library's modules, and not a function's files.

    It ends the process with a segmentation fault if, for example, the function has a ``json.py``.
    """
    return all(trusted.load(name) is _modules.get(name) for name in _NEEDED)


def _fits_orjson(document: bytes | bytearray) -> bool:
    """Whether all integers fit into 64 bits: orjson would read larger ones as floats."""
    return not has_long_number(document)


def _has_long_number(document: bytes | bytearray) -> bool:
    """Whether 19 digits stand in a row."""
    if len(document) > _PIECE:
        return any(map(_has_long_number, _pieces(document)))
    # find, as "in" takes twice as long for bytes.
    return document.translate(_DIGITS).find(_LONG_NUMBER) >= 0


has_long_number: "Callable[[bytes | bytearray], bool]" = _has_long_number
"""``runtime_api.core`` puts the core's function here."""


def _pieces(document: bytes | bytearray) -> "Iterator[bytes | bytearray]":
    """Pieces that stay in the processor's cache; a long number is whole in one of them."""
    for start in range(0, len(document), _PIECE - len(_LONG_NUMBER) + 1):
        yield document[start : start + _PIECE]


def _decode_slowly(document: bytes | bytearray | str) -> object:
    """Decode with ``json``: other encodings, leading blanks, and errors that name their place."""
    import json

    return json.loads(document, parse_constant=_ScanSettings.parse_constant)
