"""The command line: `python -m layer build | check | lock`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from layer import build, check, lock, lock_update
from layer.errors import LayerError
from layer.target import ARCHES, MANAGED_PYTHONS, PYTHON, arch_named


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; prints what was made, or one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except LayerError as error:
        print(f"layer: {error}", file=sys.stderr)
        return 1
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
    one.set_defaults(run=_build)

    two = commands.add_parser("check", help="look whether zips suit Lambda, together")
    two.add_argument("zips", nargs="+", type=Path)
    two.add_argument("--arch", required=True, help="x86_64 or arm64")
    two.add_argument("--python", default=PYTHON, choices=MANAGED_PYTHONS)
    two.set_defaults(run=_check)

    three = commands.add_parser("lock", help="renew layer/lock.json")
    three.set_defaults(run=_lock)
    return parser


def _build(options: argparse.Namespace) -> None:
    arches = ARCHES if options.arch == "all" else (arch_named(options.arch),)
    for path in build.build(options.output, arches):
        print(path)
    listed = json.loads((options.output / "layers.json").read_text())["layers"]
    for layer in listed:
        size = layer["zippedBytes"] / 1e6, layer["unzippedBytes"] / 1e6
        print(f"{layer['file']}: {size[0]:.1f} MB, unzipped {size[1]:.1f} MB", file=sys.stderr)
    _warn_of_missing_bytecode(listed[-1]["versions"])


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
    arch = arch_named(options.arch)
    check.check_limits(options.zips)
    for path in options.zips:
        check.check_binaries(path, arch, [options.python])
        print(f"{path}: fits Lambda on {arch.name} with Python {options.python}")


def _lock(options: argparse.Namespace) -> None:
    orjson = lock.Lock.read().wheels[0].version
    lock_update.update(orjson).write()


if __name__ == "__main__":
    sys.exit(main())
