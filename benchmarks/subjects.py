"""The subjects of the benchmark: each in its own folder, as it ships and as its users start it."""

import os
import platform
import shutil
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import toolchain
from benchmarks.toolchain import ROOT, BenchmarkError, Native
from core import build as core

OURS = "lambda_runtime"
COLLECTOR_ON = "lambda_runtime, collector on"
UNWATCHED = "lambda_runtime, no timeout trace"
PEER = "awslambdaric"
HTTP_CLIENT = "http.client"
HTTPX = "httpx"
C_CLIENT = "C client"
BARE = "bare interpreter"
WHOLE = "lambda_runtime, response at once"
COPY = "plain socket copy"
ADAPTER = "uvicorn behind a hop"
WEB_ADAPTER = "Lambda Web Adapter"
FLOOR = "bare loop"
RUST = "Rust"
RUST_ONE = "Rust, one thread"
GO = "Go"
NODE = "Node"

# The tasks that subjects are staged for.
PLAIN = "plain"
STREAM = "stream"
WEB = "web"
PROCESSES = "processes"
PRELOAD = "preload"
THREADS = "threads"
ASYNC = "async"
AT_ONCE = 16
WAYS = (PROCESSES, PRELOAD, THREADS, ASYNC)
"""The concurrency modes for several invocations at once. Each is a separate task."""

FUNCTION = Path(__file__).parent / "function"
APPLICATION = Path(__file__).parent / "web"
PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Subject:
    """A program that is measured."""

    name: str
    command: tuple[str, ...]
    """The command line without the handler."""
    cwd: Path
    takes_handler: bool = True
    speaks: bool = True
    """Whether it asks the Runtime API for events. The bare interpreter only starts and exits."""
    env: Mapping[str, str] = field(default_factory=dict)
    task: str = PLAIN
    handler: str = ""
    """The handler, if it is not the scenario's."""

    def argv(self, handler: str) -> list[str]:
        """The command line that serves ``handler``."""
        return [*self.command, handler] if self.takes_handler else list(self.command)

    def environment(self, handler: str) -> dict[str, str]:
        """The variables that Lambda sets, and none of the caller's own."""
        return {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "TZ": ":UTC",
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": str(self.cwd),
            "AWS_REGION": "us-east-1",
            "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/benchmark",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0123456789abcdef",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            **self.env,
        }


def stage_all(
    python: Path, native: Native, tasks: Set[str], build: Path = toolchain.BUILD
) -> list[Subject]:
    """Stage the subjects of ``tasks`` under ``build``, with one virtual environment for all.

    Raises BenchmarkError if a package cannot be installed, or a file does not compile.
    """
    folder = build / f"python-{toolchain.version_of(python)}"
    python = toolchain.make_environment(python, folder / "venv")
    task = _stage_task(python, folder / "task")
    ours = stage_ours(python, folder / "lambda_runtime", task)
    subjects: list[Subject] = []
    if PLAIN in tasks:
        subjects += _stage_plain(python, folder, ours, native.client)
    if STREAM in tasks:
        subjects += _streams(ours, native.client)
    if WEB in tasks:
        subjects += _stage_web(python, folder, ours, native.adapter)
    ways = [way for way in WAYS if way in tasks]
    if ways:
        peer = _stage_peer(python, folder / "awslambdaric")
        subjects += [each for way in ways for each in served(way, ours, peer)]
    return [*subjects, *_stage_floors(python, folder, ours)]


def _stage_floors(python: Path, folder: Path, ours: Subject) -> list[Subject]:
    """The bare loops: of one invocation at a time, of sixteen processes, and of asyncio."""
    loops = folder / "bare_loop"
    shutil.rmtree(loops, ignore_errors=True)
    loops.mkdir(parents=True)
    for source in ("bare_loop.py", "asyncio_loop.py"):
        shutil.copy(PEERS / source, loops)
    toolchain.byte_compile(python, loops)
    packages = {"PYTHONPATH": str(folder / "lambda_runtime" / "packages")}
    one = Subject(FLOOR, (str(python), "-S", str(loops / "bare_loop.py")), ours.cwd, env=packages)
    forked = (*one.command, "many.handler", str(AT_ONCE))
    looped = (str(python), str(loops / "asyncio_loop.py"), "many.async_handler", str(AT_ONCE))
    return [
        one,
        replace(one, task=PRELOAD, command=forked, takes_handler=False),
        replace(one, task=THREADS, command=looped, takes_handler=False),
        replace(one, task=ASYNC, command=looped, takes_handler=False),
    ]


def served(way: str, ours: Subject, peer: Subject) -> list[Subject]:
    """This runtime and its peer with several invocations at once. The peer has only one mode."""
    handler = "many.async_handler" if way == ASYNC else "many.handler"
    chosen = {"LAMBDA_RUNTIME_CONCURRENCY": way}
    return [
        replace(ours, task=way, env=chosen, handler=handler),
        replace(peer, task=way, handler="many.handler"),
    ]


