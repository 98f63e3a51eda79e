"""Environment variables: one that gets a new value with every invocation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_runtime.ground import settings
from lambda_runtime.ground.env_buffer import EnvBuffer
from lambda_runtime.runtime_api import core

NAME = settings.TRACE_ID


@pytest.fixture(autouse=True, params=["python", "core"])
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(settings, "_trace_ids", 0)
    monkeypatch.setattr(settings, "_put_reused", None)
    library = core.load() if request.param == "core" else None
    monkeypatch.setattr(settings, "put_in_place", library and library.Core().put_trace_id)
    yield
    os.environ.pop(NAME, None)


def in_child() -> str:
    code = f"import os; print(ascii(os.environ.get({NAME!r})))"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def have_put_many() -> None:
    for number in range(settings._AFTER_PUTS):
        settings.put_trace_id(f"{number:0100}")


@pytest.mark.parametrize("many", [False, True])
def test_a_value_is_seen_here_and_in_children(many: bool) -> None:
    if many:
        have_put_many()
    assert bool(settings._put_reused) == (many and settings.put_in_place is None)
    for value in ("Root=1-2;Sampled=1", "", "grüße \udce9", "x" * 10_000, "short"):
        settings.put_trace_id(value)
        assert settings.get(NAME) == os.environ[NAME] == value
        assert in_child() == ascii(value)


def test_what_others_do_with_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    have_put_many()
    settings.put_trace_id("first")
    os.environ[NAME] = "their own"
    assert in_child() == "'their own'"
    settings.put_trace_id("second")
    assert in_child() == "'second'"
    assert settings.remove(NAME) == "second"
    assert in_child() == "None"
    settings.put_trace_id("third")
    assert in_child() == "'third'"
    monkeypatch.setattr(os, "environ", {})
    settings.put_trace_id("fourth")
    assert os.environ == {NAME: "fourth"}


def test_what_others_do_behind_the_interpreters_back() -> None:
    have_put_many()
    settings.put_trace_id("first")
    os.unsetenv(NAME)
    settings.put_trace_id("second")
    assert in_child() == "'second'"
    os.putenv(NAME, "their own")
    settings.put_trace_id("third")
    assert in_child() == "'third'"
    for number in range(100):  # the C library's table moves as it grows
        os.putenv(f"GROWS_{number}", "1")
    settings.put_trace_id("fourth")
    assert in_child() == "'fourth'"
    for number in range(100):
        os.unsetenv(f"GROWS_{number}")
    settings.put_trace_id("fifth")
    assert in_child() == "'fifth'"


_BESIDE = """
import os, sys, threading
from lambda_runtime.ground.env_buffer import EnvBuffer

def unset():
    while going:
        os.unsetenv("TRACE")

sys.setswitchinterval(1e-6)
going, buffer = True, EnvBuffer("TRACE")
thread = threading.Thread(target=unset)
thread.start()
for number in range(5000):
    buffer.put(str(number))
going = False
thread.join()
buffer.put("last")
print(os.popen("echo $TRACE").read())
"""


def test_a_thread_that_unsets_the_variable_meanwhile() -> None:
    """It may do so before the line's place is found, which a search beyond the table would miss."""
    path = {"PYTHONPATH": str(Path(settings.__file__).parents[2])}
    command = [sys.executable, "-c", _BESIDE]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | path)
    assert (done.returncode, done.stdout.strip()) == (0, "last"), done.stderr


def test_an_interpreter_without_ctypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lambda_runtime.ground.env_buffer", None)
    have_put_many()
    assert settings._put_reused is None
    for value in ("first", "second"):
        settings.put_trace_id(value)
        assert in_child() == f"'{value}'"


def test_a_character_that_ends_the_line_is_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        EnvBuffer(NAME).put("a\0b")


def test_values_do_not_pile_up() -> None:
    def resident_kb() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024

    have_put_many()
    before = resident_kb()
    for number in range(50_000):
        settings.put_trace_id(f"{number:0100}")
    assert resident_kb() - before < 512  # it would be 10 000 and more
