"""Where every thread and every asyncio task of the process is, as one log record."""

import json
import sys
import time
import traceback

from lambda_runtime import errors, logs, loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import FrameType

    Entry = dict[str, object]

_MOST = 50
"""How many threads, tasks, and frames of each are shown: the innermost frames."""

_HERE = __file__.rpartition("/")[0] + "/"


def log(
    request_id: str,
    left_ms: float,
    hidden: "Collection[object]" = (),
    is_hidden: "Callable[[object], bool]" = lambda task: False,
) -> None:
    """Log the record. For a thread of the runtime's own, of which none is in it.

    Nor are the threads (by their identifiers) and the tasks that are ``hidden``, and the tasks of
    which ``is_hidden`` says so.
    """
    import _thread

    frames: dict[int, FrameType] = getattr(sys, "_current_frames", dict)()
    frames.pop(_thread.get_ident(), None)
    shown = [
        (ident, frame)
        for ident, frame in frames.items()
        if ident not in hidden and not _is_of_the_runtime(frame)
    ]
    threads = [_thread_entry(ident, frame) for ident, frame in shown[:_MOST]]
    if not frames:
        threads = [{"name": "(all)", "stackTrace": _dump()}]
    pending = _pending_tasks(frames.values())
    tasks = [
        _task_entry(task)
        for task in [each for each in pending if each not in hidden and not is_hidden(each)][:_MOST]
    ]
    message = f"The function is about to time out, in {max(0, round(left_ms))} ms; it is here"
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"
    if logs.json_format:
        record = {
            "timestamp": stamp,
            "level": "ERROR",
            "message": message,
            "requestId": request_id,
            "threads": threads,
            "tasks": tasks,
        }
        lines = [json.dumps(record, ensure_ascii=False)]
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
        yield from map(errors.indent, frame.splitlines())


def _thread_entry(ident: int, frame: "FrameType") -> "Entry":
    stack = traceback.extract_stack(frame)
    is_main = any(frame.filename == loop.__file__ and frame.name == "main" for frame in stack)
    name = "MainThread" if is_main else _thread_name(ident)
    return {"name": name, "stackTrace": _format(stack)}


def _dump() -> list[str]:
    """Every thread's stack, innermost call first, from an interpreter that does not show frames."""
    import faulthandler
    import tempfile

    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read().splitlines()


def _is_of_the_runtime(frame: "FrameType") -> bool:
    """Whether it is in one of the threads with which the runtime watches and interrupts."""
    files = [each.f_code.co_filename for each, _ in traceback.walk_stack(frame)]
    return all(file.startswith(_HERE) for file in files)


def _thread_name(ident: int) -> str:
    """The name that ``threading`` has for it, if it has one.

    Not imported here: it takes the thread that does so first for the main thread.
    """
    threading = sys.modules.get("threading")
    if threading is not None:
        for thread in threading.enumerate():
            if thread.ident == ident:
                return str(thread.name)
    return f"{ident:#x}"


def _format(stack: "traceback.StackSummary") -> list[str]:
    """The user's part of the stack; all of it where that is none."""
    start = 0
    for index, frame in enumerate(stack):
        if frame.filename == loop.__file__:
            start = index + 1
    while start < len(stack) and stack[start].filename.startswith(_HERE):
        start += 1
    return traceback.format_list(list(stack)[start:][-_MOST:] or list(stack)[-_MOST:])


def _pending_tasks(frames: "Iterable[FrameType]") -> "list[asyncio.Task[object]]":
    if "asyncio" not in sys.modules:
        return []
    import asyncio

    tasks: list[asyncio.Task[object]] = []
    for event_loop in _event_loops(frames):
        tasks += asyncio.all_tasks(event_loop)
    return sorted(tasks, key=lambda task: task.get_name())


def _event_loops(frames: "Iterable[FrameType]") -> "list[asyncio.AbstractEventLoop]":
    """The event loops that the threads are running: they appear in their frames."""
    import asyncio

    found: dict[int, asyncio.AbstractEventLoop] = {}
    for innermost in frames:
        for frame, _ in traceback.walk_stack(innermost):
            if "asyncio" not in frame.f_code.co_filename and not _is_ours(frame):
                continue
            for value in frame.f_locals.values():
                if isinstance(value, asyncio.Future):
                    value = value.get_loop()
                if isinstance(value, asyncio.AbstractEventLoop):
                    found[id(value)] = value
    return list(found.values())


def _is_ours(frame: "FrameType") -> bool:
    return frame.f_code.co_filename == f"{_HERE}aio.py"


def _task_entry(task: "asyncio.Task[object]") -> "Entry":
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
    stack = traceback.StackSummary.extract(_suspended_frames(coroutine))
    return {"name": f"{task.get_name()} {name}", "stackTrace": _format(stack)}


def _suspended_frames(awaited: object) -> "Iterator[tuple[FrameType, int]]":
    """The frames of a chain of coroutines, each of which awaits the next."""
    for _ in range(_MOST):
        for kind, next_one in (("cr", "await"), ("gi", "yieldfrom"), ("ag", "await")):
            frame: FrameType | None = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                yield frame, frame.f_lineno
                awaited = getattr(awaited, f"{kind}_{next_one}")
                break
        else:
            return
