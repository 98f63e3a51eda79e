"""Errors that say why a handler was not found, and what to do. Loaded with the first of them."""

import os
import re
from difflib import get_close_matches
from types import ModuleType

from lambda_runtime.ground.faults import FaultException


def malformed(name: str) -> FaultException:
    """The name has no dot, or an empty part."""
    parts = re.findall(r"\w+", name) or ["app"]
    reason = "not enough values to unpack (expected 2, got 1)"  # awslambdaric's words
    if "." in name:
        reason = "a part of it is empty"
    example = ".".join(parts if len(parts) > 1 else [*parts, "handler"])
    return FaultException(
        "Runtime.MalformedHandlerName",
        f"Bad handler '{name}': {reason}: a handler is named module.function; did you mean "
        f"'{example}'?",
    )


def conflict(module_name: str) -> FaultException:
    """The module has the same name as one that is compiled into the interpreter."""
    return FaultException(
        "Runtime.BuiltInModuleConflict",
        f"Cannot use built-in module {module_name} as a handler module: "
        f"Python finds its own '{module_name.split('.')[0]}' first; rename yours",
    )


def unimportable(module_name: str, error: ImportError) -> FaultException:
    """The module, or one that it imports, was not found or would not load."""
    return FaultException(
        "Runtime.ImportModuleError",
        f"Unable to import module '{module_name}': {error}{_import_advice(module_name, error)}",
    )


def syntax(module_name: str, error: SyntaxError) -> FaultException:
    """The module is not Python."""
    trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
    return FaultException(
        "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", trace
    )


def missing(module_name: str, function: str, module: ModuleType) -> FaultException:
    """The module was imported and has no such attribute."""
    message = f"Handler '{function}' missing on module '{module_name}'"
    functions = [name for name, value in vars(module).items() if _is_own_function(value, module)]
    close = get_close_matches(function, functions, 1, 0.5) or functions[:1]
    if close and len(functions) < 50:
        message += f": did you mean '{module_name}.{close[0]}'?"
    else:
        message += ": the module defines no function; is it the file you meant?"
    return FaultException("Runtime.HandlerNotFound", message)


def _is_own_function(value: object, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _import_advice(module_name: str, error: ImportError) -> str:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return (
            ": is the package built for this Python version and architecture?"
            if (isinstance(error.path, str) and error.path.endswith(".so"))
            else ""
        )
    top = module_name.replace("/", ".")
    if top != error.name and not top.startswith(error.name + "."):
        return f": is '{error.name}' in the deployment package or in a layer?"
    package = error.name.partition(".")[0]
    if package != error.name and package in _modules_here():
        return f": a method needs a name of its own in '{package}', such as handler = Class.method"
    close = get_close_matches(module_name, _modules_here(), 1, 0.5)
    if close:
        return f": did you mean '{close[0]}'?"
    return f": there is no such module in {os.getcwd()} or in a layer"


def _modules_here() -> list[str]:
    try:
        names = os.listdir()
    except OSError:
        return []
    return [name.removesuffix(".py") for name in names if name.endswith(".py")]


def no_event_loop(awaitable: object) -> FaultException:
    """The error for a handler whose result needs an event loop, where threads share the process."""
    if (close := getattr(awaitable, "close", None)) is not None:
        close()
    return FaultException(
        "Runtime.InvalidSetting",
        "the handler's result is to be awaited, and there is no event loop in threads: set "
        "LAMBDA_RUNTIME_CONCURRENCY=async",
    )
