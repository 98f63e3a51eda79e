"""Real functions, packed and not: the answers are equal, and so is all that was imported."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.imports import disk, picture, stage
from benchmarks.papers import __main__ as published
from support import interpreters
from support.paths import ROOT
from support.process import BOOTSTRAP, Outcome, run_function

CACHE = ROOT / "build" / "imports"
# What the functions' pinned packages are for; whoever has only another takes that one.
PYTHON = interpreters.on_this_machine("3.13") or sys.executable

# Behind each function's own: what the modules show of themselves.
PROBE = """
import sys
from app import handler as inner

def handler(event, context):
    answer = inner(event, context)
    shown, crc = {}, __import__("binascii").crc32
    def text(value):
        found = value.__doc__ if isinstance(value, (type, type(inner))) else None
        lines = found.splitlines() if isinstance(found, str) else ()
        return "".join(line for line in lines if "# may vary" not in line)  # SciPy's examples
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is None or name.startswith("lambda_runtime"):
            continue
        shown[name] = [
            getattr(module, "__file__", None), type(getattr(module, "__loader__", None)).__name__,
            spec.origin, str(spec.submodule_search_locations),
            sorted(name for name in vars(module) if not name.startswith("_lambda")),
            crc("".join(map(text, vars(module).values())).encode("utf-8", "replace")),
        ]
    return [answer, list(shown), shown]
"""


HOOKS = Path(__file__).with_name("pack_hooks")


def installed(source: Path, tmp_path: Path) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = stage.install(source, PYTHON, CACHE)
    return Path(shutil.copytree(folder, tmp_path / "task", symlinks=True))


def run(task: Path, handler: str, **environment: str) -> Outcome:
    return run_function(
        "",
        handler,
        task=task,
        command=[PYTHON, "-S", str(BOOTSTRAP)],
        environment={
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(task.parent),
            "PYTHONHASHSEED": "0",
            **stage.VARIABLES,
            **environment,
        },
    )


def compare(source: Path, tmp_path: Path) -> None:
    task = installed(source, tmp_path)
    said = stage.pack(task, PYTHON)
    assert "could not be compared" not in said
    (task / "probe.py").write_text(PROBE)
    packed = run(task, "probe.handler")
    plain = run(task, "probe.handler", LAMBDA_RUNTIME_PACK="0")
    assert "is not used" not in packed.stdout
    assert isinstance(packed.answer, list) and isinstance(plain.answer, list)
    assert packed.answer[0] == plain.answer[0]
    ours = {"pickle", "_compat_pickle", "_pickle", "struct", "_struct"}  # for botocore's models
    shown = [packed.answer[1], plain.answer[1]]
    order = [[name for name in names if name not in ours] for names in shown]
    assert order[0] == order[1]
    for name in order[0]:
        assert packed.answer[2][name] == plain.answer[2][name], name


@pytest.mark.parametrize("function", [stage.NOTHING, "requests"])
def test_small_functions(function: str, tmp_path: Path) -> None:
    compare(stage.HERE / function, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "function", [name for name in stage.FUNCTIONS if name not in (stage.NOTHING, "requests")]
)
def test_functions(function: str, tmp_path: Path) -> None:
    compare(stage.HERE / function, tmp_path)


WORKERS = """
import glob, numpy, os, time

def handler(event, context):
    time.sleep(0.5)
    total = 0
    for path in glob.glob("/proc/self/task/*/schedstat"):
        if int(path.split("/")[4]) != os.getpid():
            with open(path) as file:
                total += int(file.read().split()[0])
    return [total, float(numpy.linalg.norm(numpy.ones(4)))]
"""


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="OpenBLAS starts no thread")
def test_the_threads_of_numpy_sleep_until_there_is_work(tmp_path: Path) -> None:
    task = installed(stage.HERE / "numpy", tmp_path)
    (task / "app.py").write_text(WORKERS)
    stage.pack(task, PYTHON)
    packed, plain = run(task, "app.handler"), run(task, "app.handler", LAMBDA_RUNTIME_PACK="0")
    assert isinstance(packed.answer, list) and isinstance(plain.answer, list)
    assert packed.answer[1] == plain.answer[1] == 2.0
    assert packed.answer[0] < plain.answer[0] / 4


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("vendor", ["datadog", "newrelic", "opentelemetry", "sentry", "xray"])
def test_import_hooks_of(vendor: str, tmp_path: Path) -> None:
    compare(HOOKS / vendor, tmp_path)


def test_every_function_is_in_the_matrix() -> None:
    folders = {entry.name for entry in os.scandir(stage.HERE) if entry.is_dir()}
    assert set(stage.FUNCTIONS) == {name for name in folders if not name.startswith("_")}
    assert len(stage.FUNCTIONS) == 14


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("function", published.FUNCTIONS)
def test_functions_of_papers(function: str, tmp_path: Path) -> None:
    compare(published.HERE / function, tmp_path)


def test_every_function_of_papers_is_listed() -> None:
    folders = {path.parent.name for path in published.HERE.glob("*/app.py")}
    assert set(published.FUNCTIONS) == folders


def test_blocks_are_counted_once() -> None:
    line = "python-1 [000] ..... 1.0: block_rq_issue: 7,0 RA 4096 () {} + {} none,0,0 [python]"
    requests = [(1023, 2), (1024, 8), (4096, 2048)]  # in sectors of 512 bytes
    lines = ["# tracer: nop", *(line.format(*request) for request in requests)]
    assert disk.blocks(lines) == {0, 1, 4, 5}


def test_the_picture_shows_each_bar() -> None:
    drawn = picture.draw(
        "of <this>", {"awslambdaric": 300.0, "lambda_runtime, packed": 150.0}, "a <note>"
    )
    root = ElementTree.fromstring(drawn)
    bars = [float(bar.attrib["width"]) for bar in root if bar.tag.endswith("rect")]
    assert bars[0] == 2 * bars[1]
    texts = [text.text for text in root if text.tag.endswith("text")]
    assert texts[0] == "of <this>" and texts[-3:] == [
        "lambda_runtime, packed",
        "150 ms",
        "a <note>",
    ]
