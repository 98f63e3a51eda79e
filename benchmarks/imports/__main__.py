"""``python -m benchmarks.imports [FUNCTION …]``: measures cold starts of packed functions.

Each function runs in turn on awslambdaric, with byte-code and without, and on this runtime, with
byte-code and packed. The figures are ratios of medians of CPU time from exec to the first response.
"""

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks import toolchain
from benchmarks.imports import picture, stage
from benchmarks.imports.runs import (
    OURS_BYTECODE,
    OURS_PACKED,
    PEER_BYTECODE,
    PEER_WITHOUT,
    Runs,
    bench,
    median,
)
from benchmarks.toolchain import BenchmarkError

GOALS = (0.55, 0.22)
"""The limits: of the ratio to awslambdaric with byte-code, and to awslambdaric without."""

NOTE = "CPython {version} on one machine, not in Lambda; awslambdaric is AWS's own client. Medians."

_NAMES = [PEER_WITHOUT, PEER_BYTECODE, OURS_BYTECODE, OURS_PACKED]  # the slowest first


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
    ratios = []
    with bench(wanted) as both:
        print("| function | to byte-code | to none | this runtime, unpacked | peak memory |  |")
        print("| --- | --: | --: | --: | --: | --: |")
        for function in functions:
            runs = both.run(stage.HERE / function, _NAMES, rounds)
            figures = _print(function, runs)
            if function != stage.NOTHING:
                ratios.append(figures)
    if drawing is not None:
        _draw(drawing, functions[-1], runs, toolchain.version_of(both.base))
    if not ratios:
        return
    means = [statistics.geometric_mean(column) for column in zip(*ratios, strict=True)]
    row = [f"**{mean:.2f}**" for mean in means]
    print(f"| geometric mean | {' | '.join(row)} | |")
    print(f"| at most | {GOALS[0]:.2f} | {GOALS[1]:.2f} | | 1.00 | |")


def _draw(path: Path, function: str, runs: Runs, version: str) -> None:
    times = {name: median(runs[name]) for name in _NAMES}
    title = f"Cold start of a function with {function}: CPU time to the first response"
    path.write_text(picture.draw(title, times, NOTE.format(version=version)))


def _print(function: str, runs: Runs) -> tuple[float, ...]:
    """Print the function's row; return its ratios."""
    packed = median(runs[OURS_PACKED])
    ratios = (
        packed / median(runs[PEER_BYTECODE]),
        packed / median(runs[PEER_WITHOUT]),
        packed / median(runs[OURS_BYTECODE]),
        median(runs[OURS_PACKED], "peak_kb") / median(runs[PEER_BYTECODE], "peak_kb"),
    )
    cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"| {function} | {cells} | {packed:.0f} ms |", flush=True)
    return ratios


if __name__ == "__main__":
    sys.exit(main())
