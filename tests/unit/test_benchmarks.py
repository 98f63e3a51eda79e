"""The benchmark's own arithmetic and table, and one small run of it with real processes."""

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import chart, events, report, subjects, toolchain
from benchmarks.figures import compare, percentile, read_figures
from benchmarks.measure import Bench, Runs, measure
from benchmarks.scenarios import ROWS, SCENARIOS, Row, Scenario
from benchmarks.subjects import BARE, C_CLIENT, OURS, PEER, Subject
from benchmarks.toolchain import BenchmarkError


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.25, 3), (0.5, 5), (0.75, 8), (0.99, 10), (1.0, 10)]
)
def test_percentile_is_a_value_that_occurred(share: float, expected: float) -> None:
    assert percentile([7, 1, 9, 3, 10, 5, 2, 8, 4, 6], share) == expected


def test_ratio_is_of_the_medians_not_the_median_of_ratios() -> None:
    found = compare([10, 20, 90], [40, 10, 100])
    assert found.value == 20 / 40
    assert (found.low, found.high) == (0.25, 2.0)


def test_difference_of_medians() -> None:
    found = compare([130, 120, 110], [100, 100, 50], as_difference=True)
    assert (found.value, found.low, found.high) == (20, 20, 60)


def test_comparing_unequal_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare([1.0, 2.0], [1.0])


def test_figures_of_a_runtime() -> None:
    figures = read_figures({"next_ns": 5, "cycle_ns": [30, 10, 20, 1000], "response_ns": []})
    assert figures == {"next_ns": 5.0, "cycle_ns_p50": 25.0, "cycle_ns_p99": 1000.0}


def test_a_bare_interpreter_is_ready_when_it_has_ended() -> None:
    assert read_figures({"exit_ns": 7}) == {"next_ns": 7.0}


def test_events_are_the_same_every_time_and_of_the_size_asked_for() -> None:
    encoded = events.encode(events.orders(100_000))
    assert encoded == events.encode(events.orders(100_000))
    assert 100_000 <= len(encoded) < 101_000
    assert len(events.encode(events.orders(5_500_000))) < 6_291_556  # Lambda's limit of a response
    assert len(events.encode(events.message())) < 2048  # sent with a length, not chunked


def runs_of_start() -> Runs:
    return {
        OURS: [{"next_ns": 8e6}, {"next_ns": 9e6}, {"next_ns": 7e6}],
        PEER: [{"next_ns": 32e6}, {"next_ns": 30e6}, {"next_ns": 40e6}],
        BARE: [{"next_ns": 8e6}, {"next_ns": 8e6}, {"next_ns": 8e6}],
    }


ROW = Row("exec to first `next`", "start", "next_ns", "ms", limit=0.35)


@pytest.mark.parametrize(
    ("limit", "reached", "mark"), [(0.35, True, "✓"), (0.2, False, "✗"), (None, None, "")]
)
def test_verdict(limit: float | None, reached: bool | None, mark: str) -> None:
    row = Row("exec to first `next`", "start", "next_ns", "ms", limit=limit)
    lines = report.lines_of({"start": runs_of_start()}, (row,))
    assert lines[0].reached is reached
    table = report.to_markdown(lines, {})
    assert table.splitlines()[-1].endswith(f"| {mark} |")


def test_table() -> None:
    lines = report.lines_of({"start": runs_of_start()}, (ROW,))
    text = report.to_markdown(lines, {"interpreter": "CPython 3.13.0", "machine": "a small one"})
    assert text.splitlines() == [
        "interpreter: CPython 3.13.0; machine: a small one.",
        "",
        "|  | **lambda_runtime** | awslambdaric | http.client | httpx | C client | bare interpreter"
        " | 1.00 is | at most |  |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | :-: |",
        "| exec to first `next` | **0.25** <sub>0.17–0.30</sub> | 1.00 |  |  |  | 0.25 | 32 ms"  # noqa: RUF001
        " | 0.35 | ✓ |",
    ]


