"""Stages the peers in other languages, and the Web Adapter, each where its tool chain is installed.

The versions are pinned beside the sources, in ``peers``. Every one is a release build: Rust with
link-time optimisation, Go without debug information.
"""

import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import toolchain
from benchmarks.subjects import (
    ADAPTER,
    GO,
    NODE,
    PEERS,
    RUST,
    RUST_ONE,
    WEB_ADAPTER,
    Subject,
)

_NODE_PACKAGES = ("aws-lambda-ric@4.0.2", "node-linux-{arch}@24.21.0")
"""AWS's runtime, and a Node that is new enough for it, as npm has it."""


_WEB_ADAPTER = "0.9.1"


def stage(folder: Path) -> list[Subject]:
    """Build what can be built under ``folder``; a line on standard error tells what is missing.

    Raises BenchmarkError if a tool chain is there and fails.
    """
    return [*_rust(folder / "rust"), *_go(folder / "go"), *_node(folder / "node")]


def stage_web_adapter(folder: Path, subjects: list[Subject]) -> Iterator[Subject]:
    """AWS's Web Adapter beside the server that ``ADAPTER`` among the subjects starts.

    Takes some minutes the first time. Where it cannot be built, a line on standard error says why.
    """
    behind_a_hop = next((each for each in subjects if each.name == ADAPTER), None)
    if behind_a_hop is None or not _has("cargo", "the Web Adapter"):
        return
    crate = ["lambda_web_adapter", "--version", _WEB_ADAPTER, "--locked", "--quiet"]
    try:
        toolchain.run(["cargo", "install", *crate, "--root", str(folder)], "build the Web Adapter")
    except toolchain.BenchmarkError as error:
        print(f"benchmark: the Web Adapter is left out: {error}", file=sys.stderr)
        return
    (program,) = (folder / "bin").iterdir()
    port = str(_free_port())
    start = (str(PEERS / "web_adapter.sh"), str(program))
    yield replace(
        behind_a_hop,
        name=WEB_ADAPTER,
        command=(*start, *behind_a_hop.command[1:], port),
        env={"AWS_LWA_PORT": port, "RUST_LOG": "error"},
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _rust(folder: Path) -> Iterator[Subject]:
    if not _has("cargo", "Rust"):
        return
    shutil.copytree(PEERS / "rust", folder, dirs_exist_ok=True)
    toolchain.run(["cargo", "build", "--release", "--locked", "--quiet"], "build Rust", cwd=folder)
    for name, program in ((RUST, "echo"), (RUST_ONE, "echo-one-thread")):
        command = (str(folder / "target" / "release" / program),)
        yield Subject(name, command, folder, takes_handler=False)


def _go(folder: Path) -> Iterator[Subject]:
    if not _has("go", "Go"):
        return
    shutil.copytree(PEERS / "go", folder, dirs_exist_ok=True)
    build = ["go", "build", "-tags", "lambda.norpc", "-trimpath", "-ldflags", "-s -w", "-o", "echo"]
    toolchain.run([*build, "."], "build Go", cwd=folder)
    yield Subject(GO, (str(folder / "echo"),), folder, takes_handler=False)


def _node(folder: Path) -> Iterator[Subject]:
    if not _has("npm", "Node"):
        return
    shutil.copytree(PEERS / "node", folder, dirs_exist_ok=True)
    arch = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
    wanted = [package.format(arch=arch) for package in _NODE_PACKAGES]
    modules = folder / "node_modules"
    mark = folder / ".installed"
    if not mark.exists() or mark.read_text() != "\n".join(wanted):
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        toolchain.run(["npm", "install", *quiet, *wanted], "install Node's packages", cwd=folder)
        mark.write_text("\n".join(wanted))
    node = modules / f"node-linux-{arch}" / "bin" / "node"
    command = (str(node), str(modules / "aws-lambda-ric" / "index.mjs"))
    yield Subject(NODE, command, folder)


def _has(program: str, language: str) -> bool:
    found = shutil.which(program) is not None
    if not found:
        print(f"benchmark: {language} is left out: no {program} on PATH", file=sys.stderr)
    return found
