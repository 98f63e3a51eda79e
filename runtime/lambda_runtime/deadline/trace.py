"""Logs where every thread and every asyncio task of the process is, as one record."""

import posix
import sys
import time

from lambda_runtime import logs
from lambda_runtime.errors import frames, reports
from lambda_runtime.ground import trusted
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _thread
    import asyncio
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import CodeType, FrameType
    from typing import Any

    from lambda_runtime.runtime_api.client import Invocation

    Entry = dict[str, object]

_MOST = 50
"""The most threads and tasks to show, and the most frames of each: the innermost ones."""

_started = time.monotonic()  # the best guess without /proc: up to half a second late


def log(invocation: "Invocation", left_ms: float) -> None:
    """Log where the invocation is, which has ``left_ms`` milliseconds left.

    Leaves out the threads and tasks of other invocations.
    """
    message = f"The function is about to time out, in {max(0, round(left_ms))} ms; it is here"
    runner = under_way.runners.get(invocation)
    if runner is None:
        return _log(invocation.request_id, message)
    hidden = {each for each in under_way.all_runners() if each != runner}
    _log(invocation.request_id, message, hidden, _is_of_another(invocation))


def _is_of_another(invocation: "Invocation") -> "Callable[[object], bool]":
    def check(task: object) -> bool:
        get_context = getattr(task, "get_context", None)  # from Python 3.12 on
        owner = None if get_context is None else get_context().get(under_way.owner)
        return owner is not None and owner is not invocation

    return check


def watch_init(alarm: "_thread.LockType") -> None:
    """Log where the init is if it is not over in time. The watching thread calls this."""
    while under_way.init_trace_ms:
        passed_ms = _process_age_ms()
        if passed_ms >= under_way.init_trace_ms:
            under_way.init_trace_ms = 0
            message = f"The function is still being initialised, after {round(passed_ms)} ms"
            try:
                _log("", f"{message}; it is here")
            except Exception as error:
                logs.warn(f"No trace of the init: {type(error).__name__}: {error}")
            return
        alarm.acquire(True, (under_way.init_trace_ms - passed_ms) / 1000)


