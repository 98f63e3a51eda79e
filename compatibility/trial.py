"""Tries one library: an environment with its newest version, two invocations on each runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compatibility.collector import collecting
from compatibility.libraries import Library, filled
from lambda_emulator.threaded import ThreadedEmulator

ROOT = Path(__file__).resolve().parent.parent
RUNTIMES = ("lambda_runtime", "awslambdaric")
WORKS = "works"
_TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
_INSTALL_SECONDS = 400


class TrialError(Exception):
    """The library cannot be tried here: why, in one line."""


@dataclass(frozen=True)
class Outcome:
    """What became of one library, by runtime: `works`, or what was missing."""

    library: Library
    version: str
    results: dict[str, str]


def attempt(library: Library, work: Path, python: str = sys.executable) -> Outcome:
    """Install a library below `work` and try it on both runtimes.

    Raises:
        TrialError: it cannot be installed.
    """
    folder = work / library.key
    shutil.rmtree(folder, ignore_errors=True)
    environment = install(["awslambdaric", *library.packages], folder / "venv", python)
    task = _write_task(library, folder / "task", environment.parent)
    commands = {
        "lambda_runtime": [str(environment), "-S", str(ROOT / "bootstrap")],
        "awslambdaric": [str(environment), "-m", "awslambdaric"],
    }
    results = {name: _run(library, task, commands[name]) for name in RUNTIMES}
    return Outcome(library, _version(library, environment), results)


def install(packages: Sequence[str], folder: Path, python: str = sys.executable) -> Path:
    """Make an environment with these packages; its interpreter.

    Raises:
        TrialError: it cannot be made.
    """
    uv = [sys.executable, "-m", "uv"]
    _checked([*uv, "venv", "--quiet", "--python", python, str(folder)])
    program = folder / "bin/python"
    _checked([*uv, "pip", "install", "--quiet", "--python", str(program), *packages])
    return program


def _checked(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise TrialError(f"not installed after {_INSTALL_SECONDS} seconds") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise TrialError(f"cannot be installed: {lines[-1] if lines else 'no message'}")
    return done.stdout


def _version(library: Library, python: Path) -> str:
    name = library.packages[0].partition("[")[0]
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return f"{name} {_checked([str(python), '-c', code]).strip()}"


def _write_task(library: Library, task: Path, programs: Path) -> Path:
    task.mkdir(parents=True)
    (task / "app.py").write_text(library.code)
    for name, text in library.files.items():
        places = {"task": str(task), "bin": str(programs)}
        (task / name).write_text(filled(text.lstrip("\n"), places))
        (task / name).chmod(0o755)
    return task


def _wrapper(environment: dict[str, str], command: list[str]) -> list[str]:
    """What AWS's bootstrap calls first. Its client alone does not; our bootstrap does."""
    path = environment.get("AWS_LAMBDA_EXEC_WRAPPER")
    return [path] if path and "awslambdaric" in command else []


def _run(library: Library, task: Path, command: list[str]) -> str:
    """`works`, or what was missing."""
    log: list[str] = []
    with collecting() as collector:
        places = {"collector": collector.address, "task": str(task)}
        own = {name: filled(value, places) for name, value in library.environment.items()}
        emulator = ThreadedEmulator(
            command=[*_wrapper(own, command), *command, library.handler],
            handler=library.handler,
            task_root=task,
            environment={"COLLECTOR": collector.address, **own},
            inherit={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
            memory_size=1024,
            timeout=30,
            init_timeout=60,
            on_log=lambda record: log.append(record.text),
        )
        event = library.event_with(places)
        with emulator:
            replies = [emulator.invoke(event, trace_id=_TRACE) for _ in range(2)]
        payloads = [reply.payload.decode(errors="replace") for reply in replies]
        everything = "\n".join((*payloads, *log, collector.text))
    if library.has_answer:
        for payload in payloads:
            if json.loads(payload) != library.answer:
                return f"answered {payload[:200]}"
    missing = [text for text in library.seen if text not in everything]
    return f"without {', '.join(missing)}" if missing else WORKS
