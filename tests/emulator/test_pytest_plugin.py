"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from support.paths import ROOT

_APP = """
import os
calls = 0
print("init")
def handler(event, context):
    global calls
    calls += 1
    print("the event is", event)
    return {"calls": calls, "pid": os.getpid(), "table": os.environ.get("TABLE")}
def stream(event, context):
    yield b"a"
    yield b"b"
"""

_TESTS = """
import pytest
from lambda_emulator.http.faults import Fault

def test_it_is_started_once(lambda_function):
    first, second = (lambda_function.invoke({"n": n}).json() for n in (1, 2))
    assert first["pid"] == second["pid"]
    assert second["calls"] == first["calls"] + 1
    assert "the event is {'n': 2}" in lambda_function.logs()

@pytest.mark.lambda_function("app.handler", env={"TABLE": "t"}, timeout=10)
def test_marked(lambda_function):
    assert lambda_function.invoke().json()["table"] == "t"

@pytest.mark.lambda_function("app.stream")
def test_streams(lambda_function):
    with lambda_function.stream() as chunks:
        assert b"".join(chunks) == b"ab"

def test_faults(lambda_function):
    assert not lambda_function.faults.armed
    lambda_function.faults.add(Fault(call="response", status=500, skip=1))
    assert lambda_function.invoke().function_error is None
    assert lambda_function.faults.armed

def test_faults_end_with_their_test(lambda_function):
    assert not lambda_function.faults.armed
    lambda_function.restart()
    assert lambda_function.invoke().json()["calls"] == 1

def test_events(lambda_event, lambda_function):
    event = lambda_event("s3", {"Records.1.s3.bucket.name": "b"}, key="a.png", size=3)
    assert event["Records"][0]["s3"]["object"]["key"] == "a.png"
    assert event["Records"][0]["s3"]["object"]["size"] == 3
    assert event["Records"][1]["s3"]["bucket"]["name"] == "b"
    with pytest.raises(ValueError, match="nothing: the event has no such value"):
        lambda_event("s3", nothing=1)

def test_context(lambda_context):
    import app
    context = lambda_context(function_name="mine", timeout=5, tenant_id="t")
    assert context.invoked_function_arn.endswith(":function:mine")
    assert (context.function_name, context.tenant_id) == ("mine", "t")
    assert context.memory_limit_in_mb == "128"
    assert 4000 < context.get_remaining_time_in_millis() <= 5000
    assert app.handler(1, context)["calls"] == 1
"""
_INI = "[pytest]\nlambda_handler = app.handler\npythonpath = .\n"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a function and its tests."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "emulator"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini(_INI)
    pytester.makepyfile(app=_APP, test_app=_TESTS)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the project's tests in a process of their own."""
    return project.runpytest_subprocess("-p", "lambda_emulator.pytest_plugin", *arguments)


def test_fixtures(project: pytest.Pytester) -> None:
    run(project, "--strict-markers", "-p", "no:xdist").assert_outcomes(passed=7)


def test_in_several_processes(project: pytest.Pytester) -> None:
    run(project, "-n", "2").assert_outcomes(passed=7)


def test_a_failure_has_the_log(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_app="""
        def test_before(lambda_function):
            lambda_function.invoke("before")
        def test_fails(lambda_function):
            assert lambda_function.invoke("in the test").json() == 1
        """
    )
    result = run(project, "-p", "no:xdist")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Log of the Lambda function*", "*the event is in the test*"])
    result.stdout.no_fnmatch_line("*the event is before*")


@pytest.mark.parametrize(
    ("ini", "source", "text"),
    [
        ("[pytest]\n", _APP, "lambda_function: which function? Set lambda_handler*"),
        (_INI, "import nope", "*app.handler cannot be initialised: Runtime.ImportModuleError*"),
        (_INI + "lambda_venv = nowhere\n", _APP, "*--venv *nowhere: no virtual environment*"),
    ],
)
def test_mistakes_are_explained(project: pytest.Pytester, ini: str, source: str, text: str) -> None:
    project.makeini(ini)
    project.makepyfile(app=source, test_app="def test_it(lambda_function): pass")
    result = run(project, "-p", "no:xdist")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([text])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_without_its_fixtures_it_costs_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_app="""
        import sys
        def test_it():
            assert not {"h11", "httpx", "lambda_emulator.emulator"} & set(sys.modules)
        """
    )
    run(project, "-p", "no:xdist").assert_outcomes(passed=1)


@pytest.mark.xdist_group("wheel")
def test_installed(python: Path, tmp_path: Path) -> None:
    """The plugin is found by its entry point."""
    (tmp_path / "pytest.ini").write_text(_INI)
    (tmp_path / "app.py").write_text(_APP)
    (tmp_path / "test_app.py").write_text(_TESTS)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:xdist"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


def test_the_page(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first example runs as it stands."""
    page = (ROOT / "docs" / "emulator-testing.md").read_text()
    blocks = re.findall(r"```(?:ini|python)\n# (\S+)\n(.*?)```", page, re.DOTALL)
    assert [name for name, _ in blocks] == ["pytest.ini", "test_app.py", "app.py"]
    for name, text in blocks:
        (pytester.path / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "emulator"))
    run(pytester, "-p", "no:xdist").assert_outcomes(passed=1)
