"""run a function, reload it when a file is saved, debug it: dev app.handler --debug"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os

from lambda_emulator.commands import options, values
from lambda_emulator.commands.session import Session, session
from lambda_emulator.emulator import EmulatorArguments
from lambda_emulator.project import debugger, watching
from lambda_emulator.project.errors import RunError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    options.add_function_arguments(parser)
    options.add_port_arguments(parser)
    add = parser.add_argument_group("development").add_argument
    add(
        "--watch",
        action="append",
        default=[],
        metavar="PATTERN",
        help="reload for these files of the function's folder, too: '*.txt' (repeatable)",
    )
    add(
        "--debug",
        nargs="?",
        type=values.number(int, 1, 65_535),
        const=5678,
        metavar="PORT",
        help="wait for a debugger on this port (5678), without limits on time and memory",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve and reload until Ctrl-C."""
    settings = options.all_arguments(arguments)
    if arguments.debug is not None:
        if arguments.command or arguments.max_concurrency or arguments.snap_start:
            raise UsageError("--debug: works only for functions on the runtime, without "
                             "--max-concurrency, --snap-start and -- COMMAND")  # fmt: skip
        settings = _attach(settings, arguments.debug)
    return asyncio.run(_develop(arguments, settings))


def _attach(settings: EmulatorArguments, port: int) -> EmulatorArguments:
    """The same function under a debugger: one environment, which takes one call after another."""
    path = os.pathsep.join([str(debugger.library()), settings["environment"].get("PYTHONPATH", "")])
    environment = {**settings["environment"], "PYTHONPATH": path.rstrip(os.pathsep)}
    environment.pop("PYTHONBREAKPOINT", None)
    return {
        **settings,
        "command": debugger.command(list(settings["command"]), port),
        "environment": environment,
        "timeout": debugger.NO_LIMIT,
        "init_timeout": debugger.NO_LIMIT,
        "enforce_memory": False,
        "concurrency": 1,
        "on_demand": False,
    }


async def _develop(arguments: argparse.Namespace, settings: EmulatorArguments) -> int:
    async with session(settings) as running:
        if arguments.debug is not None:
            options.say(f"debugger:     127.0.0.1:{arguments.debug}  (the function waits for it)")
            running.announce()
        watching = asyncio.ensure_future(_watch(running, arguments))
        if await running.until_stopped(running.initialise()) and arguments.debug is None:
            running.announce()
        await running.until_stopped(watching)
    return 0


async def _watch(running: Session, arguments: argparse.Namespace) -> None:
    reloads: set[asyncio.Task[None]] = set()
    turn = asyncio.Lock()
    files = {path.resolve() for path in arguments.env_file}
    try:
        async for paths in watching.saves(
            arguments.task_root, files=files, patterns=arguments.watch
        ):
            reason = watching.names(paths, arguments.task_root)
            # The init of older code may still be under way; this reload replaces it.
            task = asyncio.create_task(_reload(running, arguments, reason, turn))
            reloads.add(task)
            task.add_done_callback(reloads.discard)
    except (OSError, RuntimeError) as error:
        raise RunError(f"{arguments.task_root} cannot be watched: {error}") from error
    finally:
        for task in reloads:
            task.cancel()
        await asyncio.gather(*reloads, return_exceptions=True)


async def _reload(
    running: Session, arguments: argparse.Namespace, reason: str, turn: asyncio.Lock
) -> None:
    emulator = running.emulator
    try:
        async with turn:  # one reload after another: the last one reads the newest files
            # This may install packages; the old code answers meanwhile.
            fresh = await asyncio.to_thread(options.emulator_arguments, arguments)
    except (RunError, UsageError) as error:
        options.say(f"lambda-emulator: not reloaded: {error}")
        return
    if arguments.debug is not None:
        fresh = _attach(fresh, arguments.debug)
        await emulator.restart()  # the debugger's port is free after the process has ended
    with contextlib.suppress(asyncio.CancelledError):
        await running.reload(
            reason,
            lambda: emulator.reload(command=fresh["command"], environment=fresh["environment"]),
        )
