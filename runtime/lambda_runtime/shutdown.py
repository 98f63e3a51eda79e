"""Ends a process in good order: hooks, ``atexit``, the last log lines.

Lambda ends an environment with SIGKILL at once, unless an extension is registered in it: then the
runtime first gets SIGTERM, and a moment to end. So for a function with a hook, the runtime
registers an internal extension that does nothing. Source: "Shutdown phase" in "Understanding the
Lambda execution environment lifecycle", AWS Lambda Developer Guide.

Theory of operation
-------------------
SIGTERM raises ``Terminated`` in the main thread, which waits for the next event or runs the
handler. The handler's ``finally`` blocks and ``with`` statements run, and release their locks.
``entry.main`` catches the exception and calls ``finish``. If code swallows the exception or takes
too long, the process signals itself again, and calls ``finish`` in the signal handler. If the
interpreter drops the exception (``ground.dropped``), the signal comes again at once.

Where several invocations run at a time (``concurrency``), the process *drains* first: it asks for
no more events, and gives its invocations a moment to end. Then it interrupts the rest.
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
from lambda_runtime.ground import dropped, hooks
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
"""How long hooks and ``atexit`` may take in all: Lambda kills the process after 0.5 seconds if it
has only internal extensions."""

_UNWIND_SECONDS = 0.15
"""The part of this window in which an interrupted handler must end."""

_AGAIN_SECONDS = 0.001
"""How soon to interrupt the handler again after the interpreter has dropped the exception."""

_DRAIN_SECONDS = 0.2
"""The part of this window in which a draining process lets its invocations end."""

_EXIT_SECONDS = 1.0
"""How long threads and ``atexit`` may take if the process ends without SIGTERM."""

_THREADS_SECONDS = 0.5
"""The part of this second in which threads must end."""

_LAST_SECONDS = 0.5
"""How long it may take to write the last log lines when the time is up."""


class Terminated(SystemExit):
    """The environment ends. Raised in the main thread, whatever it is doing."""


_UNHEARD = (
    "Hooks for the shutdown may not be called: Lambda announces it only where an extension is "
    "registered, and {}"
)

SERVING, TERMINATING, FINISHING = "serving", "terminating", "finishing"
"""The phases of a process: SIGTERM starts the second, if it comes; the hooks run in the last."""

OWN, ASKED, UNASKED, CLOSED = "own", "asked", "not asked", "closed"
"""Who registers the extension: this process (OWN), or the supervisor. A worker has asked it
(ASKED), may still ask it (UNASKED), or has not asked it during init, and now cannot (CLOSED)."""


class _Shutdown:
    """The state of this process on the way to its end."""

    def __init__(self) -> None:
        self.hooks: list[Callable[[], object]] = []
        self.phase = SERVING
        self.terminated_at = 0.0
        """When SIGTERM came, by the monotonic clock; 0 if it has not come."""
        self.unwound_at = 0.0
        """By when an interrupted handler must have ended."""
        self.registration = OWN
        self.extension: InternalExtension | None = None
        self.is_listening = False
        self.previous: object = None
        """The previous handler of SIGTERM."""
        self.drain: Callable[[], None] | None = None
        self.is_insisting = False
        """Whether this process itself sends the next SIGTERM."""

    def is_ours(self) -> bool:
        """Whether this process handles signals and the end of the environment.

        A process that user code has forked does not.
        """
        return self.is_listening and not process.is_forked()


class _Exit:
    """When this process ends at the latest, by the monotonic clock, and with which status."""

    def __init__(self) -> None:
        self.at = 0.0
        self.status = 0


_shutdown = _Shutdown()
_end = _Exit()


def on_shutdown(hook: "Hook") -> "Hook":
    """Call the function, sync or async, before the environment ends; the last registered first.

    Use it in the handler's module: during init it makes the runtime register the internal extension
    without which Lambda sends no SIGTERM. Hooks have 0.4 seconds in all; then ``atexit`` runs. The
    runtime logs a hook's exception, and calls the next hook. It also calls the hooks when the
    process ends in another orderly way (``sys.exit``, a lost Runtime API), but not after a failed
    init. Raises TypeError for what is not a function.
    """
    _shutdown.hooks.append(hooks.check("on_shutdown", hook))
    if is_supervised():
        if not ask_supervisor():
            logs.warn(_UNHEARD.format("it is registered in init only"))
    elif under_way.latest is not None and not _shutdown.is_listening:
        prepare()  # too late for our extension, but another extension may bring SIGTERM
    return hook


def prepare() -> None:
    """Init is over: if there are hooks, register the extension, and listen for SIGTERM."""
    if _shutdown.hooks:
        listen()
        register()


def be_supervised() -> None:
    """Leave the registration to the supervisor, which does it once for all workers."""
    _shutdown.registration = UNASKED
    _shutdown.is_listening = False


def is_supervised() -> bool:
    """Whether the supervisor, not this process, registers the extension."""
    return _shutdown.registration != OWN


def ask_supervisor() -> bool:
    """Let the supervisor register the extension at the end of init; False if init is over."""
    if _shutdown.registration == UNASKED:
        _shutdown.registration = ASKED
    return _shutdown.registration == ASKED


def needs_extension() -> bool:
    """Init is over: whether this worker has asked the supervisor for the extension."""
    if _shutdown.hooks:  # including hooks that were registered before the fork
        ask_supervisor()
    if _shutdown.registration == UNASKED:
        _shutdown.registration = CLOSED
    return _shutdown.registration == ASKED


def listen(drain: "Callable[[], None] | None" = None) -> None:
    """Be ready for SIGTERM. Call it in the main thread.

    A user's own handler of SIGTERM runs first; if the user ignores SIGTERM, it stays ignored. With
    ``drain``, SIGTERM does not interrupt the main thread at first: it calls ``drain``, which stops
    new invocations. The main thread must then raise ``termination`` when the last one is over.
    """
    _shutdown.is_listening, _shutdown.drain = True, drain
    dropped.watch(_is_repeated)
    previous = _shutdown.previous = _signal.getsignal(_signal.SIGTERM)
    if previous == _signal.SIG_DFL or callable(previous):
        _signal.signal(_signal.SIGTERM, _terminate)


def finish() -> None:
    """Run the hooks once; after a SIGTERM also end the process.

    Does not use the interpreter's own shutdown: that waits for the user's threads.
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
    """Handle SIGTERM, from the platform or from ``_insist``."""
    if not _shutdown.is_ours():
        return _pass_on(number, frame)
    insisting, _shutdown.is_insisting = _shutdown.is_insisting, False
    if _shutdown.phase == FINISHING or (_shutdown.phase == TERMINATING and not insisting):
        return
    if process.is_terminated or (insisting and time.monotonic() >= _shutdown.unwound_at):
        finish()  # user code has swallowed the exception, or still handles it
    if _shutdown.phase == SERVING:
        _shutdown.phase, _shutdown.terminated_at = TERMINATING, time.monotonic()
        drain = _shutdown.drain
        pauses = (_UNWIND_SECONDS,) if drain is None else (_DRAIN_SECONDS, _UNWIND_SECONDS)
        _shutdown.unwound_at = _shutdown.terminated_at + sum(pauses)
        _thread.start_new_thread(_insist, pauses)
        if callable(_shutdown.previous):
            _shutdown.previous(number, frame)
        if drain is not None:
            return drain()
    raise termination()


