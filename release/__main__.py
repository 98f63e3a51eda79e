"""The command line: `python -m release build | check | layers | images`.

The exit status is 0, or 1 when something was not built or not published.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from layer.toolchain import ROOT
from release import build, check
from release.errors import ReleaseError
from release.inside import PARTS

OUTPUT = ROOT / "dist"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; say what was made, or in one line what is wrong."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
    except OSError as error:
        print(f"release: {error.filename or 'file'}: {error.strerror}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    one = commands.add_parser("build", help="build the commit that is checked out, twice")
    one.add_argument("--output", type=Path, default=OUTPUT, help="a new folder")
    one.add_argument("--part", action="append", choices=PARTS, help="by default all of them")
    one.add_argument("--repository", help="the project's address; by default that of the origin")
    one.set_defaults(run=_build)

    four = commands.add_parser("check", help="is a tag the one that the sources are ready for")
    four.add_argument("--tag", required=True, help="as in v1.2.3")
    four.set_defaults(run=_check)

    two = commands.add_parser("layers", help="publish the layers, for everybody to use")
    two.add_argument("--release", type=Path, default=OUTPUT, help="what build made")
    two.add_argument("--region", action="append", required=True, help="all, or one; repeatable")
    two.set_defaults(run=_layers)

    three = commands.add_parser("images", help="publish the images in a registry")
    three.add_argument("--release", type=Path, default=OUTPUT, help="what build made")
    three.add_argument("--registry", required=True, help="host, and path in it")
    three.add_argument("--plain-http", action="store_true", help="for a registry without TLS")
    three.set_defaults(run=_images)
    return parser


def _build(options: argparse.Namespace) -> int:
    repository = options.repository
    if repository is None and not (repository := build.repository_of(ROOT)):
        print(
            "release: the clone's origin is no web address: the packages say nothing of where the "
            "project is (--repository URL)",
            file=sys.stderr,
        )
    for path in build.build(options.output, options.part or PARTS, repository):
        print(path)
    return 0


def _check(options: argparse.Namespace) -> int:
    check.check(options.tag)
    return 0


def _layers(options: argparse.Namespace) -> int:
    from release import layers

    done = layers.publish(options.release, options.region)
    for each in done:
        for name in sorted(each.arns):
            print(each.arns[name])
        if each.failure:
            print(f"release: {each.region}: {each.failure}", file=sys.stderr)
    return 1 if any(each.failure for each in done) else 0


def _images(options: argparse.Namespace) -> int:
    from release import images

    for name in images.publish(options.release, options.registry, plain_http=options.plain_http):
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
