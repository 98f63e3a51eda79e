"""Lists the functions of the runtime that call user code.

The deadline may raise an exception only while one of them runs user code.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import TypeVar

    Function = TypeVar("Function", bound=Callable[..., object])

calling: "set[CodeType]" = set()
"""Functions that call user code, and also do the runtime's own work."""

guarding: "set[CodeType]" = set()
"""Functions that only call user code: an exception may also be raised in their own frame."""


def calls_user_code(function: "Function") -> "Function":
    """Mark a function that calls user code, and also does the runtime's own work."""
    calling.add(function.__code__)
    return function


def guards_user_code(function: "Function") -> "Function":
    """Mark a function that only calls user code."""
    guarding.add(function.__code__)
    return function
