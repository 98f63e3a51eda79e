"""A forked child answers nothing, polls nothing, and leaves its parent's connections alone."""

import textwrap

import pytest

from support.runtime_api import Counted

_STREAMS = {
    "generator": "return (part for part in parts)",
    "HttpResponse": "return HttpResponse(iter(parts))",
    "stream": "return stream(iter(parts))",
    "async generator": """
        async def chunks():
            for part in parts:
                yield part
        return chunks()
    """,
    "slow async generator": """
        async def chunks():
            for part in parts:
                await asyncio.sleep(0.01)
                yield part
        return chunks()
    """,
    "plain": "return 'ab'",
    "bytes": "return b'ab'",
    "raises": "raise ValueError('ab')",
    "breaks off": """
        def chunks():
            yield from parts
            raise ValueError('ab')
        return chunks()
    """,
}

_HEAD = """
import asyncio, os, sys, time
from lambda_runtime import HttpResponse, stream
parts = (b"a", b"b")
"""


def _handler(fork: str, answer: str) -> str:
    body = textwrap.indent(textwrap.dedent(answer).strip(), "    ")
    return f"{_HEAD}\ndef handler(event, context):\n    {fork}\n{body}\n"


def _check(outcome: Counted, events: int) -> None:
    wanted = {f"id-{number}" for number in range(1, events + 1)}
    assert set(outcome.answers) == wanted, outcome.stderr
    assert all(len(answers) == 1 for answers in outcome.answers.values()), outcome.answers
    assert outcome.most_waiting == 1
    assert not outcome.ended_by_itself


@pytest.mark.parametrize("mode", ["streaming", "buffered"])
@pytest.mark.parametrize("kind", list(_STREAMS))
def test_a_fork_in_the_handler(kind: str, mode: str) -> None:
    """The child goes on as if it were the parent; the next invocation finds all in order."""
    code = _handler("if event and os.fork(): os.wait()", _STREAMS[kind])
    outcome = Counted(code, [b"0", b"1", b"0"], environment={"LAMBDA_RUNTIME_RESPONSE_MODE": mode})
    _check(outcome, 3)
    for answers in outcome.answers.values():
        text = answers[0].rpartition(bytes(8))[2].decode()
        assert "ab" in text, answers


@pytest.mark.parametrize("wait", ["os.wait()", "pass"])
def test_a_fork_in_the_stream(wait: str) -> None:
    answer = f"""
        def chunks():
            yield b"a"
            if os.fork(): {wait}
            yield b"b"
        return chunks()
    """
    outcome = Counted(_handler("pass", answer), [b"0", b"0"])
    _check(outcome, 2)
    assert list(outcome.answers.values()) == [[b"ab"], [b"ab"]]


def test_a_fork_in_an_async_stream_leaves_the_parents_event_loop_alone() -> None:
    """Parent and child share a selector: the parent still notices all that it watches."""
    answer = """
        async def chunks():
            yield b"a"
            if os.fork():
                os.wait()
                await asyncio.to_thread(time.sleep, 0.01)
            yield b"b"
            await asyncio.sleep(0.01)
            yield b"c"
        return chunks()
    """
    outcome = Counted(_handler("pass", answer), [b"0", b"0"])
    _check(outcome, 2)
    assert list(outcome.answers.values()) == [[b"abc"], [b"abc"]]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("return 1", 0),
        ("sys.exit(7)", 7),
        ("sys.exit('gone')", 1),
        ("raise ValueError", 1),
        ("return (part for part in parts)", 0),
        ("os._exit(9)", 9),
    ],
)
def test_the_childs_exit_status(end: str, status: int) -> None:
    code = f"""{_HEAD}
def handler(event, context):
    pid = os.fork()
    if not pid:
        {end}
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
    outcome = Counted(code)
    assert outcome.answers == {"id-1": [b"%d" % status]}


def test_a_fork_at_import() -> None:
    """The child is initialised too, and asks for no event."""
    code = (
        f"{_HEAD}\nchild = os.fork()\ndef handler(event, context): return os.waitpid(child, 0)[1]"
    )
    outcome = Counted(code, [b"0"])
    _check(outcome, 1)
    assert outcome.answers == {"id-1": [b"0"]}


def test_a_fork_at_import_whose_child_fails() -> None:
    code = f"""{_HEAD}
child = os.fork()
if not child: raise ValueError("in the child")
def handler(event, context): return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""
    outcome = Counted(code, [b"0"])
    _check(outcome, 1)
    assert outcome.answers == {"id-1": [b"1"]}
    assert outcome.init_errors == 0
    assert "ValueError: in the child" in outcome.stderr


def test_the_child_calls_no_shutdown_hooks_and_writes_nothing_twice() -> None:
    code = f"""{_HEAD}
import lambda_runtime
lambda_runtime.on_shutdown(lambda: print("hook of", os.getpid() == parent))
parent = os.getpid()
def handler(event, context):
    print("begun", end=" ")
    if not os.fork():
        print("child")
        return
    os.wait()
    print("parent")
"""
    outcome = Counted(code, [b"0"])
    _check(outcome, 1)
    assert outcome.stdout.count("begun") == 1
    assert outcome.stdout.count("hook of") == outcome.stdout.count("hook of True") == 1
