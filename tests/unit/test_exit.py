"""How the process ends: in good order, and soon, whatever is in the way."""

import signal
import time

import pytest

from support.runtime_api import Counted

_HEAD = """
import atexit, concurrent.futures, os, signal, sys, threading, time
def spam():
    while True: print("x" * 99)
def hang(): time.sleep(60)
def late(): time.sleep(0.1); print("thread is over")
"""

_LONGEST = 15.0
"""Seconds: far less than what hangs in these functions, far more than a busy machine takes."""


def _run(body: str, *, at_import: bool = False) -> Counted:
    lines = body.strip().splitlines()
    if at_import:
        code = "\n".join([_HEAD, *lines, "def handler(event, context): pass"])
    else:
        code = "\n".join(
            [_HEAD, "def handler(event, context):", *(f"    {line}" for line in lines)]
        )
    start = time.monotonic()
    outcome = Counted(code, [b"0"], seconds=_LONGEST)
    assert time.monotonic() - start < _LONGEST
    assert outcome.ended_by_itself
    return outcome


@pytest.mark.parametrize(
    "hanging",
    [
        "threading.Thread(target=hang).start()",
        "atexit.register(hang)",
        "threading.Thread(target=hang).start(); atexit.register(hang)",
        "concurrent.futures.ThreadPoolExecutor().submit(hang)",
        "threading.Thread(target=spam, daemon=True).start()",
        "threading.Thread(target=spam).start()",
        "import lambda_runtime; lambda_runtime.on_shutdown(hang)",
        "signal.signal(signal.SIGALRM, print); atexit.register(hang)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); atexit.register(hang)",
        "atexit.register(lambda: [time.sleep(0.01) for _ in iter(int, 1)])",
    ],
)
@pytest.mark.parametrize("at_import", [False, True])
def test_what_hangs_does_not_keep_the_process(hanging: str, at_import: bool) -> None:
    outcome = _run(f"print('before')\n{hanging}\nsys.exit(3)", at_import=at_import)
    assert outcome.status == 3
    assert "before\n" in outcome.stdout
    assert "Fatal Python error" not in outcome.stderr
    assert set(outcome.answers) == (set() if at_import else {"id-1"})


def test_the_order_is_the_interpreters_where_nothing_hangs() -> None:
    outcome = _run(
        """
        import lambda_runtime
        lambda_runtime.on_shutdown(lambda: print("hook"))
        atexit.register(print, "first registered")
        atexit.register(print, "last registered")
        threading.Thread(target=late).start()
        sys.exit("what it says")
        """.replace("        ", "")
    )
    ends = outcome.stdout.splitlines()[-4:]
    assert ends == ["hook", "thread is over", "last registered", "first registered"]
    assert outcome.stderr.endswith("what it says\n")
    assert outcome.status == 1


def test_atexit_has_its_turn_beside_a_thread_that_lives_on() -> None:
    outcome = _run(
        "threading.Thread(target=hang).start()\natexit.register(print, 'atexit')\nsys.exit()"
    )
    assert outcome.stdout.endswith("atexit\n")
    assert outcome.status == 0


def test_executors_do_what_they_were_given() -> None:
    outcome = _run("concurrent.futures.ThreadPoolExecutor().submit(late)\nsys.exit(4)")
    assert "thread is over\n" in outcome.stdout
    assert outcome.status == 4


@pytest.mark.parametrize(
    "raising",
    ["raise ValueError('in atexit')", "sys.exit(9)", "raise KeyboardInterrupt", "os.close(1)"],
)
def test_an_atexit_function_that_fails(raising: str) -> None:
    outcome = _run(
        "atexit.register(print, 'other')\n"
        f"def fail(): {raising}\n"
        "atexit.register(fail)\n"
        "sys.exit(6)"
    )
    assert outcome.status == 6
    assert "other" in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("code", "status"),
    [("", 0), ("None", 0), ("True", 1), ("0", 0), ("255", 255), ("256", 0), ("-1", 255),
     ("'text'", 1), ("[]", 1), ("object()", 1)],
)  # fmt: skip
def test_exit_codes(code: str, status: int) -> None:
    assert _run(f"sys.exit({code})").status == status


def test_broken_streams_and_hooks_at_the_end() -> None:
    outcome = _run(
        """
class Odd:
    def __str__(self): raise ValueError
    def write(self, text): raise SystemExit(8)
    def flush(self): raise KeyboardInterrupt
sys.stdout = sys.stderr = Odd()
sys.excepthook = None
sys.exit(Odd())
        """
    )
    assert outcome.status == 1


@pytest.mark.parametrize(
    "hanging", ["threading.Thread(target=hang).start()", "atexit.register(hang)", "hang()"]
)
def test_after_sigterm(hanging: str) -> None:
    outcome = _run(
        "import lambda_runtime\n"
        "lambda_runtime.on_shutdown(lambda: print('hook'))\n"
        f"os.kill(os.getpid(), {signal.SIGTERM:d}) if event is None else None\n"
        f"threading.Timer(0.2, os.kill, (os.getpid(), {signal.SIGTERM:d})).start()\n"
        f"{hanging}\n"
        "time.sleep(60)"
    )
    assert outcome.status == 0


def test_an_async_handler_that_exits_closes_its_generators() -> None:
    outcome = Counted(
        """
import asyncio, sys
async def numbers():
    try:
        while True: yield 1
    finally:
        print("closed")
async def handler(event, context):
    global kept
    kept = numbers()
    await anext(kept)
    sys.exit(3)
"""
    )
    assert outcome.status == 3
    assert outcome.stdout.endswith("closed\n")
    assert "ignored" not in outcome.stderr
