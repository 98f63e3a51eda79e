"""The options of a function and of its run: the same in every command that runs a function."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from lambda_emulator.commands import values
from lambda_emulator.emulator import EmulatorArguments
from lambda_emulator.function import SnapStart
from lambda_emulator.platform.logs import LogRecord
from lambda_emulator.project import packages, runtime, variables
from lambda_emulator.project.errors import UsageError
from lambda_emulator.project.terminal import readable


def add_function_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the handler and the options of a function's configuration."""
    parser.usage = "%(prog)s [options] HANDLER  |  %(prog)s [options] -- COMMAND ..."
    parser.add_argument("handler", nargs="?", help="module.function, run by the runtime")
    function = parser.add_argument_group("the function")
    add = function.add_argument
    add(
        "--task-root",
        "--task",
        type=values.folder,
        default=Path.cwd(),
        metavar="DIR",
        help="its folder (default: here)",
    )
    add("--name", default="function", help="its name (default: %(default)s)")
    seconds = values.number(float, 0.001, 86_400)
    add("--timeout", type=seconds, default=3.0, help="seconds (default: %(default)s)")
    megabytes = values.number(int, 1, 1_000_000)
    add("--memory", type=megabytes, help="MB, enforced (default: 128; 2048 with --max-concurrency)")
    add_region(add)
    add("--extensions", type=values.folder, metavar="DIR", help="folder of external extensions")
    add(
        "--concurrency",
        type=values.number(int, 1, 1000),
        default=100,
        help="environments at most; calls beyond it get 429 (default: %(default)s)",
    )
    add(
        "--max-concurrency",
        type=values.number(int, 1, 10_000),
        default=0,
        help="a managed instance: this many invocations at once in one environment",
    )
    add("--freeze", action="store_true", help="stop the processes between invocations")
    add(
        "--snap-start", action="store_true", help="snapshot after init, restore at first invocation"
    )
    _add_surroundings(parser)


def add_region(add: Callable[..., object]) -> None:
    """Declare the option of the region."""
    add("--region", help="its region (default: that of your AWS variables, or us-east-1)")


def add_hosts(add: Callable[..., object]) -> None:
    """Declare the options of the address, and of the names that clients may call it by."""
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name by which clients may call, besides loopback and --host (repeatable)",
    )


def _add_surroundings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "what it finds around it",
        "Its own packages only: those of --venv, or of its requirements.txt (installed once, "
        "kept), or none. Of your variables it gets PATH and AWS_*.",
    )
    add = group.add_argument
    add("--venv", type=Path, metavar="DIR", help="virtual environment with its packages")
    add("--python", metavar="VERSION", help="3.13, or a path: the Python it runs on")
    add(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="variable; a name alone passes yours on (repeatable)",
    )
    add(
        "--env-file",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="file of NAME=VALUE lines (repeatable)",
    )


def add_port_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the ports at which the function can be called."""
    add = parser.add_argument_group("where it listens").add_argument
    add_hosts(add)
    port = values.port
    add("--port", type=port, default=9000, help="port of the invoke API (default: %(default)s)")
    add("--url-port", type=port, default=9001, help="port of the function URL (default: 9001)")
    add("--buffered", action="store_true", help="the function URL collects streams")


def emulator_arguments(options: argparse.Namespace) -> EmulatorArguments:
    """The arguments of ``Emulator`` for these options. Raises UsageError and RunError."""
    if not options.handler and not options.command:
        raise UsageError("name a handler (app.handler), or a command after --")
    if options.snap_start and options.max_concurrency:
        raise UsageError("--snap-start: managed instances (--max-concurrency) have no SnapStart")
    own = variables.gather(options.env_file, options.env)
    if not options.command:
        own.setdefault("PYTHONBREAKPOINT", "lambda_runtime.testing.explain_breakpoint")
    inherited = variables.inherited()
    if options.extensions is not None:
        # In Lambda, a function finds the runtime's library at a fixed path.
        inherited["PYTHONPATH"] = str(runtime.library())
    return EmulatorArguments(
        command=options.command or _command(options),
        handler=options.handler or "",
        task_root=options.task_root,
        name=options.name,
        timeout=options.timeout,
        # Lambda's smallest memory sizes, for a managed instance and for a plain function.
        memory_size=options.memory or (2048 if options.max_concurrency else 128),
        enforce_memory=True,
        region=variables.region(options.region),
        inherit=inherited,
        environment=own,
        extensions=options.extensions,
        concurrency=options.concurrency,
        on_demand=True,
        max_concurrency=options.max_concurrency,
        freeze=options.freeze,
        snap_start=SnapStart() if options.snap_start else None,
        report_lines=True,
        on_log=print_record,
    )


def all_arguments(options: argparse.Namespace) -> EmulatorArguments:
    """The arguments of ``Emulator`` for a function that clients can call on its ports."""
    return EmulatorArguments(**emulator_arguments(options), **port_arguments(options))


def port_arguments(options: argparse.Namespace) -> EmulatorArguments:
    """The arguments of ``Emulator`` for the options of its address and ports."""
    return EmulatorArguments(
        host=options.host,
        allowed_hosts=options.allow_host,
        api_port=options.port,
        url_port=options.url_port,
        url_mode="BUFFERED" if options.buffered else "RESPONSE_STREAM",
    )


def _command(options: argparse.Namespace) -> list[str]:
    python = packages.python_for(
        options.task_root, venv=options.venv, python=options.python, say=say
    )
    return runtime.command(python)


def say(text: str) -> None:
    """Print a message for the developer."""
    print(text, flush=True)


def print_record(record: LogRecord) -> None:
    """Print a log record."""
    text = readable(record)
    if text:
        say(text)


def exports(endpoint: str, region: str) -> str:
    """The shell commands that make ``aws`` and the SDKs call this emulator instead of AWS."""
    lines = [
        f"export AWS_ENDPOINT_URL_LAMBDA={endpoint}",
        f"export AWS_REGION={region} AWS_DEFAULT_REGION={region}",
    ]
    if not (os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE")):
        lines.append("export AWS_ACCESS_KEY_ID=emulator AWS_SECRET_ACCESS_KEY=emulator")
    return "\n".join(lines)
