"""Small runs of the benchmark with real processes: what it would measure is what it says."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import answers, events, subjects, toolchain
from benchmarks.measure import Bench, measure
from benchmarks.scenarios import Scenario
from benchmarks.subjects import ADAPTER, BARE, C_CLIENT, COPY, OURS, PEER, WEB, Subject
from benchmarks.toolchain import BenchmarkError, Native


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Native:
    return toolchain.compile_native(tmp_path_factory.mktemp("native"))


@pytest.fixture
def bench(native: Native, tmp_path: Path) -> Bench:
    return Bench(native.stub, tmp_path / "events", native.many)


@pytest.fixture
def task(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "task"
    shutil.copytree(subjects.FUNCTION, folder)
    for peer in subjects.PEERS.glob("*.py"):
        shutil.copy(peer, folder)
    yield folder


def python_subject(name: str, task: Path, *arguments: str) -> Subject:
    return Subject(name, (sys.executable, *arguments), task)


def test_a_small_run(bench: Bench, native: Native, task: Path) -> None:
    bootstrap = str(toolchain.ROOT / "bootstrap")
    taking_part = [
        python_subject(OURS, task, "-S", bootstrap),
        python_subject(PEER, task, "-m", "awslambdaric"),
        python_subject("http.client", task, "-m", "http_client_loop"),
        python_subject("httpx", task, "-m", "httpx_loop"),
        Subject(C_CLIENT, (str(native.client),), task, takes_handler=False),
        Subject(BARE, (sys.executable, "-I", "-S", "-c", "pass"), task, False, speaks=False),
    ]
    everybody = tuple(subject.name for subject in taking_part)
    start = Scenario("start", events.message, 1, 2, subjects=everybody)
    progress: list[str] = []
    runs = measure(bench, start, taking_part, progress.append)
    assert progress == ["start: round 1 of 2", "start: round 2 of 2"]
    for name, rounds in runs.items():
        assert len(rounds) == 2
        assert all(figures["next_ns"] > 0 for figures in rounds), name
    peer = runs[PEER][0]
    assert peer["first_response_ns"] > peer["next_ns"] > runs[C_CLIENT][0]["next_ns"]
    assert peer["resident_kb"] > runs[C_CLIENT][0]["resident_kb"] > 0


@pytest.mark.parametrize("size", [1_000, 100_000, 3_000_000])
def test_events_of_any_size_come_back_as_they_went(
    bench: Bench, native: Native, task: Path, size: int
) -> None:
    scenario = Scenario("echo", lambda: events.orders(size), 4, 1, settle=1)
    bench.write_event(scenario)
    client = Subject(C_CLIENT, (str(native.client),), task, takes_handler=False)
    for subject in (client, python_subject("http.client", task, "-m", "http_client_loop")):
        figures = bench.run(scenario, subject)
        assert figures["cycle_ns_p99"] >= figures["cycle_ns_p50"] >= figures["response_ns_p50"] > 0
        assert figures["cpu_ns"] > 0


def stream_scenario(size: int, number: int, pause_ms: int = 0) -> Scenario:
    return Scenario(
        "stream",
        lambda: events.chunks(size, number, pause_ms),
        3,
        1,
        settle=1,
        module="stream",
        verify=answers.is_the_chunks,
    )


def streaming_subjects(native: Native, task: Path) -> list[Subject]:
    bootstrap = str(toolchain.ROOT / "bootstrap")
    return [
        python_subject(OURS, task, "-S", bootstrap),
        Subject(C_CLIENT, (str(native.client), "stream"), task, takes_handler=False),
    ]


def test_the_first_byte_of_a_stream_comes_before_its_end(
    bench: Bench, native: Native, task: Path
) -> None:
    pause_ms = 200
    scenario = stream_scenario(1000, 2, pause_ms)
    bench.write_event(scenario)
    for subject in streaming_subjects(native, task):
        figures = bench.run(scenario, subject)
        waited = figures["response_ns_p50"] - figures["first_byte_ns_p50"]
        assert waited > pause_ms / 2 * 1e6, subject.name
        assert figures["first_byte_ns_p50"] > 0


@pytest.mark.parametrize(("size", "number"), [(1, 1), (300, 7), (65_536, 500)])
def test_streams_are_counted_and_looked_at(
    bench: Bench, native: Native, task: Path, size: int, number: int
) -> None:
    scenario = stream_scenario(size, number)
    bench.write_event(scenario)
    copy = Subject(COPY, (str(native.client), "copy"), task, takes_handler=False)
    for subject in (*streaming_subjects(native, task), copy):
        assert bench.run(scenario, subject)["body_bytes"] == size * number


def test_a_stream_that_breaks_off_is_not_measured(bench: Bench, task: Path) -> None:
    (task / "breaks.py").write_text(
        "def handler(event, context):\n    yield b'a'\n    raise ValueError('no')\n"
    )
    scenario = Scenario("breaks", events.message, 2, 1, module="breaks")
    bench.write_event(scenario)
    bootstrap = str(toolchain.ROOT / "bootstrap")
    with pytest.raises(BenchmarkError, match="ended with an error: Lambda-Runtime-Function-Error"):
        bench.run(scenario, python_subject(OURS, task, "-S", bootstrap))


def test_one_application_served_in_three_ways(bench: Bench, native: Native) -> None:
    bootstrap = str(toolchain.ROOT / "bootstrap")
    tasks = dict.fromkeys((OURS, PEER, ADAPTER), subjects.APPLICATION)
    served = subjects.web_subjects(
        sys.executable, (sys.executable, "-S", bootstrap), native.adapter, tasks
    )
    scenario = Scenario(
        "web", events.http_request, 3, 1, settle=1, task=WEB, verify=answers.is_the_greeting
    )
    bench.write_event(scenario)
    for subject in served:
        site = {"PYTHONPATH": ":".join(path for path in sys.path if "site-packages" in path)}
        figures = bench.run(scenario, replace(subject, env=site))
        assert figures["cpu_ns"] > 0, subject.name
        assert figures["first_response_ns"] > figures["next_ns"] > 0


@pytest.mark.parametrize("way", subjects.WAYS)
def test_several_invocations_at_once(bench: Bench, task: Path, way: str) -> None:
    ours = python_subject(OURS, task, "-S", str(toolchain.ROOT / "bootstrap"))
    peer = python_subject(PEER, task, "-m", "awslambdaric")
    scenario = Scenario("many", events.message, 60, 1, settle=20, task=way, mode="many", polls=4)
    bench.write_event(scenario)
    figures = {each.name: bench.run(scenario, each) for each in subjects.served(way, ours, peer)}
    for name, found in figures.items():
        assert found["ready_cpu_ns"] > 0, name
        assert found["invocation_ns"] > 0, name
        assert found["cpu_ns"] > 0, name
    # The peer has a process for each of the four.
    if way in (subjects.THREADS, subjects.ASYNC):
        assert figures[OURS]["proportional_kb"] < figures[PEER]["proportional_kb"] / 2


def test_a_wrong_answer_among_many_is_not_measured(bench: Bench, task: Path) -> None:
    (task / "wrong.py").write_text("def handler(event, context):\n    return {}\n")
    scenario = Scenario("wrong", events.message, 8, 1, 2, "wrong", mode="many", polls=2)
    bench.write_event(scenario)
    with pytest.raises(BenchmarkError, match="the answer is not the event"):
        bench.run(scenario, python_subject(PEER, task, "-m", "awslambdaric"))


def test_the_cpu_of_every_process_counts(bench: Bench, native: Native, task: Path) -> None:
    script = task / "spins.py"
    script.write_text(
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    while True:\n"
        "        pass\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    # Long enough for the scheduler to give the other process its turns.
    scenario = Scenario("spins", events.message, 8000, 1, settle=50)
    bench.write_event(scenario)
    client = Subject(C_CLIENT, (str(native.client),), task, takes_handler=False)
    spins = (sys.executable, str(script), str(native.client))
    alone = bench.run(scenario, client)["cpu_ns"]
    assert bench.run(scenario, replace(client, command=spins))["cpu_ns"] > 1.5 * alone


def test_system_calls_are_those_up_to_the_first_next(
    bench: Bench, native: Native, task: Path
) -> None:
    scenario = Scenario("calls", events.message, 1, 1, mode="count")
    bench.write_event(scenario)
    client = Subject(C_CLIENT, (str(native.client),), task, takes_handler=False)
    few = bench.run(scenario, client)["calls"]
    assert few == bench.run(scenario, client)["calls"]
    bare = Subject(BARE, (sys.executable, "-I", "-S", "-c", "pass"), task, False, speaks=False)
    assert 10 < few < bench.run(scenario, bare)["calls"]


def test_lines_written_before_the_answer_are_counted(bench: Bench, task: Path) -> None:
    loop = python_subject("http.client", task, "-m", "http_client_loop")
    scenario = Scenario("prints", events.message, 2, 1, module="prints", output_lines=1000)
    bench.write_event(scenario)
    assert bench.run(scenario, loop)["output_lines"] == 1000
    quiet = Scenario("quiet", events.message, 2, 1, module="echo", output_lines=1)
    bench.write_event(quiet)
    with pytest.raises(BenchmarkError, match="only 0 of 1 lines"):
        bench.run(quiet, loop)


def test_a_wrong_answer_is_not_measured(bench: Bench, task: Path) -> None:
    (task / "wrong.py").write_text("def handler(event, context):\n    return {}\n")
    scenario = Scenario("wrong", events.message, 2, 1, module="wrong")
    bench.write_event(scenario)
    with pytest.raises(BenchmarkError, match="the answer is not the event"):
        bench.run(scenario, python_subject(PEER, task, "-m", "awslambdaric"))


def test_a_subject_that_fails_is_reported_with_what_it_said(bench: Bench, task: Path) -> None:
    (task / "dies.py").write_text("raise SystemExit('no such luck')\n")
    (task / "raises.py").write_text("def handler(event, context):\n    raise ValueError('no')\n")
    loop = python_subject("http.client", task, "-m", "http_client_loop")
    for module, message in (("dies", "no such luck"), ("missing", "No module named 'missing'")):
        scenario = Scenario(module, events.message, 2, 1, module=module)
        bench.write_event(scenario)
        with pytest.raises(BenchmarkError, match=message):
            bench.run(scenario, loop)
    scenario = Scenario("raises", events.message, 2, 1, module="raises")
    bench.write_event(scenario)
    with pytest.raises(BenchmarkError, match=r"(?s)/error.*ValueError"):
        bench.run(scenario, python_subject(PEER, task, "-m", "awslambdaric"))


def test_a_subject_that_hangs_is_ended_with_all_it_started(native: Native, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! $$ > {pids}; wait"
    event = tmp_path / "event"
    event.write_text("{}")
    done = subprocess.run(
        [native.stub, "serve", event, tmp_path / "answer", "1", "0", "1", "/bin/sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "out of time after 0 of 1 invocations" in done.stderr
    deadline = time.monotonic() + 5  # a killed process takes a moment to be gone
    left = [int(pid) for pid in pids.read_text().split()]
    while any(map(running, left)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(running, left))


def running(pid: int) -> bool:
    """Whether the process is there and not merely unreaped."""
    if not os.path.exists(f"/proc/{pid}/stat"):
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
