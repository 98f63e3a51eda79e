"""Every code block of the documentation is run: here, by another test, or a list says why not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import aws_durable_execution_sdk_python  # type: ignore[import-not-found,import-untyped,unused-ignore]
import httpx
import pytest

from container.engine import require
from lambda_emulator.function import SnapStart
from lambda_emulator.threaded import ThreadedEmulator
from support.documents import Block, Terminal, block, blocks_of
from support.local_aws import local_aws
from support.paths import ROOT
from support.served import archive, client
from support.waiting import wait_until

HELLO = "def handler(event, context):\n    return f\"Hello, {event.get('name')}\"\n"

#: Blocks that no test runs: page, words of the block, reason.
NOT_RUN = (
    ("architecture.md", "entry      entry:", "a picture"),
    ("lifecycle.md", "INVOKE, any number of times", "a picture"),
    ("lifecycle.md", "is about to time out", "a log record, as in contract/test_deadline.py"),
    ("pythons.md", "Pythons: 3.11.2", "a line that the tests print"),
    ("benchmarks.md", "make bench   ", "takes minutes; unit/test_benchmarks.py runs parts"),
    ("reliability.md", "make soak   ", "takes minutes; make test-all runs it"),
    ("README.md", "make bench  ", "whole runs of the tests and of releases"),
    ("CONTRIBUTING.md", "make bench  ", "whole runs of the tests"),
    ("container.md", "docker run --rm -v", "needs a registry of images"),
    ("releases.md", "gh attestation verify", "needs a forge with a release"),
    ("releases.md", "grype", "needs a scanner's database; release/test_vex.py reads it as they do"),
    ("ten-minutes.md", "${URL}countdown", "needs AWS; test_here calls the emulator's URL"),
)

#: Blocks that a test elsewhere runs or hands to the tool that they are for.
ELSEWHERE = (
    ("async.md", "squares", "contract/test_aio.py::test_the_page"),
    ("async.md", "aioboto3.Session()", "compatibility/test_async_clients.py::test_one_client"),
    ("async.md", "AsyncDynamoDBClient()", "compatibility/test_async_clients.py::test_one_client"),
    ("benchmarks.md", "make aws-smoke", "smoke/test_aws_smoke.py::test_a_table"),
    ("coming-from.md", "COPY lambda_runtime", "container/test_user_images.py::test_wheel_on"),
    ("compatibility.md", "make compat", "compatibility/test_compatibility.py::test_every_library"),
    ("container.md", "make image\n", "container/test_loading.py::test_the_readme_s_three_lines"),
    (
        "container.md",
        "FROM lambda-runtime:python3.13\nCOPY app",
        "container/test_loading.py::test_",
    ),
    ("container.md", "-m compileall", "container/test_user_images.py::test_web_app"),
    ("container.md", "aarch64", "container/test_user_images.py::test_dependencies_for_the_other"),
    ("container.md", "COPY layer/", "container/test_user_images.py::test_a_layer_s_folder"),
    ("container.md", "FROM python:3.13-slim", "container/test_user_images.py::test_wheel_on"),
    ("container.md", "docker build -t hello", "container/test_running.py::test_"),
    ("container.md", "127.0.0.1:9000/2015", "container/test_running.py::test_"),
    ("container.md", "REPOSITORY=$(", "container/test_documentation.py::test_aws_accepts"),
    ("container.md", "create-function", "container/test_documentation.py::test_aws_accepts"),
    ("container.md", "update-function", "container/test_documentation.py::test_aws_accepts"),
    ("container.md", "DockerContext", "container/test_documentation.py::test_cfn_lint_accepts"),
    ("container.md", 'variable "image_uri"', "infrastructure/test_terraform.py::test_the_aws"),
    ("core.md", "make core", "core/test_building.py::test_the_command"),
    ("emulator-api.md", 'plus-one",\n', "emulator/test_serve.py::test_the_page"),
    ("emulator-dev.md", '"request": "attach"', "contract/test_pack_debuggers.py::test_"),
    ("emulator-testing.md", "[pytest]", "emulator/test_pytest_plugin.py::test_the_page"),
    ("emulator-testing.md", "# test_app.py", "emulator/test_pytest_plugin.py::test_the_page"),
    ("emulator-testing.md", "# app.py", "emulator/test_pytest_plugin.py::test_the_page"),
    ("emulator.md", "import asyncio", "emulator/test_command.py::test_the_page"),
    ("emulator.md", "RandomFaults", "emulator/test_command.py::test_the_page"),
    ("layer.md", "make layer\n", "layer/test_artefacts.py::test_"),
    ("layer.md", "aws iam", "layer/test_documentation.py::test_aws_commands"),
    ("layer.md", "layer-name lambda-runtime-python313", "layer/test_documentation.py::test_aws_"),
    ("layer.md", "aws lambda create-function", "layer/test_documentation.py::test_aws_commands"),
    ("layer.md", "layer-name lambda-runtime-managed", "layer/test_documentation.py::test_aws_"),
    ("layer.md", "layer-name requirements", "layer/test_documentation.py::test_aws_commands"),
    ("layer.md", "AWS::Serverless::Function", "layer/test_documentation.py::test_sam_template"),
    ("layer.md", 'resource "aws_lambda', "infrastructure/test_terraform.py::test_the_aws"),
    ("lazy-imports.md", "import boto3", "pythons/test_lazy_imports.py::test_the_function_of"),
    ("lazy-imports.md", "# used by every", "pythons/test_lazy_imports.py::test_the_function_of"),
    ("managed-instances.md", "cache = {}", "contract/test_managed_instances.py::test_the_page"),
    ("managed-instances.md", "on_fork", "contract/test_managed_instances.py::test_the_page_s"),
    ("pack.md", "pip install .", "contract/test_pack_examples.py::test_the_page_word_for_word"),
    ("pack.md", "RUN PYTHONPATH", "container/test_user_images.py::test_a_pack_that"),
    ("releases.md", "# into dist", "release/test_distributions.py::test_all_of_a_release"),
    ("releases.md", "publish-layers", "release/test_layers.py::test_every_layer"),
    ("results.md", "numpy.nan", "contract/test_library_results.py::test_the_example"),
    ("streaming.md", "def count()", "contract/test_streaming.py::test_the_page"),
    ("ten-minutes.md", "mkdir -p", "docs/test_ten_minutes.py::test_here"),
    ("ten-minutes.md", "make emulator", "docs/test_ten_minutes.py::test_here"),
    ("ten-minutes.md", "make layer-check", "docs/test_ten_minutes.py::test_the_zip"),
    ("ten-minutes.md", "?name=you", "docs/test_ten_minutes.py::test_here"),
    ("ten-minutes.md", "create-function-url", "docs/test_ten_minutes.py::test_deployed"),
    ("ten-minutes.md", "delete-function", "docs/test_ten_minutes.py::test_deployed"),
    ("web.md", 'app.get("/hello")', "contract/test_web.py::test_the_function_that"),
)

#: Blocks that the tests of this file run: page and words.
HERE: list[tuple[str, str]] = []


def runs(page: str, words: str, name: str = "text") -> pytest.MarkDecorator:
    """Mark a test that runs the block of the page with these words; it gets the block's text."""
    HERE.append((page, words))
    return pytest.mark.parametrize(name, [block(page, words)], ids=[page.removesuffix(".md")])


