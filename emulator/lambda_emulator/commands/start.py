"""run a function behind Lambda's APIs until Ctrl-C (the default: lambda-emulator app.handler)"""

from __future__ import annotations

import argparse
import asyncio

from lambda_emulator.commands import options
from lambda_emulator.commands.session import session
from lambda_emulator.emulator import EmulatorArguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    options.add_function_arguments(parser)
    options.add_port_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve the function; the status is 1 if it cannot be initialised."""
    return asyncio.run(_serve(options.all_arguments(arguments)))


async def _serve(settings: EmulatorArguments) -> int:
    async with session(settings) as running:
        starting = asyncio.ensure_future(running.initialise())
        if not await running.until_stopped(starting):
            return 0
        if not starting.result():
            return 1
        running.announce()
        await running.stopped.wait()
    return 0
