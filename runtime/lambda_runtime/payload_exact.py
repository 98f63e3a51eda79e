"""Writes every value that has a form in JSON, or says where in it the value is that has none.

What the standard library and awslambdaric write, and beyond that what orjson does: dataclasses,
enums, dates, times and UUIDs. Loaded when a result holds something other than the built-in types,
or when orjson takes over.
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


# Built in since 3.15, and no dict.
_FROZEN_DICT: "tuple[Any, ...]" = tuple(
    kind for name, kind in vars(builtins).items() if name == "frozendict"
)


class _Unwritable(Exception):
    """Carries the path of the offending value, completed while the calls unwind."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path: list[str] = []


def encode(value: object) -> str:
    """The value as JSON text, lone surrogates left in.

    Raises FaultException (``Runtime.MarshalError``) that names the path of what cannot be written.
    """
    try:
        return _encode(value, set())
    except _Unwritable as error:
        where = "result" + "".join(reversed(error.path))
        message = f"{where}: {error.reason}"
    except RecursionError:
        message = "result: nested too deeply"
    from lambda_runtime.errors import FaultException

    raise FaultException("Runtime.MarshalError", f"Unable to marshal response: {message}")


def for_orjson(value: object) -> object:
    """What orjson asks for: a form that it can write of a type that it does not know.

    Raises TypeError where there is none.
    """
    import orjson

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
        return text
    raise TypeError


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
    return _other(value, inside)


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
    if isinstance(key, (dict, list, tuple, *_FROZEN_DICT)) or _is_dataclass(key):
        raise _Unwritable(f"key of type {type(key).__name__}")
    try:
        text = _encode(key, set())
    except _Unwritable as error:
        raise _Unwritable(f"key of {error.reason.removeprefix('object of ')}") from None
    return text if text[0] == '"' else f'"{text}"'


def _shown(key: object) -> str:
    text = encode_basestring(key) if isinstance(key, str) else repr(key)
    return text if len(text) <= 60 else text[:57] + "..."


def _other(value: object, inside: set[int]) -> str:
    """Everything that is not one of the built-in types itself."""
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
    if _is_dataclass(value):
        return _dataclass(value, inside)
    return _scalar(value)


def _text(value: bytes) -> str:
    try:
        return encode_basestring(value.decode())
    except UnicodeDecodeError:
        raise _Unwritable("object of type bytes that is not UTF-8") from None


def _scalar(value: object) -> str:
    text = _time(value)
    if text is not None:
        return f'"{text}"'
    if _is_instance(value, "uuid", "UUID"):
        return f'"{value}"'
    raise _Unwritable(f"object of type {type(value).__name__} is not JSON serializable")


def _time(value: "Any") -> str | None:
    """The ISO 8601 text of a date, a time or both; None for anything else.

    A time of day in a zone has no meaning without its date, and orjson has no form for it either.
    """
    if _is_instance(value, "datetime", "date") or (
        _is_instance(value, "datetime", "time") and value.tzinfo is None
    ):
        text: str = value.isoformat()
        return text
    return None


def _is_dataclass(value: object) -> bool:
    return hasattr(type(value), "__dataclass_fields__")


def _dataclass(value: object, inside: set[int]) -> str:
    if id(value) in inside:
        raise _Unwritable(f"circular reference: this {type(value).__name__} holds itself")
    inside.add(id(value))
    parts = []
    for name in _public_fields(value):
        try:
            parts.append(f"{encode_basestring(name)}:{_encode(getattr(value, name), inside)}")
        except _Unwritable as error:
            error.path.append(f".{name}")
            raise
    inside.discard(id(value))
    return "{" + ",".join(parts) + "}"


def _public_fields(value: object) -> list[str]:
    """The names orjson writes: all that do not begin with an underscore."""
    kind = type(value)
    if "__slots__" not in kind.__dict__ and hasattr(value, "__dict__"):
        names = list(vars(value))
    else:
        names = [field.name for field in sys.modules["dataclasses"].fields(kind)]
    return [name for name in names if not name.startswith("_")]


def _is_instance(value: object, module: str, name: str) -> bool:
    """isinstance against a class whose module need not be loaded: then nothing can be one."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)