def test_every_block_is_run_or_the_list_says_why_not() -> None:
    listed = [*HERE, *((page, words) for page, words, _ in (*ELSEWHERE, *NOT_RUN))]
    unlisted: list[Block] = []
    for each in blocks_of():
        entries = [entry for entry in listed if entry[0] == each.page and entry[1] in each.text]
        assert len(entries) < 2, (each, entries)
        unlisted += [] if entries else [each]
    assert not unlisted
    assert len(listed) == len(blocks_of()), "an entry without a block"


@pytest.mark.parametrize("test", sorted({test for _, _, test in ELSEWHERE}))
def test_the_other_tests_exist(test: str) -> None:
    path, _, name = test.partition("::")
    assert re.search(rf"^def {name}", (ROOT / "tests" / path).read_text(), re.MULTILINE)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def function(
    folder: Path, code: str, handler: str = "app.handler", **more: Any
) -> ThreadedEmulator:
    """The code as a function under the emulator."""
    (folder / "app.py").write_text(code)
    command = [sys.executable, "-S", str(ROOT / "bootstrap"), handler]
    return ThreadedEmulator(command=command, handler=handler, task_root=folder, **more)


def answer(folder: Path, code: str, event: object = None, **more: Any) -> Any:
    with function(folder, code, **more) as emulator:
        reply = emulator.invoke({} if event is None else event)
    assert reply.function_error is None, reply.payload
    return reply.json()


