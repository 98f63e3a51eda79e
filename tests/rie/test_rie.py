"""The emulator's driver: fetched whole, bounded, one at a time, and nothing left behind."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_rie import rie
from lambda_rie.rie import Launch, Reply, Rie, RieError
from support.leftovers import processes_with
from support.runtimes import Runtime, checkout


@pytest.fixture
def hostile(task: Path) -> Iterator[Rie]:
    with checkout().function("hostile.handler", task, {}) as running:
        yield running


def test_both_architectures_are_fetched() -> None:
    x86_64, arm64 = rie.fetch("x86_64"), rie.fetch("arm64")
    # The machine's number in the ELF header: 62 for x86-64, 183 for AArch64.
    assert [path.read_bytes()[18] for path in (x86_64, arm64)] == [62, 183]
    assert rie.fetch() in (x86_64, arm64)


def test_damaged_binary_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rie.fetch()
    monkeypatch.setenv("LAMBDA_RUNTIME_CACHE", str(tmp_path))
    damaged = tmp_path / whole.name
    shutil.copy(whole, damaged)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert rie.fetch() == damaged
    assert damaged.read_bytes() == whole.read_bytes()
    assert list(tmp_path.iterdir()) == [damaged]


def test_a_file_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_RUNTIME_CACHE", str(tmp_path))
    monkeypatch.setitem(rie.BINARY_SHA256, "x86_64", "0" * 64)
    with pytest.raises(RieError, match="not the one that was pinned"):
        rie.fetch("x86_64")
    assert list(tmp_path.iterdir()) == []


def test_unusable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("LAMBDA_RUNTIME_CACHE", str(file))
    with pytest.raises(RieError, match="set LAMBDA_RUNTIME_CACHE"):
        rie.fetch()


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(RieError, match="choose x86_64 or arm64"):
        rie.fetch("riscv64")


def test_reply_has_the_log_without_the_emulators_lines(hostile: Rie) -> None:
    reply = hostile.invoke(b'"alive"')
    assert (reply.status, json.loads(reply.body), reply.log) == (200, {"before": 0}, b"alive\n")
    assert len(reply.request_id) == 36
    assert 0 < reply.seconds < hostile.timeout
    assert reply.request_id in hostile.diagnostics()


def test_invocations_from_threads_wait_for_each_other(hostile: Rie) -> None:
    replies: list[Reply] = []
    threads = [
        threading.Thread(target=lambda: replies.append(hostile.invoke(b'"alive"')))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(json.loads(reply.body)["before"] for reply in replies) == list(range(8))
    assert {reply.log for reply in replies} == {b"alive\n"}


def test_nothing_is_left_when_it_stops(hostile: Rie) -> None:
    hostile.invoke(b'"processes-left"')
    hostile.invoke(b'"signals-ignored"')
    hostile.invoke(b'"threads-left"')
    api = f"AWS_LAMBDA_RUNTIME_API={hostile.runtime_api}"
    assert len(processes_with(api)) >= 3
    hostile.stop()
    assert processes_with(api) == []
    hostile.stop()


def test_invoking_a_stopped_one_says_so(hostile: Rie) -> None:
    hostile.stop()
    with pytest.raises(RieError, match="not running"):
        hostile.invoke(b"{}")


def test_a_launch_that_ends_at_once_is_reported(task: Path) -> None:
    def to_nowhere(launch: Launch) -> Launch:
        return Launch(("sh", "-c", "echo no such root >&2; exit 1"), launch.environment, task)

    runtime = Runtime("nowhere", (sys.executable,), enclose=to_nowhere)
    with pytest.raises(RieError, match="no such root"):
        runtime.function("echo.handler", task, {}).start()


def test_an_enclosed_launch_sees_the_function_elsewhere(task: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "seen"
    elsewhere.symlink_to(task)

    def enclose(launch: Launch) -> Launch:
        inside = {**launch.environment, "LAMBDA_TASK_ROOT": str(elsewhere)}
        return Launch(("env", *launch.argv), inside, Path("/"))

    runtime = Runtime("enclosed", checkout().argv, task_root=str(elsewhere), enclose=enclose)
    with runtime.function("environment.handler", task, {}) as running:
        reply = running.invoke(b'"task-root"')
    assert runtime.seen(task) == str(elsewhere)
    assert reply.status == 200, reply
