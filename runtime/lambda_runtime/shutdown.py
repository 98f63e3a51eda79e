"""What a function does before its environment ends: hooks, ``atexit``, the last log lines.

Lambda ends an environment with SIGKILL at once, unless an extension is registered in it: then the
runtime gets SIGTERM first, and a moment. So whoever has a hook gets an internal extension that does
nothing. Source: "Shutdown phase" in "Understanding the Lambda execution environment lifecycle", AWS
Lambda Developer Guide.

Theory of operation
-------------------
SIGTERM raises ``Terminated`` in the main thread, wherever that is: waiting for the next event, or
in the handler, whose ``finally`` blocks and ``with`` statements get their turn and give up their
locks. The exception ends up in ``entry.main``, which calls ``finish``. Code that swallows it, or
that takes too long, does not get in the way: the process signals itself again, and finishes on top
of it.

Where several invocations run at a time (``concurrency``), they have a moment to end first: the
process *drains*. It asks for no more events, and only what has not ended by then is interrupted.
"""

import _thread
import posix
import sys
import time

try:
    import _signal  # type: ignore[import-not-found]
except ImportError:
    import signal as _signal

from lambda_runtime import handlers, logs
from lambda_runtime.ground import hooks
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process
from lambda_runtime.runtime_api.client import RuntimeApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeVar

    from lambda_runtime.extensions.internal import InternalExtension

    Hook = TypeVar("Hook", bound=Callable[[], object])

EXTENSION_NAME = "lambda-runtime-shutdown"

WINDOW_SECONDS = 0.4
"""How long hooks and ``atexit`` may take in all: Lambda kills the process after 0.5 seconds when
its extensions are internal ones."""

_UNWIND_SECONDS = 0.15
"""How much of that an interrupted handler has to leave in good order."""

_DRAIN_SECONDS = 0.2
"""How much of it invocations have to end by themselves, where they may."""

_EXIT_SECONDS = 1.0
"""How long ``atexit`` may take where the process ends by itself, threads included."""

_THREADS_SECONDS = 0.5
"""How much of that threads have to end."""

_LAST_SECONDS = 0.5
"""How long writing the last log lines may take when the time is up."""


class Terminated(SystemExit):
    """The environment ends. Raised in the main thread, whatever it is doing."""


_UNHEARD = (
    "Hooks for the shutdown may not be called: Lambda announces it only where an extension is "
    "registered, and {}"
)

SERVING, TERMINATING, FINISHING = "serving", "terminating", "finishing"
"""The phases of a process: SIGTERM ends the first, if it comes, and the hooks are the last."""

OWN, ASKED, UNASKED, CLOSED = "own", "asked", "not asked", "closed"
"""Who registers the extension: this process itself; or the supervisor, who has been asked to, may
still be, or has not been until the end of init."""


class _Shutdown:
    """How far this process is on its way to its end."""

    def __init__(self) -> None:
        self.hooks: list[Callable[[], object]] = []
        self.phase = SERVING
        self.terminated_at = 0.0
        """When SIGTERM came, on the monotonic clock; 0 if it has not."""
        self.registration = OWN
        self.extension: InternalExtension | None = None
        self.is_listening = False
        self.previous: object = None
        """What handled SIGTERM before."""
        self.drain: Callable[[], None] | None = None
        self.is_insisting = False
        """Whether the next SIGTERM is the process's own."""

    def is_ours(self) -> bool:
        """Whether this process handles signals and the end of the environment.

        A process that user code has forked does not.
        """
        return self.is_listening and not process.is_forked()


class _Exit:
    """When this process ends in any case, on the monotonic clock, and with which status."""

    def __init__(self) -> None:
        self.at = 0.0
        self.status = 0


_shutdown = _Shutdown()
_end = _Exit()


def on_shutdown(hook: "Hook") -> "Hook":
    """Call the function, sync or async, before the environment ends; the last registered first.

    For the module of the handler, where it makes the runtime register the internal extension that
    entitles it to SIGTERM. Hooks have 0.4 seconds in all, then ``atexit`` has its turn. What a hook
    raises is logged, and the next one is called. They are called as well when the process ends
    otherwise in good order (``sys.exit``, a lost Runtime API), but not when its init has failed.
    Raises TypeError for what is not a function.
    """
    _shutdown.hooks.append(hooks.check("on_shutdown", hook))
    if is_supervised():
        if not ask_supervisor():
            logs.warn(_UNHEARD.format("it is registered in init only"))
    elif under_way.latest is not None and not _shutdown.is_listening:
        prepare()  # too late for the extension, but another one may be there
    return hook


def prepare() -> None:
    """Init is over: if there are hooks, make sure that SIGTERM comes, and that it is heard."""
    if _shutdown.hooks:
        listen()
        register()


