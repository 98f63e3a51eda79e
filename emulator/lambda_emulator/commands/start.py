"""run a function behind Lambda's APIs until Ctrl-C (the default: lambda-emulator app.handler)"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections import deque
from collections.abc import Iterable

from lambda_emulator.commands import options
from lambda_emulator.emulator import Emulator, EmulatorArguments, InitFailed
from lambda_emulator.platform.logs import LogRecord
from lambda_emulator.project.errors import RunError
from lambda_emulator.project.terminal import plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    options.add_function_arguments(parser)
    options.add_port_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve; the status is 1 if the function cannot be initialised."""
    settings = EmulatorArguments(
        **options.emulator_arguments(arguments),
        **options.port_arguments(arguments),
    )
    return asyncio.run(_serve(settings))


async def _serve(settings: EmulatorArguments) -> int:
    stopped = stop_signal()
    told: deque[str] = deque(maxlen=100)

    def listen(record: LogRecord) -> None:
        told.append(record.text)
        options.print_record(record)

    settings["on_log"] = listen
    async with listening(settings) as emulator:
        starting = asyncio.create_task(emulator.start())
        ending = asyncio.create_task(stopped.wait())
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            try:
                starting.result()
            except InitFailed as error:
                print(f"lambda-emulator: {explain(error, told)}", file=sys.stderr)
                ending.cancel()
                return 1
            announce(emulator)
        await ending
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    return 0


def listening(settings: EmulatorArguments) -> _Listening:
    """The emulator as a context manager that says what is wrong with the ports. Raises RunError."""
    return _Listening(settings)


class _Listening:
    def __init__(self, settings: EmulatorArguments) -> None:
        self._emulator = Emulator(**settings)

    async def __aenter__(self) -> Emulator:
        try:
            return await self._emulator.__aenter__()
        except OSError as error:
            raise RunError(f"cannot listen: {error}; choose another --port or --url-port") from None

    async def __aexit__(self, *_: object) -> None:
        await self._emulator.close()


def stop_signal() -> asyncio.Event:
    """An event that Ctrl-C sets, and SIGTERM and the end of the terminal."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def announce(emulator: Emulator) -> None:
    """Show where the function can be called, and what to set so that SDKs call it there."""
    function = emulator.function
    options.say(f"invoke:       {emulator.endpoint}  (function name: {function.name})")
    options.say(f"function URL: {emulator.function_url}")
    options.say("\nFor aws and the SDKs, in another terminal:")
    options.say(options.exports(emulator.endpoint, function.region))
    options.say(
        f"aws lambda invoke --function-name {function.name} --payload '{{}}' "
        "--cli-binary-format raw-in-base64-out /dev/stdout\n"
    )


def explain(error: InitFailed, told: Iterable[str]) -> str:
    """Why init failed; only what the log has not said already."""
    failure = error.failure
    if any(failure.error_type in text for text in told):
        return "the function cannot be initialised: see above"
    return f"the function cannot be initialised: {plain(failure.message)}"