def run_pytest(folder: Path, source: Path, *options: str) -> str:
    """What pytest says of the folder's test_it.py, with the modules of `source`."""
    python = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = {"PYTHONPATH": str(source), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        [*python, *options, "--rootdir", str(folder), "test_it.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    return done.stdout + done.stderr


# Functions


@runs("README.md", "def handler(event, context)")
def test_the_readme_s_handlers(text: str, tmp_path: Path) -> None:
    expected = {"statusCode": 200, "body": "Hello, Ada!"}
    arguments: Any = {"memory_size": 512, "timeout": 20}
    assert answer(tmp_path, text, {"name": "Ada"}, **arguments) == expected
    with function(tmp_path, text, "app.count", **arguments) as emulator, emulator.stream({}) as got:
        assert list(got) == [b"one\n", b"two\n"]
    assert answer(tmp_path, text, {}, handler="app.together", **arguments) == [0, 1, 2]
    with function(tmp_path, text, "app.app", **arguments) as emulator:
        page = httpx.get(f"{emulator.function_url.rstrip('/')}/docs", trust_env=False, timeout=20)
    assert page.status_code == 200


@runs("layer.md", "def handler(event, context)", "code")
@runs("layer.md", "zip function.zip app.py", "command")
def test_the_layer_page_s_function(code: str, command: str, terminal: Terminal) -> None:
    assert answer(terminal.folder, code, {"name": "you"}) == {"hello": "you"}
    require({"zip": "zip"})
    terminal.run(command)
    with zipfile.ZipFile(terminal.folder / "function.zip") as archive:
        assert archive.read("app.py").decode() == code


@runs("types.md", "dict[str, str], context: LambdaContext")
def test_a_typed_handler(text: str, tmp_path: Path) -> None:
    found = answer(tmp_path, text, {"name": "Ada"})
    assert found["hello"] == "Ada" and len(found["request"]) == 36
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "app.py"]
    path = {"MYPYPATH": str(ROOT / "runtime"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(mypy, cwd=tmp_path, env=path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@runs("types.md", "TYPE_CHECKING")
def test_a_handler_typed_for_the_checker_only(text: str, tmp_path: Path) -> None:
    assert answer(tmp_path, text, name="orders") == "orders"


@runs("types.md", "event_source")
def test_a_handler_with_powertools(text: str, tmp_path: Path) -> None:
    records = [{"body": "a"}, {"body": "b"}]
    assert answer(tmp_path, text, {"Records": records}, memory_size=512) == ["a", "b"]


@runs("types.md", "make_context")
def test_a_test_of_a_handler(text: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(text)
    assert "1 passed" in run_pytest(tmp_path, ROOT / "runtime")


@runs("streaming.md", "status=410")
def test_forms_of_responses(text: str, tmp_path: Path) -> None:
    """Each of the three lines, as what a handler returns."""
    imports, *forms = text.strip().splitlines()[0:1] + text.strip().splitlines()[2:]
    (tmp_path / "report.csv").write_text("a,b\n")
    code = f"{imports}\ndef page():\n    yield '<p>'\ndef handler(event, context):\n"
    code += "".join(
        f"    if event['rawPath'] == '/{number}':\n        return {form}\n"
        for number, form in enumerate(forms)
    )
    with function(tmp_path, code) as emulator:
        urls = [f"{emulator.function_url.rstrip('/')}/{number}" for number in range(3)]
        gone, html, csv = (httpx.get(url, trust_env=False, timeout=20) for url in urls)
    assert (gone.status_code, gone.text) == (410, "gone")
    assert (html.text, html.headers["content-type"]) == ("<p>", "text/html")
    assert html.headers["set-cookie"] == "session=1; Secure; HttpOnly"
    assert (csv.text, csv.headers["content-type"]) == ("a,b\n", "text/csv")


@runs("streaming.md", "invoke_with_response_stream")
def test_a_stream_read_by_boto3(text: str, terminal: Terminal) -> None:
    code = "def handler(event, context):\n    yield 'one'\n    yield 'two'\n"
    with function(terminal.folder, code) as emulator:
        said = terminal.run(
            f'{sys.executable} -c "$CODE"',
            CODE=text,
            AWS_ENDPOINT_URL_LAMBDA=emulator.endpoint,
            AWS_DEFAULT_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="x",
            AWS_SECRET_ACCESS_KEY="x",
        )
    assert "".join(re.findall(r"b'(\w+)'", said)) == "onetwo"


class Ok(BaseHTTPRequestHandler):
    """Answers 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """The URL of a server that answers 200."""
    with HTTPServer(("127.0.0.1", 0), Ok) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@runs("async.md", "httpx.AsyncClient()")
def test_a_client_that_lives_on(text: str, web: str, tmp_path: Path) -> None:
    code = text.replace("https://example.com/", web)
    environment = {"NO_PROXY": "127.0.0.1"}
    with function(tmp_path, code, environment=environment, memory_size=512) as emulator:
        assert [emulator.invoke({}).json() for _ in range(2)] == [200, 200]


@runs("async.md", "async def audit")
def test_the_request_id_of_a_task(text: str, tmp_path: Path) -> None:
    code = f"import asyncio\n{text}\nasync def handler(event, context):\n"
    code += "    await asyncio.create_task(audit('done'))\n    return context.aws_request_id\n"
    with function(tmp_path, code) as emulator:
        request_id = emulator.invoke({}).json()
        assert f"{request_id} done" in emulator.logs()


@runs("coming-from.md", "from mangum import Mangum")
def test_mangum_and_the_application_itself(text: str, tmp_path: Path) -> None:
    code = f"{text}\n@app.get('/')\ndef root():\n    return 'here'\n"
    for handler in ("app.handler", "app.app"):
        with function(tmp_path, code, handler, memory_size=512, timeout=20) as emulator:
            assert httpx.get(emulator.function_url, trust_env=False, timeout=20).json() == "here"


@runs("web.md", "LAMBDA_RUNTIME_EVENT_HANDLER", "setting")
@runs("web.md", "aws.event", "text")
def test_events_of_a_web_application(setting: str, text: str, tmp_path: Path) -> None:
    """WebSocket messages are posted, other events go to the function that the setting names."""
    code = "from fastapi import FastAPI, Request\napp = FastAPI()\n"
    code += f"def on_event(event, context):\n    return 'an event'\n{text}"
    variable, _, value = setting.strip().partition("=")
    environment = {variable: value, "LAMBDA_RUNTIME_WEBSOCKET_PATH": "/socket"}
    event = {
        "requestContext": {
            "connectionId": "c1",
            "eventType": "MESSAGE",
            "routeKey": "$default",
            "stage": "prod",
            "messageDirection": "IN",
            "domainName": "x",
            "requestId": "r",
            "apiId": "a",
        },
        "body": "hi",
        "isBase64Encoded": False,
    }
    arguments: Any = {"environment": environment, "memory_size": 512, "timeout": 20}
    with function(tmp_path, code, "app.app", **arguments) as emulator:
        assert emulator.invoke({"Records": []}).json() == "an event"
        reply = emulator.invoke(event).json()
    assert json.loads(reply["body"]) == {"connection": "c1", "type": "MESSAGE"}


# The lifecycle and extensions


@runs("lifecycle.md", "@lambda_runtime.on_shutdown")
def test_a_hook_at_the_end(text: str, tmp_path: Path) -> None:
    pool = (
        "class Pool:\n    async def close(self):\n        print('pool closed')\nmake_pool = Pool\n"
    )
    with function(tmp_path, f"{pool}{text}\ndef handler(event, context): ...\n") as emulator:
        emulator.invoke({})
        emulator.restart()
        assert "pool closed" in emulator.logs()


@runs("lifecycle.md", "@lambda_runtime.on_restore")
def test_hooks_around_a_snapshot(text: str, tmp_path: Path) -> None:
    code = text.replace("before(): ...", "before(): print('before')")
    code = code.replace("after(): ...", "after(): print('after')")
    code += "\n\ndef handler(event, context): ...\n"
    with function(tmp_path, code, snap_start=SnapStart()) as emulator:
        emulator.invoke({})
        logs = emulator.logs()
    assert logs.index("before") < logs.index("after")


def extension(folder: Path, code: str) -> Path:
    """A folder with the code as an extension that starts on this Python."""
    programs = folder / "extensions"
    programs.mkdir()
    program = programs / "beside"
    path = f"import sys\nsys.path.insert(0, {str(ROOT / 'runtime')!r})\n"
    program.write_text(f"#!{sys.executable} -S\n{path}{code}")
    program.chmod(0o755)
    return programs


def said_by_extension(tmp_path: Path, code: str, events: int = 1) -> list[str]:
    """What the extension prints beside a function that prints a line per invocation."""
    (tmp_path / "task").mkdir()
    handler = "def handler(event, context):\n    print('a line')\n"
    with function(tmp_path / "task", handler, extensions=extension(tmp_path, code)) as emulator:
        for _ in range(events):
            emulator.invoke({})
        emulator.restart()
        records = emulator.emulator.logs.records
        return [record.text.rstrip() for record in records if record.source == "beside"]


@runs("extensions.md", "#!/usr/bin/env")
def test_an_extension(text: str, tmp_path: Path) -> None:
    beside, invoked, over = said_by_extension(tmp_path, text)
    assert beside == "beside function" and over == "over spindown"
    assert invoked.startswith("invoked ")


@runs("extensions.md", "match event:")
def test_an_extension_s_loop(text: str, tmp_path: Path) -> None:
    first, second = text.split("...\n", 1)
    code = f"{first}print('invoked')\n{second.replace('...', 'print(event.reason.value)')}"
    code = code.replace("event.reason.value", "event.reason")
    assert said_by_extension(tmp_path, code) == ["invoked", "spindown"]


@runs("extensions.md", "InternalExtension")
def test_an_extension_inside(text: str, tmp_path: Path) -> None:
    code = text.replace("    ...\n", "    print('beside the handler')\n")
    with function(tmp_path, f"{code}\ndef handler(event, context): ...\n") as emulator:
        emulator.invoke({})
        wait_until(lambda: "beside the handler" in emulator.logs(), "the extension's line", 20)


@runs("extensions.md", "LogsDropped():")
def test_telemetry(text: str, tmp_path: Path) -> None:
    code = f"from lambda_runtime.extensions import Extension\nextension = Extension()\n{text}"
    lines = said_by_extension(tmp_path, f"{code}\nextension.run()\n", events=2)
    assert sum(line.startswith("a line") for line in lines) == 2
    assert any(re.fullmatch(r"[\w-]{36} [\d.]+ \d+", line) for line in lines), lines


@pytest.mark.long
@runs("extensions.md", "telemetry_forwarder.zip")
def test_the_recipe_of_a_layer(text: str, terminal: Terminal) -> None:
    shutil.copytree(ROOT / "examples/extensions", terminal.folder / "examples/extensions")
    shutil.copytree(ROOT / "runtime", terminal.folder / "runtime")
    require({"zip": "zip"})
    terminal.run(text)
    (path,) = terminal.folder.glob("examples/extensions/telemetry_forwarder/*.zip")
    names = set(zipfile.ZipFile(path).namelist())
    assert {"extensions/telemetry_forwarder", "runtime/lambda_runtime/loop.py"} <= names
    assert any(name.startswith("python/") for name in names)


# The emulator's commands


def called(terminal: Terminal, event: object) -> Any:
    url = f"{terminal.url}/2015-03-31/functions/function/invocations"
    return httpx.post(url, json=event, trust_env=False, timeout=20).json()


@pytest.mark.parametrize("folder", ["examples/hello", "."])
@runs("emulator.md", "lambda-emulator app.handler", "start")
@runs("emulator-dev.md", "pip install ./emulator\n", "dev")
def test_start_and_dev(start: str, dev: str, folder: str, terminal: Terminal) -> None:
    terminal.put(app=HELLO)
    with terminal.running(dev if folder == "." else start) as lines:
        terminal.wait_for(lines, "AWS_ENDPOINT_URL_LAMBDA")
        assert called(terminal, {"name": "Ada"}) == "Hello, Ada"


@runs("README.md", "make emulator ARGS=")
def test_the_readme_s_dev(text: str, terminal: Terminal) -> None:
    """`make run` and `make test` are what rie/test_make_run.py and the tests' own run are."""
    (line,) = (line for line in text.splitlines() if line.startswith("make emulator"))
    with terminal.running(line) as lines:
        terminal.wait_for(lines, "AWS_ENDPOINT_URL_LAMBDA")
        assert json.loads(called(terminal, {})["body"]) == {"message": "Hello, world!"}


@runs("extensions.md", "make emulator ARGS=")
def test_an_example_beside_an_extension(text: str, terminal: Terminal) -> None:
    """The example's own first line needs a Python of the distribution's at `python3`."""
    with terminal.running(text) as lines:
        terminal.wait_for(lines, "AWS_ENDPOINT_URL_LAMBDA")
        called(terminal, {"name": "Ada"})
        terminal.wait_for(lines, "lifecycle: invocation ")


@runs("managed-instances.md", "--max-concurrency 16")
def test_the_example_on_managed_instances(text: str, terminal: Terminal) -> None:
    require({"curl": "curl"})
    server, curl = text.splitlines()
    with terminal.running(server) as lines:
        terminal.wait_for(lines, "AWS_ENDPOINT_URL_LAMBDA")
        said = json.loads(terminal.run(f"{curl} --silent"))
    assert said["fetches"] == 1


@runs("emulator-dev.md", "--debug")
def test_a_debugger_is_waited_for(text: str, terminal: Terminal) -> None:
    terminal.put(app=HELLO)
    with terminal.running(text.replace("--debug", "--debug 5678")):
        terminal.wait_for_port("5678")


@runs("emulator-dev.md", "lambda-emulator doctor")
def test_the_doctor(text: str, terminal: Terminal) -> None:
    (terminal.folder / "build/function").mkdir(parents=True)
    (terminal.folder / "build/function/app.py").write_text(HELLO)
    assert terminal.run(text)


@runs("emulator-invoke.md", "--set key=a.png", "invoke")
@runs("emulator-invoke.md", "aws lambda invoke", "aws")
def test_calls(invoke: str, aws: str, terminal: Terminal) -> None:
    terminal.put(
        app="def handler(event, context):\n"
        "    records = event.get('Records')\n"
        "    print('called')\n"
        "    return list(records[0]) if records else event['name']\n",
        event='{"name": "Eve"}',
    )
    with terminal.running("lambda-emulator app.handler") as lines:
        terminal.wait_for(lines, "AWS_ENDPOINT_URL_LAMBDA")
        said = terminal.run(invoke)
        assert re.findall(r"Ada|Eve", said) == ["Ada", "Eve", "Ada"]
        assert '"s3"' in said and '"messageId"' in said
        assert terminal.run(aws).startswith('"Eve"')


@runs("emulator-testing.md", "packages.python_for")
@runs("emulator-testing.md", 'env={"TABLE": "test"}', "marked")
def test_the_test_kit(text: str, marked: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os\ndef handler(event, context):\n"
        "    return os.environ.get('TABLE') or f\"Hello, {event['name']}\"\n"
    )
    body = textwrap.indent(text.replace('Path("src")', f"Path({str(tmp_path)!r})"), "    ")
    used = marked.replace("...", "\n    assert lambda_function.invoke({}).json() == 'test'")
    tests = f"import pytest\n{used}\ndef test_kit():\n{body}\n"
    (tmp_path / "test_it.py").write_text(tests)
    said = run_pytest(tmp_path, ROOT / "emulator", "-p", "lambda_emulator.pytest_plugin")
    assert "2 passed" in said


# The Lambda API


def deployed(terminal: Terminal, name: str, code: str, **more: Any) -> Any:
    """Wait for the API, and deploy a function there; the API's client."""
    terminal.wait_for_port("9000")
    api = client("lambda", terminal.url)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    api.create_function(
        FunctionName=name,
        Runtime=version,
        Handler="app.handler",
        Timeout=30,
        Role="arn:aws:iam::123456789012:role/any",
        Code={"ZipFile": archive({"app.py": code})},
        **more,
    )
    return api


@runs("emulator-api.md", "pip install './emulator[serve]'", "serve")
@runs("emulator-api.md", "export AWS_ENDPOINT_URL_LAMBDA", "exports")
@runs("emulator-api.md", "lambda-emulator logs -f", "logs")
def test_the_api_with_logs_and_counts(
    serve: str, exports: str, logs: str, terminal: Terminal
) -> None:
    require({"curl": "curl"})
    follow, counts = logs.splitlines()
    with terminal.running(serve):
        deployed(terminal, "plus-one", "def handler(event, context):\n    print('adding one')\n")
        terminal.run(f"{exports}\naws lambda invoke --function-name plus-one /dev/null")
        with terminal.running(follow) as lines:
            terminal.wait_for(lines, "adding one")
        found = json.loads(terminal.run(counts.replace("curl", "curl --silent")))
    assert found["functions"]["plus-one"]["Invocations"] == 1


@pytest.mark.xdist_group("durable")
@runs("emulator-api.md", "serve --durable")
def test_a_durable_function_on_the_api(text: str, terminal: Terminal) -> None:
    *server, call = text.splitlines()
    packages = str(Path(aws_durable_execution_sdk_python.__file__).parents[1])
    code = (
        "from aws_durable_execution_sdk_python import durable_execution\n"
        "@durable_execution\ndef handler(event, context):\n    return event['order'] + 1\n"
    )
    terminal.put(order='{"order": 6}')
    with terminal.running("\n".join(server)):
        deployed(
            terminal,
            "orders",
            code,
            DurableConfig={"ExecutionTimeout": 60, "RetentionPeriodInDays": 1},
            Environment={"Variables": {"PYTHONPATH": packages}},
        )
        credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        said = terminal.run(call, AWS_DEFAULT_REGION="us-east-1", **credentials)
    assert said.startswith("7")


@pytest.mark.xdist_group("durable")
@runs("durable.md", "def reserve(", "code")
def test_a_durable_function_of_the_page(code: str, tmp_path: Path) -> None:
    """It can be initialised; what it does is the next test's, by the example."""
    with function(tmp_path, code, memory_size=512) as emulator:
        emulator.start()


@pytest.mark.xdist_group("durable")
@runs("durable.md", "lambda-emulator up", "up")
@runs("durable.md", "list-durable-executions", "call")
@runs("durable.md", "callback-success", "approve")
def test_an_order_from_the_template_to_the_callback(
    up: str, call: str, approve: str, terminal: Terminal
) -> None:
    shutil.copytree(ROOT / "examples/durable", terminal.folder / "examples/durable")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    with terminal.running(f"{up.rstrip()} --parameter Python={version}") as lines:
        terminal.wait_for(lines, "function order")
        assert "order" in terminal.run(call)
        terminal.wait_for(lines, "shipping the reservation of book")
        exports = "".join(line for line in call.splitlines(True) if line.startswith("export"))
        invoke, success = approve.splitlines()
        terminal.run(exports + invoke)
        terminal.wait_for(lines, "waiting for the answer to ")
        (line,) = (line for line in lines if "waiting for the answer" in line)
        terminal.run(exports + success, CALLBACK_ID=line.split()[-1])
        terminal.wait_for(lines, "shipping the reservation of car")
    assert sum("reserving book" in line for line in lines) == 1


@runs("emulator-api.md", "lambda-emulator up")
def test_templates(text: str, terminal: Terminal) -> None:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (terminal.folder / "template.yaml").write_text(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Hello:\n"
        "    Type: AWS::Serverless::Function\n    Properties:\n      FunctionName: function\n"
        f"      Runtime: {version}\n      Handler: app.handler\n      CodeUri: .\n"
    )
    terminal.put(app=HELLO)
    sam, cdk = text.splitlines()
    with terminal.running(sam):
        terminal.wait_for_port("9000")
        wait_until(lambda: called(terminal, {"name": "Ada"}) == "Hello, Ada", "the function", 30)
    # cdk's part is played: the app has been synthesised before.
    synth = f"cdk() {{ cp -r {ROOT}/tests/emulator/cdk cdk.out; }}"
    with terminal.running(f"{synth}\n{cdk}") as lines:
        terminal.wait_for(lines, "Lambda API")


@runs("emulator-api.md", "moto_server")
def test_other_services(text: str, terminal: Terminal) -> None:
    with terminal.running(text):
        terminal.wait_for_port("5000")
        terminal.wait_for_port("9000")
        assert client("sqs", f"http://127.0.0.1:{terminal.ports['5000']}").list_queues()


@runs("emulator-events.md", "EventQueue(", "queue")
@runs("emulator-events.md", "MappingConfiguration", "mapping")
def test_the_parts_behind_events(queue: str, mapping: str, terminal: Terminal) -> None:
    with local_aws() as settings:
        endpoint = settings["AWS_ENDPOINT_URL"]
        sqs = client("sqs", endpoint)
        url = sqs.create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for number in range(3):
            sqs.send_message(
                QueueUrl=url,
                MessageBody=f"m{number}",
                MessageGroupId="g",
                MessageDeduplicationId=str(number),
            )
        mapping = mapping.replace("http://127.0.0.1:5000", endpoint).replace(
            "sleep(60)", "sleep(3)"
        )
        code = f"{queue}\n{mapping}\nasyncio.run(map_the_queue(Functions()))\n"
        settings |= {"CODE": code, "PYTHONPATH": f"{ROOT}/emulator"}
        said = terminal.run(f'{sys.executable} -c "$CODE"', **settings)
    assert said.startswith("name b'{\"order\": 7}'\n")
    assert all(f"m{number}" in said for number in range(3)), said


# Packing and packaging


@pytest.mark.long
@runs("pack.md", "--lazy --out", "page")
def test_packing(page: str, terminal: Terminal) -> None:
    """On this Python and machine; the counts are those of the page's own function."""
    (terminal.folder / "src").mkdir()
    (terminal.folder / "src/app.py").write_text(
        "import email.mime.text, json, xml.dom.minidom\n\n"
        "def handler(event, context):\n    return json.dumps(event)\n"
    )
    terminal.put(order="{}", refund="{}")
    command, expected = page.split("\npack:", 1)
    script = re.sub(r"^\$ ", "", command, flags=re.MULTILINE)
    said = terminal.run(f"({script}) 2>&1")
    for line in f"pack:{expected}".splitlines():
        if not re.search(r"\d{2}|…", line):
            assert line in said, said
    assert (terminal.folder / "function.zip").stat().st_size > 1000


@pytest.mark.long
@runs("layer.md", "pip install --target package", "install")
@runs("layer.md", "cp app.py package/", "package")
def test_a_function_s_packages(install: str, package: str, terminal: Terminal) -> None:
    require({"zip": "zip"})
    (terminal.folder / "requirements.txt").write_text("pyyaml==6.0.4\n")
    terminal.put(app="import yaml\n")
    # The check is told the zip by its path, as make runs in the checkout.
    check = (
        "make() { " + f"(cd {ROOT} && {sys.executable} -m layer check --arch x86_64 " + '"$OLDPWD"'
    )
    terminal.run(f"{install}{check}/function.zip); }}\n{package}")
    assert "yaml/__init__.py" in zipfile.ZipFile(terminal.folder / "function.zip").namelist()


@pytest.mark.long
@runs("releases.md", "sha256sum --check")
def test_a_release_made_again(text: str, terminal: Terminal) -> None:
    """With the checksums of the wheels alone, which release/test_distributions.py builds."""
    (line,) = (line for line in text.splitlines() if line.startswith("sha256sum"))
    (terminal.folder / "a").write_text("x")
    terminal.run("sha256sum a > SHA256SUMS; echo 0 missing >> SHA256SUMS")
    assert "a: OK" in terminal.run(line)