def _stage_plain(python: Path, folder: Path, ours: Subject, client: Path) -> list[Subject]:
    return [
        ours,
        replace(ours, name=COLLECTOR_ON, env={"BENCHMARK_COLLECTOR": "on"}),
        replace(ours, name=UNWATCHED, env={"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "0"}),
        _stage_peer(python, folder / "awslambdaric"),
        _stage_loop(python, folder / "http_client", HTTP_CLIENT, "http_client_loop", []),
        _stage_loop(python, folder / "httpx", HTTPX, "httpx_loop", ["httpx"]),
        Subject(C_CLIENT, (str(client),), ours.cwd, takes_handler=False),
        Subject(
            BARE,
            (str(python), "-I", "-S", "-c", "pass"),
            ours.cwd,
            takes_handler=False,
            speaks=False,
        ),
    ]


def _streams(ours: Subject, client: Path) -> list[Subject]:
    sender = Subject(C_CLIENT, (str(client), "stream"), ours.cwd, takes_handler=False, task=STREAM)
    return [
        replace(ours, task=STREAM),
        replace(ours, task=STREAM, name=WHOLE, handler="stream.whole"),
        sender,
        replace(sender, name=COPY, command=(str(client), "copy")),
    ]


def _stage_web(python: Path, folder: Path, ours: Subject, adapter: Path) -> list[Subject]:
    """Stage one application in three ways, each with the packages that it needs beside it."""
    served = {
        OURS: ["fastapi"],
        PEER: ["fastapi", "mangum", "awslambdaric"],
        ADAPTER: ["fastapi", "uvicorn"],
    }
    tasks = {name: folder / "web" / name.replace(" ", "-") for name in served}
    for name, packages in served.items():
        toolchain.install_packages(python, packages, tasks[name])
        shutil.copytree(APPLICATION, tasks[name], dirs_exist_ok=True)
        for source in APPLICATION.glob("*.py"):
            toolchain.byte_compile(python, tasks[name] / source.name)
    return web_subjects(str(python), ours.command, adapter, tasks)


def web_subjects(
    python: str, ours: tuple[str, ...], adapter: Path, tasks: Mapping[str, Path]
) -> list[Subject]:
    """The subjects that serve the web application, each in its own folder of ``tasks``."""
    quiet = ("--host", "127.0.0.1", "--no-access-log", "--log-level", "warning")
    server = (python, "-m", "uvicorn", "hello:app", *quiet, "--port")
    return [
        Subject(OURS, ours, tasks[OURS], task=WEB, handler="hello.app"),
        Subject(
            PEER,
            (python, "-m", "awslambdaric"),
            tasks[PEER],
            task=WEB,
            handler="hello_mangum.handler",
        ),
        Subject(ADAPTER, (str(adapter), *server), tasks[ADAPTER], takes_handler=False, task=WEB),
    ]


def stage_ours(python: Path, folder: Path, task: Path) -> Subject:
    """Stage this runtime as layers and images have it: byte-compiled, with its bundle."""
    packages = folder / "packages"
    toolchain.install_packages(python, ["orjson"], packages)
    stage = folder / "runtime"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(packages, stage)
    shutil.copytree(
        ROOT / "runtime" / "lambda_runtime",
        stage / "lambda_runtime",
        ignore=shutil.ignore_patterns("__pycache__", "cold.*", "core.*.so"),
    )
    _add_core(stage / "lambda_runtime")
    shutil.copy(ROOT / "bootstrap", stage / "bootstrap")
    toolchain.byte_compile(python, stage)
    toolchain.run(
        [str(python), "-m", "lambda_runtime.start.bundle", str(stage)],
        "make the cold bundle",
        cwd=stage,
    )
    return Subject(OURS, (str(python), "-S", str(stage / "bootstrap")), task)


def _add_core(package: Path) -> None:
    try:
        core.add_to(package, tuple({platform.machine()} & set(core.MACHINES)))
    except core.CoreError as error:
        raise BenchmarkError(str(error)) from None


def _stage_task(python: Path, folder: Path) -> Path:
    shutil.copytree(FUNCTION, folder, dirs_exist_ok=True)
    toolchain.byte_compile(python, folder)
    return folder


def _stage_peer(python: Path, folder: Path) -> Subject:
    """Stage awslambdaric as AWS documents it for images: in the function's own folder."""
    toolchain.install_packages(python, ["awslambdaric"], folder)
    _stage_task(python, folder)
    return Subject(PEER, (str(python), "-m", "awslambdaric"), folder)


def _stage_loop(python: Path, folder: Path, name: str, module: str, packages: list[str]) -> Subject:
    folder.mkdir(parents=True, exist_ok=True)
    if packages:
        toolchain.install_packages(python, packages, folder)
    shutil.copy(PEERS / f"{module}.py", folder)
    _stage_task(python, folder)
    return Subject(name, (str(python), "-m", module), folder)
