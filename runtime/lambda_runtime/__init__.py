"""A lean Python runtime for AWS Lambda.

What a function may import from here is loaded when it is first used: importing the package itself
costs nothing.
"""

__version__ = "0.1.0"

_NAMES = {
    "HttpResponse": "lambda_runtime.streaming",
    "LambdaContext": "lambda_runtime.context",
    "stream": "lambda_runtime.streaming",
}

__all__ = ["HttpResponse", "LambdaContext", "__version__", "stream"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lambda_runtime.context import LambdaContext
    from lambda_runtime.streaming import HttpResponse, stream


def __getattr__(name: str) -> object:
    home = _NAMES.get(name)
    if home is None:
        raise AttributeError(f"module 'lambda_runtime' has no attribute {name!r}")
    import sys

    __import__(home)
    value = globals()[name] = getattr(sys.modules[home], name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
