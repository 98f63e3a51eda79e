"""Interruptions that the interpreter drops: they come again, and nobody reads of them."""

import subprocess
import sys
import time

import pytest

from support.paths import ROOT
from support.process import run_function
from support.runtime_api import Counted

_PLACES = {
    "finalizer": """
class Dropped:
    def __del__(self): strike()
def place(): Dropped()
""",
    "weak reference": """
import weakref
class Referred: pass
def place():
    referred = Referred()
    reference = weakref.ref(referred, lambda _: strike())
    del referred
""",
    # As importlib is about to forget the lock of a module that it has loaded.
    "import": """
class Calls:
    def __getattr__(self, name): return getattr(_imp, name)
    def acquire_lock(self):
        if sys._getframe(1).f_code.co_name == "cb" and not struck: strike()
        _imp.acquire_lock()
def place():
    import _frozen_importlib
    _frozen_importlib._imp = Calls()
    import colorsys
""",
}
_CODE = """
import _imp, atexit, os, signal, sys, time
import lambda_runtime
struck = []
def work(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: time.sleep(0.001)
def strike():
    struck.append(True)
    STRIKE
    work(1)
def tell(where):
    try:
        place()
        work(20)
    finally:
        print(where, type(sys.exception() if hasattr(sys, "exception") else
                          sys.exc_info()[1]).__name__)
"""
_HOOK = """
@lambda_runtime.on_shutdown
def hook(): print("hook")
def handler(event, context): tell("handler:")
"""


def _code(place: str, strike: str, code: str) -> str:
    return _CODE.replace("STRIKE", strike) + _PLACES[place] + code


def _run(place: str, strike: str, code: str) -> Counted:
    outcome = Counted(_code(place, strike, code), seconds=15)
    assert outcome.ended_by_itself
    assert "Exception ignored" not in outcome.stderr
    return outcome


@pytest.mark.parametrize("place", _PLACES)
def test_sigterm(place: str) -> None:
    outcome = _run(place, "os.kill(os.getpid(), signal.SIGTERM)", _HOOK)
    # The handler ends in good order, and does not stop somewhere in the middle.
    assert outcome.stdout.splitlines()[-2:] == ["handler: Terminated", "hook"]
    assert outcome.status == 0


def test_finalizers_without_end() -> None:
    code = """
import threading
class Again:
    def __del__(self): work(1)
def tell(where):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    while True: Again()
"""
    outcome = _run("finalizer", "pass", code + _HOOK)
    assert outcome.stdout.splitlines()[-1] == "hook"


@pytest.mark.parametrize("place", _PLACES)
def test_the_end_of_the_shutdown_window(place: str) -> None:
    code = """
@lambda_runtime.on_shutdown
def last(): print("last")
@lambda_runtime.on_shutdown
def hook(): tell("hook:")
def handler(event, context): sys.exit(3)
"""
    outcome = _run(place, "work(20)", code)
    assert "hook: TimeoutError" in outcome.stdout
    assert "[ERROR] TimeoutError: the shutdown window is over" in outcome.stdout
    assert outcome.status == 3


@pytest.mark.parametrize("place", _PLACES)
def test_a_deadline(place: str) -> None:
    outcome = run_function(
        _code(place, "work(20)", "def handler(event, context): tell('handler:')"),
        headers={"Lambda-Runtime-Deadline-Ms": str(int((time.time() + 2) * 1000))},
        environment={"LAMBDA_RUNTIME_TIMEOUT": "raise", "LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "1000"},
    )
    assert "Exception ignored" not in outcome.stderr
    assert "handler: DeadlineExceeded" in outcome.stdout
    assert outcome.answer["errorType"] == "DeadlineExceeded"  # type: ignore[index]


def test_what_is_not_the_runtimes_is_printed_as_usual() -> None:
    code = """
def tell(where): place()
def hooked(dropped): print("own hook:", dropped.exc_value)
"""
    for own in ("", "sys.unraisablehook = hooked\n", "sys.unraisablehook = None\n"):
        whole = _code("finalizer", "raise ValueError('own')", code) + own + _HOOK
        outcome = Counted(whole)
        assert "id-1" in outcome.answers
        said = outcome.stdout if "hooked" in own else outcome.stderr
        assert ("own hook: own" if "hooked" in own else "ValueError: own") in said


_OF_A_HANDLER = """
import _imp, sys
from lambda_runtime.ground import trusted
class Calls:
    def __getattr__(self, name): return getattr(_imp, name)
    def acquire_lock(self):
        if sys._getframe(1).f_code.co_name == "cb": sys.exit(7)
        _imp.acquire_lock()
import _frozen_importlib
hooks = []
sys.unraisablehook = hooks.append
_frozen_importlib._imp = Calls()
try:
    trusted.load("tabnanny")
finally:
    _frozen_importlib._imp = _imp
    assert sys.unraisablehook == hooks.append and not hooks
    assert trusted.load("tabnanny").__name__ == "tabnanny"
"""


def test_what_a_handler_of_the_function_raises_while_the_runtime_loads_a_module() -> None:
    environment = {"PYTHONPATH": str(ROOT / "runtime")}
    done = subprocess.run(
        [sys.executable, "-S", "-c", _OF_A_HANDLER], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (7, "")
