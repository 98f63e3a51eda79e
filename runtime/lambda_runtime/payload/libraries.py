"""Converts values of other libraries' types: NumPy, pandas, pydantic, msgspec.

A converter returns a value's form in types that ``exact`` knows. It converts one level; ``exact``
then converts the values inside. The module recognises types by the names of their base classes, so
it imports nothing that the function has not imported. Loaded with the first value of a type that
belongs neither to JSON nor to the standard library.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Converter = Callable[[Any], object]

_PER_SECOND = {"s": 1} | {
    unit: 10 ** (3 * power) for power, unit in enumerate(("ms", "us", "ns", "ps", "fs", "as"), 1)
}
_SECONDS = {"W": 7 * 86400, "D": 86400, "h": 3600, "m": 60}

_found: "dict[type, Converter | None]" = {}
_FOUND_LIMIT = 256


class NoForm(Exception):
    """The value has no form in JSON, or several, of which the user must choose one."""


def convert(value: object) -> object:
    """The value's form in types that ``exact`` knows. Raises NoForm if there is none."""
    found = _converter(type(value))
    if found is None:
        raise NoForm(f"object of type {type(value).__name__} is not JSON serializable")
    return found(value)


def _converter(kind: type) -> "Converter | None":
    try:
        return _found[kind]
    except KeyError:
        found = _search(kind)
        if len(_found) < _FOUND_LIMIT:
            _found[kind] = found
        return found


def _search(kind: type) -> "Converter | None":
    for base in kind.__mro__:
        library = base.__module__.partition(".")[0]
        if (found := _CONVERTERS.get((library, base.__name__))) is not None:
            return found
    return None


# NumPy


def _scalar(value: "Any") -> object:
    plain = value.item()
    if type(plain) is not type(value):
        return plain
    # A long double has no equal among the built-in types.
    return complex(value) if value.dtype.kind == "c" else float(value)


def _structure(value: "Any") -> object:
    names = value.dtype.names
    return value.item() if names is None else {name: value[name] for name in names}


def _array(value: "Any") -> object:
    if value.dtype.names is None and value.dtype.kind not in "mM":
        return value.tolist()
    if value.shape:
        return list(value)  # tolist() would drop field names, and turn nanoseconds into numbers
    return _structure(value) if value.dtype.names else value[()]


def _datetime64(value: object) -> str | None:
    """The ISO 8601 text of an equal ``datetime``, or of an equal ``date`` for whole days."""
    text = str(value)
    if text == "NaT":
        return None
    day, has_time, clock = text.partition("T")
    day += "-01" * (2 - day.count("-", 1))
    if not has_time:
        return day
    clock += ":00" * (2 - clock.count(":"))
    whole, _, fraction = clock.partition(".")
    if not fraction.strip("0"):
        return f"{day}T{whole}"
    if not fraction[6:].strip("0"):
        fraction = fraction[:6].ljust(6, "0")
    return f"{day}T{whole}.{fraction}"


def _timedelta64(value: "Any") -> object:
    from lambda_runtime.payload.exact import duration

    if str(value) == "NaT":
        return None
    step = value.dtype.str.partition("[")[2].rstrip("]")
    unit = step.lstrip("0123456789")
    count = int(value.astype("int64")) * int(step[: len(step) - len(unit)] or 1)
    if unit in _PER_SECOND:
        return duration(count, _PER_SECOND[unit])
    if unit in _SECONDS:
        return duration(count * _SECONDS[unit], 1)
    # Years and months have no fixed length in seconds. Without a unit it is a plain number.
    return f"{'-' if count < 0 else ''}P{abs(count)}{unit}" if unit else count


# pandas


def _nothing(value: object) -> None:
    return None


def _list(value: "Any") -> object:
    return value.tolist()


def _period(value: object) -> str:
    return str(value)


def _series(value: object) -> object:
    raise NoForm("a pandas Series: return series.tolist(), or series.to_dict() to keep its index")


def _frame(value: object) -> object:
    raise NoForm('a pandas DataFrame: return df.to_dict("records"), or another of its forms')


# Classes that the function defines


def _model(value: "Any") -> object:
    if not hasattr(value, "model_dump"):
        return value.dict()  # pydantic 1
    try:
        return value.model_dump(mode="json")
    except Exception:
        pass  # pydantic does not know the type of a field: this module may know it
    try:
        return value.model_dump(mode="json", fallback=convert)
    except Exception:
        _name_field(value)
        raise


def _name_field(value: "Any") -> None:
    """Raise an error that names the place in the model's fields, if one cannot be written."""
    from lambda_runtime.payload import exact

    for name in type(value).model_fields:
        try:
            value.model_dump(mode="json", include={name}, fallback=convert)
        except Exception:
            exact.check({name: getattr(value, name)})


def _struct(value: "Any") -> object:
    return sys.modules["msgspec"].to_builtins(value, enc_hook=convert)


_CONVERTERS: "dict[tuple[str, str], Converter]" = {
    ("numpy", "datetime64"): _datetime64,
    ("numpy", "timedelta64"): _timedelta64,
    ("numpy", "void"): _structure,
    ("numpy", "generic"): _scalar,
    ("numpy", "ndarray"): _array,
    ("pandas", "NAType"): _nothing,
    ("pandas", "Period"): _period,
    ("pandas", "Index"): _list,
    ("pandas", "ExtensionArray"): _list,
    ("pandas", "Series"): _series,
    ("pandas", "DataFrame"): _frame,
    ("pydantic", "BaseModel"): _model,
    ("msgspec", "Struct"): _struct,
}
