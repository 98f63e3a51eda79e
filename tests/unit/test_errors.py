"""One error, told to the caller, to the log and to X-Ray."""

import json
import sys
from collections.abc import Callable

import pytest

from lambda_runtime import logs
from lambda_runtime.errors import reports


def raised(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it was to raise")


def fail() -> None:
    raise ValueError("é")


def fail_with_cause() -> None:
    try:
        fail()
    except ValueError as error:
        wrapped = KeyError("outer")
        wrapped.add_note("first\nsecond")
        raise wrapped from error


def fail_in_context() -> None:
    try:
        fail()
    except ValueError:
        raise KeyError("outer")  # noqa: B904


def fail_silently() -> None:
    try:
        fail()
    except ValueError:
        raise KeyError("outer") from None


def fail_in_groups() -> None:
    raise ExceptionGroup("all", [ValueError("one"), ExceptionGroup("in", [TypeError("two")])])


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def recurse() -> None:
    recurse()


def report(error: BaseException) -> dict[str, object]:
    return reports.describe(error, reports.user_frames(error.__traceback__), "id")


def text_log(error: BaseException, capsys: pytest.CaptureFixture[str]) -> list[str]:
    reports.log(report(error), error)
    out = capsys.readouterr().out
    assert out.endswith("\n")
    return out[:-1].split("\r")


def test_the_document() -> None:
    document = report(raised(fail))
    stack = document.pop("stackTrace")
    assert document == {"errorMessage": "é", "errorType": "ValueError", "requestId": "id"}
    assert isinstance(stack, list)
    assert stack[-1].startswith(f'  File "{__file__}", line ')
    assert stack[-1].endswith(', in fail\n    raise ValueError("é")\n')


def test_the_text_log(capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_log(raised(fail), capsys)
    assert lines[:2] == ["[ERROR] ValueError: é", "Traceback (most recent call last):"]
    assert lines[-1] == '\xa0\xa0\xa0\xa0raise ValueError("é")'


def test_causes_and_notes_are_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_log(raised(fail_with_cause), capsys)
    assert lines[0] == "[ERROR] KeyError: 'outer'"
    assert lines.index("Note: first") + 1 == lines.index("second")
    assert lines.index("second") < lines.index("Caused by: ValueError: é")
    assert lines.count("Traceback (most recent call last):") == 2


def test_contexts_are_in_the_log_unless_suppressed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "While handling: ValueError: é" in text_log(raised(fail_in_context), capsys)
    assert not any("é" in line for line in text_log(raised(fail_silently), capsys)[:1])
    assert not any("While" in line for line in text_log(raised(fail_silently), capsys))


def test_groups_are_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    lines = text_log(raised(fail_in_groups), capsys)
    assert lines[0] == "[ERROR] ExceptionGroup: all (2 sub-exceptions)"
    assert "Exception 1 of 2 in the group: ValueError: one" in lines
    assert "Exception 1 of 1 in the group: TypeError: two" in lines


def test_a_chain_that_bites_its_tail_ends(capsys: pytest.CaptureFixture[str]) -> None:
    error = raised(fail)
    other = KeyError("other")
    error.__cause__, other.__cause__ = other, error
    assert len(text_log(error, capsys)) < 20


def test_the_json_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "json_format", True)
    error = raised(fail_with_cause)
    reports.log(report(error), error)
    record = json.loads(capsys.readouterr().out)
    assert list(record)[:6] == [
        "timestamp",
        "level",
        "errorMessage",
        "errorType",
        "requestId",
        "stackTrace",
    ]
    assert record["level"] == "ERROR"
    assert record["notes"] == ["first\nsecond"]
    assert record["cause"]["errorType"] == "ValueError"
    assert record["cause"]["errorMessage"] == "é"


def test_an_error_that_cannot_say_what_it_is() -> None:
    assert report(Unprintable())["errorMessage"] == (
        "<str() of this Unprintable raised RuntimeError>"
    )


def test_documents_stay_small() -> None:
    huge = report(ValueError("x" * 10_000_000))
    assert len(str(huge["errorMessage"])) < 70_000
    assert str(huge["errorMessage"]).endswith("more characters)")
    deep = report(raised(recurse))
    assert len(json.dumps(deep)) < 70_000
    assert deep["errorType"] == "RecursionError"


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("ValueError", "Function.ValueError"),
        ("Runtime.MarshalError", "Runtime.MarshalError"),
        ("Error2\r\nX: y", "Function.Unknown"),
        ("_Private", "Function.Unknown"),
    ],
)
def test_the_type_the_platform_keeps(kind: str, header: str) -> None:
    assert reports.platform_type({"errorType": kind}) == header


def xray(error: BaseException) -> str:
    return reports._xray_cause(error, report(error), reports.user_frames(error.__traceback__))


def test_the_cause_for_xray() -> None:
    cause = xray(raised(fail))
    assert cause.isascii()
    document = json.loads(cause)
    assert document["exceptions"][0]["message"] == "é"
    assert document["exceptions"][0]["stack"][-1]["label"] == "fail"
    assert document["paths"] == [__file__]


def test_the_cause_stays_within_what_xray_keeps() -> None:
    assert len(xray(raised(recurse))) <= 64 * 1024
    assert len(xray(ValueError("\U0001f600" * 1_000_000))) <= 64 * 1024


def test_faults_of_the_runtime_have_no_stack() -> None:
    error = reports.FaultException("Runtime.X", "message")
    assert report(error)["stackTrace"] == []
    assert json.loads(xray(error))["exceptions"][0]["type"] == "LambdaValidationError"
    assert (error.msg, error.exception_type, error.trace) == ("message", "Runtime.X", None)


def test_where_the_working_folder_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError

    monkeypatch.setattr("posix.getcwd", gone)
    assert json.loads(xray(raised(fail)))["working_directory"] == ""


def test_frames_start_with_the_users() -> None:
    try:
        exec(compile("import lambda_runtime.missing", "app.py", "exec"))
    except ModuleNotFoundError:
        frames = reports.user_frames(sys.exc_info()[2])
    assert frames[0][0] == __file__
