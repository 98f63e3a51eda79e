"""`make run`: the example, the user's own function, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.leftovers import processes_with
from support.paths import ROOT

# The virtual environment of these tests is taken as it is: making it again would remove it.
MAKE = ("make", "--no-print-directory", "-o", f"{sys.prefix}/.run", "run", f"VENV={sys.prefix}")
SECONDS = 60


def make_run(
    *variables: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MAKE, *variables],
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """A folder for a user's own function."""
    folder = tmp_path / "a user's function"
    folder.mkdir()
    return folder


def write(function: Path, code: str) -> str:
    """Make it the function's code, and name the folder as make wants it."""
    (function / "app.py").write_text(code)
    return f"TASK={function}"


def test_example_runs_and_shows_response_log_and_times() -> None:
    done = make_run()
    assert done.returncode == 0, done.stderr
    response = re.search(r"\nResponse\n(\{.*?\n\})\n", done.stdout, re.DOTALL)
    assert response is not None
    assert json.loads(json.loads(response[1])["body"]) == {"message": "Hello, Ada!"}
    assert re.search(
        r"\nLog\n\[INFO\]\t\S+Z\t[0-9a-f-]{36}\tgreeting Ada\n\d+ ms left", done.stdout
    )
    times = dict(re.findall(r"^(cold|warm) +([0-9.]+) ms", done.stdout, re.MULTILINE))
    assert 0 < float(times["warm"]) < float(times["cold"])


def test_the_users_own_function_and_event(function: Path) -> None:
    task = write(function, "def greet(event, context):\n    return {'hei': event['name']}\n")
    (function / "other.json").write_text('{"name": "Åda"}')
    done = make_run(task, "HANDLER=app.greet", "EVENT=other.json")
    assert done.returncode == 0, done.stderr
    assert '"hei": "Åda"' in done.stdout
    assert "\nLog\n(none)\n" in done.stdout


def test_without_an_event_it_is_empty(function: Path) -> None:
    done = make_run(write(function, "def handler(event, context):\n    return [event]\n"))
    assert done.returncode == 0, done.stderr
    assert "with an empty event ({})" in done.stdout
    assert json.loads(re.findall(r"\nResponse\n(.*?)\n\n", done.stdout, re.DOTALL)[0]) == [{}]


def test_events_that_are_no_file(function: Path) -> None:
    task = write(function, "def handler(event, context):\n    return event\n")
    done = make_run(task, "EVENT=s3", "SET=key='a b.png' size=7")
    assert "with the sample event s3" in done.stdout
    assert '"key": "a b.png"' in done.stdout
    assert '"size": 7' in done.stdout
    done = make_run(task, 'EVENT={"given": "here"}')
    assert '"given": "here"' in done.stdout


def test_the_functions_surroundings(function: Path) -> None:
    code = """
import os
def handler(event, context):
    try:
        import h11
    except ImportError:
        h11 = None
    names = ("A", "B", "SECRET", "AWS_ENDPOINT_URL", "AWS_REGION")
    return {
        "variables": [os.environ.get(name) for name in names],
        "settings": [context.function_name, context.memory_limit_in_mb],
        "tools": h11 is not None,
    }
"""
    task = write(function, code)
    (function / "more.env").write_text("A=file\nB=file\n")
    environment = {"SECRET": "s", "AWS_ENDPOINT_URL": "http://aws"}
    options = (
        "REGION=eu-west-3",
        "ENV=B=option",
        f"ENV_FILE={shlex.quote(str(function / 'more.env'))}",
        "MEMORY=256",
    )
    done = make_run(task, *options, environment=environment)
    assert done.returncode == 0, done.stderr
    answer = json.loads(re.findall(r"\nResponse\n(.*?)\n\n", done.stdout, re.DOTALL)[0])
    assert answer == {
        "variables": ["file", "option", None, "http://aws", "eu-west-3"],
        "settings": ["function", "256"],
        "tools": False,
    }


def test_a_streamed_answer_is_shown_in_its_parts() -> None:
    done = make_run("TASK=examples/streaming")
    assert "\nResponse\nstatus 200\nContent-Type: text/csv" in done.stdout
    assert "\n\nnumber,prime\n1,2\n" in done.stdout


