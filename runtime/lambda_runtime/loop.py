"""From exec to the last invocation: init once, then next, run, answer.

Libraries that monitor functions replace ``handle_event_request`` in this module and methods of
``LambdaRuntimeClient``; both are looked up anew for every invocation.
"""

import _thread
import gc
import posix
import sys
import time

from lambda_runtime import context, handlers, logs
from lambda_runtime.errors import last_resort
from lambda_runtime.ground import settings, trusted
from lambda_runtime.runtime_api.client import Invocation, LambdaRuntimeClient
from lambda_runtime.start import startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from lambda_runtime.runtime_api.client import Answer

gettrace, settrace = sys.gettrace, sys.settrace
_suspended_trace: "Callable[..., Any] | None" = None
"""The trace function that user code has set: only for user code, as it may raise."""

_pid = posix.getpid()
_ANSWERED = object()

_MOST_STRAYS = 200
"""Exceptions a second, raised in the runtime's own work by others, with which it still goes on."""
_monitoring: "Any" = getattr(sys, "monitoring", None)  # since 3.12
_TOOLS = range(6) if _monitoring is not None else ()
_strays = 0
_stray_second = 0

terminated = False
"""Whether a SIGTERM has ended the environment: nobody waits for an answer any more."""

NEVER = 1 << 62
current: "Invocation | None" = None
"""The invocation under way, for the thread that watches the deadlines."""
watched_ms = NEVER
"""An invocation with an earlier deadline than this one has to wake that thread."""

init_trace_ms = 0
"""When to log where the init is, in milliseconds after the process's start; 0 if it is over."""

_alarm: "_thread.LockType | None" = None
_INIT_TRACE_MS = 8000
_SLOW_INIT_SECONDS = 0.5
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
    trusted.hold("lambda_runtime.errors.frames", "lambda_runtime.errors.reports")
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
    first = True
    while True:
        current = None
        # What describes errors is loaded after the first answer, which need not wait for it.
        invocation = _wait_next(client, prepare=not first)
        first = False
        try:
            begin(invocation)
            # Not where a library has put itself in between: what it does after the answer has to be
            # done before the environment may be frozen.
            client.ask_ahead = handle_event_request is _handle_event_request
            handle_event_request(client, handler, invocation)
        except BaseException as error:
            # Here, as what user code has registered may raise in every function that is called.
            for tool in _TOOLS:
                if _monitoring.get_tool(tool) is not None:
                    _monitoring.set_events(tool, 0)
            _recover(client, invocation, error)


def _wait_next(client: LambdaRuntimeClient, prepare: bool) -> Invocation:
    """The next event, whatever is raised by signals' handlers and other threads meanwhile.

    If told so, first ``prepare`` for errors; the request for the event is under way by then.
    """
    while True:
        try:
            if prepare and not last_resort.prepared:
                last_resort.prepare()
            return client.wait_next_invocation()
        except BaseException as error:
            kind = type(error)  # as isinstance may raise, see last_resort
            if _ends_process(client, error) or (
                issubclass(kind, KeyboardInterrupt) and client.has_interrupted_wait()
            ):
                raise
            _log_stray(error, "the wait for the next event goes on")


def _recover(client: LambdaRuntimeClient, invocation: Invocation, error: BaseException) -> None:
    """An error has come from the runtime's own work: answer with it, unless there is an answer.

    Raises it when it is to end the process.
    """
    if _ends_process(client, error):
        raise error
    if client.has_answered() or invocation.upload is not None:
        if issubclass(type(error), KeyboardInterrupt):
            raise error
        return _log_stray(error, "the invocation has been answered, and the function goes on")
    client.ask_ahead = False
    last_resort.answer(client, invocation, error)


def _ends_process(client: LambdaRuntimeClient, error: BaseException) -> bool:
    return (
        error is client.failure
        or terminated
        or is_forked()
        or issubclass(type(error), SystemExit)
        or _strays_pour_in()
    )


def _strays_pour_in() -> bool:
    """Whether exceptions come so fast that nothing else would be done any more."""
    global _strays, _stray_second
    second = int(time.time())
    _strays, _stray_second = (_strays + 1 if second == _stray_second else 1), second
    return _strays > _MOST_STRAYS


def _log_stray(error: BaseException, note: str) -> None:
    last_resort.make_room(error)
    last_resort.log(error, note=f"Raised while no handler ran: {note}")
    last_resort.quietly(logs.flush)


def initialise(
    client: LambdaRuntimeClient, complete: "Callable[[handlers.Handler], handlers.Handler]"
) -> "handlers.Handler":
    """Import the handler, its garbage left to lie: what is loaded now stays until the end.

    ``complete`` makes of it what is called for every invocation. Does not return when any of this
    fails: that is reported, and the process ends. Raises RuntimeApiError.
    """
    global init_trace_ms
    collector = startup.PausedCollector()
    _watch_init()
    try:
        handler = complete(handlers.adapt(_resolve()))
    except SystemExit:
        raise
    except BaseException as error:
        if is_forked():
            raise
        last_resort.fail_init(client, error)
        sys.exit(1)
    init_trace_ms = 0
    if (pack := trusted.loaded("lambda_runtime.pack.load")) is not None:
        pack.release()
    gc.freeze()
    collector.resume()
    if settings.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from lambda_runtime import snapstart

        snapstart.pass_snapshot(client)
    return handler


