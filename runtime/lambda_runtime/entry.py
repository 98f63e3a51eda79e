"""From exec to the loop: what ``bootstrap``, the image's command and the packer call."""

import sys

from lambda_runtime import logs, loop
from lambda_runtime.ground import settings, trusted
from lambda_runtime.start import startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from lambda_runtime.handlers import Handler
    from lambda_runtime.runtime_api.client import LambdaRuntimeClient

_HELD = (
    "lambda_runtime.ground.faults",
    "lambda_runtime.errors.frames",
    "lambda_runtime.errors.reports",
)
"""What describes errors: in memory before user code may keep files from being read."""


def main(script: str) -> "NoReturn":
    """Run the function that the environment describes, started by the script of this path.

    Does not return: the process ends with the platform, or with an error that is logged.
    """
    startup.exec_wrapper(script)
    address = settings.get("AWS_LAMBDA_RUNTIME_API")
    if not address:
        startup.exec_emulator(script)
    prepare(script)
    try:
        if settings.get("AWS_LAMBDA_MAX_CONCURRENCY"):
            from lambda_runtime import concurrency

            concurrency.run(address or "")
        _run(loop.client_at(address or ""))
    except BaseException as error:
        from lambda_runtime import shutdown

        shutdown.end_with(error)


def prepare(script: str) -> None:
    """Settle paths, environment, streams and hooks before any user code runs."""
    folder = script.rpartition("/")[0]
    home = __file__.rpartition("/")[0].rpartition("/")[0]
    startup.set_environment(home)
    startup.set_path(home, folder)
    trusted.hold(*_HELD)
    logs.prepare_streams()
    startup.hook_imports(logs.configure_logging)
    # Where awslambdaric has its module, and monitoring libraries look for it.
    sys.modules["__main__"].bootstrap = loop  # type: ignore[attr-defined]
    startup.customise(home)


def _run(client: "LambdaRuntimeClient") -> "NoReturn":
    """Initialise the function, then serve its invocations. Raises RuntimeApiError."""
    handler = loop.initialise(client, _complete)
    if settings.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from lambda_runtime import snapstart

        snapstart.pass_snapshot(client)
    loop.serve(client, handler)


def _complete(handler: "Handler") -> "Handler":
    """What is called for each invocation."""
    if (shutdown := trusted.loaded("lambda_runtime.shutdown")) is not None:
        shutdown.prepare()
    if policy := settings.get("LAMBDA_RUNTIME_TIMEOUT"):
        from lambda_runtime.deadline import main_thread

        handler = main_thread.guard(handler, policy)
    return handler
