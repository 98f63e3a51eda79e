"""``lambda-emulator``: run a function behind Lambda's APIs until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from lambda_emulator.emulator import Emulator
from lambda_emulator.function import SnapStart
from lambda_emulator.platform.logs import LogRecord

_BOOTSTRAP = Path(__file__).resolve().parents[2] / "bootstrap"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    end = words.index("--") if "--" in words else len(words)
    parser = _parser()
    options = parser.parse_args(words[:end])
    options.command = words[end + 1 :]
    if not options.handler and not options.command:
        parser.error("name a handler (app.handler), or a command after --")
    if options.snap_start and options.max_concurrency:
        parser.error("--snap-start: managed instances (--max-concurrency) have no SnapStart")
    for folder in (options.task_root, options.extensions):
        if folder is not None and not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(options))
    except OSError as error:
        print(f"lambda-emulator: cannot listen: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lambda-emulator",
        description="Runs a function behind Lambda's APIs on this machine.",
        usage="%(prog)s [options] HANDLER  |  %(prog)s [options] -- COMMAND ...",
    )
    add = parser.add_argument
    add("handler", nargs="?", help="module.function, run by this checkout's runtime")
    add("--task-root", type=Path, default=Path.cwd(), help="the function's folder (default: here)")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name that requests may call it by, besides loopback and --host (repeatable)",
    )
    port = _number(int, 0, 65_535)
    add("--port", type=port, default=9000, help="port of the invoke API (default: %(default)s)")
    add(
        "--url-port",
        type=port,
        default=9001,
        help="port of the function URL (default: %(default)s)",
    )
    add("--name", default="function", help="name of the function (default: %(default)s)")
    seconds = _number(float, 0.001, 86_400)
    add("--timeout", type=seconds, default=3.0, help="seconds (default: %(default)s)")
    megabytes = _number(int, 1, 1_000_000)
    add("--memory", type=megabytes, help="MB, enforced (default: 128; 2048 with --max-concurrency)")
    add("--env", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="variable")
    add("--extensions", type=Path, help="folder of external extensions")
    add(
        "--concurrency",
        type=_number(int, 1, 1000),
        default=1,
        help="environments (default: %(default)s)",
    )
    add(
        "--max-concurrency",
        type=_number(int, 1, 10_000),
        default=0,
        help="a managed instance: so many invocations at once in one environment",
    )
    add("--buffered", action="store_true", help="the function URL collects streams")
    add("--freeze", action="store_true", help="stop the processes between invocations")
    add(
        "--snap-start", action="store_true", help="snapshot after init, restore at first invocation"
    )
    return parser


def _number(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return number

    return read


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _emulator(options: argparse.Namespace) -> Emulator:
    return Emulator(
        command=options.command or [sys.executable, "-S", str(_BOOTSTRAP)],
        handler=options.handler or "",
        task_root=options.task_root.resolve(),
        host=options.host,
        allowed_hosts=options.allow_host,
        api_port=options.port,
        url_port=options.url_port,
        name=options.name,
        timeout=options.timeout,
        # The least that Lambda gives a function, and a managed instance.
        memory_size=options.memory or (2048 if options.max_concurrency else 128),
        enforce_memory=True,
        environment=dict(options.env),
        extensions=options.extensions and options.extensions.resolve(),
        concurrency=options.concurrency,
        max_concurrency=options.max_concurrency,
        url_mode="BUFFERED" if options.buffered else "RESPONSE_STREAM",
        freeze=options.freeze,
        snap_start=SnapStart() if options.snap_start else None,
        report_lines=True,
        on_log=_print,
    )


def _print(record: LogRecord) -> None:
    prefix = "" if record.source in ("function", "platform") else f"[{record.source}] "
    print(f"{prefix}{record.text}", flush=True)


async def _serve(options: argparse.Namespace) -> None:
    async with _emulator(options) as emulator:
        print(f"invoke:       {emulator.endpoint}  (function name: {options.name})")
        print(f"function URL: {emulator.function_url}", flush=True)
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