def _complete(handler: "handlers.Handler") -> "handlers.Handler":
    if (shutdown := trusted.loaded("lambda_runtime.shutdown")) is not None:
        shutdown.prepare()
    if policy := settings.get("LAMBDA_RUNTIME_TIMEOUT"):
        from lambda_runtime import deadline

        handler = deadline.guard(handler, policy)
    return handler


def _resolve() -> "handlers.Handler":
    name = settings.get("_HANDLER") or "".join(sys.argv[1:2])
    if settings.get("LAMBDA_RUNTIME_LAZY_IMPORTS"):
        from lambda_runtime.start import lazy_imports

        lazy_imports.turn_on(name)
    return handlers.resolve(name)


def is_forked() -> bool:
    """Whether this is a child that a handler forked: the invocation is its parent's to answer."""
    return posix.getpid() != _pid


def adopt_process() -> None:
    """This process, and no longer the one that it was forked from, is the one that answers."""
    global _pid, _alarm, watched_ms
    _pid = posix.getpid()
    _alarm, watched_ms = None, NEVER  # the thread that watches is the other one's


def begin(invocation: Invocation) -> None:
    """Make the invocation the one that logs and traces belong to, and have its time watched."""
    global current
    current = invocation
    if 0 < invocation.deadline_ms < watched_ms:
        _watch(invocation.deadline_ms)
    logs.request_id = invocation.request_id
    logs.tenant_id = invocation.tenant_id
    logs.invocation = invocation
    try:
        if invocation.trace_id is not None:
            settings.put_trace_id(invocation.trace_id)
        else:
            settings.remove(settings.TRACE_ID)
    except Exception:
        pass  # an audit hook forbids it, or it is no value for a variable


def _watch_init() -> None:
    """Have a thread log where an init is that takes too long: later, it watches the deadlines.

    Lambda gives an init on demand ten seconds. In the other kinds of init there is more time, and
    in those with SnapStart or several processes no thread may be there yet.
    """
    global init_trace_ms
    given = settings.get("LAMBDA_RUNTIME_INIT_TRACE_MS") or ""
    if given.isascii() and given.isdigit():
        init_trace_ms = int(given)
    elif settings.get("AWS_LAMBDA_INITIALIZATION_TYPE") in (None, "on-demand"):
        init_trace_ms = 0 if settings.get("AWS_LAMBDA_MAX_CONCURRENCY") else _INIT_TRACE_MS
    if init_trace_ms:
        _start_watching()


def _start_watching() -> bool:
    """Start the thread; whether there is one to be had."""
    global _alarm
    _alarm = _thread.allocate_lock()
    _alarm.acquire()
    try:
        _thread.start_new_thread(_watch_deadlines, (_alarm,))
    except RuntimeError:
        _alarm = None
    return _alarm is not None


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
    elif not is_watched() or not _start_watching():
        watched_ms = 0  # nothing to watch for, or no thread to be had: no trace, but an answer


def is_watched() -> bool:
    """Whether anything is to be done when an invocation's time is nearly up."""
    return is_traced() or bool(settings.get("LAMBDA_RUNTIME_TIMEOUT"))


def is_traced() -> bool:
    """Whether a trace is wanted of invocations whose time is nearly up."""
    return settings.get("LAMBDA_RUNTIME_TIMEOUT_TRACE_MS") != "0"


def _watch_deadlines(alarm: "_thread.LockType") -> None:
    if init_trace_ms and not alarm.acquire(True, _SLOW_INIT_SECONDS) and init_trace_ms:
        from lambda_runtime.deadline import trace

        trace.watch_init(alarm)
    if not is_watched():
        return
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
    global _suspended_trace
    if client.is_async:
        from lambda_runtime.concurrency import asyncs

        return asyncs.handle(client, request_handler, invocation)
    try:
        invocation_context = context.make(invocation)
        marshaller = client.marshaller
        event = marshaller.unmarshal_request(invocation.body, invocation.content_type)
        if _suspended_trace is not None:
            settrace(_suspended_trace)
            _suspended_trace = None
        response = request_handler(event, invocation_context)
        if type(response) not in handlers.PLAIN:
            response = _settle(client, invocation, response)
            if response is _ANSWERED:
                return None
        if gettrace() is not None:
            _suspended_trace = gettrace()
            settrace(None)
        result, content_type = marshaller.marshal_response(response)
    except BaseException as error:
        if gettrace() is not None:
            _suspended_trace = gettrace()
            settrace(None)
        # The client's own failure, by what it is: user code may raise errors of that class.
        if error is client.failure or terminated or is_forked():
            raise
        leaves = issubclass(type(error), SystemExit)
        if leaves:
            client.ask_ahead = False  # nobody would be there for the next event
        last_resort.answer(client, invocation, error)
        if leaves:
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
    from lambda_runtime.start import compat

    return compat.attribute(name)
