"""From exec to the last invocation: init once, then next, run, answer.

Libraries that monitor functions replace ``handle_event_request`` in this module and methods of
``LambdaRuntimeClient``; both are looked up anew for every invocation.
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
"""Exceptions a second, raised in the runtime's own work by others, with which it still goes on."""
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
        # What describes errors is loaded after the first answer, which need not wait for it.
        invocation = _wait_next(client, prepare=not first)
        first = False
        try:
            begin(invocation)
            # Not where a library has put itself in between: what it does after the answer has to be
            # done before the environment may be frozen.
            client.pipeline_next = handle_event_request is _handle_event_request
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
    """What the loop is to call for this handler, with all that its kind needs made in init.

    Raises ValueError when the response mode of a handler that streams is not one, and for a web
    application what its start-up raises.
    """
    if handlers.may_be_web(handler):
        from lambda_runtime import web

        adapted = web.adapt(handler)
        if adapted is not handler:
            return adapted
    return handlers.prepare(handler)


def begin(invocation: Invocation) -> None:
    """Make the invocation the one that logs and traces belong to, and have its time watched."""
    under_way.begin(invocation)
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
    trace_ms = 0
    given = settings.get("LAMBDA_RUNTIME_INIT_TRACE_MS") or ""
    if given.isascii() and given.isdigit():
        trace_ms = int(given)
    elif settings.get("AWS_LAMBDA_INITIALIZATION_TYPE") in (None, "on-demand"):
        trace_ms = 0 if settings.get("AWS_LAMBDA_MAX_CONCURRENCY") else _INIT_TRACE_MS
    under_way.init_trace_ms = trace_ms
    under_way.watch(_watch, at_once=trace_ms > 0)
    if not trace_ms and not is_watched():
        under_way.watch_no_more()


def is_watched() -> bool:
    """Whether anything is to be done when an invocation's time is nearly up."""
    return settings.get("LAMBDA_RUNTIME_TIMEOUT_TRACE_MS") != "0" or bool(
        settings.get("LAMBDA_RUNTIME_TIMEOUT")
    )


def _watch(alarm: "_thread.LockType") -> None:
    """What the thread does that watches the init, and then the deadlines."""
    if under_way.init_trace_ms:
        alarm.acquire(True, _SLOW_INIT_SECONDS)
    if under_way.init_trace_ms:
        from lambda_runtime.deadline import trace

        trace.watch_init(alarm)
    if not is_watched():
        return under_way.watch_no_more()
    # The first invocation is not to wait for what only the slow ones need.
    alarm.acquire(True, _LOAD_SECONDS)
    from lambda_runtime.deadline import watch

    watch.run(alarm)


def handle_event_request(
    client: LambdaRuntimeClient, request_handler: "handlers.Handler", invocation: Invocation
) -> "Answer":
    """Run the handler and answer the invocation, whatever happens in it.

    A SystemExit is answered as an error and then goes on to end the process; so does anything
    raised in a child that the handler forked, which has no invocation to answer. Where the client
    runs handlers itself, on an event loop, all of this is to be awaited.
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
        # The client's own failure, by what it is: user code may raise errors of that class.
        if error is client.failure or process.is_terminated or process.is_forked():
            raise
        leaves = issubclass(type(error), SystemExit)
        if leaves:
            client.pipeline_next = False  # nobody would be there for the next event
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
