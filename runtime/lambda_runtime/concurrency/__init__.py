"""Several invocations at once in one environment, as Lambda Managed Instances have them.

Theory of operation
-------------------
Lambda sets AWS_LAMBDA_MAX_CONCURRENCY, and the runtime keeps that number of polls open. The process
that Lambda starts is the *supervisor*. It forks *workers*, which initialise the function and serve
its invocations. When a worker dies, the supervisor answers its invocations in flight and starts
another worker. The *mode* decides how many workers there are, and how many polls each of them has:

    processes   a worker for each poll, each runs init itself, as on AWS's Python runtime
    preload     the same, but the supervisor runs init once, before it forks the workers
    threads     one worker, a thread for each poll
    async       one worker, one event loop, a task for each poll

LAMBDA_RUNTIME_CONCURRENCY sets the mode. Without it, async serves async handlers and ASGI
applications, and processes serves everything else. Only the import shows the kind of the handler:
so the first worker starts alone, and reports its mode before it asks for its first event. Source:
"Python runtime for Lambda Managed Instances" and "Understanding the Lambda Managed Instances
execution environment" in the AWS Lambda Developer Guide.
"""

import posix
import sys

from lambda_runtime import logs, loop, shutdown
from lambda_runtime.concurrency import modes, output, supervisor, watchdog
from lambda_runtime.errors import last_resort
from lambda_runtime.ground import settings
from lambda_runtime.ground.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def run(address: str) -> "NoReturn":
    """Serve the function's invocations, as many at once as Lambda asks for.

    Runs in the supervisor, and then in every worker. After an error both end here with ``_exit``:
    the interpreter's own shutdown would wait for the user's threads, and delay the next process.
    """
    try:
        _run(address)
    except BaseException as error:
        if process.is_forked():
            raise
        try:
            shutdown.end_with(error)
        finally:
            posix._exit(1)


def _run(address: str) -> "NoReturn":
    if not settings.get("AWS_LAMBDA_LOG_FORMAT"):
        logs.json_format = True  # managed instances have no other format
    client = loop.client_at(address)
    output_lock = output.OutputLock(processes=True)
    output.install_streams(output_lock)
    try:
        polls, mode, _ = modes.limit(), modes.configured(), watchdog.patience()
    except Exception as error:
        last_resort.fail_init(client, error)
        sys.exit(1)
    handler = None
    if mode == modes.PRELOAD:
        from lambda_runtime.concurrency import preload

        handler = loop.initialise(client, preload.complete)
    _log_start(polls)
    supervisor.Supervisor(address, polls, output_lock).supervise().run(mode, handler)


def _log_start(polls: int) -> None:
    """Log the record with which awslambdaric begins at this level."""
    if logs.level == "DEBUG":
        logs.log(
            10,
            {
                "event": "runtime_worker_pool_initializing",
                "workerCount": polls,
                "executionEnvironmentMaxConcurrency": polls,
            },
        )
