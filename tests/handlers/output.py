"""Output of every kind that a function may write."""

import multiprocessing
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

print("printed at import")


def _print() -> None:
    print("one", 2, None)
    print()
    print("grüße 世界 🚀")


def _no_newline() -> None:
    print("no newline at the end", end="")


def _error_stream() -> None:
    print("to stderr", file=sys.stderr)


def _error_stream_no_newline() -> None:
    sys.stderr.write("stderr without newline")


def _interleaved() -> None:
    for number in range(3):
        print(f"out {number}")
        print(f"err {number}", file=sys.stderr)


def _interleaved_within_a_line() -> None:
    print("begun, ", end="")
    print("to stderr", file=sys.stderr)
    print("ended")


def _raises_after_print() -> None:
    print("before the error, without newline", end="")
    raise ValueError("after output")


def _writelines() -> None:
    sys.stdout.writelines(["a\n", "b\n", "c"])


def _binary() -> None:
    sys.stdout.buffer.write(b"bytes \xc3\xa9\n")
    sys.stdout.buffer.flush()
    os.write(1, b"to the descriptor\n")


def _original_stream() -> None:
    assert sys.__stdout__ is not None
    sys.__stdout__.write("to the original stream\n")


def _surrogate() -> None:
    print("lone \udc80 surrogate")


def _child_process() -> None:
    print("before the child")
    subprocess.run([sys.executable, "-S", "-c", "print('from the child')"], check=True)
    print("after the child")


def _fork() -> None:
    process = multiprocessing.get_context("fork").Process(target=print, args=("from the fork",))
    process.start()
    process.join(5)
    print("exit code", process.exitcode)


def _spawn() -> None:
    process = multiprocessing.get_context("spawn").Process(target=shout, args=("spawn",))
    process.start()
    process.join(5)
    print("exit code", process.exitcode)


def shout(text: str) -> None:
    print(text.upper(), flush=True)


def _thread() -> None:
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()


def _thread_raises() -> None:
    thread = threading.Thread(target=shout, args=(None,), name="worker")
    thread.start()
    thread.join()


def _traceback() -> None:
    try:
        raise ValueError("shown by the handler")
    except ValueError:
        traceback.print_exc()


def _long_line() -> None:
    print("x" * 300_000)


def _many_lines() -> None:
    for number in range(5_000):
        print(f"line {number}")


def _escapes() -> None:
    print("tab\tbell\x07 nul\x00 return\rcontinued")


def _raw_request_lines() -> None:
    print("[ERROR] not an error")
    print("RequestId: 0 Error: only text")


OUTPUT: dict[str, Callable[[], None]] = {
    function.__name__[1:].replace("_", "-"): function
    for function in (
        _print, _no_newline, _error_stream, _error_stream_no_newline, _interleaved,
        _interleaved_within_a_line, _raises_after_print, _writelines, _binary, _original_stream,
        _surrogate, _child_process, _fork, _spawn, _thread, _thread_raises, _traceback, _long_line,
        _many_lines, _escapes, _raw_request_lines,
    )
}  # fmt: skip


def handler(event: Any, context: Any) -> None:
    OUTPUT[event]()
