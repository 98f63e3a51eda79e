"""``python -m benchmarks.imports.lazy FUNCTION …``: what ``lambda-runtime pack --lazy`` saves.

Each function runs in turn on awslambdaric with byte-code, and on this runtime with byte-code,
packed, and packed lazily. Init and the first call are measured apart: in CPU time, which is the
time on a whole processor, and the first call also on the clock, at the share of a processor that
128 MB of memory have. Only root can set such a share.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.imports import stage
from benchmarks.imports.runs import (
    OURS_BYTECODE,
    OURS_LAZY,
    OURS_PACKED,
    PEER_BYTECODE,
    Runs,
    bench,
    median,
    run_command,
)
from benchmarks.imports.stage import LAZY, PACKED, WITH_BYTECODE
from benchmarks.share import SHARE, Group

_NAMES = [PEER_BYTECODE, OURS_BYTECODE, OURS_PACKED, OURS_LAZY]


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table. Returns the exit status: 2 if the benchmark could not run."""
    return run_command("benchmarks.imports.lazy", __doc__, 7, _run, arguments)


def _run(functions: list[str], rounds: int, wanted: str | None) -> None:
    print("| function | | init | first call | both | first call at", f"{SHARE:.0%} |")
    print("| --- | --- | --: | --: | --: | --: |")
    with bench(wanted) as both, _group() as group:
        for function in functions:
            places = both.places(stage.HERE / function, [WITH_BYTECODE, PACKED, LAZY])
            whole = both.measure(places, _NAMES, rounds)
            part = both.measure(places, _NAMES, rounds, group) if group else {}
            for name in _NAMES:
                print(_row(function, name, whole, part), flush=True)


@contextmanager
def _group() -> Iterator[Group | None]:
    """The control group; None if this user may not make one."""
    try:
        group = Group()
    except OSError as error:
        print(f"benchmark: no share of a processor: {error}", file=sys.stderr)
        yield None
        return
    try:
        yield group
    finally:
        group.close()


def _row(function: str, name: str, whole: Runs, part: Runs) -> str:
    """A row: medians in milliseconds, and in brackets the ratio to awslambdaric with byte-code."""
    cells = [
        f"{median(runs[name], figure):.1f}"
        f" ({median(runs[name], figure) / median(runs[PEER_BYTECODE], figure):.2f})"
        if runs
        else "not measured"
        for runs, figure in (
            (whole, "init_cpu_ms"),
            (whole, "call_cpu_ms"),
            (whole, "cpu_ms"),
            (part, "call_wall_ms"),
        )
    ]
    return f"| {function} | {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
