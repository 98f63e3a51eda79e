"""Functions that show what a layer gives them."""

import os
import sys


def facts(event, context):
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


def loaded(event, context):
    """Which of the layer's own modules are loaded from what: a bundle shows no cached file."""
    return {
        name: [module.__spec__.origin, module.__spec__.cached]
        for name, module in sys.modules.items()
        if name.startswith("lambda_runtime") and module.__spec__
    }


def large(event, context):
    """A large event comes and goes through orjson."""
    return {"orjson": sys.modules["orjson"].__file__, "count": len(event["items"])}


def packages(event, context):
    """Packages of the function's own or of another layer."""
    import cryptography
    import numpy
    import pydantic

    numbers = numpy.asarray(event["numbers"], dtype=float)
    return {
        "sum": float(numbers.sum()),
        "files": [numpy.__file__, pydantic.__file__, cryptography.__file__],
    }


def spawn(event, context):
    """A child on the function's own interpreter, and one of the host's programs."""
    import subprocess

    run = subprocess.check_output
    return [
        run([sys.executable, "-c", "import ssl; print(6 * 7)"], text=True),
        run(["/bin/sh", "-c", "echo $0"], text=True),
    ]
