"""The thread that watches deadlines: when there is one, and that it leaves no traces of itself."""

import time

import pytest

from support.process import run_function

FACTS = (
    "import os, sys, time\n"
    "def handler(event, context):\n"
    "    time.sleep(event['seconds'])\n"
    "    loaded = 'threading' in sys.modules\n"
    "    import threading\n"
    "    is_main = threading.main_thread() is threading.current_thread()\n"
    "    return [loaded, is_main, len(os.listdir('/proc/self/task'))]\n"
)

# Otherwise there is a thread from the start, which looks after the init first.
NO_INIT_TRACE = {"LAMBDA_RUNTIME_INIT_TRACE_MS": "0"}


def deadline_in(seconds: float) -> dict[str, str]:
    return {"Lambda-Runtime-Deadline-Ms": str(int((time.time() + seconds) * 1000))}


def test_a_trace_leaves_threading_alone() -> None:
    # The interpreter's own start takes a part of the time that is left.
    outcome = run_function(FACTS, events=[b'{"seconds": 2.5}'], headers=deadline_in(2))
    assert outcome.answer == [False, True, 2]
    assert outcome.stdout.count("about to time out") == 1
    assert "Thread MainThread (most recent call last):" in outcome.stdout.replace("\r", "\n")


def test_a_function_without_descriptors_is_traced() -> None:
    """The thread begins its work when no file can be opened any more."""
    code = (
        "import os, resource, time\n"
        "def handler(event, context):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "    try:\n"
        "        while True:\n"
        "            os.open('/dev/null', os.O_RDONLY)\n"
        "    except OSError:\n"
        "        time.sleep(event['seconds'])\n"
    )
    outcome = run_function(code, events=[b'{"seconds": 2.5}'], headers=deadline_in(2))
    assert outcome.stdout.count("about to time out") == 1
    assert "Exception ignored" not in outcome.stdout + outcome.stderr


def test_a_deadline_long_past_leaves_no_trace() -> None:
    # Both have the deadline that the headers name; the second begins after it.
    events = [b'{"seconds": 1.2}', b'{"seconds": 0.1}']
    outcome = run_function(FACTS, events=events, headers=deadline_in(1))
    assert outcome.stdout.count("\tid-1\t") == 1
    assert outcome.stdout.count("\tid-2\t") == 0


@pytest.mark.parametrize("headers", [{}, {"Lambda-Runtime-Deadline-Ms": "0"}])
def test_without_a_deadline_there_is_nothing_to_watch(headers: dict[str, str]) -> None:
    outcome = run_function(
        FACTS, events=[b'{"seconds": 0.1}'], headers=headers, environment=NO_INIT_TRACE
    )
    assert outcome.answer == [False, True, 1]
    assert outcome.stdout == ""


def test_off() -> None:
    outcome = run_function(
        FACTS,
        events=[b'{"seconds": 0.2}'],
        headers=deadline_in(0.1),
        environment={"LAMBDA_RUNTIME_TIMEOUT_TRACE_MS": "0"},
    )
    assert outcome.answer == [False, True, 1]
    assert outcome.stdout == ""


def test_deadlines_beyond_all_measure() -> None:
    headers = {"Lambda-Runtime-Deadline-Ms": str(10**24)}
    outcome = run_function(
        FACTS, events=[b'{"seconds": 0.2}'] * 2, headers=headers, environment=NO_INIT_TRACE
    )
    assert outcome.answer == [True, True, 1]
    assert (outcome.stdout, outcome.stderr.count("Traceback")) == ("", 0)


def test_log_streams_of_the_users_own() -> None:
    code = (
        "import io, sys, time\n"
        "sys.stdout = kept = io.StringIO()\n"
        "def handler(event, context):\n"
        "    time.sleep(1.2)\n"
        "    return kept.getvalue()\n"
    )
    answer = run_function(code, headers=deadline_in(1)).answer
    assert isinstance(answer, str)
    assert answer.startswith("[ERROR]\t")
