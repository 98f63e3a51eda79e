"""`lambda-emulator dev`: code that is reloaded when it is saved, debuggers, and a clean end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lambda_emulator.project import watching
from support.debugger import attach, free_port
from support.paths import ROOT
from support.waiting import wait_until


class Developer:
    """A running `lambda-emulator`, and what it has printed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.printed: list[str] = []
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "emulator"), "TMPDIR": str(folder)}
        ports = ["--port", "0", "--url-port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lambda_emulator", *arguments, *ports],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.printed.extend(self.process.stdout)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has printed the text so many times."""
        wait_until(lambda: "".join(self.printed).count(text) >= times, f"no {text!r}", seconds=30)

    def invoke(self, event: object = None) -> Any:
        """Invoke the function; its answer, decoded."""
        self.wait_for("invoke: ")
        line = next(line for line in self.printed if line.startswith("invoke: "))
        url = f"{line.split()[1]}/2015-03-31/functions/function/invocations"
        return httpx.post(url, json=event, timeout=30).json()

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it; the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(20)
        self._reader.join(20)
        return status


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Developer]]:
    """Starts `lambda-emulator` in a folder; nothing of it is left after the test."""
    started: list[Developer] = []

    def begin(*arguments: str) -> Developer:
        developer = Developer(tmp_path, *arguments)
        started.append(developer)
        return developer

    yield begin
    for developer in started:
        developer.process.kill()
        developer.process.wait()


def save(folder: Path, body: str) -> None:
    """Save a handler as an editor does: into another file that takes the old one's place."""
    (folder / "app.py.new").write_text(f"def handler(event, context):\n    {body}\n")
    (folder / "app.py.new").replace(folder / "app.py")


def test_a_save_is_a_reload(tmp_path: Path, start: Callable[..., Developer]) -> None:
    save(tmp_path, "return 1")
    developer = start("dev", "app.handler")
    assert developer.invoke() == 1
    # Of the same size and within a second: byte-code of before would be taken for current.
    for number in range(2, 6):
        save(tmp_path, f"return {number}")
        developer.wait_for("reloaded in ", number - 1)
        assert developer.invoke() == number
    save(tmp_path, "return (")
    developer.wait_for("lambda-emulator: the function cannot be initialised: see above")
    assert developer.invoke()["errorType"] == "Runtime.UserCodeSyntaxError"
    save(tmp_path, "return 6")
    developer.wait_for("reloaded in ", 5)
    assert developer.invoke() == 6
    assert developer.stop() == 0


def test_it_starts_with_code_that_is_broken(
    tmp_path: Path, start: Callable[..., Developer]
) -> None:
    save(tmp_path, "return (")
    developer = start("dev", "app.handler")
    developer.wait_for("the function cannot be initialised: see above")
    save(tmp_path, "return 1")
    developer.wait_for("reloaded in ")
    assert developer.invoke() == 1


def test_variables_are_read_again(tmp_path: Path, start: Callable[..., Developer]) -> None:
    (tmp_path / ".env").write_text("A=1\n")
    save(tmp_path, "import os; return os.environ['A']")
    developer = start("dev", "app.handler", "--env-file", ".env")
    assert developer.invoke() == "1"
    (tmp_path / ".env").write_text("nonsense\n")
    developer.wait_for("not reloaded: --env-file .env, line 1: 'nonsense' is not NAME=VALUE")
    (tmp_path / ".env").write_text("A=2\n")
    developer.wait_for("reloaded in ")
    assert developer.invoke() == "2"


@pytest.mark.parametrize(
    ("name", "watched"),
    [
        ("app.py", True),
        ("package/templates/page.html", True),
        ("requirements.txt", True),
        ("log.txt", False),
        ("notes.md", True),
        ("__pycache__/app.py", False),
        (".venv/lib/x.py", False),
        ("../other.py", False),
    ],
)
def test_what_is_watched(tmp_path: Path, name: str, watched: bool) -> None:
    path = Path(os.path.normpath(tmp_path / name))
    assert watching.is_watched(path, tmp_path, (*watching.WATCHED, "*.md")) is watched


def test_breakpoint_says_how_to(tmp_path: Path, start: Callable[..., Developer]) -> None:
    save(tmp_path, "breakpoint()")
    answer = start("dev", "app.handler").invoke()
    assert "lambda-emulator dev HANDLER --debug" in answer["errorMessage"]
    assert "app.py" in answer["stackTrace"][0]


def test_debug(tmp_path: Path, start: Callable[..., Developer]) -> None:
    save(tmp_path, "answer = event + 1\n    return answer")
    port = free_port()
    developer = start("dev", "app.handler", "--debug", str(port), "--timeout", "0.5")
    debugger = attach(port, tmp_path / "app.py", [3])
    answers: list[Any] = []
    call = threading.Thread(target=lambda: answers.append(developer.invoke(41)))
    call.start()
    thread = debugger.wait_for(event="stopped")["body"]["threadId"]
    debugger.send("stackTrace", threadId=thread)
    frame = debugger.wait_for(command="stackTrace")["body"]["stackFrames"][0]
    assert (frame["name"], frame["line"]) == ("handler", 3)
    call.join(1)  # longer than its timeout, which is suspended
    assert answers == []
    debugger.send("continue", threadId=thread)
    call.join(30)
    assert answers == [42]
    assert "PYDEV" not in "".join(developer.printed)
    assert developer.stop() == 0


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, []),
        (signal.SIGINT, ["--max-concurrency", "2"]),
        (signal.SIGTERM, ["--snap-start"]),
        (signal.SIGHUP, ["--freeze"]),
    ],
)
def test_nothing_is_left(
    tmp_path: Path, start: Callable[..., Developer], number: int, options: list[str]
) -> None:
    save(tmp_path, "import subprocess; return subprocess.Popen(['sleep', '1000']).pid")
    developer = start("dev", "app.handler", *options)
    pid = developer.invoke()
    assert developer.stop(number) == 0
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or is_zombie(pid))
    assert {path.name for path in tmp_path.iterdir()} == {"app.py", "__pycache__"}


def is_zombie(pid: int) -> bool:
    """Whether it has ended, and only its parent does not know yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_ends_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    save(tmp_path, "return 1")
    command = [sys.executable, "-m", "lambda_emulator", "--port", "0", "--url-port", "0"]
    process = subprocess.Popen(
        [*command, "app.handler"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "emulator")},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        endpoint = process.stdout.readline().split()[1]
        while process.stdout.readline().strip() != "":
            pass
        process.stdout.close()
        url = f"{endpoint}/2015-03-31/functions/function/invocations"
        with contextlib.suppress(httpx.TransportError):  # it may have noticed already
            httpx.post(url, json=1, timeout=30)
        assert process.wait(20) in (0, 1)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
