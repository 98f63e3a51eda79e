"""``make run``: runs a function under RIE, once cold and once warm, and shows the results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lambda_emulator.project import packages, runtime, variables
from lambda_emulator.project.errors import RunError
from lambda_emulator.project.errors import UsageError as BadOption
from lambda_emulator.project.terminal import log_lines
from lambda_emulator.samples import answers, catalogue
from lambda_rie.rie import Reply, Rie, RieError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "hello"
DEFAULTS = {
    "AWS_LAMBDA_FUNCTION_TIMEOUT": "3",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
    "AWS_LAMBDA_FUNCTION_NAME": "function",
}
"""The defaults of Lambda and the emulator; an option or the environment overrides them."""
_ERROR_KEYS = {"errorMessage", "errorType", "requestId", "stackTrace"}
_TIMED_OUT = b"Task timed out after "


class UsageError(Exception):
    """The function cannot be run; the message says what to change."""


class FunctionError(Exception):
    """The function did not give an answer; the message says what happened."""


@dataclass(frozen=True)
class Request:
    """The request of a run: the function's folder, its handler and the event as bytes of JSON.

    ``settings`` are the variables of the function's configuration and its own ones. ``venv`` names
    the virtual environment with its packages ("": its requirements.txt, or none).
    """

    task: Path
    handler: str
    event: bytes
    event_name: str
    settings: Mapping[str, str]
    venv: str = ""


Runtime = Callable[[Request, Mapping[str, str]], Rie]
"""Makes a RIE, which is a context manager, from the request and the environment variables."""


def checkout(request: Request, environment: Mapping[str, str]) -> Rie:
    """Run the function on the runtime of this checkout, with its own packages."""
    venv = Path(request.venv) if request.venv else None
    python = packages.python_for(request.task, venv=venv, say=print)
    command = (*runtime.command(python), request.handler)
    return Rie(command, request.task, {"LAMBDA_TASK_ROOT": str(request.task)} | dict(environment))


def packages_of(request: Request, version: str) -> Path | None:
    """A folder with the packages that the function requires, for a Python (3.13) on Lambda's Linux.

    None if it requires no packages. Raises UsageError and RunError.
    """
    if request.venv:
        text = (
            "is for this checkout; the packages of requirements.txt are what LAYER and IMAGE take"
        )
        raise UsageError(f"FUNCTION_VENV={request.venv}: {text}")
    return packages.folder_for(request.task, version=version, machine=platform.machine(), say=print)


def main(arguments: Sequence[str] | None = None, on: Runtime = checkout) -> int:
    """Run the function that the arguments name, on the runtime ``on``.

    The exit status: 0 if it succeeded twice, 1 if the function failed, 2 if it could not be run.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _run(_request(_parse(arguments)), on)
    except (FunctionError, RunError) as problem:
        print(f"run: {problem}", file=sys.stderr)
        return 1
    except (UsageError, BadOption, RieError) as problem:
        print(f"run: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("run: interrupted", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # Handle the signal only once: make repeats the terminal's, and RIE must still be stopped.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="run", description=__doc__)
    # An unset make variable arrives as an empty string, hence the defaults further down.
    parser.add_argument("--task", default="", help="the function's folder (examples/hello)")
    parser.add_argument("--handler", default="", help="module.function in it (app.handler)")
    parser.add_argument(
        "--event",
        default="",
        help="a sample's name, JSON, a file, - for standard input (event.json in the folder)",
    )
    parser.add_argument("--set", default="", help="NAME=VALUE pairs that change the event")
    parser.add_argument("--timeout", default="", help="whole seconds (3)")
    parser.add_argument("--memory", default="", help="MB (128)")
    parser.add_argument("--name", default="", help="the function's name (function)")
    parser.add_argument("--region", default="", help="its region (yours, or us-east-1)")
    parser.add_argument("--env", default="", help="NAME=VALUE pairs, or names of yours")
    parser.add_argument("--env-file", default="", help="files of NAME=VALUE lines")
    parser.add_argument("--venv", default="", help="virtual environment with its packages")
    return parser.parse_args(arguments)


def _request(chosen: argparse.Namespace) -> Request:
    task = Path(chosen.task or EXAMPLE).absolute()
    if not task.is_dir():
        what = "is not a folder" if task.exists() else "does not exist"
        raise UsageError(f"TASK={chosen.task}: {what}; name the folder that your function is in")
    event, name = _event(chosen, task)
    handler = chosen.handler or "app.handler"
    return Request(task, handler, event, name, _settings(chosen), chosen.venv)


def _event(chosen: argparse.Namespace, task: Path) -> tuple[bytes, str]:
    """The event's bytes and their source. A relative path may be one in the task folder."""
    changes = _words("SET", chosen.set)
    text = chosen.event
    if not text:
        if not (task / "event.json").exists():
            return b"{}", "an empty event ({})"
        text = str(task / "event.json")
    try:
        encoded, origin = catalogue.read(text, changes, task)
    except BadOption as problem:
        reason = str(problem).removeprefix(f"event {text}: ")
        raise UsageError(f"EVENT={text}: {reason}") from problem
    return encoded, _short(Path(origin)) if Path(origin).is_absolute() else origin


def _words(variable: str, text: str) -> list[str]:
    """Split a make variable into words, which may be quoted as in a shell."""
    try:
        return shlex.split(text)
    except ValueError as problem:
        raise UsageError(f"{variable}={text}: {problem}") from problem


def _settings(chosen: argparse.Namespace) -> dict[str, str]:
    """The function's variables: its configuration, AWS_*, and those that the user asked for."""
    own = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    given = {
        "AWS_LAMBDA_FUNCTION_TIMEOUT": chosen.timeout,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": chosen.memory,
        "AWS_LAMBDA_FUNCTION_NAME": chosen.name,
    }
    for name, value in DEFAULTS.items():
        own[name] = given[name] or own.get(name) or value
    for name in ("AWS_LAMBDA_FUNCTION_TIMEOUT", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"):
        if not own[name].isdecimal() or int(own[name]) < 1:
            unit = "seconds" if name.endswith("TIMEOUT") else "MB"
            text = f"{name}={own[name]}" if not given[name] else _option(name, given[name])
            raise UsageError(f"{text}: not a whole number of {unit} above 0")
    region = variables.region(chosen.region)
    files = [Path(file) for file in _words("ENV_FILE", chosen.env_file)]
    more = variables.gather(files, _words("ENV", chosen.env))
    path = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    return {**path, **own, "AWS_REGION": region, "AWS_DEFAULT_REGION": region, **more}


def _option(name: str, value: str) -> str:
    return f"{'TIMEOUT' if name.endswith('TIMEOUT') else 'MEMORY'}={value}"


def _run(request: Request, on: Runtime) -> int:
    print(f"{request.handler} in {_short(request.task)} with {request.event_name}", flush=True)
    with on(request, request.settings) as rie:
        cold = rie.invoke(request.event)
        problem = _failure(cold, rie.timeout)
        if problem is None:  # otherwise the log and the last line show the error
            _show("Response", answers.show(cold.body))
        _show("Log", log_lines(cold.log))
        if problem:
            raise FunctionError(problem)
        warm = rie.invoke(request.event)
        if problem := _failure(warm, rie.timeout):
            _show("Log of the second invocation", log_lines(warm.log))
            raise FunctionError(f"the second invocation failed, the first did not: {problem}")
    _show("Times", f"cold {_milliseconds(cold)}  (start of the runtime, import, first invocation)\n"
          f"warm {_milliseconds(warm)}  (second invocation)")  # fmt: skip
    return 0


def _failure(reply: Reply, timeout: float) -> str | None:
    """Why the invocation failed, or None."""
    if reply.body.startswith(_TIMED_OUT):
        return (
            f"the function did not end within its timeout of {timeout:g} s; "
            "TIMEOUT=30 gives it more"
        )
    error = _error_document(reply.body)
    if reply.status == 200:
        return f"the handler failed: {error}" if error else None
    if error and not error.startswith("Runtime.ExitError"):
        return f"the function failed at start-up: {error}"
    return f"the function's process ended without an answer: {error or 'it gave no reason'}"


def _error_document(body: bytes) -> str | None:
    """The type and message if this is an error's document; RIE marks errors in no other way."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    if not isinstance(document, dict) or not {"errorMessage", "errorType"} <= set(document):
        return None
    if not set(document) <= _ERROR_KEYS:
        return None
    return f"{document['errorType']}: {document['errorMessage']}"


def _show(title: str, text: str) -> None:
    # Characters that this terminal cannot show must not hide the rest.
    encoding = sys.stdout.encoding or "utf-8"
    clean = (text.rstrip("\n") or "(none)").encode(encoding, "backslashreplace").decode(encoding)
    print(f"\n{title}\n{clean}", flush=True)


def _milliseconds(reply: Reply) -> str:
    return f"{reply.seconds * 1000:7.1f} ms"


def _short(path: Path) -> str:
    """The path relative to the current folder, if it is below it."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


if __name__ == "__main__":
    sys.exit(main())
