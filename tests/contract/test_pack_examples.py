"""examples/pack by the tools themselves: what they would deploy has its byte-code and its pack."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from container.engine import ContainerError, require
from support import packs
from support.paths import ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
ARCH = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
REQUIREMENTS = ROOT / "tests" / "requirements-pack-tools.txt"
NODE_PACKAGES = ("aws-cdk@2.1148.1", "osls@4.3.1")
TOOLS = ROOT / "build" / "pack-tools"


@pytest.fixture(scope="module")
def path() -> str:
    """PATH with SAM, CDK, the Serverless Framework's successor, and this project's command."""
    try:
        require({"node": "nodejs", "npm": "npm"})
    except ContainerError as error:
        pytest.skip(str(error))
    wanted = f"{sys.executable}\n{NODE_PACKAGES}\n{REQUIREMENTS.read_text()}"
    ready = TOOLS / ".ready"
    if not ready.exists() or ready.read_text() != wanted:
        venv.create(TOOLS, with_pip=True, clear=True)
        execute(
            TOOLS,
            None,
            str(TOOLS / "bin/pip"),
            "install",
            "-q",
            "--no-compile",
            "-r",
            str(REQUIREMENTS),
        )
        execute(TOOLS, None, "npm", "install", "--no-audit", "--no-fund", *NODE_PACKAGES)
        command = TOOLS / "bin" / "lambda-runtime"
        own = f'PYTHONPATH={ROOT}/runtime exec {sys.executable} -m lambda_runtime "$@"'
        command.write_text(f"#!/bin/sh\n{own}\n")
        command.chmod(0o755)
        ready.write_text(wanted)
    return os.pathsep.join([f"{TOOLS}/bin", f"{TOOLS}/node_modules/.bin", os.environ["PATH"]])


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The examples, for the Python and the machine that the tests run on."""
    folder = Path(shutil.copytree(ROOT / "examples" / "pack", tmp_path / "pack"))
    for name in ("sam/template.yaml", "serverless/serverless.yml", "cdk/app.py"):
        text = (folder / name).read_text()
        changed = text.replace("--python 3.13 --arch x86_64", f"--python {PYTHON} --arch {ARCH}")
        changed = changed.replace(
            '"--python", "3.13", "--arch", "x86_64"', f'"--python", "{PYTHON}", "--arch", "{ARCH}"'
        )
        assert changed != text or (PYTHON, ARCH) == ("3.13", "x86_64")
        (folder / name).write_text(changed)
    return folder


def execute(folder: Path, path: str | None, *command: str, **variables: str) -> str:
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "example",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "SAM_CLI_TELEMETRY": "0",
        "CDK_DISABLE_CLI_TELEMETRY": "1",
        "SLS_TELEMETRY_DISABLED": "1",
        **({"PATH": path} if path else {}),
        **variables,
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pack(folder: Path, path: str, out: str = "function.zip") -> None:
    """Run the command that the example's file begins with."""
    (file,) = (*folder.glob("*.yaml"), *folder.glob("*.yml"))
    lines = [line[2:] for line in file.read_text().splitlines() if line.startswith("# ")]
    command = "\n".join(lines[: lines.index(next(x for x in lines if "--out" in x)) + 1])
    execute(folder, path, "sh", "-c", command.replace("function.zip", out))


def check(artefact: Path, to: Path) -> None:
    with zipfile.ZipFile(artefact) as archive:
        archive.extractall(to)
    packs.compiles_nothing(to, "<h1>Hello, you</h1>")


def test_the_page_word_for_word(tmp_path: Path) -> None:
    """docs/pack.md's first commands, in a new environment and a copy of this repository."""
    page = (ROOT / "docs" / "pack.md").read_text()
    block = re.findall(r"```console\n(.*?)```", page, re.DOTALL)[0]
    commands = re.findall(r"^\$ (.*(?:\n {6}.*)*)", block, re.MULTILINE)
    assert len(commands) == 3
    names = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    for name in names:
        if name.startswith(("runtime/", "examples/pack/")) or "/" not in name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    venv.create(tmp_path / "new", with_pip=True)
    script = "\n".join(commands).replace("3.13 --arch x86_64", f"{PYTHON} --arch {ARCH}")
    path = os.pathsep.join([f"{tmp_path}/new/bin", os.environ["PATH"]])
    execute(tmp_path, path, "sh", "-euc", script)
    example = tmp_path / "examples" / "pack"
    assert "With the pack" in (example / "imports.html").read_text()
    check(example / "function.zip", tmp_path / "task")


class Bucket(ThreadingHTTPServer):
    """Takes what is uploaded, as S3 does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Upload)
        self.uploads: list[bytes] = []


class _Upload(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing of each request."""

    def do_HEAD(self) -> None:
        self._reply(404)  # it is not there yet

    def do_PUT(self) -> None:
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        self.server.uploads.append(self._body())
        self._reply(200)

    def _body(self) -> bytes:
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _reply(self, status: int) -> None:
        self.send_response(status)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("form", ["function.zip", "packed"])
def test_sam(form: str, path: str, example: Path, bucket: Bucket, tmp_path: Path) -> None:
    folder = example / "sam"
    pack(folder, path, form)
    template = folder / "template.yaml"
    template.write_text(template.read_text().replace("CodeUri: function.zip", f"CodeUri: {form}"))
    execute(folder, path, "sam", "build")
    address = f"http://127.0.0.1:{bucket.server_address[1]}"
    upload = ["sam", "package", "--s3-bucket", "bucket", "--output-template-file", "out.yaml"]
    execute(folder, path, *upload, AWS_ENDPOINT_URL=address)
    (tmp_path / "uploaded.zip").write_bytes(max(bucket.uploads, key=len))
    check(tmp_path / "uploaded.zip", tmp_path / "task")


def test_cdk(path: str, example: Path, tmp_path: Path) -> None:
    folder = example / "cdk"
    execute(folder, path, "cdk", "synth", "--quiet")
    (asset,) = (folder / "cdk.out").glob("asset.*.zip")
    check(asset, tmp_path / "task")


def test_serverless(path: str, example: Path, tmp_path: Path) -> None:
    folder = example / "serverless"
    pack(folder, path)
    execute(folder, path, "osls", "package", "--package", "out")
    state = json.loads((folder / "out" / "serverless-state.json").read_text())
    check(folder / state["package"]["artifact"], tmp_path / "task")


def test_serverless_zips_a_packed_folder(path: str, example: Path, tmp_path: Path) -> None:
    folder = example / "serverless"
    pack(folder, path, "packed")
    text = (folder / "serverless.yml").read_text()
    (folder / "packed" / "serverless.yml").write_text(
        text.replace("package:\n  artifact: function.zip\n", "")
    )
    execute(folder / "packed", path, "osls", "package")
    check(folder / "packed" / ".serverless" / "packed.zip", tmp_path / "task")
