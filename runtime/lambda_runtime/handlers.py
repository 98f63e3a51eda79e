"""Finds the function that ``_HANDLER`` names, and tells what kind of function it is.

Errors have the texts and types of awslambdaric, and also say what to do next.
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

# Names of parameters that nearly all ASGI and WSGI applications have.
_WEB_PARAMETERS = frozenset(("scope", "receive", "start_response"))

PLAIN = frozenset((dict, list, str, type(None), int, float, bool, bytes, tuple))
"""Types of results that are neither awaitables nor streams."""


def resolve(name: str) -> "Handler":
    """Import the module of ``module.function`` and return the function.

    The module may be a path (``dir/module``) or dotted. Raises FaultException with one of the types
    ``Runtime.MalformedHandlerName``, ``BuiltInModuleConflict``, ``ImportModuleError``,
    ``UserCodeSyntaxError`` and ``HandlerNotFound``, and every other exception of the module.
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
    """Make what the handler's kind needs, in init, and return the handler.

    Raises ValueError if the handler streams and the response mode is invalid.
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
    """The code that runs when this function, method, partial or callable object is called."""
    for _ in range(_MAX_WRAPPINGS):
        code: CodeType | None = getattr(handler, "__code__", None)
        if code is not None or not callable(handler):
            return code
        is_partial = type(handler).__module__ == "functools" and hasattr(handler, "func")
        handler = handler.func if is_partial else type(handler).__call__  # type: ignore[attr-defined]
    return None


def may_be_web(handler: object) -> bool:
    """Whether ``web`` must take a closer look. A cheap check that misses no web application."""
    code = code_of(handler)
    for _ in range(_MAX_WRAPPINGS):
        if code is None:
            return callable(handler)  # a class, or not written in Python
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
    """Whether the handler must run on an event loop: it is ``async``, or says so itself."""
    if getattr(handler, "is_async", False) is True:
        return True
    code = code_of(handler)
    return code is not None and bool(code.co_flags & (_COROUTINE | _ASYNC_GENERATOR))


def is_awaitable(response: object) -> bool:
    """Whether the response must be awaited."""
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
        trusted.usual_import()(dotted)  # right here: each frame of ours costs recursion depth
    except ImportError as error:
        from lambda_runtime.errors import handler_errors

        raise handler_errors.unimportable(module_name, error) from error
    except SyntaxError as error:
        from lambda_runtime.errors import handler_errors

        raise handler_errors.syntax(module_name, error) from None
    return trusted.modules[dotted]
