"""Measures a function on awslambdaric and on this runtime, in several forms of deployment."""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import subjects, toolchain
from benchmarks.imports import stage
from benchmarks.imports.measure import Start, environment, measure
from benchmarks.imports.stage import LAZY, PACKED, WITH_BYTECODE, WITHOUT
from benchmarks.share import Group
from benchmarks.toolchain import BUILD, ROOT, BenchmarkError

OURS, PEER = "lambda_runtime", "awslambdaric"
PEER_BYTECODE, PEER_WITHOUT = f"{PEER}, {WITH_BYTECODE}", f"{PEER}, {WITHOUT}"
OURS_BYTECODE, OURS_PACKED, OURS_LAZY = (
    f"{OURS}, {kind}" for kind in (WITH_BYTECODE, PACKED, LAZY)
)

Runs = dict[str, list[Start]]
"""The starts by runtime and form of deployment."""


@dataclass(frozen=True)
class Bench:
    """The interpreters and the runtimes, and a folder for the functions."""

    base: Path
    python: Path
    commands: Mapping[str, tuple[tuple[str, ...], dict[str, str]]]
    """By runtime: the command, and variables that it needs."""
    work: Path

    def places(self, source: Path, kinds: list[str]) -> dict[str, Path]:
        """Deploy the function in these forms; return the folders by form."""
        cache = ROOT / "build" / "imports"
        cache.mkdir(parents=True, exist_ok=True)
        to = self.work / source.name
        return stage.stage(source, str(self.base), cache, to, str(self.python), kinds)

    def run(self, source: Path, names: list[str], rounds: int, group: Group | None = None) -> Runs:
        """Measure the function in turn under these names, such as ``OURS_PACKED``."""
        kinds = list(dict.fromkeys(name.partition(", ")[2] for name in names))
        return self.measure(self.places(source, kinds), names, rounds, group)

    def measure(
        self, places: dict[str, Path], names: list[str], rounds: int, group: Group | None = None
    ) -> Runs:
        """Measure the deployed function in turn. Each round starts with a different name."""
        runs: Runs = {name: [] for name in names}
        for number in range(rounds + 1):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                runtime, _, kind = name.partition(", ")
                command, variables = self.commands[runtime]
                variables = environment({**stage.VARIABLES, **variables})
                start = measure(command, str(places[kind]), variables, group)
                if number:  # the first run brings the files into the page cache
                    runs[name].append(start)
        _compare_answers(runs)
        return runs


@contextmanager
def bench(wanted: str | None) -> Iterator[Bench]:
    """Prepare both runtimes for the wanted interpreter, by default the newest of toolchain's.

    Raises BenchmarkError.
    """
    base = toolchain.find_interpreter(wanted)
    folder = BUILD / f"python-{toolchain.version_of(base)}"
    python = toolchain.make_environment(base, folder / "venv")
    peer = folder / "awslambdaric-alone"
    toolchain.install_packages(python, ["awslambdaric"], peer)
    with TemporaryDirectory(prefix="imports-") as work:
        ours = subjects.stage_ours(python, folder / "lambda_runtime", Path(work))
        theirs = (str(python), "-m", "awslambdaric", "app.handler")
        commands = {OURS: (ours.command, {}), PEER: (theirs, {"PYTHONPATH": str(peer)})}
        yield Bench(base, python, commands, Path(work))


def run_command(
    name: str,
    about: str,
    rounds: int,
    run: Callable[[list[str], int, str | None], None],
    arguments: list[str] | None,
) -> int:
    """Run a command that measures the functions named by its arguments.

    Returns the exit status: 2 if the benchmark could not run.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=about.partition("\n")[0])
    parser.add_argument("functions", nargs="+", choices=stage.FUNCTIONS, metavar="FUNCTION")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--python", help="the interpreter to measure on (default: 3.13)")
    options = parser.parse_args(arguments)
    try:
        run(options.functions, options.rounds, options.python)
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    return 0


def median(starts: list[Start], figure: str = "cpu_ms") -> float:
    """The median of this figure."""
    return float(statistics.median(getattr(start, figure) for start in starts))


def _compare_answers(runs: Runs) -> None:
    answers = [json.loads(start.answer) for starts in runs.values() for start in starts]
    if any(answer != answers[0] for answer in answers):
        raise BenchmarkError(f"the answers differ: {answers}")