def test_data_says_what_the_table_says() -> None:
    runs = {"start": runs_of_start()}
    data = report.to_json(report.lines_of(runs, (ROW,)), {"interpreter": "CPython"}, runs)
    assert data["rows"][0]["subjects"][OURS]["value"] == 0.25
    assert data["rows"][0]["reached"] is True
    assert data["medians"]["start"][PEER] == {"next_ns": 32e6}


def test_chart_is_an_svg_whose_bars_are_the_ratios() -> None:
    lines = report.lines_of({"start": runs_of_start()}, (ROW,))
    root = ElementTree.fromstring(chart.draw(lines, "CPython 3.13.0"))
    bars = [
        float(bar.attrib["width"])
        for bar in root.iter("{http://www.w3.org/2000/svg}rect")
        if float(bar.attrib["height"]) > 12
    ]
    assert bars[1] / bars[0] == 0.25


def test_the_table_is_put_between_its_marks() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.insert(page, "new") == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    with pytest.raises(ValueError, match="missing"):
        report.insert("no marks", "new")


def test_every_row_has_a_scenario_that_measures_both_sides() -> None:
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    for row in ROWS:
        assert {OURS, row.reference} <= set(scenarios[row.scenario].subjects)


def test_the_short_form_is_shorter_and_still_valid() -> None:
    for scenario in SCENARIOS:
        short = scenario.shortened()
        assert 0 <= short.settle < short.invocations <= scenario.invocations
        assert 1 <= short.rounds <= scenario.rounds


def test_an_interpreter_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python3.13"
    broken.write_text("#!/bin/sh\nexit 1\n")
    working = tmp_path / "python3.12"
    working.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for path in (broken, working):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = toolchain.find_interpreter(None)
    assert found == toolchain.base_interpreter(sys.executable)
    working.unlink()
    with pytest.raises(BenchmarkError, match="no working interpreter"):
        toolchain.find_interpreter(None)
    with pytest.raises(BenchmarkError, match="does not run"):
        toolchain.find_interpreter(str(broken))


# With real processes.


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return toolchain.compile_native(tmp_path_factory.mktemp("native"))


@pytest.fixture
def bench(native: tuple[Path, Path], tmp_path: Path) -> Bench:
    return Bench(native[0], tmp_path / "events")


@pytest.fixture
def task(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "task"
    shutil.copytree(subjects.FUNCTION, folder)
    for peer in subjects.PEERS.glob("*.py"):
        shutil.copy(peer, folder)
    yield folder


def python_subject(name: str, task: Path, *arguments: str) -> Subject:
    return Subject(name, (sys.executable, *arguments), task)


def test_a_small_run(bench: Bench, native: tuple[Path, Path], task: Path) -> None:
    taking_part = [
        python_subject(PEER, task, "-m", "awslambdaric"),
        python_subject("http.client", task, "-m", "http_client_loop"),
        python_subject("httpx", task, "-m", "httpx_loop"),
        Subject(C_CLIENT, (str(native[1]),), task, takes_handler=False),
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
    bench: Bench, native: tuple[Path, Path], task: Path, size: int
) -> None:
    scenario = Scenario("echo", lambda: events.orders(size), 4, 1, settle=1)
    bench.write_event(scenario)
    client = Subject(C_CLIENT, (str(native[1]),), task, takes_handler=False)
    for subject in (client, python_subject("http.client", task, "-m", "http_client_loop")):
        figures = bench.run(scenario, subject)
        assert figures["cycle_ns_p99"] >= figures["cycle_ns_p50"] >= figures["response_ns_p50"] > 0
        assert figures["cpu_ns"] > 0


def test_system_calls_are_those_up_to_the_first_next(
    bench: Bench, native: tuple[Path, Path], task: Path
) -> None:
    scenario = Scenario("calls", events.message, 1, 1, mode="count")
    bench.write_event(scenario)
    client = Subject(C_CLIENT, (str(native[1]),), task, takes_handler=False)
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


def test_a_subject_that_hangs_is_ended_with_all_it_started(
    native: tuple[Path, Path], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! $$ > {pids}; wait"
    event = tmp_path / "event"
    event.write_text("{}")
    done = subprocess.run(
        [native[0], "serve", event, tmp_path / "answer", "1", "0", "1", "/bin/sh", "-c", script],
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