def be_supervised() -> None:
    """Register nothing in this process, one of several: the supervisor does that, once for all."""
    _shutdown.registration = UNASKED
    _shutdown.is_listening = False


def is_supervised() -> bool:
    """Whether the supervisor is to register the extension."""
    return _shutdown.registration != OWN


def ask_supervisor() -> bool:
    """Have the supervisor register the extension, at the end of init; False if that is over."""
    if _shutdown.registration == UNASKED:
        _shutdown.registration = ASKED
    return _shutdown.registration == ASKED


def needs_extension() -> bool:
    """Init is over: whether the supervisor has been asked for the extension."""
    if _shutdown.hooks:  # also those that have been registered before the fork
        ask_supervisor()
    if _shutdown.registration == UNASKED:
        _shutdown.registration = CLOSED
    return _shutdown.registration == ASKED


def listen(drain: "Callable[[], None] | None" = None) -> None:
    """Be ready for SIGTERM. For the main thread.

    A handler for it of the user's own is called first; a SIGTERM that the user ignores stays
    ignored. ``drain``, if given, is called when it comes, to have no more invocations begun: the
    main thread is left alone then, and has to raise ``termination`` when the last of them is over.
    """
    _shutdown.is_listening, _shutdown.drain = True, drain
    previous = _shutdown.previous = _signal.getsignal(_signal.SIGTERM)
    if previous == _signal.SIG_DFL or callable(previous):
        _signal.signal(_signal.SIGTERM, _terminate)


def finish() -> None:
    """Run the hooks, once; after a SIGTERM, end the process too.

    Not by the interpreter's own end: that waits for the threads of the user's that still run.
    """
    if not _shutdown.is_ours() or _shutdown.phase == FINISHING:
        return
    _shutdown.phase = FINISHING
    under_way.forget()
    if _shutdown.terminated_at:
        _run_within(WINDOW_SECONDS - (time.monotonic() - _shutdown.terminated_at))
        end_process(0)
    if _shutdown.hooks:
        _run_within(WINDOW_SECONDS)


def register() -> None:
    """Register the extension that does nothing; if Lambda refuses, log why."""
    from lambda_runtime.extensions.client import ExtensionError
    from lambda_runtime.extensions.internal import InternalExtension

    _shutdown.extension = InternalExtension(EXTENSION_NAME, events=())
    try:
        _shutdown.extension.start()
    except ExtensionError as error:
        logs.warn(_UNHEARD.format(error))


def _terminate(number: int, frame: object) -> None:
    """The handler of SIGTERM, and of the same signal when the process insists."""
    if not _shutdown.is_ours():
        return _pass_on(number, frame)
    insisting, _shutdown.is_insisting = _shutdown.is_insisting, False
    if _shutdown.phase == FINISHING or (_shutdown.phase == TERMINATING and not insisting):
        return
    if process.is_terminated:
        finish()  # the exception has been swallowed, or is still on its way
    if _shutdown.phase == SERVING:
        _shutdown.phase, _shutdown.terminated_at = TERMINATING, time.monotonic()
        drain = _shutdown.drain
        pauses = (_UNWIND_SECONDS,) if drain is None else (_DRAIN_SECONDS, _UNWIND_SECONDS)
        _thread.start_new_thread(_insist, pauses)
        if callable(_shutdown.previous):
            _shutdown.previous(number, frame)
        if drain is not None:
            return drain()
    raise termination()


def termination() -> Terminated:
    """The exception that ends the process now that it has drained, or is out of time."""
    process.is_terminated = True
    return Terminated(0)


def _pass_on(number: int, frame: object) -> None:
    """A child of the handler's got the signal: for it, nothing has been installed."""
    if callable(_shutdown.previous):
        _shutdown.previous(number, frame)
    else:
        _signal.signal(number, _signal.SIG_DFL)
        posix.kill(posix.getpid(), number)


def _insist(*pauses: float) -> None:
    for pause in pauses:
        time.sleep(pause)
        if _shutdown.phase != FINISHING:
            _shutdown.is_insisting = True
            _signal.pthread_kill(process.main_thread, _signal.SIGTERM)


def _run_within(seconds: float) -> None:
    from lambda_runtime.extensions.alarm import raise_timeout_in

    end = time.monotonic() + seconds
    raise_timeout_in(seconds)
    hooks = _shutdown.hooks
    while hooks and time.monotonic() < end:
        _run(hooks.pop())
    if hooks:
        logs.warn(f"The environment ends, {len(hooks)} shutdown hooks uncalled")


