"""serve what a SAM, CloudFormation or CDK template says of functions: up template.yaml"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_emulator.commands import options, serve
from lambda_emulator.project import variables
from lambda_emulator.project.errors import RunError, UsageError

if TYPE_CHECKING:
    from lambda_emulator.templates import deploying


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "template",
        type=Path,
        nargs="?",
        default=Path("template.yaml"),
        help="the template, or the folder that cdk synth has made (default: %(default)s)",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the template (repeatable)",
    )
    serve.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    chosen = dict(_pair(text) for text in arguments.parameter)
    template = _file(arguments.template)
    return asyncio.run(_up(arguments, template, chosen))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--parameter: {text!r} is not NAME=VALUE")
    return name, value


def _file(path: Path) -> Path:
    """The template itself; of a folder of cdk synth the only one in it. Raises UsageError."""
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.template.json")) or sorted(path.glob("template.y*ml"))
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        raise UsageError(f"{path}: name one template of this folder (there are: {names})")
    return found[0]


async def _up(arguments: argparse.Namespace, path: Path, chosen: dict[str, str]) -> int:
    try:
        from lambda_emulator.templates import deploying, reading
        from lambda_emulator.templates.values import Values
    except ModuleNotFoundError as error:
        raise RunError(f"{serve.MISSING} ({error})") from error
    region = variables.region(arguments.region)
    template = await asyncio.to_thread(reading.read, path, chosen, region)
    values = Values(template, chosen, region, arguments.account)
    async with serve.running(arguments) as (service, stopped):
        outcome = await deploying.deploy(service.service, template, values)
        serve.announce(service)
        _tell(outcome)
        await stopped.wait()
    return 0


def _tell(outcome: deploying.Outcome) -> None:
    for name, url in outcome.functions.items():
        options.say(f"function {name}" + (f"  {url}" if url else ""))
    for text in outcome.left_out:
        options.say(f"left out: {text}")
    if outcome.others:
        kinds = ", ".join(f"{kind} ({n})" for kind, n in sorted(outcome.others.items()))
        options.say(f"not made here: {kinds}")
    options.say("")
