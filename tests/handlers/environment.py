"""What a function finds around itself."""

import asyncio
import builtins
import gc
import locale
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_thread_of_import = threading.current_thread()
_trace_at_import = os.environ.get("_X_AMZN_TRACE_ID", "absent")


def _stream_facts(stream: Any) -> dict[str, Any]:
    return {
        "fileno": stream.fileno(),
        "isatty": stream.isatty(),
        "writable": stream.writable(),
        "encoding": stream.encoding,
        "buffer": hasattr(stream, "buffer"),
        "name": stream.name,
    }


def _variables() -> Any:
    # The address, the tokens and the folder of the runtime differ by nature; see "named" for them.
    names = {"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN"}
    names |= {"LAMBDA_RUNTIME_DIR", "PYTHONPATH"}
    return {name: value for name, value in sorted(os.environ.items()) if name not in names}


def _named() -> Any:
    return sorted(os.environ)


def _folder() -> Any:
    return os.getcwd()


def _task_root() -> Any:
    return [os.environ["LAMBDA_TASK_ROOT"] == os.getcwd(), sys.path[0] == os.getcwd()]


def _trace() -> Any:
    return [_trace_at_import, os.environ.get("_X_AMZN_TRACE_ID", "absent")]


def _thread() -> Any:
    current = threading.current_thread()
    return [current is threading.main_thread(), current is _thread_of_import, current.name]


def _loop() -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(asyncio.sleep(0, "no loop, one can be run"))
    return "a loop is running"


def _signals() -> Any:
    names = ("SIGTERM", "SIGINT", "SIGALRM", "SIGPIPE", "SIGCHLD")
    return {name: str(signal.getsignal(getattr(signal, name))) for name in names}


def _alarm() -> Any:
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(0.05)
    signal.signal(signal.SIGALRM, before)
    return [int(number) for number in seen]


def _output() -> Any:
    return _stream_facts(sys.stdout)


def _error_output() -> Any:
    return _stream_facts(sys.stderr)


def _input() -> Any:
    return [sys.stdin.read(), sys.stdin.isatty()]


def _time_zone() -> Any:
    return [time.tzname[0], time.localtime(0).tm_hour, time.timezone]


def _locale() -> Any:
    return [sys.getfilesystemencoding(), locale.getpreferredencoding(False), sys.flags.utf8_mode]


def _interpreter() -> Any:
    return {
        "version": list(sys.version_info),
        "gc": gc.isenabled(),
        "thresholds": list(gc.get_threshold()),
        "recursion": sys.getrecursionlimit(),
        "optimize": sys.flags.optimize,
        "exit": [hasattr(builtins, name) for name in ("exit", "quit")],
        "hooks": [sys.excepthook is sys.__excepthook__, sys.gettrace()],
    }


def _interactive_names() -> Any:
    return [hasattr(builtins, name) for name in ("copyright", "credits", "license", "help")]


def _module() -> Any:
    return [handler.__module__, handler.__qualname__, sys.modules[__name__].__name__]


def _bytecode() -> Any:
    return sys.dont_write_bytecode


def _installed() -> Any:
    import httpx

    return httpx.__name__


def _metadata() -> Any:
    from importlib import metadata

    return metadata.version("h11")


FACTS: dict[str, Callable[[], Any]] = {
    function.__name__[1:].replace("_", "-"): function
    for function in (
        _variables, _named, _folder, _task_root, _trace, _thread, _loop, _signals, _alarm, _output,
        _error_output, _input, _time_zone, _locale, _interpreter, _interactive_names, _module,
        _bytecode, _installed, _metadata,
    )
}  # fmt: skip


def handler(event: Any, context: Any) -> Any:
    return FACTS[event]()
