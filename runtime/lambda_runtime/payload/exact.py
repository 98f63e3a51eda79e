"""Writes every value that has a form in JSON, or names the place of a value that has none.

It writes what the standard library, awslambdaric and orjson write (dataclasses, enums, dates, times
and UUIDs), and also durations, attrs classes, and the types of the libraries in ``libraries``.
Loaded when a result holds something other than the built-in types, or when orjson takes over.
"""

import builtins
import sys

try:
    from _json import encode_basestring
except ImportError:
    from json.encoder import encode_basestring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


# Built in since 3.15, and not a subclass of dict.
_FROZEN_DICT: "tuple[Any, ...]" = tuple(
    kind for name, kind in vars(builtins).items() if name == "frozendict"
)


class _Unwritable(Exception):
    """Carries the path of a value that cannot be written; each caller adds its part."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path: list[str] = []


def encode(value: object) -> str:
    """The value as JSON text, which may contain lone surrogates.

    Raises FaultException (``Runtime.MarshalError``), which names the path of a value that cannot be
    written.
    """
    try:
        return _encode(value, set())
    except _Unwritable as error:
        where = "result" + "".join(reversed(error.path))
        message = f"{where}: {error.reason}"
    except RecursionError:
        message = "result: nested too deeply"
    from lambda_runtime.ground.faults import FaultException

    raise FaultException("Runtime.MarshalError", f"Unable to marshal response: {message}")


def check(value: object) -> None:
    """Raise ``encode``'s internal error, so that the callers add the value's place in the result.

    A converter calls this if it cannot tell where in the value it has failed.
    """
    _encode(value, set())


def for_orjson(value: object) -> object:
    """Give orjson a form that it can write, for a value of a type that it does not know.

    orjson turns every exception of this function into a TypeError.
    """
    import orjson

    if type(value) in _converted:
        return _convert(value)
    if _is_instance(value, "decimal", "Decimal"):
        return orjson.Fragment(_decimal(value))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, _FROZEN_DICT):
        return dict(value)
    as_dict = getattr(value, "_asdict", None)
    if callable(as_dict):
        return as_dict()
    if isinstance(value, tuple):
        return tuple(value)
    if (text := _time(value)) is not None:
        return None if text == _NAT else text
    if _is_attrs(value):
        return {name: getattr(value, name) for name in _field_names(value)}
    return _convert(value)


def duration(ticks: int, per_second: int) -> str:
    """The ISO 8601 text of a time span: ``P1DT2H3M4.5S``; days are the largest unit."""
    seconds, rest = divmod(abs(ticks), per_second)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    digits = str(per_second + rest)[1:].rstrip("0")
    last = f"{seconds}.{digits}S" if digits else f"{seconds}S" if seconds else ""
    clock = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "") + last
    day = f"{days}D" if days else ""
    if not clock and not day:
        return "PT0S"
    return f"{'-' if ticks < 0 else ''}P{day}{'T' if clock else ''}{clock}"


def _encode(value: "Any", inside: set[int]) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if value is None or kind is bool:
        return _CONSTANTS[value]
    if kind is int or kind is float:
        return _number(value)
    if kind is dict or kind is list or kind is tuple:
        return _container(value, inside)
    if kind in _converted:
        return _encode(_convert(value), inside)
    return _other(value, inside)


_NAT = "NaT"
"""The text of pandas' missing time, which is an instance of ``datetime``."""

# Library types that were converted before: where there is one value, there may be thousands. The
# limit is for functions that make new types in every invocation.
_converted: set[type] = set()
_CONVERTED_LIMIT = 256

_CONSTANTS: dict[object, str] = {None: "null", True: "true", False: "false"}


def _number(value: object) -> str:
    if isinstance(value, float):
        text = float.__repr__(value)
        return text if text[-1].isdigit() else "null"  # nan, inf
    assert isinstance(value, int)
    try:
        return int.__repr__(value)
    except ValueError as error:
        raise _Unwritable(str(error)) from None


def _decimal(value: object) -> str:
    text = str(value)
    return text if text[-1].isdigit() else "null"


def _container(value: object, inside: set[int]) -> str:
    if id(value) in inside:
        raise _Unwritable(f"circular reference: this {type(value).__name__} holds itself")
    inside.add(id(value))
    if isinstance(value, dict):
        text = "{" + ",".join(_members(value, inside)) + "}"
    else:
        assert isinstance(value, (list, tuple))
        text = "[" + ",".join(_items(value, inside)) + "]"
    inside.discard(id(value))
    return text


def _members(value: dict[object, object], inside: set[int]) -> "Iterable[str]":
    for key, member in value.items():
        name = _key(key)
        try:
            yield f"{name}:{_encode(member, inside)}"
        except _Unwritable as error:
            error.path.append(f"[{_shown(key)}]")
            raise


