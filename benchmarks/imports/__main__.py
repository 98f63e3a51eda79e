"""``python -m benchmarks.imports [FUNCTION …]``: measures cold starts of packed functions.

Each function runs in turn on awslambdaric, with byte-code and without, and on this runtime, with
byte-code and packed. The figures are ratios of medians of CPU time from exec to the first response.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import subjects, toolchain
from benchmarks.imports import picture, stage
from benchmarks.imports.measure import Start, environment, measure
from benchmarks.imports.stage import PACKED, WITH_BYTECODE, WITHOUT
from benchmarks.toolchain import BUILD, ROOT, BenchmarkError

GOALS = (0.55, 0.22)
"""The limits: of the ratio to awslambdaric with byte-code, and to awslambdaric without."""

_PEER_RUNS = {f"awslambdaric, {kind}": kind for kind in (WITH_BYTECODE, WITHOUT)}
_OUR_RUNS = {f"lambda_runtime, {kind}": kind for kind in (WITH_BYTECODE, PACKED)}
_PACKED = f"lambda_runtime, {PACKED}"


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table. Returns the exit status: 2 if the benchmark could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("functions", nargs="*", metavar="FUNCTION", help=", ".join(stage.FUNCTIONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--python", help="the interpreter to measure on (default: 3.13)")
    parser.add_argument("--picture", type=Path, help="draw the last function's bars into this SVG")
    options = parser.parse_args(arguments)
    if unknown := set(options.functions) - set(stage.FUNCTIONS):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(stage.FUNCTIONS)}")
    try:
        functions = options.functions or list(stage.FUNCTIONS)
        _run(functions, options.rounds, options.python, options.picture)
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    return 0


def _run(functions: list[str], rounds: int, wanted: str | None, drawing: Path | None) -> None:
    base = toolchain.find_interpreter(wanted)
    folder = BUILD / f"python-{toolchain.version_of(base)}"
    python = toolchain.make_environment(base, folder / "venv")
    peer = folder / "awslambdaric-alone"
    toolchain.install_packages(python, ["awslambdaric"], peer)
    with tempfile.TemporaryDirectory(prefix="imports-") as work:
        ours = subjects.stage_ours(python, folder / "lambda_runtime", Path(work))
        print("| function | to byte-code | to none | this runtime, unpacked | peak memory |  |")
        print("| --- | --: | --: | --: | --: | --: |")
        ratios = []
        for function in functions:
            commands = {
                "lambda_runtime": (ours.command, {}),
                "awslambdaric": (
                    (str(python), "-m", "awslambdaric", "app.handler"),
                    {"PYTHONPATH": str(peer)},
                ),
            }
            to = Path(work, function)
            cache = ROOT / "build" / "imports"
            cache.mkdir(parents=True, exist_ok=True)
            places = stage.stage(function, str(base), cache, to, packer=str(python))
            runs = _measure(commands, places, rounds)
            figures = _print(function, runs)
            if function != stage.NOTHING:
                ratios.append(figures)
    if drawing is not None:
        _draw(drawing, functions[-1], runs)
    if not ratios:
        return
    means = [statistics.geometric_mean(column) for column in zip(*ratios, strict=True)]
    row = [f"**{mean:.2f}**" for mean in means]
    print(f"| geometric mean | {' | '.join(row)} | |")
    print(f"| at most | {GOALS[0]:.2f} | {GOALS[1]:.2f} | | 1.00 | |")


def _draw(path: Path, function: str, runs: dict[str, list[Start]]) -> None:
    names = [*reversed(_PEER_RUNS), *_OUR_RUNS]  # the slowest first
    times = {name: statistics.median(start.cpu_ms for start in runs[name]) for name in names}
    title = f"Cold start of a function with {function}: CPU time to the first response"
    path.write_text(picture.draw(title, times))


def _measure(
    commands: dict[str, tuple[tuple[str, ...], dict[str, str]]],
    places: dict[str, Path],
    rounds: int,
) -> dict[str, list[Start]]:
    """Run all in turn. Each round starts with a different one."""
    plan = [
        (name, *commands[name.partition(",")[0]], str(places[kind]))
        for name, kind in (_PEER_RUNS | _OUR_RUNS).items()
    ]
    runs: dict[str, list[Start]] = {name: [] for name, *_ in plan}
    for number in range(rounds + 1):
        shift = number % len(plan)
        for name, command, variables, task in plan[shift:] + plan[:shift]:
            start = measure(command, task, environment({**stage.VARIABLES, **variables}))
            if number:  # the first run brings the files into the page cache
                runs[name].append(start)
    return runs


def _print(function: str, runs: dict[str, list[Start]]) -> tuple[float, ...]:
    """Print the function's row; return its ratios."""

    def median(name: str, figure: str = "cpu_ms") -> float:
        return float(statistics.median(getattr(start, figure) for start in runs[name]))

    answers = [json.loads(start.answer) for starts in runs.values() for start in starts]
    if any(answer != answers[0] for answer in answers):
        raise BenchmarkError(f"{function}: the answers differ: {answers}")

    with_bytecode, without = _PEER_RUNS
    unpacked = next(iter(_OUR_RUNS))
    packed = median(_PACKED)
    ratios = (
        packed / median(with_bytecode),
        packed / median(without),
        packed / median(unpacked),
        median(_PACKED, "peak_kb") / median(with_bytecode, "peak_kb"),
    )
    cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"| {function} | {cells} | {packed:.0f} ms |", flush=True)
    return ratios


if __name__ == "__main__":
    sys.exit(main())
