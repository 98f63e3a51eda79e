"""Debuggers and coverage on a packed function: breakpoints are hit, lines counted and shown."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from support import packs
from support.debugger import attach, free_port
from support.process import Outcome

ANSWER = [[True, 2, 1], "helper", "sub", "one"]


@pytest.fixture(scope="module", params=["plain", "lazy"])
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = packs.write_function(tmp_path_factory.mktemp("packed") / "task")
    lazily = ["--lazy"] if request.param == "lazy" else []
    packs.pack(task, "--handler", "app.handler", "--in-place", *lazily)
    return task


@pytest.fixture
def task(packed: Path, tmp_path: Path) -> Path:
    return packs.copy(packed, tmp_path / "task")


def line_of(file: Path, text: str) -> int:
    """The number of the line that begins with this."""
    lines = file.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(text))


def run(task: Path, code: str, **environment: str) -> Outcome:
    (task / "probe.py").write_text(code)
    return packs.run(task, handler="probe.handler", environment=environment)


def test_pdb_stops_and_shows_the_source(task: Path) -> None:
    core = task / "acme" / "core.py"
    code = (
        "import io, pdb, app, acme.core\n"
        "def handler(e, c):\n"
        "    said = io.StringIO()\n"
        "    lines = 'where\\nlist\\np PATTERN.pattern\\nstep\\nreturn\\nquit\\n'\n"
        "    debugger = pdb.Pdb(stdin=io.StringIO('continue\\n' + lines), stdout=said)\n"
        f"    debugger.set_break({str(core)!r}, {line_of(core, 'return [bool')})\n"
        "    try: debugger.runcall(app.handler, e, c)\n"
        "    except BaseException as error: print(type(error).__name__, file=said)\n"
        "    return said.getvalue()\n"
    )
    said = run(task, code).answer
    assert isinstance(said, str)
    assert f"{core}({line_of(core, 'return [bool')})answer()" in said
    assert "-> return [bool(PATTERN.match('ANSWER'))" in said
    assert "'an(sw|ts)er'" in said
    assert said == run(task, code, LAMBDA_RUNTIME_PACK="0").answer


def test_coverage_counts_the_lines(task: Path) -> None:
    code = (
        "import coverage, os\n"
        "counted = coverage.Coverage(data_file=None, config_file=False, branch=True,\n"
        "    source=[os.environ['LAMBDA_TASK_ROOT']], omit=['*/probe.py'])\n"
        "counted.start()\n"
        "import app\n"
        "def handler(e, c):\n"
        "    answer = app.handler(e, c)\n"
        "    counted.stop()\n"
        "    data = counted.get_data()\n"
        "    missing = {f: counted.analysis(f)[2] for f in sorted(data.measured_files())}\n"
        "    return [answer, {f: sorted(data.lines(f)) for f in missing}, missing]\n"
    )
    packed: Any = run(task, code).answer
    plain: Any = run(task, code, LAMBDA_RUNTIME_PACK="0").answer
    assert packed[0] == ANSWER
    core = str(task / "acme" / "core.py")
    assert packed[2][core] == [line_of(Path(core), "raise ValueError")]
    assert packed == plain


def test_debugpy_stops_in_init_and_in_an_invocation(task: Path) -> None:
    core = task / "acme" / "core.py"
    lines = [line_of(core, text) for text in ("PATTERN =", "return [bool")]
    port = free_port()
    code = (
        "import os, debugpy\n"
        "debugpy.listen(('127.0.0.1', int(os.environ['DEBUG_PORT'])))\n"
        "debugpy.wait_for_client()\n"
        "import app\n"
        "def handler(e, c): return app.handler(e, c)\n"
    )
    outcomes: list[Outcome] = []
    environment = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "DEBUG_PORT": str(port)}
    call = threading.Thread(target=lambda: outcomes.append(run(task, code, **environment)))
    call.start()
    debugger = attach(port, core, lines)
    stopped = []
    for _ in lines:
        thread = debugger.wait_for(event="stopped")["body"]["threadId"]
        debugger.send("stackTrace", threadId=thread)
        frame = debugger.wait_for(command="stackTrace")["body"]["stackFrames"][0]
        stopped.append((frame["name"], frame["line"], frame["source"]["path"]))
        debugger.send("continue", threadId=thread)
    debugger.send("disconnect", terminateDebuggee=False)  # what serves it ends, too
    call.join(60)
    assert stopped == [("<module>", lines[0], str(core)), ("answer", lines[1], str(core))]
    assert outcomes[0].answer == ANSWER
