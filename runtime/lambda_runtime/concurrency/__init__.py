"""Several invocations at once in one environment, as Lambda Managed Instances have them.

Theory of operation
-------------------
Lambda names a number, AWS_LAMBDA_MAX_CONCURRENCY, and the runtime keeps as many polls open. The
process that Lambda starts is the *supervisor*: it forks *workers*, which initialise the function
and serve its invocations, starts another for one that has died, and answers what that one had in
hand. How many workers there are, and how many polls each of them has, is the *mode*:

    processes   a worker for each poll, each with an init of its own, as on AWS's Python runtime
    preload     the same, but forked after one init, which the supervisor does
    threads     one worker, a thread for each poll
    async       one worker, one event loop, a task for each poll

LAMBDA_RUNTIME_CONCURRENCY names it; without it, async handlers and ASGI applications are served by
async, everything else by processes. What the handler is, only its import tells: so the first worker
is started alone, and says its mode before it asks for its first event. Source: "Python
runtime for Lambda Managed Instances" and "Understanding the Lambda Managed Instances execution
environment" in the AWS Lambda Developer Guide.
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

    Runs in the supervisor, and then in every worker; each ends here, without the interpreter's own
    end, which would wait for the threads of the user's: another process is to take its place.
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
        logs.json_format = True  # managed instances have no other
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
    """The record that awslambdaric begins with at this level."""
    if logs.level == "DEBUG":
        logs.log(
            10,
            {
                "event": "runtime_worker_pool_initializing",
                "workerCount": polls,
                "executionEnvironmentMaxConcurrency": polls,
            },
        )