def test_a_binary_response_is_named_not_printed(function: Path) -> None:
    done = make_run(write(function, "def handler(event, context):\n    return b'\\xff\\x00'\n"))
    assert done.returncode == 0, done.stderr
    assert "(2 bytes that are not text)" in done.stdout


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (("TASK=no/such/folder",), "TASK=no/such/folder: does not exist"),
        (("TASK=Makefile",), "TASK=Makefile: is not a folder"),
        (("EVENT=no-such.json",), "EVENT=no-such.json: no sample event, no file, no JSON"),
        (("EVENT=sqss",), "EVENT=sqss: no sample event (did you mean sqs"),
        (("EVENT=s3", "SET=key"), "--set key: is not NAME=VALUE"),
        (("LAYER=1", "IMAGE=1"), "LAYER or IMAGE, not both"),
        (("TIMEOUT=soon",), "TIMEOUT=soon: not a whole number of seconds above 0"),
        (("MEMORY=0",), "MEMORY=0: not a whole number of MB above 0"),
        (("ENV_FILE=nowhere",), "--env-file nowhere: cannot be read"),
        (("FUNCTION_VENV=nowhere",), "--venv nowhere: no virtual environment is there"),
        (("EVENT=LICENSE",), "EVENT=LICENSE: not JSON: Expecting value, line 2 column"),
        (("EVENT=examples",), "EVENT=examples: cannot be read: Is a directory"),
    ],
)
def test_bad_input_is_named(variables: tuple[str, ...], message: str) -> None:
    done = make_run(*variables)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_timeout_is_named() -> None:
    done = make_run(environment={"AWS_LAMBDA_FUNCTION_TIMEOUT": "soon"})
    assert done.returncode != 0
    assert "AWS_LAMBDA_FUNCTION_TIMEOUT=soon: not a whole number" in done.stderr


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import not_there\n", "failed at start-up: Runtime.ImportModuleError: "),
        ("def other(event, context): ...\n", "failed at start-up: Runtime.HandlerNotFound: "),
        ("def handler(:\n", "failed at start-up: Runtime.UserCodeSyntaxError: "),
        ("1 / 0\n", "failed at start-up: ZeroDivisionError: division by zero"),
        ("import os\nos._exit(3)\n", "process ended without an answer"),
        ("def handler(event, context):\n    1 / 0\n", "handler failed: ZeroDivisionError: "),
        (
            "import os\ndef handler(event, context):\n    os._exit(3)\n",
            "process ended without an answer: Runtime.ExitError: ",
        ),
    ],
)  # fmt: skip
def test_a_failing_function_is_named(function: Path, code: str, message: str) -> None:
    done = make_run(write(function, code))
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "\nTimes\n" not in done.stdout


def test_a_failure_the_second_time_only(function: Path) -> None:
    code = "once = [1]\ndef handler(event, context):\n    return once.pop()\n"
    done = make_run(write(function, code))
    assert done.returncode != 0
    assert "the second invocation failed, the first did not" in done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.sleep(60)\n",
        "import time\ndef handler(event, context):\n    time.sleep(60)\n",
        "import signal, time\nsignal.signal(15, signal.SIG_IGN)\n"
        "def handler(event, context):\n    while True: pass\n",
    ],
    ids=["import", "handler", "deaf"],
)
def test_a_function_that_hangs_ends_at_its_timeout(function: Path, code: str) -> None:
    done = make_run(write(function, code), environment={"AWS_LAMBDA_FUNCTION_TIMEOUT": "1"})
    assert done.returncode != 0
    assert "did not end within its timeout of 1 s" in done.stderr
    assert processes_with(f"LAMBDA_TASK_ROOT={function}") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_interrupted(function: Path, number: signal.Signals) -> None:
    task = write(function, "import time\ndef handler(event, context):\n    time.sleep(60)\n")
    running = subprocess.Popen(
        [*MAKE, task], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        deadline = time.monotonic() + SECONDS
        while not processes_with(f"LAMBDA_TASK_ROOT={function}"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(running.pid, number)
        _, said = running.communicate(timeout=SECONDS)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait(SECONDS)
    assert running.returncode != 0
    assert "Traceback" not in said
    assert processes_with(f"LAMBDA_TASK_ROOT={function}") == []


@pytest.mark.timeout(600)
def test_a_fresh_checkout_sets_itself_up(tmp_path: Path) -> None:
    fresh = tmp_path / "checkout"
    for name in ("bootstrap", "Makefile", "runtime", "emulator", "examples", "tests/support"):
        source, target = ROOT / name, fresh / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for file in (ROOT / "tests").glob("requirements*.txt"):
        shutil.copy(file, fresh / "tests")
    cache = tmp_path / "cache"
    done = subprocess.run(
        ["make", "run", f"PYTHON={sys.executable}"],
        cwd=fresh,
        env=os.environ | {"LAMBDA_RUNTIME_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert "Hello, Ada!" in done.stdout
    assert [path.name[:15] for path in cache.iterdir()] == ["aws-lambda-rie-"]
