"""From exec to the last invocation: init once, then next, run, answer.

Libraries that monitor functions replace ``handle_event_request`` in this module and methods of
``LambdaRuntimeClient``; both are looked up anew for every invocation.
"""

import _thread
import gc
import posix
import sys

from lambda_runtime import context, handlers, logs, settings, startup
from lambda_runtime.api_client import Invocation, LambdaRuntimeClient, RuntimeApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from lambda_runtime.api_client import Answer

_pid = posix.getpid()
_ANSWERED = object()

terminated = False
"""Whether a SIGTERM has ended the environment: nobody waits for an answer any more."""

NEVER = 1 << 62
current: "Invocation | None" = None
"""The invocation under way, for the thread that watches the deadlines."""
watched_ms = NEVER
"""An invocation with an earlier deadline than this one has to wake that thread."""

_alarm: "_thread.LockType | None" = None
_LOAD_SECONDS = 0.05


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
        run(client_at(address or ""))
    except BaseException as error:
        from lambda_runtime import shutdown

        shutdown.end_with(error)


def prepare(script: str) -> None:
    """Settle paths, environment, streams and hooks before any user code runs."""
    folder = script.rpartition("/")[0]
    home = __file__.rpartition("/")[0].rpartition("/")[0]
    startup.set_environment(home)
    startup.set_path(home, folder)
    logs.prepare_streams()
    startup.hook_imports(logs.equip_logging)
    # Where awslambdaric has its module, and monitoring libraries look for it.
    sys.modules["__main__"].bootstrap = sys.modules[__name__]  # type: ignore[attr-defined]
    startup.customise(home)


def run(client: LambdaRuntimeClient) -> "NoReturn":
    """Initialise the function, then serve its invocations until the environment ends.

    Raises RuntimeApiError.
    """
    global current
    handler = initialise(client, _complete)
    while True:
        current = None
        invocation = client.wait_next_invocation()
        begin(invocation)
        # Not where a library has put itself in between: what it does after the answer has to be
        # done before the environment may be frozen.
        client.ask_ahead = handle_event_request is _handle_event_request
        handle_event_request(client, handler, invocation)


def initialise(
    client: LambdaRuntimeClient, complete: "Callable[[handlers.Handler], handlers.Handler]"
) -> "handlers.Handler":
    """Import the handler, its garbage left to lie: what is loaded now stays until the end.

    ``complete`` makes of it what is called for every invocation. Does not return when any of this
    fails: that is reported, and the process ends. Raises RuntimeApiError.
    """
    gc.disable()
    try:
        handler = complete(handlers.adapt(_resolve()))
    except SystemExit:
        raise
    except BaseException as error:
        if is_forked():
            raise
        from lambda_runtime import errors

        errors.fail_init(client, error)
        sys.exit(1)
    if (pack := sys.modules.get("lambda_runtime.pack.load")) is not None:
        pack.release()
    gc.freeze()
    gc.enable()
    if settings.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from lambda_runtime import snapstart

        snapstart.pass_snapshot(client)
    return handler


def _complete(handler: "handlers.Handler") -> "handlers.Handler":
    if (shutdown := sys.modules.get("lambda_runtime.shutdown")) is not None:
        shutdown.prepare()
    if policy := settings.get("LAMBDA_RUNTIME_TIMEOUT"):
        from lambda_runtime import deadline

        handler = deadline.guard(handler, policy)
    return handler


def _resolve() -> "handlers.Handler":
    return handlers.resolve(settings.get("_HANDLER") or "".join(sys.argv[1:2]))


def is_forked() -> bool:
    """Whether this is a child that a handler forked: the invocation is its parent's to answer."""
    return posix.getpid() != _pid


def adopt_process() -> None:
    """This process, and no longer the one that it was forked from, is the one that answers."""
    global _pid
    _pid = posix.getpid()


def begin(invocation: Invocation) -> None:
    """Make the invocation the one that logs and traces belong to, and have its time watched."""
    global current
    current = invocation
    if 0 < invocation.deadline_ms < watched_ms:
        _watch(invocation.deadline_ms)
    logs.request_id = invocation.request_id
    logs.tenant_id = invocation.tenant_id
    logs.invocation = invocation
    if invocation.trace_id is not None:
        settings.put_trace_id(invocation.trace_id)
    else:
        settings.remove(settings.TRACE_ID)


