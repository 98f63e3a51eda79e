"""``python -m benchmarks.artefacts``: sizes and starts of the layers and images.

``make layer`` and ``make image`` must have built them. Prints a table and writes it to
build/benchmark/artefacts.md; with ``--publish`` also into docs/benchmarks.md.
"""

import json
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import report
from benchmarks.toolchain import BUILD, ROOT, compile_static_stub

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN = "<!-- artefacts: begin -->"
END = "<!-- artefacts: end -->"
_COLD_START = Path(__file__).with_name("cold_start.py")
_STARTS = Path(__file__).with_name("starts.py")
#: The path of the stub in the root or the image.
_STUB = "/stub"
_ROUNDS = 9
_TURNS = 40
_SECONDS = 20

if TYPE_CHECKING:
    from lambda_rie.roots import Root


@dataclass(frozen=True)
class ColdStart:
    """From exec to the first ``next``, beside the bare interpreter's whole run in the same place.

    The ratio of the times, the difference in system calls, and the largest allowed difference.
    """

    ratio: float
    calls: int
    at_most: int = 60


@dataclass(frozen=True)
class Artefact:
    """A shipped file: its sizes in bytes, and the largest allowed compressed size."""

    name: str
    compressed: int
    at_most: int
    unpacked: int | None = None
    cold_start: ColdStart | None = None


@dataclass(frozen=True)
class Start:
    """A start of a layer's interpreter, to a whole run of Debian's own; the largest allowed."""

    name: str
    ratio: float
    at_most: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table. Returns the exit status: 2 if nothing is built."""
    publish = "--publish" in (sys.argv[1:] if arguments is None else arguments)
    layers, images = ROOT / "build/layer/layers.json", ROOT / "build/image/images.json"
    for made, command in ((layers, "make layer"), (images, "make image")):
        if not made.exists():
            print(f"benchmark: {made} is missing: run {command} first", file=sys.stderr)
            return 2
    artefacts = _layers(layers)
    table = to_markdown([*artefacts, *_images(images)], _starts(artefacts))
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "artefacts.md").write_text(table + "\n")
    if publish:
        PAGE.write_text(report.insert(PAGE.read_text(), table, BEGIN, END))
    print(table)
    return 0


def to_markdown(artefacts: Sequence[Artefact], starts: Sequence[Start]) -> str:
    """Make one line for each artefact and start: sizes in MB (10^6 bytes), a tick within limits."""
    lines = [
        "| | compressed | at most | | unpacked | cold start, to the bare interpreter's "
        "| system calls beyond it | at most | |",
        "| --- | --: | --: | :-: | --: | --: | --: | --: | :-: |",
    ]
    for each in artefacts:
        unpacked = f"{each.unpacked / 1e6:.1f} MB" if each.unpacked is not None else ""
        lines.append(
            f"| {each.name} | {each.compressed / 1e6:.2f} MB | {each.at_most / 1e6:.1f} MB "
            f"| {_mark(each.compressed, each.at_most)} | {unpacked} | {_cells(each.cold_start)} |"
        )
    lines += [
        "",
        "| | to a whole run of `-I -S -c pass` with Debian's own CPython | at most | |",
        "| --- | --: | --: | :-: |",
    ]
    for start in starts:
        mark = _mark(start.ratio, start.at_most)
        lines.append(f"| {start.name} | {start.ratio:.3f} | {start.at_most:.2f} | {mark} |")
    return "\n".join(lines)


def _mark(value: float, at_most: float) -> str:
    return "✓" if value <= at_most else "✗"


def _cells(start: ColdStart | None) -> str:
    if start is None:
        return " |  |  | "
    mark = _mark(start.calls, start.at_most)
    return f"{start.ratio:.2f} | {start.calls:+d} | {start.at_most:+d} | {mark}"


def _own_layers() -> dict[str, str]:
    """The layers whose interpreter runs here, each with its Python."""
    from layer.target import PYTHONS, layer_name
    from layer.toolchain import runner

    return {layer_name(python, runner()): python for python in PYTHONS}


def _layers(index: Path) -> list[Artefact]:
    own = _own_layers()
    return [
        Artefact(
            layer["file"],
            layer["zippedBytes"],
            1_400_000 if "managed" in layer["file"] else 16_500_000,
            layer["unzippedBytes"],
            _cold_start_in_layer(own[layer["file"]]) if layer["file"] in own else None,
        )
        for layer in json.loads(index.read_text())["layers"]
    ]


def _starts(layers: Sequence[Artefact]) -> list[Start]:
    own = _own_layers()
    starts = []
    for layer in layers:
        if layer.cold_start is not None:
            whole_run = _start_to_debians(own[layer.name])
            cold_start = layer.cold_start.ratio * whole_run
            starts.append(Start(f"{layer.name}: the same run", whole_run, 0.85))
            starts.append(Start(f"{layer.name}: the cold start", cold_start, 1.05))
    return starts


def _start_to_debians(python: str) -> float:
    """The median of the rounds' ratios; in a round the two interpreters take turns."""
    from layer.run import root_with_layer, stock_root

    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        roots = {
            f"/opt/cpython/bin/python{python}": root_with_layer(Path(folder, "ours"), python),
            f"/usr/bin/python{python}": stock_root(Path(folder, "stock"), python),
        }
        both = [servers.enter_context(_server(root, program)) for program, root in roots.items()]
        rounds = [[[_next(each) for each in both] for _ in range(_TURNS)] for _ in range(_ROUNDS)]
    ratios: list[float] = []
    for turns in rounds:
        ours, theirs = map(statistics.median, zip(*turns, strict=True))
        ratios.append(ours / theirs)
    return statistics.median(ratios)


