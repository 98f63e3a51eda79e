"""Standard output that is somebody else's: records are written once, and every answer comes."""

import json

import pytest

from support import transports
from support.runtime_api import Counted

_HEAD = """
import codecs, contextlib, io, logging, logging.handlers, os, queue, sys, threading, time

class ToLogger:
    '''The recipe that everybody copies.'''
    def __init__(self, log): self.log = log
    def write(self, text):
        for line in text.rstrip().splitlines(): self.log(line.rstrip())
    def flush(self): pass

class Decorating(ToLogger):
    def write(self, text):
        for line in text.rstrip().splitlines(): self.log(f"<{line[:60]}>")

class ByThread(ToLogger):
    def __init__(self, log):
        self.lines = queue.Queue()
        threading.Thread(target=self.follow, args=(log,), daemon=True).start()
    def follow(self, log):
        while True: log(self.lines.get())
    def write(self, text): self.lines.put(text.rstrip()) if text.strip() else None

class Tee:
    def __init__(self, *streams): self.streams = streams
    def write(self, text):
        for stream in self.streams: stream.write(text)
    def flush(self):
        for stream in self.streams: stream.flush()

class Failing:
    def __init__(self, error): self.error = error
    def write(self, text): raise self.error
    def flush(self): raise self.error
    @property
    def closed(self): raise self.error

class HangingFlush(io.TextIOWrapper):
    def flush(self): time.sleep(60)

class Hanging:
    def write(self, text): sys.__stdout__.write(text)
    def flush(self): time.sleep(60)

info = logging.getLogger("info").warning
error = logging.getLogger("error").error
"""

_REPLACEMENTS = {
    "to a logger": "sys.stdout = ToLogger(info)",
    "both to loggers": "sys.stdout = ToLogger(info); sys.stderr = ToLogger(error)",
    "stderr to a logger": "sys.stderr = ToLogger(error)",
    "decorated": "sys.stdout = sys.stderr = Decorating(info)",
    "a handler on it": "sys.stdout = ToLogger(info);"
    "logging.getLogger('info').propagate = False;"
    "logging.getLogger('info').addHandler(logging.StreamHandler(sys.__stdout__))",
    "a tee": "sys.stdout = Tee(sys.stdout, io.StringIO())",
    "a tee that logs": "sys.stdout = Tee(sys.stdout, ToLogger(info))",
    "another encoding": "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='ascii')",
    "a codec's writer": "sys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer)",
    "a buffer": "sys.stdout = open(1, 'w', closefd=False, buffering=65536)",
    "BytesIO": "sys.stdout = io.BytesIO()",
    "both BytesIO": "sys.stdout = sys.stderr = io.BytesIO()",
    "None": "sys.stdout = None",
    "both None": "sys.stdout = sys.stderr = None",
    "deleted": "del sys.stdout",
    "both deleted": "del sys.stdout, sys.stderr",
    "a number": "sys.stdout = 5",
    "closed": "sys.stdout.close()",
    "a closed file": "sys.stdout = open(os.devnull, 'w'); sys.stdout.close()",
    "raises": "sys.stdout = sys.stderr = Failing(KeyError('x'))",
    "raises SystemExit": "sys.stdout = sys.stderr = Failing(SystemExit(3))",
    "raises KeyboardInterrupt": "sys.stdout = sys.stderr = Failing(KeyboardInterrupt())",
    "a hanging flush": "sys.stdout = sys.stderr = Hanging()",
    "a wrapper with a hanging flush": "sys.stdout = HangingFlush(open(1, 'wb', closefd=False))",
    "the descriptors closed": "os.close(1); os.close(2)",
    "not blocking": "os.set_blocking(1, False)",
    "its original deleted": "del sys.__stdout__; sys.stdout = ToLogger(info)",
}
_SILENT = {
    "StringIO": "sys.stdout = io.StringIO()",
    "devnull": "sys.stdout = open(os.devnull, 'w')",
}
_HANDLER = """
def handler(event, context):
    if event == "replace": {replace}
    if event == "record": logging.warning("a record")
    if event == "context": context.log("a line\\n")
    if event == "raise": raise ValueError("an error")
    return event
"""
_EVENTS = [b'"replace"', b'"record"', b'"record"', b'"context"', b'"raise"', b'"none"']


