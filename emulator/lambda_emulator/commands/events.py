"""list the sample events, or print one: events s3 --set key=a.png"""

from __future__ import annotations

import argparse
import json

from lambda_emulator.samples import catalogue


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help="the sample to print")
    add_set_argument(parser)


def add_set_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--set``."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a value of the event, by its name or its path (repeatable)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the list, or one event."""
    if arguments.name is None:
        print("\n".join(catalogue.names()))
    else:
        event = catalogue.sample(arguments.name, arguments.set)
        print(json.dumps(event, indent=2, ensure_ascii=False))
    return 0
