"""The command line: `python -m layer build | check | lock`.

The exit status is 0 on success, 1 if something is wrong, and 2 if the input cannot be examined.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from layer import build, check, lock, lock_update, security
from layer.errors import LayerError, UnusableInput
from layer.target import (
    ARCHES,
    DEFAULT_PYTHON,
    MANAGED_PYTHONS,
    PYTHONS,
    arch_named,
    python_named,
)
from layer.toolchain import runner


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; print the files that it made, or one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.run
    try:
        command(options)
    except LayerError as error:
        print(f"layer: {error}", file=sys.stderr)
        return 2 if isinstance(error, UnusableInput) else 1
    except OSError as error:
        print(f"layer: {error.filename or 'file'}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m layer", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    one = commands.add_parser("build", help="build the layers")
    one.add_argument("--output", type=Path, default=Path("build/layer"), help="the folder for them")
    one.add_argument("--arch", default="all", help="x86_64, arm64 or all")
    one.add_argument("--python", default="", help=f"{', '.join(PYTHONS)} or all")
    one.set_defaults(run=_build)

    two = commands.add_parser("check", help="look whether zips suit Lambda, together")
    two.add_argument("zips", nargs="*", type=Path)
    two.add_argument("--arch", default="", help="x86_64 or arm64")
    two.add_argument("--python", default="", help=", ".join(MANAGED_PYTHONS))
    two.set_defaults(run=_check)

    three = commands.add_parser("lock", help="renew layer/lock.json")
    three.set_defaults(run=_lock)
    return parser


def _build(options: argparse.Namespace) -> None:
    arches = ARCHES if options.arch == "all" else (arch_named(options.arch),)
    versions = PYTHONS if options.python == "all" else (python_named(options.python),)
    with security.Watch(runner()) as watch:
        for path in build.build(options.output, arches, versions):
            print(path)
    listed = json.loads((options.output / "layers.json").read_text())["layers"]
    for layer in listed:
        size = layer["zippedBytes"] / 1e6, layer["unzippedBytes"] / 1e6
        print(f"{layer['file']}: {size[0]:.1f} MB, unzipped {size[1]:.1f} MB", file=sys.stderr)
    _warn_of_missing_bytecode(listed[-1]["versions"])
    if watch.warning:
        print(f"layer: {watch.warning}", file=sys.stderr)


def _warn_of_missing_bytecode(versions: dict[str, str]) -> None:
    missing = [python for python in MANAGED_PYTHONS if f"bytecode-{python}" not in versions]
    if missing:
        print(
            f"layer: no python{', python'.join(missing)} on this machine: functions on these "
            "managed runtimes compile the runtime at each cold start; install it and make again "
            "to avoid that",
            file=sys.stderr,
        )


def _check(options: argparse.Namespace) -> None:
    if not options.zips or not options.arch:
        raise UnusableInput('say which zips, and for what: make layer-check ZIP="a.zip" ARCH=arm64')
    arch, python = arch_named(options.arch), options.python or DEFAULT_PYTHON
    if python not in MANAGED_PYTHONS:
        raise UnusableInput(f"PYTHON={python}: must be one of {', '.join(MANAGED_PYTHONS)}")
    check.check_limits(options.zips)
    for path in options.zips:
        check.check_zip(path, arch, [python])
        print(f"{path}: fits Lambda on {arch.name} with Python {python}")


def _lock(options: argparse.Namespace) -> None:
    wheels = lock.Lock.read().wheels
    lock_update.update({wheel.name: wheel.version for wheel in wheels}).write()


if __name__ == "__main__":
    sys.exit(main())