@transports.both
@pytest.mark.parametrize("log_format", ["Text", "JSON"])
@pytest.mark.parametrize("name", list(_REPLACEMENTS))
def test_records_and_errors_are_logged_once(name: str, log_format: str, transport: str) -> None:
    code = _HEAD + _HANDLER.format(replace=_REPLACEMENTS[name])
    environment = transports.SETTINGS[transport] | {"AWS_LAMBDA_LOG_FORMAT": log_format}
    outcome = Counted(code, [b'"none"', *_EVENTS], environment=environment)
    assert not outcome.ended_by_itself, outcome.stderr
    assert [outcome.answers[f"id-{number}"] for number in (2, 3, 4, 5, 7)] == [
        [b'"replace"'], [b'"record"'], [b'"record"'], [b'"context"'], [b'"none"'],
    ]  # fmt: skip
    assert outcome.errors == {"id-6"}
    assert json.loads(outcome.answers["id-6"][0])["errorMessage"] == "an error"
    if name == "the descriptors closed":
        return  # there is no log any more
    log = outcome.stdout
    # A tee's part is known only when the other part has come back, and the text has been written.
    assert log.count("a record") == (3 if name == "a tee that logs" else 2), log
    assert log.count("a line") == 1, log
    assert log.count("ValueError") == 2, log


@transports.both
@pytest.mark.parametrize("name", list(_SILENT))
def test_who_silences_standard_output_silences_records(name: str, transport: str) -> None:
    """As on AWS's own runtime: they go where ``print`` goes."""
    code = _HEAD + _HANDLER.format(replace=_SILENT[name])
    environment = transports.SETTINGS[transport]
    outcome = Counted(code, [b'"none"', *_EVENTS], environment=environment)
    assert len(outcome.answers) == 7
    assert outcome.stdout == ""


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
@pytest.mark.parametrize("at_import", [True, False])
@pytest.mark.parametrize("name", ["to a logger", "both to loggers", "decorated"])
def test_what_is_printed_is_logged_once(name: str, at_import: bool, log_format: str) -> None:
    replace = _REPLACEMENTS[name]
    inside = "print('printed'); print('again'); print('to stderr', file=sys.stderr)"
    code = f"""{_HEAD}
{replace if at_import else ""}
def handler(event, context):
    {inside if at_import else f"{replace}; {inside}"}
    return "done"
"""
    outcome = Counted(code, environment={"AWS_LAMBDA_LOG_FORMAT": log_format})
    assert outcome.answers == {"id-1": [b'"done"']}
    assert outcome.stdout.count("printed") == 1, outcome.stdout
    assert outcome.stdout.count("again") == 1
    assert (outcome.stdout + outcome.stderr).count("to stderr") == 1
    if log_format == "JSON":
        first = json.loads(outcome.stdout.splitlines()[0])
        assert (first["message"].strip("<>"), first["requestId"]) == ("printed", "id-1")


def test_a_stream_that_logs_from_another_thread() -> None:
    """Nothing goes round in circles, and nothing is lost."""
    code = f"""{_HEAD}
sys.stdout = ByThread(info)
def handler(event, context):
    print("printed")
    logging.warning("recorded")
    time.sleep(0.3)
    return sum(1 for thread in threading.enumerate())
"""
    outcome = Counted(code, [b"0", b"0"])
    assert outcome.answers == {"id-1": [b"2"], "id-2": [b"2"]}
    for word in ("printed", "recorded"):
        lines = [line for line in outcome.stdout.splitlines() if word in line]
        assert len(lines) == 2, outcome.stdout


