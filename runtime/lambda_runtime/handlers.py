"""Finds the function that ``_HANDLER`` names.

The errors and their types are awslambdaric's, each with what to do next.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Handler = Callable[[object, object], object]


def resolve(name: str) -> "Handler":
    """Import the module of ``module.function`` and return the function.

    The module may be a path (``dir/module``) or dotted. Raises FaultException with one of the types
    ``Runtime.MalformedHandlerName``, ``BuiltInModuleConflict``, ``ImportModuleError``,
    ``UserCodeSyntaxError`` and ``HandlerNotFound``; whatever else the module raises goes through.
    """
    module_name, _, function = name.rpartition(".")
    if not module_name or not function:
        from lambda_runtime import handler_errors

        raise handler_errors.malformed(name)
    module = _import(module_name)
    try:
        # Looked up now, after the import: libraries replace the attribute while it runs.
        handler: Handler = getattr(module, function)
    except AttributeError:
        from lambda_runtime import handler_errors

        raise handler_errors.missing(module_name, function, module) from None
    return handler


def _import(module_name: str) -> "ModuleType":
    dotted = module_name.replace("/", ".")
    if dotted.partition(".")[0] in sys.builtin_module_names:
        from lambda_runtime import handler_errors

        raise handler_errors.conflict(module_name)
    try:
        __import__(dotted)
    except ImportError as error:
        from lambda_runtime import handler_errors

        raise handler_errors.unimportable(module_name, error) from error
    except SyntaxError as error:
        from lambda_runtime import handler_errors

        raise handler_errors.syntax(module_name, error) from None
    return sys.modules[dotted]
