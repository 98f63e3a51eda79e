"""Initialises the function once, then serves its invocations: next, run, answer.

Libraries that monitor functions replace ``handle_event_request`` in this module and methods of
``LambdaRuntimeClient``; the loop looks up both again for every invocation.
"""

import _thread
import gc
import sys
import time

from lambda_runtime import context, handlers, logs
from lambda_runtime.errors import last_resort
from lambda_runtime.ground import settings, trusted
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process
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

_ANSWERED = object()

_MOST_STRAYS = 200
"""Exceptions per second from signal handlers and other threads that the runtime still tolerates."""
_monitoring: "Any" = getattr(sys, "monitoring", None)  # since 3.12
_TOOLS = range(6) if _monitoring is not None else ()
_strays = 0
_stray_second = 0

_INIT_TRACE_MS = 8000
_SLOW_INIT_SECONDS = 0.5
_LOAD_SECONDS = 0.05


def serve(client: LambdaRuntimeClient, handler: "handlers.Handler") -> "NoReturn":
    """Serve one invocation after the other until the environment ends. Raises RuntimeApiError."""
    first = True
    while True:
        under_way.current = None
        # Load the modules that describe errors after the first answer, so as not to delay it.
        invocation = _wait_next(client, prepare=not first)
        first = False
        try:
            begin(invocation)
            # Don't pipeline when a library wraps us: its code after the answer must finish before
            # Lambda may freeze the environment.
            client.pipeline_next = handle_event_request is _handle_event_request
            handle_event_request(client, handler, invocation)
        except BaseException as error:
            # Inline, without a call: a tool of user code may raise in every called function.
            for tool in _TOOLS:
                if _monitoring.get_tool(tool) is not None:
                    _monitoring.set_events(tool, 0)
            _recover(client, invocation, error)


def _wait_next(client: LambdaRuntimeClient, prepare: bool) -> Invocation:
    """Wait for the next event, even if signal handlers or other threads raise here meanwhile.

    With ``prepare``, load the modules that describe errors first; the poll is already under way.
    """
    while True:
        try:
            if prepare and not last_resort.prepared:
                last_resort.prepare()
            return client.wait_next_invocation()
        except BaseException as error:
            kind = type(error)  # isinstance() may raise: see last_resort
            if _ends_process(client, error) or (
                issubclass(kind, KeyboardInterrupt) and client.has_interrupted_wait()
            ):
                raise
            _log_stray(error, "the wait for the next event goes on")


def _recover(client: LambdaRuntimeClient, invocation: Invocation, error: BaseException) -> None:
    """The runtime itself has failed: answer with this error, unless there is an answer.

    Raises the error if it must end the process.
    """
    if _ends_process(client, error):
        raise error
    if client.has_answered() or invocation.upload is not None:
        if issubclass(type(error), KeyboardInterrupt):
            raise error
        return _log_stray(error, "the invocation has been answered, and the function goes on")
    client.pipeline_next = False
    last_resort.answer(client, invocation, error)


def _ends_process(client: LambdaRuntimeClient, error: BaseException) -> bool:
    return (
        error is client.failure
        or process.is_terminated
        or process.is_forked()
        or issubclass(type(error), SystemExit)
        or _strays_pour_in()
    )


def _strays_pour_in() -> bool:
    """Whether exceptions come so fast that the process would do nothing but handle them."""
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
    """Import the handler, without garbage collection: objects of init live until the end.

    ``complete`` turns the handler into the function to call for every invocation. If init fails,
    reports the error and ends the process. Raises RuntimeApiError.
    """
    collector = startup.PausedCollector()
    _watch_init()
    try:
        handler = complete(adapt(_resolve()))
    except SystemExit:
        raise
    except BaseException as error:
        if process.is_forked():
            raise
        last_resort.fail_init(client, error)
        sys.exit(1)
    under_way.init_trace_ms = 0
    if (pack := trusted.loaded("lambda_runtime.pack.load")) is not None:
        pack.release()
    gc.freeze()
    collector.resume()
    return handler


def _resolve() -> "handlers.Handler":
    name = settings.get("_HANDLER") or "".join(sys.argv[1:2])
    if settings.get("LAMBDA_RUNTIME_LAZY_IMPORTS"):
        from lambda_runtime.start import lazy_imports

        lazy_imports.turn_on(name)
    return handlers.resolve(name)


def adapt(handler: "handlers.Handler") -> "handlers.Handler":
    """The function that the loop calls for this handler. Prepares what its kind needs, in init.

    Raises ValueError if a handler streams and the response mode is invalid, and what a web
    application's start-up raises.
    """
    if handlers.may_be_web(handler):
        from lambda_runtime import web

        adapted = web.adapt(handler)
        if adapted is not handler:
            return adapted
    return handlers.prepare(handler)


