"""Handlers that misbehave; whatever they do, the next invocation must find a working function."""

import asyncio
import atexit
import builtins
import contextlib
import gc
import io
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

_invocations = 0


class Own(BaseException):
    """Derived from BaseException, as few things are."""


class NoStr(Exception):
    def __str__(self) -> str:
        raise ValueError("__str__ raises")


class ExitingStr(Exception):
    def __str__(self) -> str:
        raise SystemExit(9)


class NotAString(Exception):
    def __str__(self) -> Any:
        return 42


class OddClass(Exception):
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ValueError("no class")


class OddCause(Exception):
    __cause__: Any = 5


class OddAttributes(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise ValueError(name)


def _no_name(kind: type) -> Any:
    raise ValueError("no name")


OddMeta = type("OddMeta", (type,), {"__name__": property(_no_name)})


class OddName(Exception, metaclass=OddMeta):  # type: ignore[metaclass]
    pass


def _raiser(make: Callable[[], BaseException]) -> Callable[[], None]:
    def raise_it() -> NoReturn:
        raise make()

    return raise_it


def recursion_endless() -> None:
    recursion_endless()


def memory_exhausted() -> None:
    bytearray(sys.maxsize)


def exit_at_once() -> None:
    os.write(1, b"last words\n")
    os._exit(7)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)


def exit_with_atexit() -> None:
    atexit.register(print, "atexit ran")
    sys.exit(4)


def stdout_descriptor_closed() -> None:
    print("before closing")
    os.close(1)


def stdout_closed() -> None:
    print("before closing")
    sys.stdout.close()


def both_descriptors_closed() -> None:
    os.close(1)
    os.close(2)


def stdin_closed() -> None:
    os.close(0)


def stdout_replaced() -> None:
    sys.stdout = Swallow()


def stdout_none() -> None:
    sys.stdout = None


