"""The entry of the runtime: ``bootstrap``, the image's command and the packer call it."""

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
    "lambda_runtime.ground.user_code",
    "lambda_runtime.errors.frames",
    "lambda_runtime.errors.reports",
    "lambda_runtime.deadline",
    "lambda_runtime.deadline.watch",
    "lambda_runtime.deadline.trace",
)
"""Modules that describe errors and slow invocations: held in memory, as user code may make files
unreadable."""


def main(script: str) -> "NoReturn":
    """Run the function that the environment describes; ``script`` has started the process.

    Does not return: the process ends when the platform ends it, or after a logged error.
    """
    startup.exec_wrapper(script)
    address = settings.get("AWS_LAMBDA_RUNTIME_API")
    if not address:
        startup.exec_emulator(script)
    prepare(script)
    try:
        if settings.get("AWS_LAMBDA_MAX_CONCURRENCY"):
            from lambda_runtime import concurrency

            trusted.complete()  # once, and not in every worker
            concurrency.run(address or "")
        _run(loop.client_at(address or ""))
    except BaseException as error:
        from lambda_runtime import shutdown

        shutdown.end_with(error)


def prepare(script: str) -> None:
    """Set up paths, environment, streams and import hooks before user code runs."""
    folder = script.rpartition("/")[0]
    home = __file__.rpartition("/")[0].rpartition("/")[0]
    startup.set_environment(home)
    startup.set_path(home, folder)
    trusted.hold(*_HELD)
    logs.prepare_streams()
    startup.hook_imports(logs.configure_logging)
    # Monitoring libraries look here for awslambdaric's module.
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
    """The function to call for each invocation."""
    if (shutdown := trusted.loaded("lambda_runtime.shutdown")) is not None:
        shutdown.prepare()
    if policy := settings.get("LAMBDA_RUNTIME_TIMEOUT"):
        from lambda_runtime.deadline import main_thread

        handler = main_thread.guard(handler, policy)
    return handler
