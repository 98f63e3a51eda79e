"""`make aws-smoke` against moto, with the emulator in the place of Lambda's machines.

moto keeps roles, layers and functions; it runs none. An invocation goes to an emulator that has
just been started with the memory and the variables that moto was given: a cold start.
"""

from __future__ import annotations

import base64
import io
import re
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import pytest

from lambda_emulator.threaded import ThreadedEmulator
from smoke import account, table
from smoke.errors import SmokeError
from smoke.plan import ARCHITECTURES, MEMORIES, SUBJECTS, Plan
from support.local_aws import local_aws, without_aws
from support.paths import ROOT
from support.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("smoke"), pytest.mark.timeout(200, func_only=True)]

INVOCATION = re.compile(r"^/2015-03-31/functions/([^/]+)/invocations")


class Front(ThreadingHTTPServer):
    """One endpoint for all of it."""

    daemon_threads = True

    def __init__(self, moto: str, task: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Route)
        self.moto = moto
        self.task = task
        self.invoked: list[str] = []


class _Route(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        found = INVOCATION.match(self.path)
        if found:
            self._reply(200, *_invoke(self.server, found[1]))
            return
        with httpx.Client(trust_env=False, timeout=60) as client:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "accept-encoding"}
            answer = client.request(
                self.command, self.server.moto + self.path, content=body, headers=headers
            )
        kept = {
            k: v for k, v in answer.headers.items() if k in ("content-type", "x-amzn-errortype")
        }
        self._reply(answer.status_code, answer.content, kept)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"content-length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def _invoke(front: Front, name: str) -> tuple[bytes, dict[str, str]]:
    """Start the function that moto knows, on this machine's Python, and invoke it once."""
    client = aws("lambda", front.moto)
    known = client.get_function(FunctionName=name)
    configuration = known["Configuration"]
    assert configuration["Handler"] == "app.handler"
    front.invoked.append(f"{name} {configuration['MemorySize']}")
    with ThreadedEmulator(
        command=[sys.executable, "-S", str(ROOT / "bootstrap"), "app.handler"],
        handler="app.handler",
        task_root=front.task,
        environment={"SMOKE_START": configuration["Environment"]["Variables"]["SMOKE_START"]},
        inherit=False,
        memory_size=configuration["MemorySize"],
    ) as emulator:
        reply = emulator.invoke({}, log_tail=True)
    assert reply.log_tail is not None
    log = base64.b64encode(reply.log_tail).decode()
    return reply.payload, {"x-amz-log-result": log, "content-type": "application/json"}


def aws(service: str, endpoint: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )


@contextmanager
def front(task: Path) -> Iterator[tuple[Front, dict[str, str]]]:
    with local_aws() as settings, Front(settings["AWS_ENDPOINT_URL"], task) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        yield server, without_aws() | settings | {"AWS_ENDPOINT_URL": endpoint}
        server.shutdown()
        thread.join(10)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return 'hello'\n")
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "smoke", *arguments]


def nothing_is_left(endpoint: str) -> bool:
    names = [
        *aws("lambda", endpoint).list_functions()["Functions"],
        *aws("lambda", endpoint).list_layers()["Layers"],
        *aws("iam", endpoint).list_roles()["Roles"],
        *aws("ecr", endpoint).describe_repositories()["repositories"],
        *aws("logs", endpoint).describe_log_groups()["logGroups"],
    ]
    return names == []


def test_a_table_and_nothing_left(task: Path) -> None:
    with front(task) as (server, environment):
        done = subprocess.run(
            command("--only", "aws", "--starts", "2", "--yes"),
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT / "emulator")},
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        assert nothing_is_left(server.moto)
    assert len(server.invoked) == len(ARCHITECTURES) * len(MEMORIES) * 2
    assert "8 invocations, 2 cold starts of each function at 128 and 1769 MB" in done.stdout
    assert "It costs 0.01 US dollars at most" in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.startswith("| AWS's runtime |"))
    assert len(re.findall(r"\| [\d.]+ \+ [\d.]+ ", row)) == 4


