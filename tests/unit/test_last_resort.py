"""Every error is told: whatever its class raises meanwhile, and whatever else does."""

import json
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_runtime import logs
from lambda_runtime.errors import last_resort, reports
from lambda_runtime.ground import trusted
from support.fuzz import examples
from support.odd_exceptions import odd_exception

true_name = type.__dict__["__name__"].__get__


class Sink:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.records: list[list[str]] = []

    def log(self, msg: str, frame_type: bytes | None = None) -> None:
        raise AssertionError("an error's record has lines")

    def log_error(self, message_lines: list[str]) -> None:
        assert all(type(line) is str for line in message_lines)
        self.records.append(message_lines)


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    made = Sink()
    monkeypatch.setattr(logs, "sink", made)
    yield made


@pytest.mark.parametrize("json_format", [False, True], ids=["text", "json"])
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(0, 2**32 - 1))
def test_odd_exceptions_are_told(
    json_format: bool, sink: Sink, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    error = odd_exception(seed)
    monkeypatch.setattr(logs, "json_format", json_format)
    sink.records.clear()
    for in_stream in (False, True):
        report, kind, document, cause = last_resort.tell(error, "id", in_stream=in_stream)
        parsed = json.loads(document)
        assert list(parsed) == ["errorMessage", "errorType", "requestId", "stackTrace"]
        assert "could not be described" not in parsed["errorMessage"]
        assert type(parsed["errorMessage"]) is str
        assert parsed["requestId"] == "id"
        if not issubclass(type(error), reports.FaultException):
            assert parsed["errorType"] == true_name(type(error))
        assert report["errorType"] == parsed["errorType"]
        assert kind.partition(".")[0] in ("Function", "Runtime")
        assert kind.isascii()
        assert kind.isprintable()
        assert not cause or json.loads(cause)["exceptions"]
    assert len(sink.records) == 2
    for record in sink.records:
        text = "\r".join(record)
        assert not json_format or json.loads(text)["level"] == "ERROR"
        assert json_format or text.startswith(f"[ERROR] {parsed['errorType']}")


def fail(*arguments: object, **named: object) -> None:
    raise OSError("descriptors")


def test_what_cannot_be_described_is_named(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "tell", fail)
    report, kind, document, cause = last_resort.tell(ValueError("x"), 'i"d\u20ac')
    assert json.loads(document) == report | {"requestId": "i?d?"}
    assert report["errorType"] == "ValueError"
    assert report["errorMessage"] == "the error could not be described: OSError"
    assert (kind, cause) == ("Function.Unknown", "")
    assert sink.records == [["[ERROR] ValueError: the error could not be described: OSError"]]
    monkeypatch.setattr(logs, "json_format", True)
    last_resort.tell(ValueError("x"), "id")
    assert json.loads(sink.records[1][0])["errorType"] == "ValueError"


def test_it_is_tried_once_more(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = reports.tell
    failures: list[BaseException] = [RecursionError()]

    def at_second(*arguments: object) -> object:
        if failures:
            raise failures.pop()
        assert sys.getrecursionlimit() >= 400
        return tell(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reports, "tell", at_second)
    report, *_ = last_resort.tell(ValueError("x"), "id")
    assert report["errorMessage"] == "x"
    failures.append(MemoryError())
    error = ValueError("y")
    report, *_ = last_resort.tell(error.with_traceback(sys.exc_info()[2]), "id")
    assert report["errorMessage"] == "y"
    assert error.__traceback__ is None


def test_nowhere_to_log_to(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Sink):
        def log_error(self, message_lines: list[str]) -> None:
            raise SystemExit

    monkeypatch.setattr(logs, "sink", Broken())
    assert last_resort.tell(ValueError("x"), "id")[0]["errorMessage"] == "x"
    monkeypatch.setattr(reports, "tell", fail)
    assert last_resort.tell(ValueError("x"), "id")[0]["errorType"] == "ValueError"


def test_not_even_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "tell", fail)
    monkeypatch.setattr(last_resort, "type_name", fail)
    report, kind, document, _ = last_resort.tell(ValueError("x"), "id")
    assert json.loads(document)["errorType"] == report["errorType"] == "Unknown"
    assert kind == "Function.Unknown"


def test_the_note_comes_first(sink: Sink) -> None:
    error = ValueError("x")
    error.add_note("own")
    last_resort.log(error, note="while idle")
    assert sink.records[0][-2:] == ["Note: while idle", "Note: own"]


def test_the_stack_is_tracebacks() -> None:
    import traceback

    from lambda_runtime.errors import frames

    def deep(depth: int) -> None:
        if depth:
            deep(depth - 1)
        raise KeyError(depth)

    for depth in (0, 1, 3, 50):
        try:
            deep(depth)
        except KeyError as error:
            trace = error.__traceback__
        plain = [
            (frame.filename, frame.lineno or 0, frame.name, frame.line)
            for frame in traceback.extract_tb(trace)
        ]
        assert frames.of_traceback(trace) == plain
        assert frames.lines(frames.of_traceback(trace)) == traceback.format_list(plain)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (b"# coding: latin-1\n\xe9 = 1 / 0\n", "\u00e9 = 1 / 0"),
        (b"\xef\xbb\xbfx = 1\r\ny = 1 / 0\r\n", "y = 1 / 0"),
        ("x = '\x0c\x1c\u2028'\ny = 1 / 0 # \u00e9\n".encode(), "y = 1 / 0 # \u00e9"),
    ],
)
def test_source_lines(source: bytes, line: str, tmp_path: object) -> None:
    from lambda_runtime.errors import frames

    file = f"{tmp_path}/source.py"
    with open(file, "wb") as opened:
        opened.write(source)
    try:
        exec(compile(source, file, "exec"), {})
    except ZeroDivisionError as error:
        assert frames.of_traceback(error.__traceback__)[-1][3] == line


def test_the_limit_of_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    from lambda_runtime.errors import frames

    monkeypatch.setattr(sys, "tracebacklimit", 0, raising=False)
    try:
        fail()
    except OSError as error:
        assert frames.of_traceback(error.__traceback__) == []


def test_lines_of_code_that_was_never_in_a_file() -> None:
    import linecache

    from lambda_runtime.errors import frames

    source = "def made(): raise ValueError\n"
    linecache.cache["<made>"] = (len(source), None, [source], "<made>")
    names: dict[str, Callable[[], None]] = {}
    exec(compile(source, "<made>", "exec"), names)
    try:
        names["made"]()
    except ValueError as error:
        assert frames.of_traceback(error.__traceback__)[-1][3] == source.strip()


def test_the_runtimes_own_modules_are_found_by_name() -> None:
    assert trusted.load("lambda_runtime.errors.reports") is reports
    with pytest.raises(ModuleNotFoundError):
        trusted.load("lambda_runtime.missing")