class ToLogger:
    """Makes log records of what is printed: the recipe that is in every collection of them."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log

    def write(self, text: str) -> int:
        for line in text.rstrip().splitlines():
            self._log(line.rstrip())
        return len(text)

    def flush(self) -> None:
        pass


class Broken:
    def write(self, text: str) -> int:
        raise ValueError("no write")

    def flush(self) -> None:
        raise ValueError("no flush")


def _in_place_of_stdout(stream: Any, act: Callable[[], object]) -> None:
    kept, sys.stdout = sys.stdout, stream
    act()
    sys.stdout = kept


def stdout_logs() -> None:
    _in_place_of_stdout(ToLogger(logging.getLogger().warning), lambda: print("printed"))


def stdout_bytes_error() -> None:
    sys.stdout = io.BytesIO()
    raise ValueError("with stdout gone")


def stdout_bytes_record() -> None:
    _in_place_of_stdout(io.BytesIO(), lambda: logging.warning("a record"))


def stdout_broken() -> None:
    sys.stdout = Broken()


def stdout_broken_record() -> None:
    _in_place_of_stdout(Broken(), lambda: logging.warning("a record"))


def stdout_kept_records() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as kept:
        logging.warning("inside")
    return kept.getvalue().rpartition("\t")[2]


def exit_beside_thread() -> None:
    threading.Thread(target=time.sleep, args=(20,)).start()
    sys.exit(3)


def exit_with_endless_atexit() -> None:
    atexit.register(time.sleep, 20)
    sys.exit(3)


class Swallow:
    def write(self, text: str) -> int:
        return len(text)


def folder_changed() -> None:
    os.chdir("/")


def folder_removed() -> None:
    folder = f"/tmp/gone-{os.getpid()}"
    os.mkdir(folder)
    os.chdir(folder)
    os.rmdir(folder)


def environment_cleared() -> None:
    os.environ.clear()


def path_changed() -> None:
    sys.path[:] = []
    sys.path_importer_cache.clear()
    sys.meta_path[:] = []


def modules_removed() -> None:
    for name in ("json", "traceback", "logging", "os", "time"):
        sys.modules.pop(name, None)


def threads_left() -> None:
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(60,)).start()


def thread_busy() -> None:
    def spin() -> None:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            pass

    threading.Thread(target=spin, daemon=True).start()


def processes_left() -> None:
    subprocess.Popen(["sleep", "300"], start_new_session=True)
    subprocess.Popen(["sleep", "300"], stdout=subprocess.DEVNULL)


def loop_left() -> None:
    asyncio.set_event_loop(asyncio.new_event_loop())


def result_too_large() -> str:
    return "x" * (7 * 1024 * 1024)


def prints_without_end() -> None:
    line = "y" * 9_999
    for _ in range(10_000):
        print(line)


def sleeps_past_timeout() -> None:
    print("asleep")
    time.sleep(30)


def spins_past_timeout() -> None:
    while True:
        pass


def signals_ignored() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def collector_off() -> None:
    gc.disable()
    gc.freeze()


def trace_set() -> None:
    sys.settrace(lambda *arguments: None)
    sys.setrecursionlimit(150)


def fork_runs_on() -> None:
    if os.fork() == 0:
        return  # the child has no invocation to answer
    os.wait()


def fork_raises() -> None:
    if os.fork() == 0:
        raise ValueError("in the child")
    os.wait()


def sockets_closed() -> None:
    for number in range(3, 64):
        try:
            os.close(number)
        except OSError:
            continue


def main_module_deleted() -> None:
    del sys.modules["__main__"]


def odd_line_table() -> None:
    def fail() -> None:
        raise ValueError("no lines")

    fail.__code__ = fail.__code__.replace(co_linetable=b"")
    fail()


def odd_file_name() -> None:
    def fail() -> None:
        raise ValueError("no file")

    fail.__code__ = fail.__code__.replace(co_filename="a\0b")
    fail()


def damaged_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            os.open("/dev/null", os.O_RDONLY)
    except OSError:
        raise ValueError("full") from None


def _refuse(*arguments: Any, **named: Any) -> Any:
    raise RuntimeError("refused")


def damaged_import() -> None:
    builtins.__import__ = _refuse
    raise ValueError("no imports")


def damaged_modules() -> None:
    sys.modules.clear()
    raise ValueError("no modules")


class Environ(dict[str, str]):
    get = __getitem__ = __setitem__ = __delitem__ = __contains__ = _refuse


def damaged_environ() -> None:
    os.environ = Environ()  # type: ignore[assignment]  # noqa: B003
    raise ValueError("no variables")


HOSTILE: dict[str, Callable[[], Any]] = {
    "base-exception": _raiser(lambda: Own("own")),
    "keyboard-interrupt": _raiser(lambda: KeyboardInterrupt("by hand")),
    "generator-exit": _raiser(lambda: GeneratorExit("early")),
    "cancelled": _raiser(lambda: asyncio.CancelledError("task")),
    "base-group": _raiser(lambda: BaseExceptionGroup("both", [KeyboardInterrupt(), Own("b")])),
    "exit": _raiser(lambda: SystemExit()),
    "exit-zero": _raiser(lambda: SystemExit(0)),
    "exit-three": _raiser(lambda: SystemExit(3)),
    "exit-message": _raiser(lambda: SystemExit("with a message")),
    "memory-error": _raiser(lambda: MemoryError("raised")),
    "no-str": _raiser(lambda: NoStr()),
    "exiting-str": _raiser(lambda: ExitingStr()),
    "not-a-string": _raiser(lambda: NotAString()),
    "odd-class": _raiser(lambda: OddClass("odd")),
    "odd-cause": _raiser(lambda: OddCause("odd")),
    "odd-attributes": _raiser(lambda: OddAttributes("odd")),
    "odd-name": _raiser(lambda: OddName("odd")),
} | {
    function.__name__.replace("_", "-"): function
    for function in (
        odd_line_table, odd_file_name, damaged_descriptors, damaged_import, damaged_modules,
        damaged_environ, recursion_endless, memory_exhausted, exit_at_once, killed, terminated,
        exit_with_atexit,
        stdout_descriptor_closed, stdout_closed, both_descriptors_closed, stdin_closed,
        stdout_replaced, stdout_none, stdout_logs, stdout_bytes_error, stdout_bytes_record,
        stdout_broken, stdout_broken_record, stdout_kept_records, exit_beside_thread,
        exit_with_endless_atexit, folder_changed, folder_removed, environment_cleared,
        path_changed, modules_removed, threads_left, thread_busy, processes_left, loop_left,
        result_too_large, prints_without_end, sleeps_past_timeout, spins_past_timeout,
        signals_ignored, collector_off, trace_set, fork_runs_on, fork_raises, sockets_closed,
        main_module_deleted,
    )
}  # fmt: skip


def handler(event: Any, context: Any) -> Any:
    """The normal invocation says how many this process had before: 0 means that it is new."""
    global _invocations
    _invocations += 1
    if event == "alive":
        print("alive")
        return {"before": _invocations - 1}
    return HOSTILE[event]()
