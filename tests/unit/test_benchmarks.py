"""The benchmark's own arithmetic, its table and its chart."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks import answers, artefacts, chart, events, languages, report, toolchain
from benchmarks.figures import compare, interval, percentile, read_figures
from benchmarks.measure import Runs
from benchmarks.scenarios import PEER_ROWS, PEER_SCENARIOS, ROWS, SCENARIOS, Row, Scenario
from benchmarks.subjects import ADAPTER, BARE, OURS, PEER, WEB, WEB_ADAPTER, Subject
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


@pytest.mark.parametrize(
    ("count", "ends"), [(1, (0, 0)), (5, (0, 4)), (6, (0, 5)), (9, (1, 7)), (20, (5, 14))]
)
def test_interval_of_the_median(count: int, ends: tuple[float, float]) -> None:
    assert interval(list(range(count))[::-1]) == ends


def test_a_limit_may_be_for_the_whole_interval() -> None:
    rounds = [{"cpu_ns": value} for value in (9.0, 9.0, 11.0)]
    runs = {"warm": {OURS: rounds, PEER: [{"cpu_ns": 10.0}] * 3}}
    for surely, reached in ((False, True), (True, False)):
        row = Row("CPU", "warm", "cpu_ns", "µs", limit=1.0, surely=surely)
        assert report.lines_of(runs, (row,))[0].reached is reached


def test_a_row_whose_reference_is_missing_is_left_out() -> None:
    assert report.lines_of({"start": {OURS: [{"next_ns": 1.0}]}}, (ROW,)) == []


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
        "| exec to first `next` | **0.25** <sub>0.17–0.30</sub> | 1.00 |  |  |  | 0.25 | 32 ms"
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


def test_chart_shows_what_is_to_be_reached_also_beyond_the_reference() -> None:
    row = Row("a stream, to a copy", "start", "next_ns", "ms", BARE, 2.0)
    text = chart.draw(report.lines_of({"start": runs_of_start()}, (row,)), "CPython 3.13.0")
    ElementTree.fromstring(text)
    assert f"M{chart.LABELS + chart.BAR:.1f} " in text  # the limit is the longest thing there
    assert "1.00 ✓" in text


def test_a_stream_is_right_when_all_of_it_came() -> None:
    event = events.chunks(300, 3)
    chunk = bytes(range(256)) + bytes(range(44))
    assert answers.is_the_chunks(event, chunk * 3, 900) is None
    assert answers.is_the_chunks(event, chunk, 900) is None  # as far as it was kept
    assert answers.is_the_chunks(event, chunk * 3, 899) == "the answer has 899 bytes, not 900"
    assert (
        answers.is_the_chunks(event, chunk[1:], 900)
        == "the answer has other bytes than the function sends"
    )


def page(status: int = 200, body: str = '{"message":"Hi, Zoe"}') -> bytes:
    headers = {"Content-Type": "application/json"}
    return events.encode({"statusCode": status, "headers": headers, "body": body})


def test_a_page_is_right_by_its_status_and_content() -> None:
    assert answers.is_the_greeting({}, page(), 0) is None
    assert "no page" in (answers.is_the_greeting({}, page(502), 0) or "")
    assert "another page" in (answers.is_the_greeting({}, page(body="{}"), 0) or "")


def test_the_table_is_put_between_its_marks() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.insert(page, "new") == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    with pytest.raises(ValueError, match="missing"):
        report.insert("no marks", "new")


@pytest.mark.parametrize(("run", "rows"), [(SCENARIOS, ROWS), (PEER_SCENARIOS, PEER_ROWS)])
def test_every_row_has_a_scenario_that_measures_both_sides(
    run: tuple[Scenario, ...], rows: tuple[Row, ...]
) -> None:
    scenarios = {scenario.name: scenario for scenario in run}
    for row in rows:
        assert {OURS, row.reference} <= set(scenarios[row.scenario].subjects)


def test_the_short_form_is_shorter_and_still_valid() -> None:
    for scenario in (*SCENARIOS, *PEER_SCENARIOS):
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


def test_the_peers_are_pinned_in_a_form_that_pip_takes_for_constraints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("# tests\n-r other.txt\nhttpx==0.28.1\nuvicorn[standard,extra]==0.54.0\n")
    monkeypatch.setattr(toolchain, "PINS", (pins,))
    assert toolchain.read_pins() == ["httpx==0.28.1", "uvicorn==0.54.0"]


_SERVER = Subject(
    ADAPTER, ("adapter", "python", "-m", "uvicorn", "--port"), Path("/task"), task=WEB
)


def with_cargo(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Have a program ``cargo`` that runs this script, and no other program beside the shell's."""
    cargo = folder / "cargo"
    cargo.write_text(f"#!/bin/sh\n{script}\n")
    cargo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


def test_the_web_adapter_stands_beside_the_server_that_it_forwards_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_cargo(monkeypatch, tmp_path, 'mkdir -p "$8/bin" && touch "$8/bin/adapter"')
    (found,) = languages.stage_web_adapter(tmp_path / "made", [_SERVER])
    port = found.env["AWS_LWA_PORT"]
    assert (found.name, found.task, found.cwd) == (WEB_ADAPTER, WEB, _SERVER.cwd)
    assert found.command[1:] == (
        *(str(tmp_path / "made" / "bin" / "adapter"), "python", "-m", "uvicorn", "--port"),
        port,
    )
    assert Path(found.command[0]).stat().st_mode & 0o111
    assert list(languages.stage_web_adapter(tmp_path, [])) == []


def test_a_web_adapter_that_cannot_be_built_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_cargo(monkeypatch, tmp_path, "echo no route to the crates; exit 101")
    assert list(languages.stage_web_adapter(tmp_path, [_SERVER])) == []
    said = capsys.readouterr().err
    assert "the Web Adapter is left out" in said
    assert "no route to the crates" in said
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert list(languages.stage_web_adapter(tmp_path, [_SERVER])) == []
    assert "no cargo on PATH" in capsys.readouterr().err


def test_the_table_of_what_is_shipped() -> None:
    table = artefacts.to_markdown(
        [
            artefacts.Artefact("small.zip", 900_000, 1_048_576),
            artefacts.Artefact(
                "large.zip", 16_400_000, 16_000_000, 41_000_000, artefacts.ColdStart(1.0765, 60)
            ),
            artefacts.Artefact(
                "image", 900_000, 1_048_576, cold_start=artefacts.ColdStart(1.2, 61)
            ),
        ],
        [artefacts.Start("small.zip", 0.8493, 0.85), artefacts.Start("large.zip", 0.8507, 0.85)],
    )
    first, second, *lines = table.splitlines()
    assert first.count("|") == second.count("|") == lines[0].count("|") == lines[1].count("|")
    assert lines == [
        "| small.zip | 0.90 MB | 1.0 MB | ✓ |  |  |  |  |  |",
        "| large.zip | 16.40 MB | 16.0 MB | ✗ | 41.0 MB | 1.08 | +60 | +60 | ✓ |",
        "| image | 0.90 MB | 1.0 MB | ✓ |  | 1.20 | +61 | +60 | ✗ |",
        "",
        "| | to a whole run of `-I -S -c pass` with Debian's own CPython | at most | |",
        "| --- | --: | --: | :-: |",
        "| small.zip | 0.849 | 0.85 | ✓ |",
        "| large.zip | 0.851 | 0.85 | ✗ |",
    ]
