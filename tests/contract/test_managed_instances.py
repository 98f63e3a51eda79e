"""Several invocations at once: every way to serve them, and what each finds around it."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from lambda_emulator.emulator import InitFailed
from lambda_emulator.invocation import Reply
from lambda_emulator.threaded import ThreadedEmulator
from support import transports
from support.documents import blocks
from support.managed import SHARED, WAYS, event_file, lines, managed, records, wait_for_polls
from support.paths import ROOT
from support.waiting import begin, wait_until

pytestmark = transports.in_many_processes

MANY = 10_000


def invoke_many(
    emulator: ThreadedEmulator, count: int, seconds: float = 0.01, **more: Any
) -> list[Reply]:
    """So many invocations, as many at once as the function takes, each for a random time."""

    async def go() -> list[Reply]:
        return await asyncio.gather(
            *(
                emulator.emulator.invoke(
                    {"number": number, "seconds": random.random() * seconds, **more},
                    tenant_id=f"tenant-{number % 7}",
                )
                for number in range(count)
            )
        )

    return emulator.begin(go()).result(120)


@pytest.mark.parametrize("way", WAYS)
def test_ten_thousand_invocations_are_answered_each_with_its_own(way: str) -> None:
    with managed(way, polls=16) as emulator:
        replies = invoke_many(emulator, MANY, log=True)
        wrong = [
            (number, reply.payload)
            for number, reply in enumerate(replies)
            if reply.function_error
            or reply.json()["number"] != number
            or reply.json()["id"] != reply.request_id
            or reply.json()["tenant"] != f"tenant-{number % 7}"
        ]
        assert not wrong, wrong[:5]
        processes = {reply.json()["pid"] for reply in replies}
        assert len(processes) == (1 if way in SHARED else 16)
        told = {f"at work on {number}": reply for number, reply in enumerate(replies)}
        wait_until(lambda: len(records(emulator)) == MANY, "log records are missing", 30)
        for record in records(emulator):
            reply = told.pop(record["message"])
            assert record["requestId"] == reply.request_id
            assert record["tenantId"] == reply.json()["tenant"]
        assert emulator.emulator.environment.starts == 1


@pytest.mark.parametrize("way", WAYS)
def test_they_run_at_the_same_time(way: str) -> None:
    with managed(way) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        begun = [begin(emulator, {"number": number, "seconds": 0.5}) for number in range(4)]
        wait_until(lambda: len(emulator.emulator.environment.running) == 4)
        assert [each.result(10).json()["number"] for each in begun] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("handler", "way", "processes"),
    [
        ("work.handler", "processes", 4),
        ("work.async_handler", "async", 1),
        ("work.wrapped_async", "processes", 4),
    ],
)
def test_the_way_follows_from_the_handler(handler: str, way: str, processes: int) -> None:
    for configured in ("", "auto"):
        with managed(configured, handler) as emulator:
            emulator.start()
            wait_for_polls(emulator, 4)
            replies = invoke_many(emulator, 40)
            assert len({reply.json()["pid"] for reply in replies}) == processes
            assert {reply.json()["parent"] for reply in replies} != {1}
    with managed(way, handler) as emulator:
        assert len({reply.json()["pid"] for reply in invoke_many(emulator, 40)}) == processes


def test_async_handlers_can_have_processes_of_their_own() -> None:
    with managed("processes", "work.async_handler") as emulator:
        assert len({reply.json()["pid"] for reply in invoke_many(emulator, 40)}) == 4


def test_a_wrapped_async_handler_can_be_told_to_share_an_event_loop() -> None:
    with managed("async", "work.wrapped_async") as emulator:
        assert len({reply.json()["pid"] for reply in invoke_many(emulator, 40)}) == 1


def test_a_sync_handler_told_to_be_async_is_served_one_at_a_time() -> None:
    with managed("async", "work.handler") as emulator:
        assert [reply.json()["number"] for reply in invoke_many(emulator, 20)] == list(range(20))


@pytest.mark.parametrize(
    ("way", "handler", "polls", "said"),
    [
        ("fibres", "work.handler", None, "may be auto, processes, preload, threads or async"),
        ("threads", "work.async_handler", None, "its event loop cannot be shared by threads"),
        ("preload", "work.async_handler", None, "its event loop cannot be taken through a fork"),
        ("", "work.handler", "many", "AWS_LAMBDA_MAX_CONCURRENCY is 'many'"),
        ("", "work.handler", "0", "AWS_LAMBDA_MAX_CONCURRENCY is '0'"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_followed(
    way: str, handler: str, polls: str | None, said: str
) -> None:
    environment = {"AWS_LAMBDA_MAX_CONCURRENCY": polls} if polls else {}
    with managed(way, handler, environment=environment) as emulator:
        with pytest.raises(InitFailed) as failed:
            emulator.start()
        assert failed.value.failure.error_type == "Runtime.InvalidSetting"
        assert said in failed.value.failure.payload.decode()
        assert lines(emulator)[-1] == "exit status 1"


def test_an_awaitable_has_no_event_loop_in_threads() -> None:
    with managed("threads", "work.wrapped_async") as emulator:
        reply = emulator.invoke({"number": 1})
        assert reply.error_type == "Runtime.InvalidSetting"
        assert "LAMBDA_RUNTIME_CONCURRENCY=async" in reply.payload.decode()
        assert emulator.invoke({"number": 2}).error_type == "Runtime.InvalidSetting"


@pytest.mark.parametrize("way", WAYS)
def test_the_trace_id_is_set_only_where_it_is_true(way: str) -> None:
    with managed(way) as emulator:
        found = [reply.json() for reply in invoke_many(emulator, 40)]
        assert len({each["context_trace"] for each in found}) == 40
        expected = [None if way in SHARED else each["context_trace"] for each in found]
        assert [each["trace"] for each in found] == expected
        without = emulator.invoke({"number": 1}, trace_id="").json()
        assert (without["trace"], without["context_trace"]) == (None, None)


@pytest.mark.parametrize("way", WAYS)
def test_context_variables(way: str) -> None:
    with managed(way) as emulator:
        found = [reply.json() for reply in invoke_many(emulator, 40)]
        assert {each["init"] for each in found} == {"set in init"}
        if way in SHARED:
            assert {each["seen"] for each in found} == {0}


def test_one_init_is_shared_by_forked_workers() -> None:
    with managed("preload", environment={"PYTHONHASHSEED": "0"}) as emulator:
        found = [reply.json() for reply in invoke_many(emulator, 80)]
        assert len({each["pid"] for each in found}) == 4
        assert len({each["born"] for each in found}) == 1
        assert {each["parent"] for each in found} == {found[0]["born"]}
        assert all(each["forked"] == ["first", "second"] for each in found)
        assert len({each["random"] for each in found}) == 80


def test_forked_workers_have_random_state_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import random, ssl, time\n"
        "import numpy\n"
        "def draw():\n"
        "    return [random.random(), ssl.RAND_bytes(8).hex(), numpy.random.random()]\n"
        "draw()\n"
        "def handler(event, context):\n"
        "    time.sleep(0.05)\n"
        "    return draw()\n"
    )
    with managed("preload", "app.handler", task_root=tmp_path) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        drawn = [reply.result(10).json() for reply in [begin(emulator, {}) for _ in range(4)]]
    assert all(len(set(numbers)) == 4 for numbers in zip(*drawn, strict=True))


@pytest.mark.parametrize("way", ["processes", "threads", "async"])
def test_fork_hooks_are_for_a_shared_init_only(way: str) -> None:
    with managed(way) as emulator:
        found = [reply.json() for reply in invoke_many(emulator, 40)]
        assert all(each["forked"] == [] for each in found)
        assert {each["born"] for each in found} == {each["pid"] for each in found}


def test_wsgi_applications_are_told_who_else_may_call_them() -> None:
    expected = {"": "False True", "preload": "False True", "threads": "True False"}
    for way, told in expected.items():
        with managed(way, "work.web") as emulator:
            assert emulator.invoke(event_file("function_url")).json()["body"] == told


def test_asgi_applications_share_one_event_loop() -> None:
    event = event_file("function_url") | {"rawQueryString": "0.3"}
    with managed("", "work.asgi") as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        replies = [begin(emulator, event) for _ in range(4)]
        wait_until(lambda: len(emulator.emulator.environment.running) == 4)
        told = [reply.result(10).json()["body"].split() for reply in replies]
        assert [name for name, _ in told] == [reply.result().request_id for reply in replies]
        assert len({pid for _, pid in told}) == 1


@pytest.mark.parametrize(
    ("way", "handler"),
    [
        ("processes", "stream"),
        ("preload", "stream"),
        ("threads", "stream"),
        ("async", "async_stream"),
        ("async", "returns_stream"),
    ],
)
def test_streams_at_the_same_time(way: str, handler: str) -> None:
    async def read(emulator: ThreadedEmulator, number: int) -> None:
        size = number * 1000
        event = {"number": number, "chunks": 20, "seconds": 0.003, "size": size}
        async with emulator.emulator.stream(event) as stream:
            whole = b"".join([chunk async for chunk in stream])
        padding = "z" * size
        assert whole.decode() == "".join(f"{number}:{each};{padding}" for each in range(20))

    async def read_all(emulator: ThreadedEmulator) -> None:
        await asyncio.gather(*(read(emulator, number) for number in range(12)))

    with managed(way, f"work.{handler}") as emulator:
        emulator.run(read_all(emulator))


@pytest.mark.parametrize(("way", "handler"), [("threads", "stream"), ("async", "async_stream")])
def test_a_stream_that_fails_or_is_not_read_disturbs_no_other(way: str, handler: str) -> None:
    with managed(way, f"work.{handler}") as emulator:
        with emulator.stream({"number": 1, "chunks": 1000, "size": 100_000}) as unread:
            next(iter(unread))
            with emulator.stream({"number": 2, "chunks": 3, "break": 2}) as broken:
                assert b"".join(broken) == b"2:0;2:1;"
                assert broken.reply.failure is not None
                assert broken.reply.failure.error_type == "Function.ValueError"
            with emulator.stream({"number": 3, "chunks": 3, "break": 0}) as refused:
                assert b"".join(refused) == b""
                assert refused.reply.failure is not None
            with emulator.stream({"number": 4, "chunks": 3}) as whole:
                assert b"".join(whole) == b"4:0;4:1;4:2;"
        # Nobody reads the first any more; its place is free again.
        assert all(
            reply.result(20).payload == b"5:0;"
            for reply in [begin(emulator, {"number": 5, "chunks": 1}) for _ in range(8)]
        )


@pytest.mark.parametrize(("way", "handler"), [("threads", "stream"), ("async", "async_stream")])
def test_streams_can_be_put_together(way: str, handler: str) -> None:
    environment = {"LAMBDA_RUNTIME_RESPONSE_MODE": "buffered"}
    with managed(way, f"work.{handler}", environment=environment) as emulator:
        reply = emulator.invoke({"number": 1, "chunks": 3})
        assert (reply.payload, reply.streamed) == (b"1:0;1:1;1:2;", False)


def test_the_debug_record_of_the_start() -> None:
    with managed("threads", environment={"AWS_LAMBDA_LOG_LEVEL": "DEBUG"}) as emulator:
        emulator.start()
        first = records(emulator)[0]
        del first["timestamp"]
        assert first == {
            "level": "DEBUG",
            "message": {
                "event": "runtime_worker_pool_initializing",
                "workerCount": 4,
                "executionEnvironmentMaxConcurrency": 4,
            },
            "logger": "root",
            "requestId": "",
        }


def test_logs_are_json_unless_told_otherwise(tmp_path: Path) -> None:
    for text, expected in (("", "{"), ("Text", "[INFO]")):
        with managed("", environment={"AWS_LAMBDA_LOG_FORMAT": text}) as emulator:
            emulator.invoke({"number": 1, "log": True})
            wait_until(emulator.logs)
            assert emulator.logs().startswith(expected)


def test_what_many_functions_load_is_loaded_once(tmp_path: Path) -> None:
    """By the supervisor, unless it only goes by the same name."""
    (tmp_path / "zoneinfo.py").write_text("import os\nown = os.getpid()\n")
    (tmp_path / "app.py").write_text(
        "import os, sys\n"
        "names = ('json', 'uuid', 'zoneinfo', 'hashlib')\n"
        "before = [name for name in names if name in sys.modules]\n"
        "import json, uuid, zoneinfo\n"
        "def handler(event, context):\n"
        "    import time; time.sleep(0.05)\n"
        "    return [os.getpid(), before, zoneinfo.own]\n"
    )
    with managed("processes", "app.handler", task_root=tmp_path) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        replies = [begin(emulator, {}) for _ in range(4)]
        found = [reply.result(10).json() for reply in replies]
    assert len({pid for pid, _, _ in found}) == 4
    assert all(own == pid for pid, _, own in found)
    assert sorted(before for _, before, _ in found) == [[], *[["json", "uuid"]] * 3]


@pytest.mark.parametrize("way", ["processes", "preload"])
def test_forked_workers_share_the_faster_json_engine(way: str, tmp_path: Path) -> None:
    """Its import would not pay for the few invocations that each of many processes serves."""
    (tmp_path / "app.py").write_text(
        "import os, sys\n"
        "in_init = 'orjson' in sys.modules\n"
        "def handler(event, context):\n"
        "    import time; time.sleep(0.05)\n"
        "    return [os.getpid(), in_init, 'orjson' in sys.modules, event]\n"
    )
    with managed(way, "app.handler", task_root=tmp_path) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        event = {"exact": 2**70, "text": "ä"}
        replies = [begin(emulator, event) for _ in range(4)]
        found = [reply.result(10).json() for reply in replies]
    assert len({pid for pid, *_ in found}) == 4
    assert [rest for _, *rest in found] == [[False, way == "preload", event]] * 4


# Page and example


def test_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "managed-instances.md").read_text()
    (tmp_path / "app.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    with managed("", "app.handler", task_root=tmp_path) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        replies = [begin(emulator, {"name": name}) for name in ("Ada", "Bo", "Ada")]
        assert [each.result(10).json() for each in replies] == [
            "Hello, Ada!",
            "Hello, Bo!",
            "Hello, Ada!",
        ]


def test_the_page_s_hook(tmp_path: Path) -> None:
    (code,) = blocks("managed-instances.md")["preload"]
    (tmp_path / "app.py").write_text(code)
    with managed("preload", "app.handler", task_root=tmp_path) as emulator:
        replies = [begin(emulator, {"number": number}) for number in range(20)]
        assert [each.result(10).json() for each in replies] == list(range(20))


def test_the_example() -> None:
    folder = ROOT / "examples" / "managed_instances"
    event = json.loads((folder / "event.json").read_text())
    with managed("", "app.handler", task_root=folder) as emulator:
        emulator.start()
        wait_for_polls(emulator, 4)
        replies = [begin(emulator, event) for _ in range(40)]
        assert all(each.result(10).json() == {"amount": 11.62, "fetches": 1} for each in replies)
        emulator.restart()
        assert "the rates were fetched 1 times" in lines(emulator)
