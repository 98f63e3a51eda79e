"""Reads the code blocks of the documentation, and gives its commands a terminal to run in."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.paths import ROOT
from support.waiting import wait_until

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
_ANY_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_NAMED_BLOCK = re.compile(r"^```(\S+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECONDS = 60


@dataclass(frozen=True)
class Block:
    """A code block: its page, its place among the page's blocks, its language and its text."""

    page: str
    number: int
    language: str
    text: str


def blocks(page: str) -> dict[str, list[str]]:
    """The code blocks of docs/PAGE, by the name after their language."""
    found: dict[str, list[str]] = {}
    for _, name, text in _NAMED_BLOCK.findall((ROOT / "docs" / page).read_text()):
        found.setdefault(name, []).append(text)
    return found


def blocks_of(*languages: str) -> list[Block]:
    """The blocks of these languages on all pages; of every language if none is named."""
    found: list[Block] = []
    for page in PAGES:
        for number, (indent, language, text) in enumerate(_ANY_BLOCK.findall(page.read_text()), 1):
            if language in languages or not languages:
                plain = "\n".join(line.removeprefix(indent) for line in text.splitlines()) + "\n"
                found.append(Block(page.name, number, language, plain))
    return found


def block(page: str, words: str) -> str:
    """The text of the one block of the page that has these words."""
    (found,) = (each for each in blocks_of() if each.page == page and words in each.text)
    return found.text


class Printed(list[str]):
    """The lines that a command has printed so far; ``whole`` once there will be no more."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__()
        self.process = process
        self.whole = False

    def follow(self) -> None:
        """Take lines until the command and its children have closed their output."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.append(line.rstrip("\n"))
        self.whole = True

    def have(self, words: str) -> bool:
        """Whether a line has these words."""
        return any(words in line for line in self)


class Terminal:
    """A reader's terminal: the pages' commands on PATH, and free ports for those of the pages.

    `pip install` of this project is played: its packages are those of this environment. What
    `make emulator` and `docker` do is handed on to the emulator and to a stand-in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: _free_port() for port in ("9000", "9001", "5000", "5678")}
        self.url, self.function_url = (
            f"http://127.0.0.1:{self.ports[p]}" for p in ("9000", "9001")
        )
        programs = folder / ".programs"
        programs.mkdir()
        for name, script in self._commands().items():
            (programs / name).write_text(f"#!/bin/bash\n{script}\n")
            (programs / name).chmod(0o755)
        bare = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = bare | {
            "HOME": str(folder),
            "PATH": path,
            "NO_PROXY": "127.0.0.1",
            "AWS_ENDPOINT_URL_LAMBDA": self.url,
            "PYTHONFAULTHANDLER": "1",  # `wait_for` asks a command that hangs for its stack
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        }

    def _commands(self) -> dict[str, str]:
        python, api, url = sys.executable, self.ports["9000"], self.ports["9001"]
        emulator = f'PYTHONPATH={ROOT}/emulator exec {python} -m lambda_emulator "$@"'
        return {
            "pip": f'case " $* " in *" --target "*) exec {python} -m pip "$@";; esac',
            "lambda-runtime": f'PYTHONPATH={ROOT}/runtime exec {python} -m lambda_runtime "$@"',
            "lambda-emulator": (
                'case "$1" in\n'
                f"invoke|logs|events|doctor) {emulator};;\n"
                f"serve|up) {emulator} --port {api};;\n"
                f"*) {emulator} --port {api} --url-port {url};;\nesac"
            ),
            # "make emulator ARGS=…", in the checkout.
            "make": (
                '[ "$1" = emulator ] || exit 2\n'
                f'cd {ROOT} && eval exec lambda-emulator "${{2#ARGS=}}"'
            ),
        }

    def put(self, **files: str) -> None:
        """Write files: app="…" is app.py, event="…" event.json."""
        for name, text in files.items():
            (self.folder / f"{name}.{'json' if text.startswith('{') else 'py'}").write_text(text)

    def _script(self, text: str) -> list[str]:
        for port, free in self.ports.items():
            text = re.sub(rf"\b{port}\b", str(free), text)
        return ["bash", "-euc", text]

    def run(self, text: str, **variables: str) -> str:
        """Run the block to its end, and return what it printed. It must succeed."""
        done = subprocess.run(
            self._script(text),
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def running(self, text: str, **variables: str) -> Iterator[Printed]:
        """Run a block whose last command goes on until Ctrl-C; yield the lines that it prints."""
        process = subprocess.Popen(
            self._script(text),
            cwd=self.folder,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        lines = Printed(process)
        reader = threading.Thread(target=lines.follow)
        reader.start()
        try:
            yield lines
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(20)
            reader.join(20)

    def wait_for(self, lines: Printed, words: str) -> None:
        """Wait until a line with these words has been printed.

        Raises AssertionError, which says how the command has ended, or where it hangs.
        """
        with contextlib.suppress(AssertionError):
            wait_until(lambda: lines.have(words) or lines.whole, seconds=_SECONDS)
        if lines.have(words):
            return
        hangs = not lines.whole
        if hangs:
            os.killpg(lines.process.pid, signal.SIGABRT)
        code = lines.process.wait(20)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: lines.whole)
        raise AssertionError(
            f"{words!r} has not come; {'it hangs' if hangs else f'exit code {code}'}: {lines}"
        )

    def wait_for_port(self, port: str) -> None:
        """Wait until something listens on what stands for this port of the pages."""
        wait_until(lambda: _listens(self.ports[port]), f"port {port}", _SECONDS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
