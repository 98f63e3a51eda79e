"""Errors of every kind that a handler may raise."""

import json
import os
from collections.abc import Callable
from typing import Any

import errors_elsewhere


class Refused(Exception):
    """A user's own exception."""


class Outer:
    class Inner(Refused):
        pass


class WithFields(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code


class Shouting(Exception):
    def __str__(self) -> str:
        return "SHOUTED"


def plain() -> None:
    raise ValueError("a plain message")


def no_message() -> None:
    raise ValueError


def own_class() -> None:
    raise Refused("own")


def inner_class() -> None:
    raise Outer.Inner("inner")


def fields() -> None:
    raise WithFields(42, "because")


def own_str() -> None:
    raise Shouting("not this")


def key_error() -> None:
    raise KeyError("missing")


def os_error() -> None:
    os.stat("/nonexistent/file")


def lines() -> None:
    raise ValueError("first line\nsecond line\r\nthird\rfourth\n")


def blanks() -> None:
    raise ValueError("  blanks around  ")


def non_ascii() -> None:
    raise ValueError("grüße 世界 🚀")


def surrogate() -> None:
    raise ValueError("lone \ud800 surrogate")


def not_a_string() -> None:
    raise ValueError({"a": [1, None]})


def assertion() -> None:
    assert not json.dumps({})


def stop_iteration() -> None:
    next(iter(()))


def elsewhere() -> None:
    errors_elsewhere.first()


def in_library() -> None:
    json.loads("not JSON")


def in_lambda() -> None:
    (lambda: 1 / 0)()


def in_comprehension() -> None:
    print([1 / number for number in (1, 0)])


def in_exec() -> None:
    exec("def made():\n    raise ValueError('from exec')\nmade()")


def many_lines() -> None:
    raise ValueError(
        "a call"
        + " over"
        + " several lines"
    )  # fmt: skip


def cause() -> None:
    try:
        errors_elsewhere.first()
    except LookupError as error:
        raise Refused("the effect") from error


def context() -> None:
    try:
        errors_elsewhere.first()
    except LookupError:
        raise Refused("while handling")  # noqa: B904


def suppressed() -> None:
    try:
        errors_elsewhere.first()
    except LookupError:
        raise Refused("on its own") from None


def reraised() -> None:
    try:
        errors_elsewhere.first()
    except LookupError:
        raise


def cause_circular() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def notes() -> None:
    error = ValueError("with notes")
    error.add_note("the first note")
    error.add_note("the second note\nof two lines")
    raise error


def group() -> None:
    raise ExceptionGroup("several failed", [ValueError("one"), TypeError("two")])


def group_nested() -> None:
    try:
        errors_elsewhere.first()
    except LookupError as error:
        inner = ExceptionGroup("inner", [error, KeyError("k")])
    raise ExceptionGroup("outer", [inner, OSError(2, "gone")])


def long_message() -> None:
    raise ValueError("x" * 200_000)


def long_stack() -> None:
    def down(depth: int) -> None:
        if depth == 0:
            raise ValueError("at the bottom")
        down(depth - 1)

    down(200)


def recursion() -> None:
    recursion()


def memory() -> None:
    raise MemoryError("as if")


def timeout() -> None:
    raise TimeoutError("the handler's own")


ERRORS: dict[str, Callable[[], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        plain, no_message, own_class, inner_class, fields, own_str, key_error, os_error, lines,
        blanks, non_ascii, surrogate, not_a_string, assertion, stop_iteration, elsewhere,
        in_library, in_lambda, in_comprehension, in_exec, many_lines, cause, context, suppressed,
        reraised, cause_circular, notes, group, group_nested, long_message, long_stack, recursion,
        memory, timeout,
    )
}  # fmt: skip


def handler(event: Any, context: Any) -> None:
    ERRORS[event]()
