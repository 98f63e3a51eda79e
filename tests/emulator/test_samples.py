"""Sample events, their parameters, and `lambda-emulator invoke` and `events`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.project.errors import UsageError
from lambda_emulator.samples import answers, catalogue
from lambda_emulator.samples.parameters import change
from lambda_emulator.threaded import ThreadedEmulator
from support.paths import ROOT

_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "emulator")}

_APP = """
import json
def handler(event, context):
    print("an event of", len(json.dumps(event)))
    if event == "fail":
        raise KeyError("the reason")
    return event
def stream(event, context):
    yield json.dumps({"statusCode": 201, "headers": {"x-a": "1"}, "cookies": ["c=1"]}).encode()
    yield bytes(8) + b"the "
    yield b"body"
"""


def command(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `lambda-emulator` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "lambda_emulator", *words],
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("function")
    (folder / "app.py").write_text(_APP)
    bootstrap = [sys.executable, "-S", str(ROOT / "bootstrap")]
    with ThreadedEmulator(command=bootstrap, handler="app.handler", task_root=folder) as running:
        yield running


def test_every_sample_is_listed_and_printed() -> None:
    listed = command("events").stdout.split()
    assert len(listed) == 48
    assert {"sqs", "s3", "function_url"} <= set(listed)
    assert json.loads(command("events", "s3").stdout) == catalogue.sample("s3")


@pytest.mark.parametrize(
    ("name", "pair", "path", "value"),
    [
        ("s3", "key=a.png", ["Records", 0, "s3", "object", "key"], "a.png"),
        ("s3", "size=7", ["Records", 0, "s3", "object", "size"], 7),
        ("s3", "Records.1.s3.bucket.name=b", ["Records", 1, "s3", "bucket", "name"], "b"),
        ("sns", "message=42", ["Records", 0, "Sns", "Message"], "42"),
        ("sqs", 'messageAttributes={"a": 1}', ["Records", 0, "messageAttributes"], {"a": 1}),
        ("function-url", "headers.x-new=1", ["headers", "x-new"], 1),
        ("scheduled", "detail-type=Other", ["detail-type"], "Other"),
    ],
)
def test_parameters(name: str, pair: str, path: list[str | int], value: object) -> None:
    found = catalogue.sample(name, [pair])
    for part in path:
        found = found[part]
    assert found == value


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["events", "sq"], "no sample event 'sq': did you mean sqs"),
        (["events", "s3", "--set", "key"], "--set key: is not NAME=VALUE"),
        (["events", "s3", "--set", "nothing=1"], "--set nothing: the event has no such value"),
        (["events", "s3", "--set", "Records.9.s3=1"], "Records has no 9, but 0 to 1"),
        (["events", "s3", "--set", "Records.0.s4.key=1"], "Records.0 has no s4, but eventVersion"),
        (["invoke", "--event", "{nope"], "event given as it is: not JSON"),
        (["invoke", "--event", "sqss"], "no sample event (did you mean sqs"),
        (["invoke", "--event", "/"], "event /: cannot be read"),
        (["invoke", "--endpoint", "localhost:9000"], "localhost:9000: not the URL"),
    ],
)
def test_mistakes_are_explained(words: list[str], text: str) -> None:
    done = command(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr


def test_a_name_that_stands_in_several_places_is_asked_about() -> None:
    event = {"a": {"x": 1}, "b": {"x": 2}}
    with pytest.raises(UsageError, match=r"could be any of a\.x, b\.x"):
        change(event, "x=3")


@pytest.mark.parametrize(
    ("event", "text"), [("sqs", None), ('{"a": 1}', {"a": 1}), ("-", [1]), ("here.json", "x")]
)
def test_invoke(emulator: ThreadedEmulator, tmp_path: Path, event: str, text: object) -> None:
    (tmp_path / "here.json").write_text('"x"')
    words = ["invoke", "--endpoint", emulator.endpoint, "--event", event, "--log"]
    done = command(*words, input="[1]", cwd=tmp_path)
    assert json.loads(done.stdout) == (text or catalogue.sample("sqs"))
    assert "an event of" in done.stderr
    assert done.returncode == 0


def test_invoke_by_url_and_without_waiting(emulator: ThreadedEmulator) -> None:
    done = command("invoke", f"{emulator.endpoint}/function", "--event", "1", "--type", "Event")
    assert done.stdout == "202 accepted\n"


def test_a_failing_function(emulator: ThreadedEmulator) -> None:
    done = command("invoke", emulator.endpoint, "--event", '"fail"')
    assert done.returncode == 1
    first, *trace = done.stdout.splitlines()
    assert first == "KeyError: 'the reason'"
    assert "app.py" in trace[0]


def test_what_is_not_there(emulator: ThreadedEmulator) -> None:
    done = command("invoke", "other", "--endpoint", emulator.endpoint)
    assert done.returncode == 1
    assert "404 ResourceNotFoundException: Function not found" in done.stderr
    done = command("invoke", "--endpoint", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "no answer from http://127.0.0.1:9" in done.stderr


def test_a_streamed_answer_is_shown_in_its_parts(
    emulator: ThreadedEmulator,
) -> None:
    task_root = emulator.emulator.function.task_root
    bootstrap = [sys.executable, "-S", str(ROOT / "bootstrap")]
    with ThreadedEmulator(
        command=bootstrap, handler="app.stream", task_root=task_root
    ) as streaming:
        done = command("invoke", streaming.endpoint)
    assert done.stdout == "status 201\nx-a: 1\nset-cookie: c=1\n\nthe body\n"


def test_answers_that_are_no_text() -> None:
    assert answers.show(b"\xff\xfe") == "(2 bytes that are not text)"
    assert answers.show(b"x" + bytes(8) + b"y").startswith("x")