def termination() -> Terminated:
    """The exception that ends the process when it has drained, or has no time left."""
    process.is_terminated = True
    return Terminated(0)


def _pass_on(number: int, frame: object) -> None:
    """Handle the signal in a forked child as if the runtime had no handler for it."""
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


def _is_repeated(error: BaseException) -> bool:
    """Whether this is the exception that ends the process. Raises it again if it was dropped."""
    if type(error) is not Terminated:
        return False
    process.is_terminated = False  # nothing has been interrupted
    _thread.start_new_thread(_insist, (_AGAIN_SECONDS,))
    return True


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
    """Cut the exception that ends the process out of the error's chain of contexts.

    It is there only because hooks run while that exception is being handled.
    """
    while (context := error.__context__) is not None:
        if isinstance(context, (SystemExit, RuntimeApiError)):
            error.__context__ = None
            return
        error = context


def end_with(error: BaseException) -> "NoReturn":
    """End the process as the interpreter would after this error, but within limits.

    Hooks have their window. Then non-daemon threads and ``atexit`` have one second.
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
    """Print the error that ends the process, as the interpreter does."""
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
    """The exit status that the interpreter would use for this error."""
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def end_process(status: int) -> "NoReturn":
    """Join threads, run ``atexit``, write the last log lines, and end, like the interpreter.

    The interpreter's own shutdown has no time limit, and aborts if a daemon thread prints. Does not
    wait for threads if the environment ends, or if another process replaces this one.
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
    """Run ``atexit``'s functions by ending the interpreter, where there is no other way."""
    import ctypes

    ctypes.pythonapi.Py_Exit(_end.status & 0xFF)


def _bound(seconds: float, status: int) -> None:
    """End the process after ``seconds`` at the latest, even if the main thread hangs."""
    is_bound, _end.at, _end.status = bool(_end.at), time.monotonic() + seconds, status
    if not is_bound:
        try:
            _thread.start_new_thread(_exit_in_time, ())
        except RuntimeError:
            pass  # the system has no thread left


def _exit_in_time() -> None:
    while (left := _end.at - time.monotonic()) > 0:
        time.sleep(left)
    _exit()


def _kill_in(seconds: float) -> None:
    """Let SIGALRM kill the process in ``seconds``, if a thread holds the interpreter's lock."""
    try:
        _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    except ValueError:
        return  # only the main thread may set signal handlers
    _signal.setitimer(_signal.ITIMER_REAL, seconds)


def _join_threads() -> None:
    """End executors, and wait a limited time for non-daemon threads."""
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
