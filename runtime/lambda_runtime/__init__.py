"""A lean Python runtime for AWS Lambda.

The names that a function can import from here are loaded on first use: importing the package costs
nothing.
"""

__version__ = "0.1.0"

_NAMES = {
    "DeadlineExceeded": "lambda_runtime.deadline",
    "HttpResponse": "lambda_runtime.streaming",
    "LambdaContext": "lambda_runtime.context",
    "on_fork": "lambda_runtime.concurrency.preload",
    "on_restore": "lambda_runtime.snapstart",
    "on_shutdown": "lambda_runtime.shutdown",
    "on_snapshot": "lambda_runtime.snapstart",
    "stream": "lambda_runtime.streaming",
}

__all__ = [
    "DeadlineExceeded",
    "HttpResponse",
    "LambdaContext",
    "__version__",
    "on_fork",
    "on_restore",
    "on_shutdown",
    "on_snapshot",
    "stream",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lambda_runtime.concurrency.preload import on_fork
    from lambda_runtime.context import LambdaContext
    from lambda_runtime.deadline import DeadlineExceeded
    from lambda_runtime.shutdown import on_shutdown
    from lambda_runtime.snapstart import on_restore, on_snapshot
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
