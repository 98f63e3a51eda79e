"""A lean Python runtime for AWS Lambda.

What a function may import from here is loaded when it is first used: importing the package itself
costs nothing.
"""

__version__ = "0.1.0"

_NAMES = {
    "LambdaContext": "lambda_runtime.context",
}

__all__ = ["LambdaContext", "__version__"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lambda_runtime.context import LambdaContext


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
