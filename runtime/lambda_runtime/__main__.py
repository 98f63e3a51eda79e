"""Runs ``python -m lambda_runtime app.handler``, and the command ``lambda-runtime`` of an image.

``lambda-runtime pack …`` prepares a function's imports: see ``pack.packer``.
"""

import sys

from lambda_runtime import __version__
from lambda_runtime.ground import trusted

_HELP = """\
usage: lambda-runtime HANDLER
       lambda-runtime pack TASK_DIR ...
       lambda-runtime --help | --version

Runs a function on AWS Lambda: the entry point of a container image. HANDLER is module.function,
and the function's configuration may name another. Where AWS_LAMBDA_RUNTIME_API is not set, which
Lambda sets, aws-lambda-rie on PATH takes Lambda's place.

pack makes a function's imports ready: lambda-runtime pack --help. To run, test or debug a function
on your machine: lambda-emulator --help.
"""


def main() -> None:
    """Run the function as ``bootstrap`` does, pack one, or print the help or the version."""
    answers = {"-h": _HELP, "--help": _HELP, "--version": f"lambda-runtime {__version__}\n"}
    if sys.argv[1:] and (answer := answers.get(sys.argv[1])):
        sys.stdout.write(answer)
        return
    if sys.argv[1:2] == ["pack"]:
        trusted.load("lambda_runtime.pack.packer.cli").run()
    trusted.load("lambda_runtime.entry").main(sys.modules["__main__"].__file__ or sys.argv[0])


if __name__ == "__main__":
    main()