def _run(hook: "Callable[[], object]") -> None:
    try:
        result = hook()
        if handlers.is_awaitable(result):
            from lambda_runtime import aio

            aio.run(result)  # type: ignore[arg-type]
    except BaseException as error:
        from lambda_runtime.errors import reports

        _forget_the_end(error)
        reports.log(reports.describe(error, reports.user_frames(error.__traceback__), ""), error)


def _forget_the_end(error: BaseException) -> None:
    """Leave what ends the process out of the chain: hooks run while it is being handled."""
    while (context := error.__context__) is not None:
        if isinstance(context, (SystemExit, RuntimeApiError)):
            error.__context__ = None
            return
        error = context


def end_with(error: BaseException) -> "NoReturn":
    """End the process as the interpreter would for this error, but within bounds.

    Hooks have their window; then threads that are no daemons and ``atexit`` have a second.
    """
    status = _exit_code(error)
    _bound(WINDOW_SECONDS + _EXIT_SECONDS, status)
    logs.flush()
    _tell(error)
    finish()
    end_process(status)


def _exit_code(error: BaseException) -> int:
    if issubclass(type(error), SystemExit):
        return exit_status(error)  # type: ignore[arg-type]
    return 130 if type(error) is KeyboardInterrupt else 1


def _tell(error: BaseException) -> None:
    """Say what the process ends for, as the interpreter does."""
    kind = type(error)
    try:
        if issubclass(kind, RuntimeApiError):
            logs.say(f"lambda-runtime: {error}\n")
        elif not issubclass(kind, SystemExit):
            sys.excepthook(kind, error, error.__traceback__)
        elif not isinstance(error.code, int | None):  # type: ignore[attr-defined]
            logs.say(f"{error.code}\n")  # type: ignore[attr-defined]
    except BaseException as failure:
        logs.say(f"lambda-runtime: {kind!r}, of which {type(failure)!r} came when it was shown\n")


def exit_status(error: SystemExit) -> int:
    """The status with which the interpreter would end for it."""
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def end_process(status: int) -> "NoReturn":
    """Threads, ``atexit``, the last log lines, and the end, as the interpreter does it.

    But not by the interpreter's own end: that has no bound, and aborts where a daemon thread
    prints. Where the environment ends, or another process is to take this one's place, threads are
    not waited for.
    """
    _bound(_EXIT_SECONDS, status)
    if not _shutdown.terminated_at:
        _kill_in(_EXIT_SECONDS + _LAST_SECONDS)
    for step in (_join_threads, _run_atexit):
        try:
            step()
        except BaseException as error:
            _tell(error)
    _exit()


def _exit() -> "NoReturn":
    logs.flush(last=True)
    posix._exit(_end.status & 0xFF)


def _finalize() -> None:
    """Run ``atexit``'s functions where no other way is known: end the whole interpreter."""
    import ctypes

    ctypes.pythonapi.Py_Exit(_end.status & 0xFF)


def _bound(seconds: float, status: int) -> None:
    """Have the process end after so many seconds, whatever hangs in the main thread."""
    is_bound, _end.at, _end.status = bool(_end.at), time.monotonic() + seconds, status
    if not is_bound:
        try:
            _thread.start_new_thread(_exit_in_time, ())
        except RuntimeError:
            pass  # no thread to be had


def _exit_in_time() -> None:
    while (left := _end.at - time.monotonic()) > 0:
        time.sleep(left)
    _exit()


def _kill_in(seconds: float) -> None:
    """The bound of the bound, for what holds the interpreter's lock or a stream's: a signal."""
    try:
        _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    except ValueError:
        return  # only the main thread may
    _signal.setitimer(_signal.ITIMER_REAL, seconds)


def _join_threads() -> None:
    """Have executors end, and wait for threads that are no daemons; but not for long."""
    threading = sys.modules.get("threading")
    if threading is None or _shutdown.terminated_at or is_supervised():
        return
    end = time.monotonic() + _THREADS_SECONDS
    if endings := list(getattr(threading, "_threading_atexits", ())):
        ended = _thread.allocate_lock()
        ended.acquire()
        _thread.start_new_thread(_end_executors, (endings, ended))
        ended.acquire(True, _THREADS_SECONDS)
    for thread in threading.enumerate():
        if not thread.daemon and thread not in (
            threading.main_thread(),
            threading.current_thread(),
        ):
            thread.join(max(0.0, end - time.monotonic()))


def _end_executors(endings: "list[Callable[[], object]]", ended: "_thread.LockType") -> None:
    try:
        while endings:
            endings.pop()()
    finally:
        ended.release()


def _run_atexit() -> None:
    if (atexit := sys.modules.get("atexit")) is not None:
        run = getattr(atexit, "_run_exitfuncs", None) or _finalize
        run()
