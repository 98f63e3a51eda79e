"""Distinguishes web applications from other callables by their declared parameters.

An ASGI 3 application takes ``scope, receive, send`` and is a coroutine function or returns a
coroutine. A WSGI application takes an environment and ``start_response``. A plain handler takes
``event, context``. The module reads code objects itself, because ``inspect`` is slow to import.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ASGI = "asgi"
WSGI = "wsgi"

_COROUTINE = 0x80
_VARIADIC = 0x04


class _Signature:
    """The required positional parameters, and whether the call returns a coroutine."""

    __slots__ = ("coroutine", "names")

    def __init__(self, names: tuple[str, ...], coroutine: bool) -> None:
        self.names = names
        self.coroutine = coroutine


def interface(candidate: object) -> str | None:
    """Return ``"asgi"`` or ``"wsgi"``; None if the candidate is no web application.

    Raises FaultException (``Runtime.UnsupportedWebApplication``) for an ASGI 2 application: it
    takes only the scope.
    """
    signature = _signature(candidate)
    if signature is None:
        return None
    names = signature.names
    if len(names) == 3 and (signature.coroutine or names == ("scope", "receive", "send")):
        return ASGI
    if len(names) == 2 and names[1] == "start_response":
        return WSGI
    if names == ("scope",):
        raise _asgi2(candidate)
    return None


def _signature(candidate: "Any") -> _Signature | None:
    if isinstance(candidate, type):
        # An instance of the class is the response: awaitable for ASGI, iterable for WSGI.
        found = _of_function(vars(candidate).get("__init__"))
        if found is not None:
            found.coroutine = hasattr(candidate, "__await__")
        return found
    partial = getattr(candidate, "func", None)
    if partial is not None and hasattr(candidate, "keywords"):
        return _of_partial(candidate)
    if not hasattr(candidate, "__code__"):
        candidate = getattr(candidate, "__call__", None)  # noqa: B004
    return _of_function(candidate)


def _of_partial(partial: "Any") -> _Signature | None:
    found = _signature(partial.func)
    if found is not None:
        left = found.names[len(partial.args) :]
        found.names = tuple(name for name in left if name not in partial.keywords)
    return found


def _of_function(function: "Any") -> _Signature | None:
    """The signature of a function or a bound method; None if it is not written in Python."""
    while True:
        code = getattr(function, "__code__", None)
        if code is None:
            return None
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is None or not code.co_flags & _VARIADIC:
            break
        function = wrapped
    names = code.co_varnames[: code.co_argcount]
    required = names[: len(names) - len(getattr(function, "__defaults__", None) or ())]
    # Skip ``self``: a bound method has it already, and ``__init__`` is looked up unbound.
    bound = hasattr(function, "__self__") or getattr(function, "__name__", "") == "__init__"
    return _Signature(required[1:] if bound else required, bool(code.co_flags & _COROUTINE))


def _asgi2(candidate: object) -> Exception:
    from lambda_runtime.ground.faults import FaultException

    name = getattr(candidate, "__qualname__", type(candidate).__qualname__)
    return FaultException(
        "Runtime.UnsupportedWebApplication",
        f"{name} takes only a scope, as ASGI 2 applications do; wrap it with "
        "asgiref.compatibility.guarantee_single_callable, or give an ASGI 3 application",
    )
