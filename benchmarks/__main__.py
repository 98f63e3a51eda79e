"""Measure, print the table, and write it to build/benchmark."""

import argparse
import json
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks import chart, languages, report, toolchain
from benchmarks.measure import Bench, Runs, measure
from benchmarks.scenarios import PEER_ROWS, PEER_SCENARIOS, SCENARIOS, Scenario
from benchmarks.subjects import stage_all
from benchmarks.toolchain import BUILD, ROOT, BenchmarkError

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmark.svg"

PEER_PACKAGES = ("awslambdaric", "httpx", "fastapi", "mangum", "uvicorn")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark. Returns the exit status: 2 if the benchmark could not run."""
    options = _options(arguments)
    try:
        python = toolchain.find_interpreter(options.python)
        native = toolchain.compile_native()
        scenarios = _choose(options)
        subjects = stage_all(python, native, {scenario.task for scenario in scenarios})
        if options.peers:
            subjects += languages.stage(BUILD / "peers")
            subjects += languages.stage_web_adapter(BUILD / "peers" / "web_adapter", subjects)
        bench = Bench(native.stub, BUILD / "events", native.many)
        runs = {each.name: measure(bench, each, subjects, _progress) for each in scenarios}
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    about = _about(python, options.quick)
    if options.peers:
        _write_peers(report.lines_of(runs, PEER_ROWS), about, runs, publish=options.publish)
    else:
        _write(report.lines_of(runs), about, runs, publish=options.publish)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--python", help="the interpreter to measure on (default: the newest of 3.13, 3.12, 3.11)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a fifth of the time")
    parser.add_argument(
        "--only",
        choices=list(dict.fromkeys(each.name for each in (*SCENARIOS, *PEER_SCENARIOS))),
        action="append",
        help="only this scenario (may be given more than once)",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="instead, measure beside the runtimes of other languages whose tool chains are here",
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="also write the table into docs/benchmarks.md, and the chart beside it",
    )
    options = parser.parse_args(arguments)
    if options.publish and (options.quick or options.only):
        parser.error("--publish needs a full run: leave --quick and --only out")
    return options


def _choose(options: argparse.Namespace) -> list[Scenario]:
    scenarios = PEER_SCENARIOS if options.peers else SCENARIOS
    chosen = [each for each in scenarios if not options.only or each.name in options.only]
    return [each.shortened() for each in chosen] if options.quick else chosen


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}\r", end="", file=sys.stderr, flush=True)


def _about(python: Path, quick: bool) -> dict[str, str]:
    about = {
        "interpreter": f"CPython {toolchain.version_of(python)}",
        "peers": ", ".join(f"{name} {version(name)}" for name in PEER_PACKAGES),
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
    }
    if customised := toolchain.customised_by(python):
        about["starts of this interpreter run"] = customised
    return {**about, "form": "quick"} if quick else about


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "processor unknown"


def _write_peers(
    lines: list[report.Line], about: Mapping[str, str], runs: Mapping[str, Runs], *, publish: bool
) -> None:
    table = report.to_markdown(lines, about, report.PEER_COLUMNS)
    (BUILD / "peers.md").write_text(table + "\n")
    (BUILD / "peers.json").write_text(
        json.dumps(report.to_json(lines, about, runs), indent=2, ensure_ascii=False) + "\n"
    )
    if publish:
        marks = report.PEERS_BEGIN, report.PEERS_END
        PAGE.write_text(report.insert(PAGE.read_text(), table, *marks))
    print(table)


def _write(
    lines: list[report.Line], about: Mapping[str, str], runs: Mapping[str, Runs], *, publish: bool
) -> None:
    table = report.to_markdown(lines, about)
    picture = chart.draw(lines, about["interpreter"])
    (BUILD / "benchmark.md").write_text(table + "\n")
    (BUILD / "benchmark.json").write_text(
        json.dumps(report.to_json(lines, about, runs), indent=2, ensure_ascii=False) + "\n"
    )
    (BUILD / "benchmark.svg").write_text(picture)
    if publish:
        PAGE.write_text(report.insert(PAGE.read_text(), table))
        PICTURE.write_text(picture)
    print(table)


if __name__ == "__main__":
    sys.exit(main())
