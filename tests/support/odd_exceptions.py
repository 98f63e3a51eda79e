"""Generates exceptions whose classes make it hard to describe them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NoReturn

from lambda_runtime.ground.faults import FaultException
from lambda_runtime.runtime_api.client import RuntimeApiError

Failure = type[BaseException]

FAILURES: tuple[Failure, ...] = (
    ValueError, RuntimeError, KeyboardInterrupt, SystemExit, RecursionError, MemoryError, OSError,
)  # fmt: skip
ATTRIBUTES = (
    "__class__", "__name__", "__traceback__", "__cause__", "__context__", "__suppress_context__",
    "__notes__", "__dict__", "args", "exceptions", "message", "exception_type", "msg", "trace",
)  # fmt: skip
METHODS = (
    "__str__", "__repr__", "__getattribute__", "__getattr__", "__format__", "__eq__", "__hash__",
    "__bool__", "__len__", "__reduce__",
)  # fmt: skip


class OddText(str):
    """A str with methods that raise."""

    def _raise(self, *arguments: object, **named: object) -> NoReturn:
        raise RuntimeError

    __str__ = __repr__ = __len__ = __getitem__ = __format__ = __iter__ = _raise
    encode = strip = splitlines = _raise


class OddList(list[object]):
    """A list whose items cannot be read."""

    def __iter__(self) -> Any:
        raise RuntimeError

    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError


class Unprintable:
    """An object that reveals neither its text nor its class."""

    def __str__(self) -> str:
        raise SystemExit(9)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise KeyboardInterrupt

    __repr__ = __str__


class OddMeta(type):
    """A metaclass whose classes raise on every access."""

    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(name)

    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError

    __subclasscheck__ = __instancecheck__


def raising(failure: Failure) -> Callable[..., NoReturn]:
    """A method, or the getter of a property, that raises."""

    def method(*arguments: object, **named: object) -> NoReturn:
        raise failure

    return method


_VALUES: tuple[Callable[[], object], ...] = (
    lambda: None,
    lambda: 5,
    lambda: b"x",
    lambda: "text\n\0\ud800",
    lambda: OddText("odd"),
    lambda: OddList([1, 2]),
    lambda: Unprintable(),
    lambda: [Unprintable(), OddText("odd")],
    lambda: (object, Unprintable),
    lambda: ValueError("other"),
    lambda: ValueError,
    dict,
)
_BASES = (Exception, ValueError, KeyError, OSError, FaultException, RuntimeApiError)
_NAMES = ("Odd", "Odd2\r\nX: y", "\u00c9", '"', "x" * 300)


def odd_exception(seed: int) -> BaseException:
    """A raised exception: of an odd class, from an odd place, with odd notes and causes.

    The seed determines all of it. A test names a failing case by its seed, since the exception
    itself may be impossible to print or compare.
    """
    rng = random.Random(seed)
    error = _made(_odd_class(rng), [_value(rng) for _ in range(rng.randrange(5))])
    if rng.random() < 0.3:
        error = BaseExceptionGroup("group", [error, _made(_odd_class(rng), [])])
    for name in ("__notes__", "__dict__"):
        if rng.random() < 0.3:
            _set(error, name, _value(rng))
    for name in ("__cause__", "__context__"):
        if rng.random() < 0.4:
            other = rng.choice((error, _made(_odd_class(rng), [])))
            BaseException.__dict__[name].__set__(error, other)
    return _raised(error, rng.choice(PLACES))


def _odd_class(rng: random.Random) -> type[BaseException]:
    """A class of exceptions. Some attributes and methods raise, or have the wrong type."""
    names: dict[str, Any] = {}
    for name in rng.sample(ATTRIBUTES, rng.randrange(4)):
        failure = rng.choice(FAILURES)
        names[name] = property(raising(failure)) if rng.random() < 0.5 else _value(rng)
    for name in rng.sample(METHODS, rng.randrange(3)):
        failure, value = rng.choice(FAILURES), _value(rng)
        names[name] = raising(failure) if rng.random() < 0.5 else lambda *given, value=value: value
    try:
        kind = rng.choice((type, OddMeta))
        made: type[BaseException] = kind(rng.choice(_NAMES), (rng.choice(_BASES),), names)
        return made
    except (TypeError, RuntimeError):
        return ValueError


def _value(rng: random.Random) -> object:
    return rng.choice(_VALUES)()


def _made(kind: type[BaseException], arguments: list[object]) -> BaseException:
    """Make an instance, even if its class does not accept the arguments."""
    try:
        return kind(*arguments)
    except BaseException:
        new: BaseException = BaseException.__new__(kind)
        return new


def _set(error: BaseException, name: str, value: object) -> None:
    try:
        object.__setattr__(error, name, value)
    except (TypeError, AttributeError, RuntimeError):
        pass


def _plain(error: BaseException) -> NoReturn:
    raise error


def _changed(**changes: Any) -> Callable[[BaseException], NoReturn]:
    def place(error: BaseException) -> NoReturn:
        raise error

    place.__code__ = place.__code__.replace(**changes)
    return place


def _with_loader(failure: Failure) -> Callable[[BaseException], NoReturn]:
    loader = type("Loader", (), {"get_source": raising(failure)})()
    names: dict[str, Any] = {"__loader__": loader, "__name__": "odd"}
    exec(compile("def place(error): raise error", "<odd>", "exec"), names)
    return names["place"]  # type: ignore[no-any-return]


PLACES = (
    _plain,
    _changed(co_linetable=b""),
    _changed(co_filename="a\0b"),
    _changed(co_filename="\ud800"),
    _changed(co_filename="/dev/zero"),
    _changed(co_filename="/"),
    _changed(co_filename=OddText("odd")),
    _changed(co_name="\r\n\udfff"),
    _changed(co_firstlineno=10**6),
    _with_loader(KeyboardInterrupt),
    _with_loader(SystemExit),
)


def _raised(error: BaseException, place: Callable[[BaseException], NoReturn]) -> BaseException:
    try:
        place(error)
    except BaseException as caught:
        return caught
