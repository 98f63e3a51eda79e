"""Finds the function that ``_HANDLER`` names, and says what kind it is.

The errors and their types are awslambdaric's, each with what to do next.
"""

import sys

from lambda_runtime.ground import trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType

    Handler = Callable[[object, object], object]

# co_flags, as the module inspect names them.
_VARIADIC = 0x04
_GENERATOR = 0x20
_COROUTINE = 0x80
_ASYNC_GENERATOR = 0x200

_MAX_WRAPPINGS = 8

# What the parameters of ASGI and WSGI applications are called: always, or nearly so.
_WEB_PARAMETERS = frozenset(("scope", "receive", "start_response"))

PLAIN = frozenset((dict, list, str, type(None), int, float, bool, bytes, tuple))
"""The types of results that need no second look."""


def resolve(name: str) -> "Handler":
    """Import the module of ``module.function`` and return the function.

    The module may be a path (``dir/module``) or dotted. Raises FaultException with one of the types
    ``Runtime.MalformedHandlerName``, ``BuiltInModuleConflict``, ``ImportModuleError``,
    ``UserCodeSyntaxError`` and ``HandlerNotFound``; whatever else the module raises goes through.
    """
    module_name, _, function = name.rpartition(".")
    if not (function and all(module_name.replace("/", ".").split("."))):
        from lambda_runtime.errors import handler_errors

        raise handler_errors.malformed(name)
    module = _import(module_name)
    try:
        # Looked up now, after the import: libraries replace the attribute while it runs.
        handler: Handler = getattr(module, function)
    except AttributeError:
        from lambda_runtime.errors import handler_errors

        raise handler_errors.missing(module_name, function, module) from None
    return handler


def prepare(handler: "Handler") -> "Handler":
    """The handler, once all that its kind needs has been made.

    Raises ValueError when the handler streams and the response mode is not one.
    """
    code = code_of(handler)
    flags = code.co_flags if code is not None else 0
    if flags & (_COROUTINE | _ASYNC_GENERATOR):
        from lambda_runtime import aio

        aio.prepare()
    if flags & (_GENERATOR | _ASYNC_GENERATOR):
        from lambda_runtime import streaming

        streaming.is_buffered()
    return handler


def code_of(handler: object) -> "CodeType | None":
    """The code that a call of the handler runs: of a function, a method, a partial, an object."""
    for _ in range(_MAX_WRAPPINGS):
        code: CodeType | None = getattr(handler, "__code__", None)
        if code is not None or not callable(handler):
            return code
        is_partial = type(handler).__module__ == "functools" and hasattr(handler, "func")
        handler = handler.func if is_partial else type(handler).__call__  # type: ignore[attr-defined]
    return None


def may_be_web(handler: object) -> bool:
    """Whether to load ``web`` for a closer look: cheap, and no web application escapes it."""
    code = code_of(handler)
    for _ in range(_MAX_WRAPPINGS):
        if code is None:
            return callable(handler)  # a class, or nothing of Python's
        wrapped = getattr(handler, "__wrapped__", None)
        if wrapped is None or not code.co_flags & _VARIADIC:
            break
        handler, code = wrapped, code_of(wrapped)
    assert code is not None
    names = code.co_varnames[: code.co_argcount]
    return not _WEB_PARAMETERS.isdisjoint(names) or bool(
        len(names) > 2 and code.co_flags & _COROUTINE
    )


def is_async(handler: object) -> bool:
    """Whether calls of the handler are for an event loop: it says so itself, or it is ``async``."""
    if getattr(handler, "is_async", False) is True:
        return True
    code = code_of(handler)
    return code is not None and bool(code.co_flags & (_COROUTINE | _ASYNC_GENERATOR))


def is_awaitable(response: object) -> bool:
    """Whether the response is still to be awaited."""
    return hasattr(type(response), "__await__")


def is_stream(response: object) -> bool:
    """Whether the response comes in chunks: a generator of either kind, or an HttpResponse."""
    kind = type(response)
    if hasattr(kind, "throw" if hasattr(kind, "__next__") else "athrow"):
        return True
    streaming = trusted.loaded("lambda_runtime.streaming")
    return streaming is not None and isinstance(response, streaming.StreamResponse)


def _import(module_name: str) -> "ModuleType":
    dotted = module_name.replace("/", ".")
    if dotted.partition(".")[0] in sys.builtin_module_names:
        from lambda_runtime.errors import handler_errors

        raise handler_errors.conflict(module_name)
    try:
        trusted.usual_import()(dotted)  # called from here: its frames are in recursion's way
    except ImportError as error:
        from lambda_runtime.errors import handler_errors

        raise handler_errors.unimportable(module_name, error) from error
    except SyntaxError as error:
        from lambda_runtime.errors import handler_errors

        raise handler_errors.syntax(module_name, error) from None
    return trusted.modules[dotted]