def _process_age_ms() -> float:
    """Milliseconds since the process started, including programs that ran before ``exec``."""
    own_ms = (time.monotonic() - _started) * 1000
    try:
        descriptor = posix.open("/proc/self/stat", posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            # proc(5): the 22nd field. The second one is in parentheses, and may contain blanks.
            field = posix.read(descriptor, 4096).rpartition(b")")[2].split()[19]
        finally:
            posix.close(descriptor)
        seconds = int(field) / posix.sysconf("SC_CLK_TCK")
        return max(own_ms, (time.clock_gettime(time.CLOCK_BOOTTIME) - seconds) * 1000)
    except (OSError, ValueError, IndexError):
        return own_ms


def _log(
    request_id: str,
    message: str,
    hidden: "Collection[object]" = (),
    is_hidden: "Callable[[object], bool]" = lambda task: False,
) -> None:
    """Log the record. A thread of the runtime calls this.

    Leaves out the runtime's own threads, the threads (by identifier) and tasks in ``hidden``, and
    the tasks for which ``is_hidden`` is true.
    """
    import _thread

    stacks: dict[int, FrameType] = getattr(sys, "_current_frames", dict)()
    stacks.pop(_thread.get_ident(), None)
    shown = [
        (ident, frame)
        for ident, frame in stacks.items()
        if ident not in hidden and not _is_of_the_runtime(frame)
    ]
    threads = [_thread_entry(ident, frame) for ident, frame in shown[:_MOST]]
    if not stacks:
        threads = [{"name": "(all)", "stackTrace": _dump()}]
    pending = _pending_tasks(stacks.values())
    tasks = [
        _task_entry(task)
        for task in [each for each in pending if each not in hidden and not is_hidden(each)][:_MOST]
    ]
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"
    if logs.json_format:
        record: dict[str, object] = {
            "timestamp": stamp,
            "level": "ERROR",
            "message": message,
            "requestId": request_id,
            "threads": threads,
            "tasks": tasks,
        }
        lines = [reports.encode_line(record)]
    else:
        lines = [f"[ERROR]\t{stamp}\t{request_id}\t{message}"]
        for title, entries in (("Thread", threads), ("Task", tasks)):
            for entry in entries:
                lines += _entry_lines(title, entry)
    logs.sink.log_error(lines)


def _entry_lines(title: str, entry: "Entry") -> "Iterator[str]":
    yield f"{title} {entry['name']} (most recent call last):"
    stack = entry["stackTrace"]
    assert isinstance(stack, list)
    for frame in stack:
        yield from map(reports.indent, frame.splitlines())


def _thread_entry(ident: int, frame: "FrameType") -> "Entry":
    stack = frames.of_stack(frame)
    name = "MainThread" if ident == process.main_thread else _thread_name(ident)
    codes = [each.f_code for each in _walk(frame)]
    return {"name": name, "stackTrace": _format(stack, reversed(codes))}


def _dump() -> list[str]:
    """Every thread's stack, innermost call first, for an interpreter that does not show frames."""
    import faulthandler
    import tempfile

    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read().splitlines()


def _is_of_the_runtime(frame: "FrameType") -> bool:
    """Whether the frame is in a thread of the runtime's own, which watches or interrupts."""
    return all(each.f_code.co_filename.startswith(trusted.FOLDER) for each in _walk(frame))


def _walk(frame: "FrameType | None") -> "Iterator[FrameType]":
    """The frame, then its caller, and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _thread_name(ident: int) -> str:
    """The thread's name in ``threading``, or its identifier.

    Never imports ``threading``: it takes the first thread that imports it for the main thread.
    """
    threading = sys.modules.get("threading")
    if threading is not None:
        for thread in threading.enumerate():
            if thread.ident == ident:
                return str(thread.name)
    return f"{ident:#x}"


def _format(stack: list[frames.Frame], codes: "Iterable[CodeType]" = ()) -> list[str]:
    """The user's part of the stack, or all of it if there is none. ``codes``: its functions."""
    start = 0
    for index, code in enumerate(codes):
        if code in under_way.leading:
            start = index + 1
    while start < len(stack) and stack[start][0].startswith((trusted.FOLDER, "<frozen importlib")):
        start += 1
    return frames.lines(stack[start:][-_MOST:] or stack[-_MOST:])


def _pending_tasks(stacks: "Iterable[FrameType]") -> "list[asyncio.Task[object]]":
    # Never import it: the import would wait for a thread that is stuck in importing asyncio.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not hasattr(asyncio, "all_tasks"):
        return []
    tasks: list[Any] = []
    for event_loop in _event_loops(asyncio, stacks):
        tasks += asyncio.all_tasks(event_loop)
    return sorted(tasks, key=lambda task: task.get_name())


def _event_loops(
    asyncio: "Any", stacks: "Iterable[FrameType]"
) -> "list[asyncio.AbstractEventLoop]":
    """The event loops that the threads run, found in the local variables of their frames."""
    found: dict[int, Any] = {}
    for innermost in stacks:
        for frame in _walk(innermost):
            file = frame.f_code.co_filename
            if "asyncio" not in file and not file.startswith(trusted.FOLDER):
                continue
            for value in frame.f_locals.values():
                if isinstance(value, asyncio.Future):
                    value = value.get_loop()
                if isinstance(value, asyncio.AbstractEventLoop):
                    found[id(value)] = value
    return list(found.values())


def _task_entry(task: "asyncio.Task[object]") -> "Entry":
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
    stack = frames.of_frames(_suspended_frames(coroutine))
    return {"name": f"{task.get_name()} {name}", "stackTrace": _format(stack)}


def _suspended_frames(awaited: object) -> "Iterator[FrameType]":
    """The frames of a chain of coroutines, each of which awaits the next."""
    for _ in range(_MOST):
        for kind, next_one in (("cr", "await"), ("gi", "yieldfrom"), ("ag", "await")):
            frame: FrameType | None = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                awaited = getattr(awaited, f"{kind}_{next_one}")
                break
        else:
            return