def test_a_stream_handler_of_the_users_on_a_stream_that_logs_ends_in_an_error() -> None:
    """It goes round in circles by itself, as in plain Python: the error is the answer."""
    code = f"""{_HEAD}
sys.stdout = ToLogger(info)
logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
def handler(event, context):
    if event: logging.warning("round")
    return "done"
"""
    outcome = Counted(code, [b"1", b"0"])
    assert len(outcome.answers) == 2, outcome.stderr[-500:]
    assert outcome.answers["id-2"] == [b'"done"']
    assert not outcome.ended_by_itself
    assert len(outcome.stdout) < 1_000_000


def test_a_stream_that_has_something_to_say_of_its_own() -> None:
    code = f"""{_HEAD}
class Careful:
    def write(self, text):
        logging.getLogger("careful").warning("disk is full")
        return sys.__stdout__.write(text)
    def flush(self): pass
def handler(event, context):
    sys.stdout = Careful()
    logging.warning("a record")
"""
    outcome = Counted(code)
    assert len(outcome.answers) == 1
    assert outcome.stdout.count("a record") == 1
    assert outcome.stdout.count("disk is full") == 1


def test_redirected_output_has_the_records_made_meanwhile() -> None:
    code = f"""{_HEAD}
def handler(event, context):
    with contextlib.redirect_stdout(io.StringIO()) as kept:
        print("printed")
        logging.warning("inside")
    logging.warning("after")
    return kept.getvalue().splitlines()[0], "inside" in kept.getvalue()
"""
    outcome = Counted(code)
    assert outcome.answers == {"id-1": [b'["printed",true]']}
    assert "inside" not in outcome.stdout
    assert "after" in outcome.stdout


def test_a_signal_handler_that_logs_in_the_middle_of_a_write() -> None:
    code = f"""{_HEAD}
import signal
import itertools
numbers = itertools.count()
def note(number, frame):
    mine = next(numbers)
    logging.warning("signal %d", mine)
    seen.append(mine)
seen = []
def handler(event, context):
    signal.signal(signal.SIGALRM, note)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    while len(seen) < 50: logging.warning("x" * 500)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return len(seen) >= 50
"""
    outcome = Counted(code)
    assert outcome.answers == {"id-1": [b"true"]}
    assert all(f"signal {number}\n" in outcome.stdout for number in range(50))
    assert "Logging error" not in outcome.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_whatever_encoding_standard_output_has(encoding: str, log_format: str) -> None:
    code = f"""{_HEAD}
def handler(event, context):
    logging.warning("caf\\u00e9 \\u20ac \\U0001f680 \\ud800")
    raise ValueError("caf\\u00e9 \\u20ac \\U0001f680 \\ud800")
"""
    environment = {"PYTHONIOENCODING": encoding, "AWS_LAMBDA_LOG_FORMAT": log_format}
    outcome = Counted(code, environment=environment | {"PYTHONUTF8": "0"}, encoding=encoding)
    assert len(outcome.answers) == 1
    assert "Logging error" not in outcome.stderr
    if log_format == "JSON":
        record, error = map(json.loads, outcome.stdout.splitlines())
        assert record["message"] == error["errorMessage"] == "café € 🚀 \ud800"
    else:
        assert outcome.stdout.count("caf") >= 2


def test_a_frame_descriptor_that_is_closed() -> None:
    """Records go to standard output then."""
    import os

    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    code = f"""{_HEAD}
def handler(event, context):
    os.close({writer})
    logging.warning("a record")
    return "done"
"""
    environment = {"_LAMBDA_TELEMETRY_LOG_FD": str(writer)}
    outcome = Counted(code, environment=environment, pass_fds=[writer])
    os.close(reader)
    os.close(writer)
    assert outcome.answers == {"id-1": [b'"done"']}
    assert outcome.stdout.count("a record") == 1