def begin(invocation: Invocation) -> None:
    """Make this the invocation of log records and traces, and watch its deadline."""
    under_way.current = under_way.latest = invocation
    if 0 < invocation.deadline_ms < under_way.watched_ms:
        under_way.wake(invocation.deadline_ms)
    try:
        if invocation.trace_id is not None:
            settings.put_trace_id(invocation.trace_id)
        else:
            settings.remove(settings.TRACE_ID)
    except Exception:
        pass  # an audit hook forbids it, or no variable can have this value


def _watch_init() -> None:
    """Start a thread that logs where a slow init is, and later watches the deadlines.

    Lambda gives an on-demand init ten seconds. Other kinds of init have more time, and with
    SnapStart or several processes there must be no thread yet.
    """
    trace_ms = 0
    given = settings.get("LAMBDA_RUNTIME_INIT_TRACE_MS") or ""
    if given.isascii() and given.isdigit():
        trace_ms = int(given)
    elif settings.get("AWS_LAMBDA_INITIALIZATION_TYPE") in (None, "on-demand"):
        trace_ms = 0 if settings.get("AWS_LAMBDA_MAX_CONCURRENCY") else _INIT_TRACE_MS
    under_way.init_trace_ms = trace_ms
    under_way.watch(_watch, _SLOW_INIT_SECONDS if trace_ms else None)
    if not trace_ms and not is_watched():
        under_way.watch_no_more()


def is_watched() -> bool:
    """Whether the runtime logs or raises something when an invocation's time is nearly up."""
    return settings.get("LAMBDA_RUNTIME_TIMEOUT_TRACE_MS") != "0" or bool(
        settings.get("LAMBDA_RUNTIME_TIMEOUT")
    )


def _watch(alarm: "_thread.LockType", woken: bool) -> None:
    """Watch the init, and then the deadlines, in a thread that does nothing else.

    It has slept, unless it has been ``woken`` by an invocation.
    """
    if under_way.init_trace_ms:
        from lambda_runtime.deadline import trace

        trace.watch_init(alarm)
    if not is_watched():
        return under_way.watch_no_more()
    # Load the watch a little later: only slow invocations need it, and it would delay the first.
    alarm.acquire(True, _LOAD_SECONDS)
    from lambda_runtime.deadline import watch

    watch.run(alarm)


def handle_event_request(
    client: LambdaRuntimeClient, request_handler: "handlers.Handler", invocation: Invocation
) -> "Answer":
    """Run the handler, and answer the invocation with its result or its error.

    Answers a SystemExit as an error, and raises it again to end the process. In a child that the
    handler forked, raises every error: the child has no invocation to answer. If the client runs
    handlers itself, on an event loop, await the result.
    """
    global _suspended_trace
    if client.handle is not None:
        return client.handle(request_handler, invocation)
    try:
        invocation_context = context.make(invocation)
        marshaller = client.marshaller
        event = marshaller.unmarshal_request(invocation.body, invocation.content_type)
        if _suspended_trace is not None:
            settrace(_suspended_trace)
            _suspended_trace = None
        response = request_handler(event, invocation_context)
        if type(response) not in handlers.PLAIN:
            response = _resolve_response(client, invocation, response)
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
        # Compare the object, not its class: user code may raise errors of the same class.
        if error is client.failure or process.is_terminated or process.is_forked():
            raise
        leaves = issubclass(type(error), SystemExit)
        if leaves:
            client.pipeline_next = False  # this process ends, and cannot take the next event
        last_resort.answer(client, invocation, error)
        if leaves:
            raise
        return None
    logs.flush()
    return client.post_invocation_result(
        invocation.request_id, result, content_type, invocation.invocation_id
    )


_handle_event_request = handle_event_request
under_way.leading = (initialise.__code__, handle_event_request.__code__)


def _resolve_response(
    client: LambdaRuntimeClient, invocation: Invocation, response: object
) -> object:
    """Await or stream a response that is not plain; _ANSWERED if it has been streamed."""
    if handlers.is_awaitable(response):
        from lambda_runtime.aio import run

        response = run(response)  # type: ignore[arg-type]
    if type(response) in handlers.PLAIN or not handlers.is_stream(response):
        return response
    from lambda_runtime import streaming

    if streaming.is_buffered():
        return streaming.collect(response)
    streaming.send(client, invocation, response)
    return _ANSWERED


def client_at(address: str) -> LambdaRuntimeClient:
    """The client for this address. For an invalid address, print a message and end the process."""
    try:
        return LambdaRuntimeClient(address)
    except ValueError as error:
        startup.stop(f"AWS_LAMBDA_RUNTIME_API: {error}", 1)
        raise AssertionError from error


def __getattr__(name: str) -> object:
    """Names of awslambdaric.bootstrap that this module does not need itself."""
    from lambda_runtime.start import compat

    return compat.attribute(name)
