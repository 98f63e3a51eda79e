"""Results of every kind that a handler may return."""

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import math
import operator
import types
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple


class Point(NamedTuple):
    x: int
    y: Any


class WithAsDict:
    def _asdict(self) -> dict[str, Any]:
        return {"made": "by _asdict", "point": Point(1, 2)}


@dataclasses.dataclass
class Item:
    name: str
    price: decimal.Decimal


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    SEVEN = 7


class Word(enum.StrEnum):
    YES = "yes"


class Text(str):
    pass


class Whole(int):
    pass


class Record(dict[str, Any]):
    pass


class Rows(list[Any]):
    pass


class ForJson:
    def for_json(self) -> str:
        return "asked for by an option only"


class Broken(dict[str, Any]):
    def items(self) -> Any:
        raise LookupError("items() raises")


def _circular() -> list[Any]:
    items: list[Any] = [1]
    items.append({"self": items})
    return items


def _circular_object() -> dict[str, Any]:
    made: dict[str, Any] = {"a": 1}
    made["me"] = made
    return made


def _nested(depth: int) -> list[Any]:
    return functools.reduce(lambda inner, _: [inner], range(depth), list[Any]())


_MOMENT = datetime.datetime(2026, 3, 14, 9, 26, 53, 589000, datetime.UTC)

RESULTS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "zero": lambda: 0,
    "string": lambda: "text",
    "string-empty": lambda: "",
    "object-empty": dict,
    "array-empty": list,
    "object": lambda: {"a": [1, 2, {"b": None}], "c": {"d": False}},
    "escapes": lambda: 'quote " backslash \\ slash / bell \x07 nul \x00 delete \x7f tab \t',
    "html": lambda: "</script><!-- & -->",
    "decimal": lambda: decimal.Decimal("10.10"),
    "decimal-many": lambda: [decimal.Decimal(each) for each in ("0.1", "1E+3", "-0", "1e-30")],
    "decimal-long": lambda: {"value": decimal.Decimal("12345678901234567890.123456789012345678")},
    "decimal-nan": lambda: [decimal.Decimal("NaN"), decimal.Decimal("-NaN")],
    "decimal-infinity": lambda: [decimal.Decimal("Infinity")],
    "tuple": lambda: (1, ("a", None)),
    "namedtuple": lambda: Point(1, Point(2, "deep")),
    "namedtuple-beside-decimal": lambda: [Point(1, 2), decimal.Decimal("3.30")],
    "asdict": lambda: [WithAsDict()],
    "bytes": lambda: b"raw \x00\xff bytes",
    "bytes-empty": lambda: b"",
    "bytes-nested": lambda: {"data": [b"ascii", "é ü".encode()]},
    "bytes-nested-invalid": lambda: {"data": b"\xff\xfe"},
    "bytearray": lambda: bytearray(b"array"),
    "memoryview": lambda: {"view": memoryview(b"view")},
    "key-integer": lambda: {1: "a", -2: "b"},
    "key-float": lambda: {1.5: "a", 1e100: "b"},
    "key-boolean": lambda: {True: "a", False: "b"},
    "key-none": lambda: {None: "a"},
    "key-bytes": lambda: {b"raw": "a"},
    "key-decimal": lambda: {decimal.Decimal("1.10"): "a"},
    "key-tuple": lambda: {"outer": {(1, 2): "a"}},
    "key-enum": lambda: {Word.YES: 1, Number.SEVEN: 2},
    "key-collision": lambda: {1: "number", "1": "string"},
    "integer-big": lambda: [2**53 + 1, 2**64, -(2**200)],
    "float-many": lambda: [0.1, 1e16, 1e22, 1e-7, -0.0, 1.0, 123456789.123456789, 5e-324],
    "float-nan": lambda: {"value": math.nan},
    "float-infinity": lambda: [math.inf, -math.inf],
    "nan-beside-decimal": lambda: [math.nan, decimal.Decimal("1.5")],
    "key-nan": lambda: {math.nan: 1},
    "non-ascii": lambda: {"grüße": "Привет, 世界"},
    "non-ascii-astral": lambda: "🚀 𝄞",
    "non-ascii-separators": lambda: "\u2028 \u2029 \ufeff",
    "surrogate-lone": lambda: "a\ud800b",
    "surrogate-pair": lambda: "\ud83d\ude80",
    "set": lambda: {"items": [1, {2}]},
    "generator": lambda: (number for number in range(3)),
    "range": lambda: {"rows": range(3)},
    "object-unknown": lambda: {"items": [1, 2, 3, {"owner": types.SimpleNamespace(name="x")}]},
    "class": lambda: Point,
    "function": lambda: operator.add,
    "exception": lambda: ValueError("returned, not raised"),
    "complex": lambda: 1j,
    "for-json": lambda: ForJson(),
    "broken-mapping": lambda: Broken(a=1),
    "circular": _circular,
    "circular-object": _circular_object,
    "nested-500": lambda: _nested(500),
    "nested-100000": lambda: _nested(100_000),
    "datetime": lambda: {"at": _MOMENT},
    "datetime-naive": lambda: [_MOMENT.replace(tzinfo=None)],
    "date": lambda: [_MOMENT.date()],
    "time": lambda: [_MOMENT.time()],
    "timedelta": lambda: [datetime.timedelta(seconds=1)],
    "uuid": lambda: [uuid.UUID("2f1d8a3e-6c5b-4d7a-9e8f-0a1b2c3d4e5f")],
    "dataclass": lambda: [Item("pen", decimal.Decimal("1.20"))],
    "enum": lambda: [Colour.RED],
    "enum-integer": lambda: [Number.SEVEN],
    "enum-string": lambda: [Word.YES],
    "subclass-string": lambda: [Text("sub")],
    "subclass-integer": lambda: [Whole(5)],
    "subclass-dict": lambda: Record(a=Rows([1, Record(b=2)])),
    "ordered-dict": lambda: collections.OrderedDict([("z", 1), ("a", 2)]),
    "default-dict": lambda: collections.defaultdict(int, {"n": 1}),
    "counter": lambda: collections.Counter("aab"),
    "deque": lambda: [collections.deque([1])],
    "mapping-proxy": lambda: types.MappingProxyType({"a": 1}),
    "proxy-response": lambda: {
        "statusCode": 200,
        "headers": {"Content-Type": "text/html; charset=utf-8"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
        "body": "<p>é</p>",
        "isBase64Encoded": False,
    },
    "large": lambda: {
        "rows": [{"id": number, "name": f"row {number}"} for number in range(50_000)]
    },
    "large-decimals": lambda: [decimal.Decimal(number) / 100 for number in range(20_000)],
}


def handler(event: Any, context: Any) -> Any:
    return RESULTS[event]()
