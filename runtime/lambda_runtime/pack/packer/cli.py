"""``lambda-runtime pack``: prepares the imports of a function's folder."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from lambda_runtime.pack.packer import prune, report, stage, target
from lambda_runtime.pack.packer.build import Build, Options
from lambda_runtime.pack.packer.errors import PackError

_EPILOG = """\
The function's code is run here, once for init and once for each event: without your credentials,
without a network unless --allow-network is given, and with no other environment variables than
those of --env. How packs work, and what is in them: docs/pack.md
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="lambda-runtime pack",
        description="Make a function's imports ready: byte-code, and a pack of what init needs.",
        epilog=_EPILOG,
    )
    add = made.add_argument
    add("task", type=Path, metavar="TASK_DIR", help="the function's folder")
    add("--handler", help="module.function, as in the function's configuration")
    add(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="for a layer, which has no handler: a module that functions import from it",
    )
    add(
        "--event",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a sample event, as JSON; more than one is welcome",
    )
    add("--requirements", type=Path, metavar="FILE", help="install these for the target first")
    add("--python", metavar="3.X", help="the target's Python; by default the one running this")
    add("--arch", metavar="x86_64|arm64", help="the target's architecture; by default this one")
    add(
        "--layer",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="an unzipped layer that the function uses",
    )
    add(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an environment variable that init needs; its value gets into no pack",
    )
    add("--allow-network", action="store_true", help="let the function reach the network")
    add("--timeout", type=float, default=120, metavar="SECONDS", help="for init and all events")
    add("--root", metavar="PATH", help="where it will lie (/var/task; /opt/python for a layer)")
    add(
        "--max-growth",
        type=float,
        metavar="MB",
        help="what may be added (a quarter of the function's size, or 16 if that is more)",
    )
    add(
        "--image",
        action="store_true",
        help="it is for a container image: Lambda's limit for zips does not count",
    )
    add(
        "--lazy",
        action="store_true",
        help="import what neither init nor the events use when it is first used (docs/pack.md)",
    )
    add("--report", type=Path, metavar="FILE.html", help="draw what init's imports take")
    add(
        "--explain",
        action="append",
        default=[],
        metavar="MODULE",
        help="say where this module comes from",
    )
    add(
        "--prune",
        type=Path,
        metavar="LIST",
        help="list the files that nothing touched; what such a list names is left out",
    )
    where = made.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="PATH", help="function.zip, or a new folder")
    where.add_argument("--in-place", action="store_true", help="change TASK_DIR itself")
    return made  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run the command. Returns the exit status: 0, or 1 with a message, or 130 if interrupted."""
    given = parser().parse_args(arguments)
    try:
        _run(given)
    except PackError as error:
        print(f"lambda-runtime pack: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"lambda-runtime pack: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lambda-runtime pack: interrupted; nothing was finished", file=sys.stderr)
        return 130
    return 0


def _run(given: argparse.Namespace) -> None:
    options = _options(given)
    with tempfile.TemporaryDirectory(prefix="lambda-pack-") as work:
        folder = given.task.resolve() if given.in_place else Path(work, "task")
        if not given.in_place:
            stage.copy(given.task, folder, leave_out=given.out)
        stage.clear(folder, options.target, options.title)
        if given.requirements:
            say(f"installing {given.requirements} for Python {options.target.version}")
            stage.install(given.requirements, folder, options.target)
        if given.prune and given.prune.exists():
            saved = prune.remove(folder, prune.read(given.prune), given.prune)
            say(f"left out what {given.prune} lists: {saved / 1_000_000:.1f} MB")
        build = Build(options, folder, Path(work), say)
        written = build.run()
        if given.prune and not given.prune.exists():
            _list_untouched(folder, build, given.prune)
        for name in given.explain:
            print(report.explain(name, written))
        if given.report:
            build.report(given.report, written)
        if given.out is not None:
            _deliver(folder, given.out)


def _list_untouched(folder: Path, build: Build, path: Path) -> None:
    if not build.touched:
        raise PackError("--prune: what cannot be run here cannot show what it touches")
    files = prune.untouched(folder, build.touched)
    prune.write(path, files)
    size = sum((folder / file).lstat().st_size for file in files)
    say(
        f"{path} lists {len(files)} files that nothing touched ({size / 1_000_000:.1f} MB); "
        "nothing has been removed: read it, take out what is to stay, and give the same command "
        "again"
    )


def _deliver(folder: Path, out: Path) -> None:
    if out.suffix == ".zip":
        say(f"zipping {out}")
        out.parent.mkdir(parents=True, exist_ok=True)
        stage.write_zip(folder, out)
    else:
        shutil.copytree(folder, out, symlinks=True)


def _options(given: argparse.Namespace) -> Options:
    if not given.task.is_dir():
        raise PackError(f"{given.task} is not a folder; give the one that holds the function")
    if bool(given.handler) == bool(given.imports):
        raise PackError("say what init is: --handler module.function, or --import for a layer")
    if given.lazy and not given.handler:
        raise PackError("--lazy needs a --handler: what is not used shows when a function is run")
    if given.timeout <= 0 or (given.max_growth is not None and given.max_growth < 0):
        raise PackError("--timeout takes seconds above 0, and --max-growth megabytes from 0 on")
    _check_paths(given)
    return Options(
        target=target.find(given.python, given.arch),
        handler=given.handler,
        imports=given.imports,
        events=[_event(path) for path in given.event] or ["{}"],
        layers=[path.resolve() for path in given.layer],
        variables=dict(_variable(text) for text in given.env),
        allow_network=given.allow_network,
        seconds=given.timeout,
        root=given.root or ("/var/task" if given.handler else "/opt/python"),
        max_growth=given.max_growth,
        is_image=given.image,
        lazy=given.lazy,
    )


def _check_paths(given: argparse.Namespace) -> None:
    """Raise PackError for a path that would only fail at the end, after the long steps."""
    if given.out is not None and given.out.is_dir():
        raise PackError(f"--out {given.out}: it is there already; remove it or give another")
    for path in (*given.event, *given.layer, *filter(None, [given.requirements])):
        if not path.exists():
            raise PackError(f"{path} is not there")
    for layer in given.layer:
        if not layer.is_dir():
            raise PackError(f"--layer {layer}: it is no folder; give the unzipped layer")
    for path in filter(None, (given.report, given.prune)):
        if not path.parent.is_dir() or path.is_dir():
            raise PackError(f"{path}: give a file in a folder that is there")


def _event(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
        json.loads(text)
    except ValueError as error:
        raise PackError(f"--event {path}: no JSON: {error}") from None
    return text


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise PackError(f"--env {text}: write it as NAME=VALUE")
    return name, value


def say(message: str) -> None:
    """Print progress to standard error, so that a pipe on standard output stays clean."""
    print(f"pack: {message}", file=sys.stderr, flush=True)


def run() -> NoReturn:
    """The command's entry: ``lambda-runtime pack …``."""
    sys.exit(main(sys.argv[2:]))
