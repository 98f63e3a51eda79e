"""Run a function once cold and once warm under RIE, and show the results: ``make run``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lambda_rie.rie import Reply, Rie, RieError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "hello"
TIMEOUT = "30"
"""The function's timeout in seconds unless AWS_LAMBDA_FUNCTION_TIMEOUT says otherwise."""
_ERROR_KEYS = {"errorMessage", "errorType", "requestId", "stackTrace"}
_TIMED_OUT = b"Task timed out after "


class UsageError(Exception):
    """The function cannot be run; the message says what to change."""


class FunctionError(Exception):
    """The function did not give an answer; the message says what happened."""


@dataclass(frozen=True)
class Request:
    """What to run: the function's folder, its handler and the event as bytes of JSON."""

    task: Path
    handler: str
    event: bytes
    event_name: str


Runtime = Callable[[Request, Mapping[str, str]], Rie]
"""Puts a function on a runtime: of the request and the environment makes a RIE to be entered."""


def checkout(request: Request, environment: Mapping[str, str]) -> Rie:
    """The function on the runtime of this checkout and the interpreter that runs this."""
    command = (sys.executable, "-S", str(ROOT / "bootstrap"), request.handler)
    return Rie(command, request.task, {"LAMBDA_TASK_ROOT": str(request.task)} | dict(environment))


def main(arguments: Sequence[str] | None = None, on: Runtime = checkout) -> int:
    """Run the function that the arguments name, on the runtime ``on``.

    The exit status: 0 if it succeeded twice, 1 if the function failed, 2 if it could not be run.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _run(_request(_parse(arguments)), on)
    except FunctionError as problem:
        print(f"run: {problem}", file=sys.stderr)
        return 1
    except (UsageError, RieError) as problem:
        print(f"run: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("run: interrupted", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # Only once: make repeats the signal of the terminal, and RIE must still be stopped.
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
    parser.add_argument("--event", default="", help="a JSON file (event.json in the folder)")
    return parser.parse_args(arguments)


def _request(chosen: argparse.Namespace) -> Request:
    task = Path(chosen.task or EXAMPLE).absolute()
    if not task.is_dir():
        what = "is not a folder" if task.exists() else "does not exist"
        raise UsageError(f"TASK={chosen.task}: {what}; name the folder that your function is in")
    event, name = _event(chosen.event, task)
    return Request(task, chosen.handler or "app.handler", event, name)


def _event(chosen: str, task: Path) -> tuple[bytes, str]:
    """The event's bytes and where they come from. A relative path may be one in the task folder."""
    if not chosen and not (task / "event.json").exists():
        return b"{}", "an empty event ({})"
    places = [Path(chosen), task / chosen] if chosen else [task / "event.json"]
    file = next((place for place in places if place.exists()), None)
    if file is None:
        raise UsageError(f"EVENT={chosen}: there is no such file, here or in {task}")
    try:
        content = file.read_bytes()
        json.loads(content)
    except OSError as problem:
        raise UsageError(f"EVENT={file}: cannot be read: {problem.strerror}") from problem
    except json.JSONDecodeError as problem:
        raise UsageError(
            f"EVENT={file}: not JSON: {problem.msg}, line {problem.lineno} column {problem.colno}"
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"EVENT={file}: not JSON: {problem}") from problem
    return content, _short(file)


def _run(request: Request, on: Runtime) -> int:
    print(f"{request.handler} in {_short(request.task)} with {request.event_name}", flush=True)
    environment = os.environ | {"AWS_LAMBDA_FUNCTION_TIMEOUT": _timeout()}
    with on(request, environment) as rie:
        cold = rie.invoke(request.event)
        _show("Response", _readable(cold.body))
        _show("Log", _lines(cold.log))
        if problem := _failure(cold, rie.timeout):
            raise FunctionError(problem)
        warm = rie.invoke(request.event)
        if problem := _failure(warm, rie.timeout):
            _show("Log of the second invocation", _lines(warm.log))
            raise FunctionError(f"the second invocation failed, the first did not: {problem}")
    _show("Times", f"cold {_milliseconds(cold)}  (start of the runtime, import, first invocation)\n"
          f"warm {_milliseconds(warm)}  (second invocation)")  # fmt: skip
    return 0


def _timeout() -> str:
    """The function's timeout in whole seconds, as Lambda counts it."""
    seconds = os.environ.get("AWS_LAMBDA_FUNCTION_TIMEOUT") or TIMEOUT
    if not seconds.isdecimal() or int(seconds) < 1:
        raise UsageError(
            f"AWS_LAMBDA_FUNCTION_TIMEOUT={seconds}: not a whole number of seconds above 0"
        )
    return seconds


def _failure(reply: Reply, timeout: float) -> str | None:
    """Why the invocation failed, or None."""
    if reply.body.startswith(_TIMED_OUT):
        return (
            f"the function did not end within its timeout of {timeout:g} s; "
            "set AWS_LAMBDA_FUNCTION_TIMEOUT (in seconds) to give it more"
        )
    error = _error_document(reply.body)
    if reply.status == 200:
        return f"the handler failed: {error}" if error else None
    if error and not error.startswith("Runtime.ExitError"):
        return f"the function failed at start-up: {error}"
    return f"the function's process ended without an answer: {error or 'it gave no reason'}"


def _error_document(body: bytes) -> str | None:
    """Type and message if this is an error's document; RIE marks errors in no other way."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    if not isinstance(document, dict) or not {"errorMessage", "errorType"} <= set(document):
        return None
    if not set(document) <= _ERROR_KEYS:
        return None
    return f"{document['errorType']}: {document['errorMessage']}"


def _readable(body: bytes) -> str:
    """JSON indented, text as it is, anything else as its size."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        pass
    try:
        return body.decode()
    except UnicodeDecodeError:
        return f"({len(body)} bytes that are not text)"


def _show(title: str, text: str) -> None:
    # What cannot be encoded for this terminal must not hide the rest.
    encoding = sys.stdout.encoding or "utf-8"
    clean = (text.rstrip("\n") or "(none)").encode(encoding, "backslashreplace").decode(encoding)
    print(f"\n{title}\n{clean}", flush=True)


def _lines(log: bytes) -> str:
    """The log as the console shows it: a carriage return breaks a line within a record."""
    return log.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def _milliseconds(reply: Reply) -> str:
    return f"{reply.seconds * 1000:7.1f} ms"


def _short(path: Path) -> str:
    """The path relative to here, if it is below."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


if __name__ == "__main__":
    sys.exit(main())
