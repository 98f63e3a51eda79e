"""Every code block of the documentation is what it says that it is, and every command exists."""

from __future__ import annotations

import ast
import configparser
import contextlib
import importlib.util
import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml  # type: ignore[import-untyped]

from lambda_emulator.__main__ import _parser as emulator_parser
from lambda_emulator.commands.table import COMMANDS
from lambda_runtime.pack.packer.cli import parser as pack_parser
from support.documents import PAGES, Block, blocks_of
from support.paths import ROOT

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
MAKE = re.compile(r"(?:^|[\s`(])make ((?:[A-Z_]+=\S+ )*)([a-z][a-z-]+)")
#: "make" as a verb, which is followed by these.
PROSE = {"a", "an", "it", "made", "run", "that", "the", "them", "clean", "sure", "what", "again"}


def blocks(*languages: str) -> list[Any]:
    """The blocks of these languages, as parameters of a test."""
    return [pytest.param(each, id=f"{each.page}-{each.number}") for each in blocks_of(*languages)]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command line of the blocks for shells, with its page."""
    for block in blocks_of("sh", "console", ""):
        text = re.sub(r"\\\n\s*", "", block.text)
        for line in text.splitlines():
            with contextlib.suppress(ValueError):  # a quotation that goes on, or a picture
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words:
                    yield block.page, words


@pytest.mark.parametrize("block", blocks("python"))
def test_python_is_python(block: Block) -> None:
    # A block may be the inside of a function.
    compile(block.text, block.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("block", blocks("sh"))
def test_shell_is_shell(block: Block) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", blocks("json", "yaml", "hcl", "ini"))
def test_documents_can_be_read(block: Block) -> None:
    if block.language == "ini":
        configparser.ConfigParser().read_string(block.text)
    elif block.language == "hcl":
        hcl2.loads(block.text)
    elif block.language == "json":
        json.loads(block.text)
    else:

        class Loader(yaml.SafeLoader):  # type: ignore[misc]
            """With CloudFormation's short forms, such as !Ref."""

        Loader.add_multi_constructor("!", lambda loader, tag, node: str(node.value))
        assert yaml.load(block.text, Loader)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_s_targets_exist(page: Path) -> None:
    text = page.read_text()
    code = "\n".join(
        [*re.findall(r"`([^`\n]+)`", text), *(b.text for b in blocks_of() if b.page == page.name)]
    )
    code = re.sub(r"apt-get install [^&\n]*", "", code)
    named = {target for _, target in MAKE.findall(f"\n{code}")}
    assert named - PROSE <= TARGETS


def test_the_emulator_s_commands_exist() -> None:
    seen = 0
    for page, words in commands():
        if words[0] == "make" and "emulator" in words:
            words = shlex.split(next((w[5:] for w in words if w.startswith("ARGS=")), ""))
            words = ["lambda-emulator", *words]
        if words[0] != "lambda-emulator" or "--help" in words:
            continue
        known = (*COMMANDS, "--version")
        arguments = words[1:] if words[1:2] and words[1] in known else ["start", *words[1:]]
        arguments = arguments[: arguments.index("--")] if "--" in arguments else arguments
        stopped = re.split(r"^[|>&]", "\0".join(arguments), flags=re.MULTILINE)[0].split("\0")
        accepted(emulator_parser(), [word for word in stopped if word not in ("|", "&")], page)
        seen += 1
    assert seen > 5


def test_the_packer_s_options_exist() -> None:
    seen = 0
    for page, words in commands():
        if words[:2] == ["lambda-runtime", "pack"]:
            accepted(pack_parser(), words[2:], page)
            seen += 1
    assert seen


def accepted(parser: object, words: list[str], page: str) -> None:
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            parser.parse_args(words)  # type: ignore[attr-defined]
    except SystemExit as end:
        # A file of the reader's need not be here.
        assert not end.code or "does not exist" in errors.getvalue(), (page, words)


def test_modules_that_are_run_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"python3? -m ([\w.]+)", page.read_text()):
            beside = list((ROOT / "benchmarks").rglob(f"{name}.py"))
            assert beside or importlib.util.find_spec(name), (page.name, name)
