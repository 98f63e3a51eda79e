"""say what would go wrong in Lambda, and what to do: doctor app.handler --arch arm64"""

from __future__ import annotations

import argparse
import asyncio
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lambda_emulator.commands import values
from lambda_emulator.emulator import Emulator, InitFailed
from lambda_emulator.project import checks, packages, runtime, variables
from lambda_emulator.project.checks import Finding, Target
from lambda_emulator.project.errors import UsageError
from lambda_emulator.project.terminal import plain

_ARCHES = ("x86_64", "arm64")
_SIGNS = {"good": "ok     ", "warning": "warning", "error": "error  "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("handler", help="module.function")
    add(
        "--task-root",
        "--task",
        type=values.folder,
        default=Path.cwd(),
        metavar="DIR",
        help="its folder as it would be deployed (default: here)",
    )
    add("--arch", choices=_ARCHES, default=_here(), help="Lambda's machine (default: %(default)s)")
    add("--python", metavar="VERSION", help="the Python it runs on, 3.13 or a path")
    add("--venv", type=Path, metavar="DIR", help="virtual environment with its packages")
    add("--env", action="append", default=[], metavar="NAME[=VALUE]", help="variable (repeatable)")
    add("--env-file", action="append", default=[], type=Path, metavar="FILE", help="variables")


def _here() -> str:
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def run(arguments: argparse.Namespace) -> int:
    """Examine; the status is 1 if something would fail in Lambda."""
    module, dot, _ = arguments.handler.replace("/", ".").rpartition(".")
    if not (dot and module):
        raise UsageError(f"{arguments.handler}: a handler is module.function, as app.handler")
    python = packages.python_for(
        arguments.task_root, venv=arguments.venv, python=arguments.python, say=print
    )
    worst = 0
    said = ""
    for finding in _findings(arguments, python, module):
        print(f"{_SIGNS[finding.level]}  {finding.text}", flush=True)
        if finding.level != "good" and finding.advice not in ("", said):
            print(f"         → {finding.advice}")
            said = finding.advice
        worst |= finding.level == "error"
    return int(worst)


def _findings(arguments: argparse.Namespace, python: Path, module: str) -> Iterator[Finding]:
    root = arguments.task_root
    target = Target(_version(python), arguments.arch)
    own = variables.gather(arguments.env_file, arguments.env)
    failure = asyncio.run(_initialise(arguments, python, own))
    if failure is None:
        yield Finding("good", f"{arguments.handler} is initialised on Python {python}")
        yield from checks.check_imports(python, root, module, {**variables.inherited(), **own})
    else:
        yield failure
    for folder in (root, *python.parents[1].glob("lib/python*/site-packages")):
        yield from checks.check_wheels(folder, target)
        yield from checks.check_libraries(folder, target)
    yield from checks.check_size(root)
    yield from checks.check_byte_code(root, target)


def _version(python: Path) -> tuple[int, int]:
    code = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([str(python), "-IS", "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"{python} does not run: {done.stderr.strip()}")
    major, minor = done.stdout.split()
    return int(major), int(minor)


async def _initialise(
    arguments: argparse.Namespace, python: Path, own: dict[str, str]
) -> Finding | None:
    emulator = Emulator(
        command=runtime.command(python),
        handler=arguments.handler,
        task_root=arguments.task_root,
        inherit=variables.inherited(),
        environment=own,
        region=variables.region(None),
    )
    async with emulator:
        try:
            await emulator.start()
        except InitFailed as error:
            text = f"{arguments.handler} cannot be initialised: {plain(error.failure.message)}"
            advice = "packages go into requirements.txt, --venv, or the function's folder"
            missing = error.failure.error_type == "Runtime.ImportModuleError"
            return Finding("error", text, advice if missing else "")
    return None
