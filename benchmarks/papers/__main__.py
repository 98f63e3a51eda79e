"""``python -m benchmarks.papers [FUNCTION …]``: packs beside two published tools.

FaaSLight (ACM TOSEM 32, 2023) and SLIMSTART (ICDCS 2025) shorten the init of Python functions: they
move what a function does not need out of its code. Their functions were written for Pythons and
libraries that are out of support. The functions here do the same kind of work with today's
libraries. The ratios are of init's CPU time, from exec to the first request for an event: packed on
this runtime, to the same function on awslambdaric.
"""

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.imports.runs import (
    OURS_LAZY,
    OURS_PACKED,
    PEER_BYTECODE,
    PEER_WITHOUT,
    Bench,
    bench,
    median,
)
from benchmarks.toolchain import BenchmarkError

HERE = Path(__file__).parent
FUNCTIONS = {
    "chameleon": "SLIMSTART",
    "dna": "SLIMSTART",
    "graph": "SLIMSTART",
    "image": "both",
    "lightgbm": "FaaSLight",
    "opencv": "FaaSLight",
    "pdf": "SLIMSTART",
    "reviews": "both",
    "schema": "SLIMSTART",
    "scrape": "FaaSLight",
    "sentiment": "SLIMSTART",
    "wine": "both",
}
"""The functions, and the papers that measured one of this kind."""

PUBLISHED = """\
Published, each to the unchanged function on AWS Lambda, in time on the clock:
SLIMSTART, init: at best 0.43 (2.30 times as fast).
FaaSLight, loading of code: 0.71 on average, at best 0.21 (28.78 and 78.95 % less)."""

_NAMES = [PEER_BYTECODE, PEER_WITHOUT, OURS_PACKED, OURS_LAZY]


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table. Returns the exit status: 2 if the benchmark could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers", description=__doc__)
    parser.add_argument("functions", nargs="*", metavar="FUNCTION", help=", ".join(FUNCTIONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", help="the interpreter to measure on (default: 3.13)")
    options = parser.parse_args(arguments)
    if unknown := set(options.functions) - set(FUNCTIONS):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(FUNCTIONS)}")
    try:
        with bench(options.python) as both:
            _run(both, options.functions or list(FUNCTIONS), options.rounds)
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    return 0


def _run(both: Bench, functions: list[str], rounds: int) -> None:
    print("| function | measured by | packed, to byte-code | to none", end=" | ")
    print("`--lazy`, to byte-code | to none |")
    print("| --- | --- | --: | --: | --: | --: |")
    rows = []
    for function in functions:
        runs = both.run(HERE / function, _NAMES, rounds)
        times = {name: median(starts, "init_cpu_ms") for name, starts in runs.items()}
        rows.append(
            [
                times[ours] / times[theirs]
                for ours in (OURS_PACKED, OURS_LAZY)
                for theirs in (PEER_BYTECODE, PEER_WITHOUT)
            ]
        )
        _print(function, FUNCTIONS[function], rows[-1])
    columns = list(zip(*rows, strict=True))
    _print("geometric mean", "", [statistics.geometric_mean(column) for column in columns])
    _print("at best", "", [min(column) for column in columns])
    print(f"\n{PUBLISHED}")


def _print(function: str, origin: str, ratios: list[float]) -> None:
    cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"| {function} | {origin} | {cells} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
