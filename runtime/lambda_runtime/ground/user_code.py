"""Which of the runtime's functions call user code.

There, and nowhere else, the deadline may raise an exception.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import TypeVar

    Function = TypeVar("Function", bound=Callable[..., object])

calling: "set[CodeType]" = set()
"""Functions that call user code, and do work of the runtime's besides."""

guarding: "set[CodeType]" = set()
"""Functions that do nothing but call user code: they may be interrupted themselves."""


def calls_user_code(function: "Function") -> "Function":
    """Mark a function that calls user code, among other things."""
    calling.add(function.__code__)
    return function


def guards_user_code(function: "Function") -> "Function":
    """Mark a function that calls user code, and nothing else."""
    guarding.add(function.__code__)
    return function