@pytest.mark.long
@pytest.mark.timeout(900, func_only=True)
def test_layers_and_a_pack_are_made_and_uploaded(task: Path) -> None:
    chosen = [word for name in ("layer", "managed", "packed") for word in ("--only", name)]
    with front(task) as (server, environment):
        done = subprocess.run(
            command(*chosen, "--starts", "1", "--yes"),
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT / "emulator")},
            capture_output=True,
            text=True,
            timeout=800,
        )
        assert done.returncode == 0, done.stderr
        assert nothing_is_left(server.moto)
    assert done.stdout.count(" + ") == 1 + 3 * len(ARCHITECTURES) * len(MEMORIES)


def test_ctrl_c_removes_everything(task: Path) -> None:
    with front(task) as (server, environment):
        process = subprocess.Popen(
            command("--only", "aws", "--starts", "500", "--yes"),
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT / "emulator")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            wait_until(lambda: len(server.invoked) > 1, "some cold starts", 60)
            assert aws("lambda", server.moto).list_functions()["Functions"]
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 130
        assert nothing_is_left(server.moto)
    assert "| AWS's runtime |" in said


def test_what_a_killed_run_has_left_can_be_removed(task: Path) -> None:
    with front(task) as (server, environment):
        role = aws("iam", server.moto).create_role(
            RoleName=f"{account.PREFIX}-0", AssumeRolePolicyDocument="{}"
        )
        other = aws("iam", server.moto).create_role(RoleName="b", AssumeRolePolicyDocument="{}")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("a", "b")
        for name in (f"{account.PREFIX}-0-own", "others"):
            aws("lambda", server.moto).publish_layer_version(
                LayerName=name, Content={"ZipFile": content.getvalue()}
            )
        done = subprocess.run(
            command("--remove"), cwd=ROOT, env=environment, capture_output=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, b"")
        roles = [each["Arn"] for each in aws("iam", server.moto).list_roles()["Roles"]]
        assert roles == [other["Role"]["Arn"]] and role["Role"]["Arn"] not in roles
        layers = aws("lambda", server.moto).list_layers()["Layers"]
        assert [each["LayerName"] for each in layers] == ["others"]


def test_nobody_is_asked_and_nothing_is_done(task: Path) -> None:
    with front(task) as (server, environment):
        done = subprocess.run(
            command("--only", "aws"),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert nothing_is_left(server.moto)
    assert done.returncode == 2
    assert "In account 123456789012, region eu-central-1" in done.stdout
    assert "--yes agrees" in done.stderr


def test_without_an_account(tmp_path: Path) -> None:
    environment = without_aws() | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    for more, said in (({}, "no region"), ({"AWS_DEFAULT_REGION": "x"}, "no credentials")):
        done = subprocess.run(
            command("--yes"),
            cwd=ROOT,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        assert done.stderr.startswith(f"aws-smoke: {said}") and done.stderr.count("\n") == 1


def test_all_subjects_are_announced() -> None:
    text = Plan(SUBJECTS, 20, "eu-central-1", "name").announcement("1")
    assert "3 layer versions, 12 functions" in text and "an ECR repository with 2 images" in text
    assert "480 invocations" in text
    assert float(re.findall(r"costs ([\d.]+)", text)[0]) < 0.05


def test_report_lines() -> None:
    line = "REPORT RequestId: 1\tDuration: 1.25 ms\tBilled Duration: 50 ms\tMemory Size: 128 MB\t"
    log = f"START\nhello\n{line}Max Memory Used: 30 MB\tInit Duration: 47.5 ms\t\n"
    assert table.start_of(log) == table.Start(init=47.5, call=1.25)
    with pytest.raises(SmokeError, match="no REPORT line of a cold start"):
        table.start_of(f"{line}\n")


def test_images_are_pushed_with_a_login_that_no_list_shows(tmp_path: Path) -> None:
    with pytest.raises(SmokeError, match=r"^skopeo: "):
        account.push(tmp_path / "absent.tar", "127.0.0.1:1/x:y", "dTpw", plain_http=True)