@contextmanager
def _server(root: "Root", program: str) -> "Iterator[subprocess.Popen[str]]":
    from lambda_rie.roots import PLATFORM

    with subprocess.Popen(
        root.command([program, "-c", _STARTS.read_text(), program], folder="/tmp"),
        env=PLATFORM,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            for _ in range(5):
                _next(process)
            yield process
        finally:
            process.kill()  # this ends the first process inside, and so all others


def _next(server: "subprocess.Popen[str]") -> float:
    assert server.stdin
    assert server.stdout
    server.stdin.write("\n")
    server.stdin.flush()
    if not select.select([server.stdout], [], [], _SECONDS)[0]:
        raise RuntimeError("benchmarks/starts.py does not answer")
    return float(server.stdout.readline())


def _cold_start_in_layer(python: str) -> ColdStart:
    from layer.run import root_with_layer

    with tempfile.TemporaryDirectory() as folder:
        root = root_with_layer(Path(folder), python)
        shutil.copy(compile_static_stub(), f"{root.folder}{_STUB}")
        interpreter = f"/opt/cpython/bin/python{python}"
        script = ("-c", _COLD_START.read_text(), interpreter, "/opt/bootstrap")
        return _result(root.run(interpreter, *script, _STUB))


def _images(index: Path) -> list[Artefact]:
    images = json.loads(index.read_text())["images"]
    return [
        Artefact(
            f"image {image['tag']}",
            image["compressed_bytes"],
            26_000_000,
            cold_start=_cold_start_in_image(image) if _is_own(image) else None,
        )
        for image in images
        if not image["tag"].endswith("-build")
    ]


def _is_own(image: dict[str, Any]) -> bool:
    from container.engine import native
    from container.images import BASE, tag

    return bool(image["tag"] == tag(image["python"], BASE, native()))


def _cold_start_in_image(image: dict[str, Any]) -> ColdStart:
    from container.__main__ import STORAGE, base
    from container.engine import choose

    engine = choose(STORAGE)
    tag = base(engine, python=image["python"])
    interpreter = f"/usr/bin/python{image['python']}"
    volume = f"{compile_static_stub()}:{_STUB}:ro"
    options = ("--rm", "--network", "host", "--read-only", "--tmpfs", "/tmp", "--volume", volume)
    script = ("-c", _COLD_START.read_text(), interpreter, "/var/runtime/bootstrap", _STUB)
    command = engine.run_command(*options, "--entrypoint", interpreter, tag, *script)
    return _result(subprocess.run(command, capture_output=True, text=True, timeout=120))


def _result(run: "subprocess.CompletedProcess[str]") -> ColdStart:
    if run.returncode:
        raise RuntimeError(f"benchmarks/cold_start.py failed: {run.stderr.strip()[-500:]}")
    return ColdStart(**json.loads(run.stdout))


if __name__ == "__main__":
    sys.exit(main())
