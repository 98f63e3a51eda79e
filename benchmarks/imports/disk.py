"""``python -m benchmarks.imports.disk FUNCTION …``: measures cold starts from a cold disk, as root.

The function is in a file system image. Every run mounts the image again, with an empty page cache.
This resembles the first access to a container image's blocks, but not a function from a zip file.
The interpreter and the runtime are outside the image. The function runs on this runtime only, with
byte-code and packed.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import subjects, toolchain
from benchmarks.imports import stage
from benchmarks.imports.measure import Start, environment, measure
from benchmarks.imports.stage import PACKED, WITH_BYTECODE
from benchmarks.toolchain import BUILD, ROOT, BenchmarkError

_MINUTES = 10
_ROOM = 40 << 20


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table. Returns the exit status: 2 if the benchmark could not run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.imports.disk", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("functions", nargs="+", choices=stage.FUNCTIONS, metavar="FUNCTION")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", help="the interpreter to measure on (default: 3.13)")
    options = parser.parse_args(arguments)
    try:
        _run(options.functions, options.rounds, options.python)
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    return 0


def _run(functions: list[str], rounds: int, wanted: str | None) -> None:
    base = toolchain.find_interpreter(wanted)
    folder = BUILD / f"python-{toolchain.version_of(base)}"
    python = toolchain.make_environment(base, folder / "venv")
    cache = ROOT / "build" / "imports"
    cache.mkdir(parents=True, exist_ok=True)
    print("| function | init, wall | byte-code | requests to the disk, byte-code | packed |")
    print("| --- | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory(prefix="imports-") as name:
        work = Path(name)
        ours = subjects.stage_ours(python, folder / "lambda_runtime", work)
        for function in functions:
            mount = work / "mount"
            mount.mkdir(exist_ok=True)
            places = stage.stage(function, str(base), cache, work / function, packer=str(python))
            images = {kind: _image(places[kind]) for kind in (WITH_BYTECODE, PACKED)}
            runs: dict[str, list[tuple[Start, int]]] = {kind: [] for kind in images}
            for _ in range(rounds):
                for kind, image in images.items():
                    runs[kind].append(_start(image, mount, ours.command))
            _print(function, runs)


def _image(folder: Path) -> Path:
    """Make an ext4 image of the folder, and remove the folder."""
    size = sum(path.lstat().st_size + 4096 for path in folder.rglob("*"))
    image = folder.with_suffix(".image")
    with open(image, "wb") as file:
        file.truncate(int(size * 1.3) + _ROOM)
    _command("mkfs.ext4", "-q", "-O", "^has_journal", "-d", str(folder), str(image))
    shutil.rmtree(folder)
    return image


def _start(image: Path, mount: Path, command: tuple[str, ...]) -> tuple[Start, int]:
    with _mounted(image, mount) as statistics_file:
        before = _reads(statistics_file)
        start = measure(command, str(mount), environment(stage.VARIABLES))
        return start, _reads(statistics_file) - before


@contextmanager
def _mounted(image: Path, mount: Path) -> Iterator[Path]:
    losetup = ("losetup", "--find", "--show", "--read-only", "--direct-io=on", str(image))
    device = _command(*losetup).strip()
    try:
        _command("mount", "-o", "ro,noload", device, str(mount))
        try:
            yield Path("/sys/block", Path(device).name, "stat")
        finally:
            _command("umount", str(mount))
    finally:
        _command("losetup", "--detach", device)


def _reads(statistics_file: Path) -> int:
    return int(statistics_file.read_text().split()[0])


def _command(*command: str) -> str:
    try:
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_MINUTES * 60
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        raise BenchmarkError(f"{' '.join(command)}: {why.strip()} (this needs root)") from None


def _print(function: str, runs: dict[str, list[tuple[Start, int]]]) -> None:
    walls = {k: statistics.median(start.init_wall_ms for start, _ in v) for k, v in runs.items()}
    reads = {k: statistics.median(count for _, count in v) for k, v in runs.items()}
    ratio = walls[PACKED] / walls[WITH_BYTECODE]
    counts = f"{reads[WITH_BYTECODE]:.0f} | {reads[PACKED]:.0f}"
    print(f"| {function} | {ratio:.2f} | {walls[WITH_BYTECODE]:.0f} ms | {counts} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
