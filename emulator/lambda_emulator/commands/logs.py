"""show the log of a function of `serve` or `up`: logs -f NAME"""

from __future__ import annotations

import argparse
import sys
from urllib.parse import quote

from lambda_emulator.commands import invoke
from lambda_emulator.project.errors import RunError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("function", metavar="NAME", help="its name or ARN")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C"
    )
    invoke.add_endpoint_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the log."""
    import httpx

    base = invoke.checked_endpoint(arguments.endpoint)
    url = f"{base}/_emulator/logs/{quote(arguments.function, safe='')}"
    parameters = {"follow": ""} if arguments.follow else {}
    # While nothing is logged nothing comes, however long that is.
    timeout = httpx.Timeout(10.0, read=None)
    try:
        with (
            httpx.Client(trust_env=False, timeout=timeout) as client,
            client.stream("GET", url, params=parameters) as reply,
        ):
            if reply.status_code != 200:
                reply.read()
                raise RunError(f"{reply.status_code} {invoke.message(reply)}")
            for text in reply.iter_text():
                sys.stdout.write(text)
                sys.stdout.flush()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise invoke.no_answer(base, error) from None
    return 0
