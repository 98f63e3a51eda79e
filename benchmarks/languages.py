"""Stages the peers in other languages, each where its tool chain is installed.

The versions are pinned beside the sources, in ``peers``. Every one is a release build: Rust with
link-time optimisation, Go without debug information.
"""

import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import toolchain
from benchmarks.subjects import GO, NODE, PEERS, RUST, RUST_ONE, Subject

_NODE_PACKAGES = ("aws-lambda-ric@4.0.2", "node-linux-{arch}@24.21.0")
"""AWS's runtime, and a Node that is new enough for it, as npm has it."""


def stage(folder: Path) -> list[Subject]:
    """Build what can be built under ``folder``; a line on standard error tells what is missing.

    Raises BenchmarkError if a tool chain is there and fails.
    """
    return [*_rust(folder / "rust"), *_go(folder / "go"), *_node(folder / "node")]


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
