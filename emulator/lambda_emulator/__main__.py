"""The command ``lambda-emulator``: runs a subcommand, and turns errors into messages."""

from __future__ import annotations

import argparse
import sys

from lambda_emulator.commands.table import COMMANDS
from lambda_emulator.project import runtime
from lambda_emulator.project.errors import RunError, UsageError

_DEFAULT = "start"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status.

    It is 0 on success, 1 if the function or the run failed, 2 for bad usage, 130 for Ctrl-C.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    end = words.index("--") if "--" in words else len(words)
    words, command = words[:end], words[end + 1 :]
    if not words or words[0] not in (*COMMANDS, "-h", "--help", "--version"):
        words.insert(0, _DEFAULT)  # lambda-emulator app.handler
    options = _parser().parse_args(words)
    options.command = command
    try:
        return COMMANDS[options.subcommand].run(options)
    except UsageError as error:
        print(f"lambda-emulator: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"lambda-emulator: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output has left: print nothing more, not even at the exit.
        sys.stdout = None
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lambda-emulator",
        description="AWS Lambda on this machine.",
        epilog="lambda-emulator COMMAND --help tells more about one. Exit status: 0 good, "
        "1 the function or the run has failed, 2 bad usage.",
    )
    version = f"lambda-emulator {runtime.version()}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        text = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        module.add_arguments(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