def _items(value: "list[object] | tuple[object, ...]", inside: set[int]) -> "Iterable[str]":
    for index, item in enumerate(value):
        try:
            yield _encode(item, inside)
        except _Unwritable as error:
            error.path.append(f"[{index}]")
            raise


def _key(key: object) -> str:
    if isinstance(key, str) and not _is_instance(key, "enum", "Enum"):
        return encode_basestring(str.__str__(key))
    try:
        text = _encode(key, set())
    except _Unwritable as error:
        raise _Unwritable(f"key of {error.reason.removeprefix('object of ')}") from None
    if text[0] in "[{":
        raise _Unwritable(f"key of type {type(key).__name__}")
    return text if text[0] == '"' else f'"{text}"'


def _shown(key: object) -> str:
    text = encode_basestring(key) if isinstance(key, str) else repr(key)
    return text if len(text) <= 60 else text[:57] + "..."


def _other(value: object, inside: set[int]) -> str:
    """The text of a value that is not of a built-in type itself."""
    if _is_instance(value, "enum", "Enum"):
        return _encode(value.value, inside)  # type: ignore[attr-defined]
    if isinstance(value, str):
        return encode_basestring(str.__str__(value))
    if isinstance(value, (int, float)):
        return _number(value)
    if _is_instance(value, "decimal", "Decimal"):
        return _decimal(value)
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, dict):
        return _container(value, inside)
    if isinstance(value, _FROZEN_DICT):
        return _container(dict(value), inside)
    if callable(getattr(value, "_asdict", None)) and not isinstance(value, type):
        return _encode(value._asdict(), inside)  # type: ignore[attr-defined]
    if isinstance(value, (list, tuple)):
        return _container(value, inside)
    if _is_dataclass(value) or _is_attrs(value):
        return _fields(value, inside)
    return _scalar(value, inside)


def _text(value: bytes) -> str:
    try:
        return encode_basestring(value.decode())
    except UnicodeDecodeError:
        raise _Unwritable("object of type bytes that is not UTF-8") from None


def _scalar(value: object, inside: set[int]) -> str:
    text = _time(value)
    if text is not None:
        return "null" if text == _NAT else f'"{text}"'
    if _is_instance(value, "uuid", "UUID"):
        return f'"{value}"'
    return _encode(_convert(value), inside)


def _convert(value: object) -> object:
    """The form of a value of a library's type."""
    from lambda_runtime.payload import libraries

    try:
        form = libraries.convert(value)
    except libraries.NoForm as error:
        raise _Unwritable(str(error)) from None
    if len(_converted) < _CONVERTED_LIMIT:
        _converted.add(type(value))
    return form


def _time(value: "Any") -> str | None:
    """The ISO 8601 text of a date, a time, both, or a duration; None for anything else.

    None also for a time of day with a zone: it has no meaning without its date, and orjson does not
    write it either.
    """
    if _is_instance(value, "datetime", "date") or (
        _is_instance(value, "datetime", "time") and value.tzinfo is None
    ):
        text: str = value.isoformat()
        return text
    if _is_instance(value, "datetime", "timedelta"):
        micros = (value.days * 86400 + value.seconds) * 10**6 + value.microseconds
        # Durations of pandas have nanoseconds too.
        return duration(micros * 1000 + getattr(value, "nanoseconds", 0), 10**9)
    return None


def _is_dataclass(value: object) -> bool:
    return hasattr(type(value), "__dataclass_fields__")


def _is_attrs(value: object) -> bool:
    return hasattr(type(value), "__attrs_attrs__")


def _fields(value: object, inside: set[int]) -> str:
    if id(value) in inside:
        raise _Unwritable(f"circular reference: this {type(value).__name__} holds itself")
    inside.add(id(value))
    parts = []
    for name in _field_names(value):
        try:
            parts.append(f"{encode_basestring(name)}:{_encode(getattr(value, name), inside)}")
        except _Unwritable as error:
            error.path.append(f".{name}")
            raise
    inside.discard(id(value))
    return "{" + ",".join(parts) + "}"


def _field_names(value: object) -> list[str]:
    """The fields that ``attrs.asdict`` writes, or for a dataclass those that orjson writes.

    orjson writes the fields that do not begin with an underscore.
    """
    kind = type(value)
    if _is_attrs(value):
        return [field.name for field in kind.__attrs_attrs__]  # type: ignore[attr-defined]
    if "__slots__" not in kind.__dict__ and hasattr(value, "__dict__"):
        names = list(vars(value))
    else:
        names = [field.name for field in sys.modules["dataclasses"].fields(kind)]
    return [name for name in names if not name.startswith("_")]


def _is_instance(value: object, module: str, name: str) -> bool:
    """``isinstance`` for a class by name: false if its module is not loaded."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
