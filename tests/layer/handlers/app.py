"""Functions that show what a layer gives them."""

import os
import sys
from typing import Any


def facts(event: Any, context: Any) -> Any:
    """Where the function runs and on what."""
    return {
        "event": event,
        "executable": sys.executable,
        "version": list(sys.version_info[:2]),
        "path": sys.path,
        "task": os.environ["LAMBDA_TASK_ROOT"],
        "runtime": sys.modules["lambda_runtime"].__file__,
        "environment": os.environ.get("AWS_EXECUTION_ENV"),
        "request": context.aws_request_id,
    }


def loaded(event: Any, context: Any) -> Any:
    """Where each of the runtime's modules came from, and who loaded it."""
    return {
        name: [module.__spec__.origin, type(module.__spec__.loader).__name__]
        for name, module in sys.modules.items()
        if name.startswith("lambda_runtime") and module.__spec__
    }


def large(event: Any, context: Any) -> Any:
    """Where orjson is from, once events have been large enough for it."""
    orjson = sys.modules.get("orjson")
    return {"orjson": orjson and orjson.__file__, "count": len(event["items"])}


def packages(event: Any, context: Any) -> Any:
    """Packages of the function's own or of another layer."""
    import cryptography
    import numpy
    import pydantic

    numbers = numpy.asarray(event["numbers"], dtype=float)
    return {
        "sum": float(numbers.sum()),
        "files": [numpy.__file__, pydantic.__file__, cryptography.__file__],
    }


def spawn(event: Any, context: Any) -> Any:
    """A child on the function's own interpreter, and one of the host's programs."""
    import subprocess

    run = subprocess.check_output
    return [
        run([sys.executable, "-c", "import ssl; print(6 * 7)"], text=True),
        run(["/bin/sh", "-c", "echo $0"], text=True),
    ]


def core(event: Any, context: Any) -> Any:
    """The core in C, if the process has loaded it: from the second invocation on."""
    with open("/proc/self/maps") as maps:
        return sorted({line.split()[-1] for line in maps if "/lambda_runtime/core." in line})
