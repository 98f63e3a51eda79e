"""LAMBDA_RUNTIME_LAZY_IMPORTS on the real Python 3.15, without and with packages that are used."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.threaded import ThreadedEmulator
from lambda_runtime.start import lazy_imports
from support import interpreters, packs
from support.documents import blocks
from support.interpreters import Interpreter
from support.paths import ROOT
from support.process import BOOTSTRAP, Outcome, run_function

REQUIREMENTS = ROOT / "tests" / "requirements-lazy.txt"
NAME = re.compile("`([a-z_]+)`")
VARIABLE = "LAMBDA_RUNTIME_LAZY_IMPORTS"


@pytest.fixture(scope="module")
def newest() -> Interpreter:
    try:
        return interpreters.find("3.15")
    except interpreters.NotFound as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def python(newest: Interpreter) -> str:
    return newest.executable


@pytest.fixture(scope="module")
def equipped(newest: Interpreter) -> str:
    """The same with boto3, Powertools, FastAPI, Flask, Sentry, X-Ray and OpenTelemetry."""
    return interpreters.environment(newest, REQUIREMENTS)


def run(
    python: str, task: Path, files: Mapping[str, str], value: str = "1", **environment: str
) -> Outcome:
    """Two events for app.handler in a folder with these files."""
    for name, text in files.items():
        (task / name).parent.mkdir(exist_ok=True)
        (task / name).write_text(text)
    return run_function(
        "",
        task=task,
        events=[b"1", b"2"],
        command=[python, "-S", str(BOOTSTRAP)],
        environment={VARIABLE: value, **environment},
    )


def importing(imports: str, *names: str, then: str = "") -> str:
    """A module whose handler returns which of these modules are loaded."""
    return (
        f"import sys\n{imports}\n"
        f"def handler(event, context):\n    {then or 'pass'}\n"
        f"    return sorted(set(sys.modules) & {set(names) or {''}})\n"
    )


def test_a_module_is_executed_when_it_is_used(python: str, tmp_path: Path) -> None:
    app = importing(
        "import wave\nfrom own import thing", "wave", "own", then="event == 2 and thing"
    )
    outcome = run(python, tmp_path, {"app.py": app, "own.py": "thing = 1\nprint('executed')"})
    bodies = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in outcome.requests[1::2]]
    assert bodies == [[], ["own"]]
    assert outcome.stdout == "executed\n"


@pytest.mark.parametrize(
    "statement",
    [
        "import nothing",
        "import nothing.at.all",
        "from nothing import something",
        "import wsgiref.nothing",
        "from wsgiref import nothing",
        "from json import nothing",
        "from own import deep",
        "import own.deep.nothing",
        "from . import nothing",
    ],
)
def test_what_is_missing_fails_in_init_as_ever(python: str, tmp_path: Path, statement: str) -> None:
    files = {
        # Imported to be there when the next line looks for names in it.
        "app.py": f"import sys, json\njson, __import__('wsgiref')\n{statement}\n"
        "def handler(event, context): return 1\n",
        "own/__init__.py": "",
        "own/deep.py": "import nothing_deep",
    }
    eager, lazy = (run(python, tmp_path, files, value) for value in "01")
    if statement == "from own import deep":  # which is there: its own import fails when it is used
        assert lazy.paths[0] == "invocation/next"
    else:
        assert lazy.paths == eager.paths == ["init/error"]
        assert lazy.answer == eager.answer


def test_the_handler_itself_is_imported_in_init(python: str, tmp_path: Path) -> None:
    files = {"app.py": "from own import handler", "own.py": "import nothing\ndef handler(): 1"}
    eager, lazy = (run(python, tmp_path, files, value) for value in "01")
    assert lazy.paths == eager.paths == ["init/error"]
    assert lazy.answer == eager.answer


def test_an_error_at_first_use_says_where_the_import_is(python: str, tmp_path: Path) -> None:
    files = {"app.py": "import own\ndef handler(event, context): own.x", "own.py": "1 / 0"}
    outcome = run(python, tmp_path, files)
    assert isinstance(outcome.answer, dict)
    assert outcome.answer["errorType"] == "ZeroDivisionError"
    assert "own.py" in str(outcome.answer["stackTrace"])
    assert f'File "{tmp_path}/app.py", line 1, in <module>' in outcome.stdout.replace("\r", "\n")


def test_what_the_runtime_imports_is_never_lazy(python: str, tmp_path: Path) -> None:
    app = (
        "import sys, lambda_runtime\n"
        "def handler(event, context):\n"
        "    if event == 1:\n"
        "        raise ValueError\n"
        "    ours = [name for name in sys.modules if name.startswith('lambda_runtime')]\n"
        "    ours += ['json', 'json.decoder', 'logging', 'traceback', 're', 'asyncio']\n"
        "    ours = [sys.modules[name] for name in ours if name in sys.modules]\n"
        "    dicts = [object.__getattribute__(module, '__dict__') for module in ours]\n"
        "    lazy = [key for names in dicts for key, value in names.items()\n"
        "            if type(value).__name__ == 'lazy_import' and key != '_colorize']\n"
        "    return [len(ours) > 15, 'lambda_runtime.errors.reports' in sys.modules, lazy]\n"
    )
    assert run(python, tmp_path, {"app.py": app}).answer == [True, True, []]


def test_a_list_of_packages(python: str, tmp_path: Path) -> None:
    app = importing("import wave, own, own.deep, plistlib", "wave", "own", "own.deep", "plistlib")
    files = {"app.py": app, "own/__init__.py": "", "own/deep.py": ""}
    assert run(python, tmp_path, files, "own, wave").answer == ["plistlib"]
    assert run(python, tmp_path, files, "own.deep").answer == ["own", "plistlib", "wave"]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("true", "true"),
        ("wave,", ""),
        ("2", "2"),
        ("1,wave", "1"),
        ("wave nothing", "wave nothing"),
    ],
)
def test_values_that_mean_nothing(python: str, tmp_path: Path, value: str, wrong: str) -> None:
    outcome = run(python, tmp_path, {"app.py": importing("")}, value)
    assert outcome.paths == ["init/error"]
    assert isinstance(outcome.answer, dict)
    assert outcome.answer["errorType"] == "Runtime.InvalidSetting"
    assert outcome.answer["errorMessage"].startswith(
        f"{VARIABLE} is {value!r}: there is no package {wrong!r} here; it may be 1"
    )


EAGER = {
    "app.py": importing(
        "import own\nfrom own import deep\nimport own.other, wave",
        *("own", "own.deep", "own.other", "wave"),
    ),
    "own/__init__.py": "",
    "own/deep.py": "",
    "own/other.py": "",
}


@pytest.mark.parametrize(
    ("lines", "loaded"),
    [
        ("", []),
        ("# a comment\n\nown\n", ["own"]),
        ("own\nown.deep # used", ["own", "own.deep"]),
        ("own.deep\n", ["own", "own.deep"]),
        ("own.*\n", ["own", "own.deep", "own.other"]),
        ("wave\nnot.there\n", ["wave"]),
    ],
)
def test_what_the_list_names_stays_eager(
    python: str, tmp_path: Path, lines: str, loaded: list[str]
) -> None:
    assert run(python, tmp_path, {**EAGER, "eager-imports.txt": lines}).answer == loaded


@pytest.mark.parametrize("line", ["own deep", "own..deep", "*", "own/deep", ".own"])
def test_a_line_that_is_no_name(python: str, tmp_path: Path, line: str) -> None:
    outcome = run(python, tmp_path, {**EAGER, "eager-imports.txt": f"own\n{line}\n"})
    assert isinstance(outcome.answer, dict)
    assert outcome.answer["errorType"] == "Runtime.InvalidSetting"
    assert f"eager-imports.txt, line 2: {line!r} is no module's name" in str(outcome.answer)


def test_a_list_that_cannot_be_read(python: str, tmp_path: Path) -> None:
    (tmp_path / "eager-imports.txt").mkdir()
    outcome = run(python, tmp_path, EAGER)
    assert "eager-imports.txt cannot be read" in str(outcome.answer)


@pytest.mark.parametrize(
    ("setting", "mode"),
    [
        ({}, "all"),
        ({"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, "all"),
        ({"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}, "normal"),
        ({"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}, "normal"),
        ({"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}, "normal"),
        ({"AWS_LAMBDA_MAX_CONCURRENCY": "4"}, "normal"),
    ],
)
def test_all_is_imported_in_inits_that_nobody_waits_for(
    python: str, setting: dict[str, str], mode: str
) -> None:
    code = (
        "import sys\nfrom lambda_runtime.start import lazy_imports\n"
        "lazy_imports.turn_on('app.handler')\nprint(sys.get_lazy_imports())"
    )
    environment = {"PYTHONPATH": str(ROOT / "runtime"), VARIABLE: "1", **setting}
    done = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == f"{mode}\n", done.stderr


def test_what_is_imported_within_a_package_with_compiled_modules(
    python: str, tmp_path: Path
) -> None:
    for name, compiled in (("plain", "data.txt"), ("swift", "core.so"), ("deep", "lib/core.so")):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text(f"import {name}.inner")
        (tmp_path / name / "inner.py").touch()
        (tmp_path / name / compiled).touch()
    names = [f"{name}{part}" for name in ("plain", "swift", "deep") for part in ("", ".inner")]
    app = importing("import plain, swift, deep", *names, then="plain, swift, deep")
    answer = run(python, tmp_path, {"app.py": app}).answer
    assert answer == ["deep", "deep.inner", "plain", "swift", "swift.inner"]


def test_code_without_a_module_imports_as_ever(python: str, tmp_path: Path) -> None:
    app = importing("exec('import wave', {'__name__': None})", "wave")
    assert run(python, tmp_path, {"app.py": app}).answer == ["wave"]


def test_the_interpreters_own_switch_works_too(python: str, tmp_path: Path) -> None:
    app = importing("import wave, logging", "wave", then="logging.error('said')")
    outcome = run(python, tmp_path, {"app.py": app}, "0", PYTHON_LAZY_IMPORTS="all")
    assert outcome.answer == []
    assert "[ERROR]" in outcome.stdout and "said" in outcome.stdout


# With packages


HTTP = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/",
    "rawQueryString": "",
    "headers": {"host": "example.com"},
    "requestContext": {
        "http": {"method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
        "requestId": "id",
        "stage": "$default",
    },
    "isBase64Encoded": False,
}
XRAY = """
from aws_xray_sdk.core import patch_all
patch_all()
import boto3
client = boto3.client("s3", region_name="x", aws_access_key_id="a", aws_secret_access_key="b")
def handler(event, context):
    import botocore.client
    return hasattr(botocore.client.BaseClient._make_api_call, "__wrapped__")
