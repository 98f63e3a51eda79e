"""Who is measured: each staged in its own folder as it ships, and started as its users do."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import toolchain
from benchmarks.toolchain import ROOT

OURS = "lambda_runtime"
COLLECTOR_ON = "lambda_runtime, collector on"
UNWATCHED = "lambda_runtime, no timeout trace"
PEER = "awslambdaric"
HTTP_CLIENT = "http.client"
HTTPX = "httpx"
C_CLIENT = "C client"
BARE = "bare interpreter"

FUNCTION = Path(__file__).parent / "function"
PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Subject:
    """A program that is measured."""

    name: str
    command: tuple[str, ...]
    """Its command line without the handler."""
    cwd: Path
    takes_handler: bool = True
    speaks: bool = True
    """Whether it asks the Runtime API for events; the bare interpreter only starts and ends."""
    env: Mapping[str, str] = field(default_factory=dict)

    def argv(self, handler: str) -> list[str]:
        """The command line that serves `handler`."""
        return [*self.command, handler] if self.takes_handler else list(self.command)

    def environment(self, handler: str) -> dict[str, str]:
        """What Lambda sets, and nothing of the caller's own environment."""
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


def stage_all(python: Path, client: Path, build: Path = toolchain.BUILD) -> list[Subject]:
    """Stages every subject for `python` under `build`; all run on one environment of it.

    Raises:
        BenchmarkError: a package cannot be installed or a file does not compile.
    """
    folder = build / f"python-{toolchain.version_of(python)}"
    python = toolchain.make_environment(python, folder / "venv")
    task = _stage_task(python, folder / "task")
    ours = stage_ours(python, folder / "lambda_runtime", task)
    return [
        ours,
        replace(ours, name=COLLECTOR_ON, env={"BENCHMARK_COLLECTOR": "on"}),
        replace(ours, name=UNWATCHED, env={"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "0"}),
        _stage_peer(python, folder / "awslambdaric"),
        _stage_loop(python, folder / "http_client", HTTP_CLIENT, "http_client_loop", []),
        _stage_loop(python, folder / "httpx", HTTPX, "httpx_loop", ["httpx"]),
        Subject(C_CLIENT, (str(client),), task, takes_handler=False),
        Subject(
            BARE,
            (str(python), "-I", "-S", "-c", "pass"),
            task,
            takes_handler=False,
            speaks=False,
        ),
    ]


def stage_ours(python: Path, folder: Path, task: Path) -> Subject:
    """This checkout's runtime as its artefacts carry it: byte-compiled, with the cold bundle."""
    packages = folder / "packages"
    toolchain.install_packages(python, ["orjson"], packages)
    stage = folder / "runtime"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(packages, stage)
    shutil.copytree(
        ROOT / "runtime" / "lambda_runtime",
        stage / "lambda_runtime",
        ignore=shutil.ignore_patterns("__pycache__", "cold.*"),
    )
    shutil.copy(ROOT / "bootstrap", stage / "bootstrap")
    toolchain.byte_compile(python, stage)
    if (stage / "lambda_runtime" / "bundle.py").exists():
        toolchain.run(
            [str(python), "-m", "lambda_runtime.bundle", str(stage)],
            "make the cold bundle",
            cwd=stage,
        )
    return Subject(OURS, (str(python), "-S", str(stage / "bootstrap")), task)


def _stage_task(python: Path, folder: Path) -> Path:
    shutil.copytree(FUNCTION, folder, dirs_exist_ok=True)
    toolchain.byte_compile(python, folder)
    return folder


def _stage_peer(python: Path, folder: Path) -> Subject:
    """The way AWS documents for images: the package is installed into the function's own folder."""
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
