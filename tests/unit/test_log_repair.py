"""No log record is lost, and every one is JSON in the strict sense, whatever it holds."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections import OrderedDict
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_runtime import logs
from lambda_runtime.logs.handlers import (
    JsonFormatter,
    LambdaLoggerFilter,
    LambdaLoggerHandler,
    TextFormatter,
)
from support.fuzz import examples


class Odd:
    def __init__(self, error: BaseException | object) -> None:
        self.error = error

    def __str__(self) -> Any:
        if isinstance(self.error, BaseException):
            raise self.error
        return self.error

    __repr__ = __str__


class OddDict(dict[Any, Any]):
    def items(self) -> Any:
        raise ValueError("items")

    def __iter__(self) -> Any:
        raise ValueError("iter")

    def __getitem__(self, key: object) -> Any:
        raise KeyError(key)


class OddList(list[Any]):
    def __iter__(self) -> Any:
        raise ValueError("iter")

    def __len__(self) -> int:
        raise ValueError("len")


class OddStr(str):
    def __str__(self) -> Any:
        raise ValueError("str")

    def __format__(self, spec: str) -> Any:
        raise ValueError("format")

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ValueError("eq")


class OddInt(int):
    def __str__(self) -> str:
        return "not a number"

    __repr__ = __str__

    def __index__(self) -> int:
        raise ValueError("index")


class OddFloat(float):
    def __repr__(self) -> str:
        return "not a number"

    def __float__(self) -> float:
        raise ValueError("float")


class Meta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError("name")


class Nameless(Exception, metaclass=Meta):
    pass


class OddError(Exception):
    __traceback__ = property(lambda self: 1 / 0)
    __cause__ = property(lambda self: 1 / 0)

    def __str__(self) -> str:
        raise ValueError("str")


class Number(IntEnum):
    ONE = 1


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def circle() -> Any:
    value: dict[str, Any] = {"a": 1}
    value["self"] = [value]
    return value


_ODD: dict[str, Any] = {
    "nan": math.nan,
    "infinity": [math.inf, -math.inf],
    "tuple key": {("a", 1): 2},
    "bytes key": {b"a": 1},
    "None key": {None: 1, True: 2, 3: 4, 1.5: 6, math.nan: 7, Number.ONE: 8},
    "odd key": {Odd(ValueError()): 1},
    "circle": circle(),
    "bytes": b"\xff",
    "surrogate": "\ud800",
    "surrogate key": {"\udfff": "\ud83d"},
    "deep": nested(100_000),
    "deep enough": nested(500),
    "huge": 10**10_000,
    "huge negative": -(10**10_000),
    "huge key": {10**10_000: 1},
    "raises": Odd(ValueError("x")),
    "raises recursion": Odd(RecursionError()),
    "not a str": Odd(5),
    "raises inside": {"a": [Odd(ValueError("x"))]},
    "odd dict": OddDict(a=1),
    "odd list": OddList([1]),
    "odd str": OddStr("text"),
    "odd int": OddInt(5),
    "odd float": OddFloat(1.5),
    "odd nan": OddFloat("nan"),
    "a set": {1},
    "decimal": Decimal("NaN"),
    "a class": Meta,
    "a nameless class": Nameless,
    "ordered": OrderedDict(a=math.nan),
    "numbers": [1, 1.5, True, None, Number.ONE],
    "an exception": OddError(),
}


class Sink:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, msg: str, frame_type: bytes | None = None) -> None:
        self.lines.append(msg)

    def log_error(self, message_lines: list[str]) -> None:
        raise AssertionError


def strict(line: str) -> Any:
    """The document, read as the strictest of parsers would."""

    def refuse(name: str) -> object:
        raise ValueError(f"{name} is no JSON")

    assert line.endswith("\n") and line.count("\n") == 1
    # As it is on its way to the log.
    encoded = line.encode("utf-8", "backslashreplace")
    return json.loads(encoded, parse_constant=refuse)


def emitted(formatter: logging.Formatter, log: Any) -> str:
    """The only line that comes of it, nothing being said on standard error."""
    sink = Sink()
    handler = LambdaLoggerHandler(sink)
    handler.setFormatter(formatter)
    handler.addFilter(LambdaLoggerFilter())
    logger = logging.Logger("odd")
    logger.addHandler(handler)
    log(logger)
    (line,) = sink.lines
    return line


WAYS: dict[str, Any] = {
    "extra": lambda logger, value: logger.warning("the message", extra={"odd": value}),
    "message": lambda logger, value: logger.warning(value),
    "in a dict": lambda logger, value: logger.warning({"the message": value}),
    "argument": lambda logger, value: logger.warning("the message %s", value),
    "two arguments": lambda logger, value: logger.warning("the message %r %s", value, value),
    "number": lambda logger, value: logger.warning("the message %d", value),
    "mapping": lambda logger, value: logger.warning("the message %(a)s", {"a": value}),
    "missing": lambda logger, value: logger.warning("the message", value),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("name", list(_ODD))
def test_odd_values(name: str, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = emitted(JsonFormatter(), lambda logger: WAYS[way](logger, _ODD[name]))
    document = strict(line)
    assert document["level"] == "WARNING"
    if way != "message":
        assert "the message" in json.dumps(document["message"])
    text = emitted(TextFormatter(), lambda logger: WAYS[way](logger, _ODD[name]))
    assert text.startswith("[WARNING]\t")
    assert text.endswith("\n")
    assert capsys.readouterr().err == ""


def test_what_becomes_of_them() -> None:
    extra = {
        "nan": math.nan,
        "keys": {("a", 1): 2, None: 3, True: 4, b"b": 5},
        "circle": circle(),
        "huge": 16**5000,
        "raises": Odd(ValueError("x")),
        "bytes": b"\xff",
    }
    document = strict(emitted(JsonFormatter(), lambda log: log.warning("message", extra=extra)))
    assert document["nan"] is None
    assert document["keys"] == {"('a', 1)": 2, "null": 3, "true": 4, "b'b'": 5}
    assert document["circle"] == {"a": 1, "self": ["{...}"]}
    assert document["huge"] == hex(16**5000)
    assert document["raises"] == "<str() of this Odd raised ValueError>"
    assert document["bytes"] == "b'\\xff'"


def test_arguments_that_do_not_fit_say_where_they_are() -> None:
    for formatter in (TextFormatter(), JsonFormatter()):
        line = emitted(formatter, lambda logger: logger.warning("%d things", "no"))
        assert "%d things ('no',) [" in line
        assert f"{__name__.rpartition('.')[2]}.py:" in line
        # 3.15 begins with "format argument 1: ".
        assert re.search(r"cannot be formatted: TypeError: .*%d (format|requires)", line)


@pytest.mark.parametrize(
    "error",
    [OddError(), Nameless("x"), ValueError(Odd(ValueError("x"))), KeyError(OddStr("a"))],
    ids=["odd", "nameless", "odd argument", "odd text"],
)
@pytest.mark.parametrize("formatter", [TextFormatter, JsonFormatter])
def test_odd_exceptions(error: Exception, formatter: Any, capsys: Any) -> None:
    def log(logger: logging.Logger) -> None:
        try:
            raise error
        except Exception:
            logger.exception("the message")

    line = emitted(formatter(), log)
    assert "the message" in line
    if formatter is JsonFormatter:
        assert strict(line)["errorType"] == type.__dict__["__name__"].__get__(type(error))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("exc_info", [(None, None, None), (1,), (1, 2, 3), ValueError("x"), 7, ()])
def test_odd_exception_information(exc_info: Any, capsys: pytest.CaptureFixture[str]) -> None:
    line = emitted(JsonFormatter(), lambda logger: logger.warning("the message", exc_info=exc_info))
    assert "the message" in strict(line)["message"]
    assert capsys.readouterr().err == ""


class Broken(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        raise LookupError("no format")


@pytest.mark.parametrize("json_format", [False, True])
def test_a_formatter_of_the_users_that_fails(
    json_format: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "json_format", json_format)
    line = emitted(Broken(), lambda logger: logger.warning("the message"))
    assert "the message [" in line
    assert "cannot be formatted: LookupError: no format" in line
    if json_format:
        strict(line)
    assert capsys.readouterr().err == ""


def test_deep_in_a_recursion() -> None:
    """There is little stack left, but as much as the record takes in plain Python."""
    limit = sys.getrecursionlimit()

    def log(logger: logging.Logger) -> None:
        def down(left: int) -> None:
            if left:
                down(left - 1)
            else:
                logger.warning("the message", extra={"deep": nested(300)})

        down(limit - 350)

    assert "the message" in strict(emitted(JsonFormatter(), log))["message"]


_scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=5),
    st.text(st.characters(), max_size=8), st.text(st.characters(categories=["Cs"]), max_size=3),
    st.builds(Odd, st.sampled_from([ValueError("x"), 5, RecursionError()])),
    st.builds(OddStr, st.text(max_size=3)), st.builds(OddInt), st.builds(OddFloat, st.floats()),
    st.builds(lambda: 10**5000), st.decimals(), st.just(Number.ONE),
    st.builds(OddError), st.builds(lambda: Nameless),
)  # fmt: skip
_keys = st.one_of(
    st.text(st.characters(), max_size=5), st.integers(), st.floats(), st.none(), st.booleans(),
    st.binary(max_size=3), st.tuples(st.integers()), st.just(Number.ONE),
    st.builds(lambda: 10**5000),
)  # fmt: skip
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner), st.builds(OddList, st.lists(inner)),
        st.dictionaries(_keys, inner, max_size=4),
        st.builds(OddDict, st.dictionaries(_keys, inner, max_size=3)),
    ),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=examples(60), deadline=None)
@given(value=_values, other=_values, way=st.sampled_from(list(WAYS)))
def test_any_values(value: Any, other: Any, way: str) -> None:
    def log(logger: Any) -> None:
        WAYS[way](logger if way == "extra" else logging.LoggerAdapter(logger, extra), value)

    extra = {"other": other}
    assert strict(emitted(JsonFormatter(), log))["logger"] == "odd"
    text = emitted(TextFormatter(), lambda logger: WAYS[way](logger, value))
    assert text.startswith("[WARNING]\t")
