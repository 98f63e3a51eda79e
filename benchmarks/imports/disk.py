"""``python -m benchmarks.imports.disk FUNCTION …``: measures cold starts from a cold disk, as root.

The function is in a file system image. Every run mounts the image again, with an empty page cache.
This resembles the first access to a container image's blocks, but not a function from a zip file.
The interpreter and the runtime are outside the image. The function runs on this runtime only, with
byte-code and packed. Lambda loads container images in blocks of 512 KiB: how many of these blocks a
start reads is counted, too.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import subjects, toolchain
from benchmarks.imports import stage
from benchmarks.imports.measure import environment, measure
from benchmarks.imports.runs import run_command
from benchmarks.imports.stage import PACKED, WITH_BYTECODE
from benchmarks.toolchain import BUILD, ROOT, BenchmarkError

_MINUTES = 10
_KINDS = (WITH_BYTECODE, PACKED)
_ROOM = 40 << 20
_SECTOR, _BLOCK = 512, 512 << 10
_REQUEST = re.compile(r"block_rq_issue: .*\) (\d+) \+ (\d+) ")


@dataclass(frozen=True)
class Reads:
    """The time of a start, the requests to the disk that it took, and the blocks that they read."""

    init_wall_ms: float
    requests: int
    blocks: int


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table. Returns the exit status: 2 if the benchmark could not run."""
    return run_command("benchmarks.imports.disk", __doc__, 5, _run, arguments)


def _run(functions: list[str], rounds: int, wanted: str | None) -> None:
    base = toolchain.find_interpreter(wanted)
    folder = BUILD / f"python-{toolchain.version_of(base)}"
    python = toolchain.make_environment(base, folder / "venv")
    cache = ROOT / "build" / "imports"
    cache.mkdir(parents=True, exist_ok=True)
    print("| function | init, wall | byte-code | requests, byte-code | packed", end=" | ")
    print("512 KiB blocks, byte-code | packed |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory(prefix="imports-") as name, _tracing() as trace:
        work = Path(name)
        ours = subjects.stage_ours(python, folder / "lambda_runtime", work)
        for function in functions:
            mount = work / "mount"
            mount.mkdir(exist_ok=True)
            source = stage.HERE / function
            places = stage.stage(source, str(base), cache, work / function, str(python), _KINDS)
            images = {kind: _image(places[kind]) for kind in _KINDS}
            runs: dict[str, list[Reads]] = {kind: [] for kind in images}
            for _ in range(rounds):
                for kind, image in images.items():
                    runs[kind].append(_start(image, mount, ours.command, trace))
            _print(function, runs)


@contextmanager
def _tracing() -> Iterator[Path]:
    """A trace of the kernel's requests to disks, of which nobody else knows."""
    with tempfile.TemporaryDirectory(prefix="tracing-") as name:
        _command("mount", "-t", "tracefs", "tracefs", name)
        trace = Path(name, "instances", f"lambda-runtime-bench-{os.getpid()}")
        try:
            trace.mkdir()
            (trace / "events/block/block_rq_issue/enable").write_text("1")
            yield trace
        except OSError as error:
            raise BenchmarkError(f"the kernel's requests cannot be traced: {error}") from None
        finally:
            if trace.exists():
                trace.rmdir()
            _command("umount", name)


def _image(folder: Path) -> Path:
    """Make an ext4 image of the folder, and remove the folder."""
    size = sum(path.lstat().st_size + 4096 for path in folder.rglob("*"))
    image = folder.with_suffix(".image")
    with open(image, "wb") as file:
        file.truncate(int(size * 1.3) + _ROOM)
    _command("mkfs.ext4", "-q", "-O", "^has_journal", "-d", str(folder), str(image))
    shutil.rmtree(folder)
    return image


def _start(image: Path, mount: Path, command: tuple[str, ...], trace: Path) -> Reads:
    with _mounted(image, mount) as device:
        device_number = os.stat(f"/dev/{device.name}").st_rdev
        numbers = f"{os.major(device_number)},{os.minor(device_number)} "
        (trace / "trace").write_text("")  # forget what mounting has read
        before = _requests(device / "stat")
        start = measure(command, str(mount), environment(stage.VARIABLES))
        requests = _requests(device / "stat") - before
        lines = [line for line in (trace / "trace").read_text().splitlines() if numbers in line]
    return Reads(start.init_wall_ms, requests, len(blocks(lines)))


def blocks(lines: list[str]) -> set[int]:
    """The numbers of the blocks that the requests in these lines of a trace touch."""
    found: set[int] = set()
    for request in filter(None, map(_REQUEST.search, lines)):
        first, count = int(request[1]) * _SECTOR, int(request[2]) * _SECTOR
        found.update(range(first // _BLOCK, (first + count - 1) // _BLOCK + 1))
    return found


@contextmanager
def _mounted(image: Path, mount: Path) -> Iterator[Path]:
    losetup = ("losetup", "--find", "--show", "--read-only", "--direct-io=on", str(image))
    device = _command(*losetup).strip()
    try:
        _command("mount", "-o", "ro,noload", device, str(mount))
        try:
            yield Path("/sys/block", Path(device).name)
        finally:
            _command("umount", str(mount))
    finally:
        _command("losetup", "--detach", device)


def _requests(statistics_file: Path) -> int:
    return int(statistics_file.read_text().split()[0])


def _command(*command: str) -> str:
    try:
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_MINUTES * 60
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        raise BenchmarkError(f"{' '.join(command)}: {why.strip()} (this needs root)") from None


def _print(function: str, runs: dict[str, list[Reads]]) -> None:
    walls, requests, touched = (
        [statistics.median(getattr(read, what) for read in runs[kind]) for kind in _KINDS]
        for what in ("init_wall_ms", "requests", "blocks")
    )
    counts = " | ".join(f"{count:.0f}" for count in (*requests, *touched))
    print(f"| {function} | {walls[1] / walls[0]:.2f} | {walls[0]:.0f} ms | {counts} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
