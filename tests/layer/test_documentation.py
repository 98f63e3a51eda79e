"""docs/layer.md, by the tools that it is for: the aws command, cfn-lint, an HCL parser."""

from __future__ import annotations

import http.server
import json
import re
import shlex
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import hcl2
import pytest
from awscli import clidriver

from layer.target import ARCHES, DEFAULT_PYTHON, PYTHONS, layer_name
from support.paths import ROOT

PAGE = (ROOT / "docs/layer.md").read_text()
ANSWERS: dict[str, dict[str, Any]] = {
    "GET": {"Configuration": {"State": "Active"}, "State": "Active"},
    "POST": {"LayerVersionArn": "arn", "FunctionName": "hello"},
    "PUT": {"FunctionName": "hello"},
}


def blocks(language: str) -> list[str]:
    """The page's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[list[str]]:
    """The page's command lines of one program, split as a shell does."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(name + " ")]


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers as the service would, and keeps what came."""

    requests: list[tuple[str, str, bytes]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.requests.append((self.command, self.path, body))
        reply = json.dumps(ANSWERS[self.command]).encode()
        if b"Action=" in body:  # IAM speaks XML
            action = re.findall(rb"Action=(\w+)", body)[0].decode()
            reply = f"<{action}Response><{action}Result/></{action}Response>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    requests: list[tuple[str, str, bytes]] = []
    handler = type("Handler", (Recorder,), {"requests": requests})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requests
        server.shutdown()
        thread.join()


def test_aws_commands(
    recorder: tuple[str, list[tuple[str, str, bytes]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is accepted by the real command and sends the request that it is meant to."""
    endpoint, requests = recorder
    settings = {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "eu-central-1"}
    settings |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "NO_PROXY": "127.0.0.1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for command in commands("aws"):
        for path in re.findall(r"fileb://(\S+)", " ".join(command)):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(tmp_path / path, "w") as archive:
                archive.writestr("a", "b")
        before = len(requests)
        assert clidriver.create_clidriver().main(arguments_for_version_1(command)) == 0, command
        assert len(requests) == before + 1, command
    sent = [path for _, path, _ in requests]
    assert sum(path.startswith("/2018-10-31/layers/") for path in sent) == 3
    created = json.loads(
        next(b for m, p, b in requests if p.endswith("/functions") and m == "POST")
    )
    assert created["Runtime"] == "provided.al2023"
    assert created["Handler"] == "app.handler"
    configured = [
        json.loads(body) for _, path, body in requests if path.endswith("/configuration") and body
    ]
    variables = [c["Environment"]["Variables"] for c in configured if "Environment" in c]
    assert variables == [{"AWS_LAMBDA_EXEC_WRAPPER": "/opt/lambda-runtime"}]
    assert sorted(len(c["Layers"]) for c in configured) == [1, 1, 2]


def arguments_for_version_1(command: list[str]) -> list[str]:
    """Version 1 of the aws command, which PyPI has, knows no option for binary formats."""
    arguments = command[1:]
    if "--cli-binary-format" in arguments:
        at = arguments.index("--cli-binary-format")
        del arguments[at : at + 2]
    return arguments


def test_pip_commands_are_the_tests_own() -> None:
    """The options that the wheels of these tests are installed with."""
    found = commands("pip")
    assert len(found) == 2
    for command in found:
        pairs = dict(pairwise(command))
        assert (pairs["--python-version"], pairs["--implementation"]) == ("3.13", "cp")
        assert command.count("--platform") == 2 and "--only-binary=:all:" in command


def test_sam_template(tmp_path: Path) -> None:
    (block,) = blocks("yaml")
    template = tmp_path / "template.yaml"
    template.write_text(block)
    command = [str(Path(sys.executable).parent / "cfn-lint"), str(template)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


def test_terraform() -> None:
    (block,) = blocks("hcl")
    resources = [name for entry in hcl2.loads(block)["resource"] for name in entry]
    assert [name.strip('"') for name in resources] == [
        "aws_lambda_layer_version",
        "aws_iam_role",
        "aws_lambda_function",
    ]


def test_names_on_the_page_are_the_builds() -> None:
    named = set(re.findall(r"lambda-runtime-[\w-]+\.zip", PAGE))
    default = {layer_name(DEFAULT_PYTHON, each) for each in ARCHES} | {"lambda-runtime-managed.zip"}
    every = {layer_name(python, each) for python in PYTHONS for each in ARCHES}
    assert default <= named <= default | every