def _watch(deadline_ms: int) -> None:
    """Have a thread look after this invocation: the one that sleeps already, or the first.

    It sleeps until shortly before the deadline. Most invocations are over by then, and the one that
    is under way has a later deadline: for the thread, a reason to sleep on; for an invocation, no
    reason to wake it.
    """
    global _alarm, watched_ms
    watched_ms = deadline_ms
    if _alarm is not None:
        if _alarm.locked():
            _alarm.release()
    elif not is_watched():
        watched_ms = 0
    else:
        _alarm = _thread.allocate_lock()
        _alarm.acquire()
        try:
            _thread.start_new_thread(_watch_deadlines, (_alarm,))
        except RuntimeError:
            watched_ms = 0  # no thread to be had: no trace, but an answer


def is_watched() -> bool:
    """Whether anything is to be done when an invocation's time is nearly up."""
    return is_traced() or bool(settings.get("LAMBDA_RUNTIME_TIMEOUT"))


def is_traced() -> bool:
    """Whether a trace is wanted of invocations whose time is nearly up."""
    return settings.get("LAMBDA_RUNTIME_TIMEOUT_TRACE_MS") != "0"


def _watch_deadlines(alarm: "_thread.LockType") -> None:
    # The first invocation is not to wait for what only the slow ones need.
    alarm.acquire(True, _LOAD_SECONDS)
    from lambda_runtime import deadline

    deadline.watch(alarm)


def handle_event_request(
    client: LambdaRuntimeClient, request_handler: "handlers.Handler", invocation: Invocation
) -> "Answer":
    """Run the handler and answer the invocation, whatever happens in it.

    A SystemExit is answered as an error and then goes on to end the process; so does anything
    raised in a child that the handler forked, which has no invocation to answer. With a client that
    is async, all of this is to be awaited.
    """
    if client.is_async:
        from lambda_runtime.concurrency import asyncs

        return asyncs.handle(client, request_handler, invocation)
    try:
        invocation_context = context.make(invocation)
        marshaller = client.marshaller
        event = marshaller.unmarshal_request(invocation.body, invocation.content_type)
        response = request_handler(event, invocation_context)
        if type(response) not in handlers.PLAIN:
            response = _settle(client, invocation, response)
            if response is _ANSWERED:
                return None
        result, content_type = marshaller.marshal_response(response)
    except RuntimeApiError:
        raise
    except BaseException as error:
        if terminated or is_forked():
            raise
        from lambda_runtime import errors

        if isinstance(error, SystemExit):
            client.ask_ahead = False  # nobody would be there for the next event
        errors.answer(client, invocation, error)
        if isinstance(error, SystemExit):
            raise
        return None
    logs.flush()
    if is_forked():
        sys.exit()
    return client.post_invocation_result(
        invocation.request_id, result, content_type, invocation.invocation_id
    )


_handle_event_request = handle_event_request


def _settle(client: LambdaRuntimeClient, invocation: Invocation, response: object) -> object:
    """What a response that is no plain value comes to; _ANSWERED once it has been streamed."""
    if handlers.is_awaitable(response):
        from lambda_runtime import aio

        response = aio.run(response)  # type: ignore[arg-type]
    if not handlers.is_stream(response):
        return response
    from lambda_runtime import streaming

    if streaming.is_buffered():
        return streaming.collect(response)
    streaming.send(client, invocation, response)
    return _ANSWERED


def client_at(address: str) -> LambdaRuntimeClient:
    """The client for this address; for one that is none, a message, and the process ends."""
    try:
        return LambdaRuntimeClient(address)
    except ValueError as error:
        startup.stop(f"AWS_LAMBDA_RUNTIME_API: {error}", 1)
        raise AssertionError from error


def __getattr__(name: str) -> object:
    """Names of awslambdaric.bootstrap that this module has no use for itself."""
    from lambda_runtime import compat

    return compat.attribute(name)
