"""serve the Lambda API for aws, boto3, SAM, CDK and Terraform until Ctrl-C"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_emulator.commands import options, values
from lambda_emulator.platform.logs import LogRecord
from lambda_emulator.project import variables
from lambda_emulator.project.errors import RunError
from lambda_emulator.project.terminal import readable

if TYPE_CHECKING:
    from lambda_emulator.service.running import Running
    from lambda_emulator.service.settings import Settings

MISSING = "lambda-emulator serve and up need more packages: pip install 'lambda-emulator[serve]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--state", type=Path, metavar="DIR", help="keep everything in this folder (default: none)")
    options.add_hosts(add)
    add("--port", type=values.port, default=9000, help="port of the API (default: %(default)s)")
    options.add_region(add)
    add(
        "--account",
        type=_account,
        default="123456789012",
        help="its account (default: %(default)s)",
    )
    add(
        "--concurrency",
        type=values.number(int, 1, 10_000),
        default=1000,
        help="the account's limit of calls at the same time (default: %(default)s)",
    )
    add(
        "--time-scale",
        type=values.number(float, 0.001, 1_000_000),
        default=1.0,
        help="seconds of Lambda's own waits (retries, windows) that pass in one (default: 1)",
    )
    add(
        "--idle",
        type=values.number(float, 0.1, 86_400),
        default=600.0,
        metavar="SECONDS",
        help="shut an environment down after this time without a call (default: 600)",
    )
    add("--env", action="append", default=[], metavar="NAME[=VALUE]", help="variable of every "
        "function (repeatable)")  # fmt: skip
    add("--env-file", action="append", default=[], type=Path, metavar="FILE", help="variables")
    add(
        "--awslambdaric",
        action="store_true",
        help="run Python functions on AWS's runtime, which must be installed beside this",
    )
    add(
        "--durable",
        action="store_true",
        help="run durable functions by AWS's local runner, which must be installed beside this",
    )


def _account(text: str) -> str:
    if not (len(text) == 12 and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not an account: 12 digits")
    return text


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    return asyncio.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> int:
    async with running(arguments) as (service, stopped):
        announce(service)
        await stopped.wait()
    return 0


@asynccontextmanager
async def running(
    arguments: argparse.Namespace,
) -> AsyncIterator[tuple[Running, asyncio.Event]]:
    """The service, and an event that Ctrl-C sets. Raises RunError if it cannot be."""
    try:
        from lambda_emulator.service.running import Running
    except ModuleNotFoundError as error:
        raise RunError(f"{MISSING} ({error})") from error
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    def listen(name: str, record: LogRecord) -> None:
        try:
            for line in readable(record).splitlines():
                options.say(f"{name}: {line}")
        except BrokenPipeError:  # nobody reads any more: the terminal is gone
            stopped.set()

    service = Running(_settings(arguments, listen))
    try:
        await service.__aenter__()
    except OSError as error:
        raise RunError(f"cannot listen: {error}; choose another --port") from error
    try:
        yield service, stopped
    finally:
        await service.close()


def _settings(arguments: argparse.Namespace, listen: Callable[[str, LogRecord], None]) -> Settings:
    from lambda_emulator.service.settings import Settings

    own = variables.gather(arguments.env_file, arguments.env)
    _invent_credentials()
    return Settings(
        state=arguments.state,
        host=arguments.host,
        port=arguments.port,
        allowed_hosts=arguments.allow_host,
        region=variables.region(arguments.region),
        account_id=arguments.account,
        concurrency=arguments.concurrency,
        inherited={**variables.inherited(), **own},
        time_scale=arguments.time_scale,
        idle_seconds=arguments.idle,
        awslambdaric=arguments.awslambdaric,
        durable=arguments.durable,
        say=options.say,
        on_log=listen,
    )


def _invent_credentials() -> None:
    """Have what stands for the other services called with dummies if there are no credentials."""
    named = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
    elsewhere = any(name.startswith("AWS_ENDPOINT_URL") for name in os.environ)
    if elsewhere and not any(os.environ.get(name) for name in named):
        os.environ |= {"AWS_ACCESS_KEY_ID": "emulator", "AWS_SECRET_ACCESS_KEY": "emulator"}


def announce(service: Running) -> None:
    """Show where the API is, and the settings for SDKs to call it there."""
    options.say(f"Lambda API:   {service.endpoint}")
    options.say("\nFor aws and the SDKs, in another terminal:")
    options.say(options.exports(service.endpoint, service.settings.region) + "\n")