"""
OPEN_TELEMETRY = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor
names = []
class Exporter(SpanExporter):
    def export(self, spans):
        names.extend(span.name for span in spans)
        return SpanExportResult.SUCCESS
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Exporter()))
trace.set_tracer_provider(provider)
def handler(event, context):
    return list(names)
AwsLambdaInstrumentor().instrument()
"""
SENTRY = """
import sentry_sdk
from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration
from sentry_sdk.transport import Transport
sent = []
class Kept(Transport):
    def capture_envelope(self, envelope):
        event = envelope.get_event()
        if event:
            sent.append(event["exception"]["values"][-1]["type"])
sentry_sdk.init("https://key@example.com/1", integrations=[AwsLambdaIntegration()], transport=Kept)
def handler(event, context):
    if event == 1:
        raise LookupError
    return sent
"""
FLASK = """
from flask import Flask, jsonify
app = Flask(__name__)
@app.get("/")
def hello():
    return jsonify(message="hello")
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [(XRAY, [True, True]), (OPEN_TELEMETRY, [[], ["function"]]), (SENTRY, [None, ["LookupError"]])],
    ids=["X-Ray", "OpenTelemetry", "Sentry"],
)
@pytest.mark.parametrize("value", ["0", "1"])
def test_agents(
    equipped: str, tmp_path: Path, code: str, expected: list[object], value: str
) -> None:
    (tmp_path / "app.py").write_text(code)
    replies = invoke(equipped, tmp_path, "app.handler", [1, 2], value)
    assert [None if "errorType" in str(each) else each for each in replies] == expected


@pytest.mark.parametrize(
    ("file", "handler", "event"),
    [
        ("boto3_unused", "handler", "event"),
        ("boto3_client", "handler", "event"),
        ("powertools", "handler", HTTP),
        ("fastapi_app", "app", HTTP),
        ("flask_app", "app", HTTP),
    ],
)
def test_packages_answer_as_they_do_eagerly(
    equipped: str, tmp_path: Path, file: str, handler: str, event: object
) -> None:
    source = ROOT / "benchmarks" / "lazy" / f"{file}.py"
    (tmp_path / f"{file}.py").write_text(FLASK if file == "flask_app" else source.read_text())
    eager, lazy = (
        invoke(equipped, tmp_path, f"{file}.{handler}", [event] * 2, value) for value in "01"
    )
    assert "errorType" not in str(eager)
    assert [_steady(each) for each in lazy] == [_steady(each) for each in eager]


def _steady(reply: Any) -> object:
    """The reply without what the time of day has a part in."""
    return reply.partition("?")[0] if isinstance(reply, str) else reply


def invoke(python: str, task: Path, handler: str, events: list[Any], value: str) -> list[Any]:
    """What the function answered to these events, under the emulator."""
    with ThreadedEmulator(
        command=[python, "-S", str(BOOTSTRAP), handler],
        handler=handler,
        task_root=task,
        timeout=30,
        environment={VARIABLE: value, "PYTHONDONTWRITEBYTECODE": ""},
    ) as emulator:
        return [emulator.invoke(event).json() for event in events]


def test_the_function_of_the_page(equipped: str, tmp_path: Path) -> None:
    (code,), (lines,) = (
        blocks("lazy-imports.md")[name] for name in ("app.py", "eager-imports.txt")
    )
    (tmp_path / "app.py").write_text(
        f"{code}\nimport sys\npage = handler\n"
        "def handler(event, context):\n"
        "    return page(event, context), 'boto3.session' in sys.modules\n"
    )
    assert invoke(equipped, tmp_path, "app.handler", [{}], "1") == [[{"statusCode": 400}, False]]
    (tmp_path / "eager-imports.txt").write_text(lines)
    assert invoke(equipped, tmp_path, "app.handler", [{}], "1") == [[{"statusCode": 400}, True]]


def test_the_page_names_the_packages_that_are_never_lazy() -> None:
    page = (ROOT / "docs" / "lazy-imports.md").read_text()
    named = {name for row in page.splitlines() if row[:2] == "| " for name in NAME.findall(row)}
    assert {*lazy_imports.ALWAYS_EAGER, *lazy_imports.EAGER_WITHIN} <= named


def test_pack_writes_the_list(python: str, tmp_path: Path) -> None:
    files = {
        "app.py": "import sys, wave, own\n"
        "def handler(event, context):\n"
        "    event == 3 and wave\n"
        "    loaded = ['wave' in sys.modules, 'own' in sys.modules]\n"
        "    return own.VALUE, loaded if event in (1, 2) else None\n",
        "own.py": "VALUE = 1\n",
        "eager-imports.txt": "# mine\njson\n",
    }
    packs.write_files(tmp_path, files)
    for _ in range(2):  # the second one begins with what the first one wrote
        command = [python, "-m", "lambda_runtime", "pack", str(tmp_path), "--lazy", "--in-place"]
        done = subprocess.run(
            [*command, "--handler", "app.handler", "--root", str(tmp_path)],
            env={"PYTHONPATH": str(ROOT / "runtime")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / "eager-imports.txt").read_text().splitlines()
        assert lines[:2] == ["# mine", "json"]
        assert lines.count("own") == 1 and "wave" not in lines
    assert run(python, tmp_path, {}, "").answer == [1, [False, True]]
    assert run(python, tmp_path, {}, "0").answer == [1, [True, True]]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_benchmark_prints_its_rows(equipped: str) -> None:
    command = [sys.executable, "-m", "benchmarks.lazy_imports", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--python", equipped], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows[:3]] == [
        ["| boto3, unused", way] for way in ("eager", "lazy", "lazy, with a list")
    ]
    assert len(rows) == 12
