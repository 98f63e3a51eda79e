"""What the runtime uses of the interpreter's private parts: each is broken here, and not missed."""

import ast
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.paths import ROOT
from support.process import BOOTSTRAP, Outcome, run_function

RUNTIME = ROOT / "runtime"

# Every private module and attribute of the interpreter that the sources name. Whoever adds one adds
# what happens without it, and a test below that takes it away.
PRIVATE = {
    "_frozen_importlib.BuiltinImporter",
    "_frozen_importlib.FrozenImporter",
    "_frozen_importlib.ModuleSpec",
    "_frozen_importlib._ModuleLockManager",
    "_frozen_importlib.module_from_spec",
    "_frozen_importlib._call_with_frames_removed",
    "_frozen_importlib_external.ExtensionFileLoader",
    "_frozen_importlib_external.FileFinder",
    "_frozen_importlib_external.MAGIC_NUMBER",
    "_frozen_importlib_external.PathFinder",
    "_frozen_importlib_external.SourceFileLoader",
    "_imp._fix_co_filename",
    "_imp.create_dynamic",
    "_imp.extension_suffixes",
    "_json",
    "_imp.source_hash",
    "_json.encode_basestring",
    "_json.make_encoder",
    "_json.make_scanner",
    "_operator.itemgetter",
    "_signal",
    "_socket",
    "_sre",
    "._accept",  # of a socket
    "._args_from_interpreter_flags",  # of subprocess
    "._base_executable",  # of sys
    "._callbacks",  # of an asyncio task
    "._current_frames",  # of sys
    "._data",  # of os.environ
    "._Environ",  # of os
    "._path_cache",  # of the import system's finder of files
    "._path_mtime",  # of the same
    "._ready",  # of asyncio's event loops
    "._run_exitfuncs",  # of atexit
    "._scheduled",  # of asyncio's event loops
    "._stdlib_dir",  # of sys
    "._threading_atexits",  # of threading
}
# Private by their names only: CPython's documentation, the language or a PEP has them.
PUBLIC = {"_thread", "._asdict", "._exit"}
# Of botocore and SciPy, which come out of the same pack as what was made with them.
PACKED = {"._alias_event_name", "._cache", "._l", "._parse", "._potential_locations"}


def test_every_private_interface_is_known() -> None:
    found = set()
    for path in [BOOTSTRAP, *RUNTIME.rglob("*.py")]:
        if path.parent.name == "packer":
            continue  # runs where functions are built
        found |= set(_private_names(ast.parse(path.read_text())))
    assert found - PUBLIC - PACKED == PRIVATE


def _private_names(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name[0] == "_"]
        elif isinstance(node, ast.ImportFrom) and (node.module or "")[0] == "_":
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and not _is_of_the_runtime(node):
            found.append(f".{node.attr}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            name = ast.unparse(node.args[1]).strip("'")
            if _is_private(name):
                found.append(f".{name}")
    return [name for name in found if not name.startswith("_typeshed")]


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_of_the_runtime(node: ast.Attribute) -> bool:
    owner = ast.unparse(node.value)
    return (
        not _is_private(node.attr)
        or owner in ("self", "cls", "super()", "aio")
        or node.attr.startswith("_LAMBDA")
    )


FUNCTION = """
import collections, dataclasses, decimal, sys

Point = collections.namedtuple("Point", "x y")

@dataclasses.dataclass(slots=True)
class Slotted:
    name: str
    CONSTANT: "dataclasses.ClassVar[int]" = 1

def handler(event, context):
    if event == "rich":
        return [Point(1, decimal.Decimal("1.10")), Slotted("n"), 10**30, "\\ud800", {1: "\\u00e9"}]
    if event == "error":
        raise ValueError("\\u00e9\\n")
    if event == "quit":
        return [quit is not None, sys.customised, "site" in sys.modules]
    return event
"""
EVENTS = (
    '{"a": [1, -2.5, true, null, "é\\n", {"b": {}}], "big": 12345678901234567890123}'.encode(),
    b'"rich"',
    b'"error"',
    b'"quit"',
    b'{"broken',
    b"[NaN]",
    b'"\\ud800" ',
    b"[" * 100_000,
)

FINDER = """
hook = sys.path_hooks[-1]
class Finder:
    {}
    def __init__(self, entry):
        self.find_spec = hook(entry).find_spec
sys.path_hooks[-1] = Finder
sys.path_importer_cache.clear()
"""
BREAK = {
    "as it is": "",
    "make_scanner wants another setting": (
        "import _json\n"
        "def make_scanner(settings): return settings.setting_of_python_4\n"
        "_json.make_scanner = make_scanner"
    ),
    "make_scanner reads otherwise": (
        "import _json\n_json.make_scanner = lambda settings: lambda text, at: (text, len(text))"
    ),
    "no make_scanner": "import _json; del _json.make_scanner",
    "make_encoder takes other arguments": "import _json\n_json.make_encoder = lambda: None",
    "make_encoder writes otherwise": (
        "import _json\n_json.make_encoder = lambda *settings: lambda value, level: ('null',)"
    ),
    "no make_encoder": "import _json; del _json.make_encoder",
    "no encode_basestring": "import _json; del _json.encode_basestring",
    "no flags of subprocess": "import subprocess; del subprocess._args_from_interpreter_flags",
    "no atexit of threading": "import threading; del threading._threading_atexits",
    "no _json": "sys.modules['_json'] = None",
    "marshal takes subclasses": (
        "import marshal\ndumps = marshal.dumps\n"
        "marshal.dumps = lambda value: dumps(None if value is sys.flags else value)"
    ),
    "no _socket": "import socket; sys.modules['_socket'] = None",
    "no _frozen_importlib": (
        "import importlib.util; sys.modules['_frozen_importlib'] = None\n"
        "sys.modules['_frozen_importlib_external'] = None"
    ),
    "no _base_executable": "del sys._base_executable",
    "no _fix_co_filename": "import types; sys.modules['_imp'] = types.ModuleType('_imp')",
    "no _path_cache": FINDER.format("pass"),
    "an unfilled _path_cache": FINDER.format("_path_cache = set()"),
    "another _path_cache": FINDER.format("_path_cache = 1"),
}
# What the standard library makes of the same parts is not broken: it is this interpreter's own.
START = """
import json, sys
{}
file = {!r}
exec(compile(open(file).read(), file, "exec"), {{"__name__": "__main__", "__file__": file}})
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    (folder / "app.py").write_text(FUNCTION)
    (folder / "usercustomize.py").write_text("import sys; sys.customised = True")
    return folder


def run(broken: str, task: Path, bootstrap: Path = BOOTSTRAP) -> Outcome:
    """The function on a runtime that finds the interpreter like this."""
    command = [sys.executable, "-S", "-c", START.format(broken, str(bootstrap))]
    return run_function("", events=EVENTS, command=command, task=task)


def answers(outcome: Outcome) -> list[tuple[str, object]]:
    """Each answer's path and body, but for the depth of the stack when one is too deeply nested."""
    bodies = [
        re.sub(rb"used \d+ kB", b"used", request.partition(b"\r\n\r\n")[2])
        for request in outcome.requests
    ]
    return [
        (path, json.loads(body))
        for path, body in zip(outcome.paths, bodies, strict=True)
        if not path.endswith("/next")
    ]


@pytest.fixture(scope="module")
def expected(task: Path) -> list[tuple[str, object]]:
    found = answers(run_function("", events=EVENTS, task=task))
    assert [path.rpartition("/")[2] for path, _ in found] == [
        *("response", "response", "error", "response", "error", "error", "response", "error")
    ]
    return found


@pytest.mark.parametrize("broken", BREAK.values(), ids=BREAK)
def test_the_answers_are_the_same(
    broken: str, task: Path, expected: list[tuple[str, object]]
) -> None:
    assert answers(run(broken, task)) == expected


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bootstrap whose modules are in a bundle."""
    folder = tmp_path_factory.mktemp("bundled")
    subprocess.run(["cp", "-r", RUNTIME / "lambda_runtime", BOOTSTRAP, folder], check=True)
    subprocess.run(
        [sys.executable, "-m", "lambda_runtime.start.bundle", folder],
        env={"PYTHONPATH": str(RUNTIME)},
        check=True,
        timeout=60,
    )
    return folder


@pytest.mark.parametrize("name", ["as it is", "no _fix_co_filename"])
def test_the_bundle_is_loaded(
    name: str, task: Path, bundled: Path, expected: list[tuple[str, object]]
) -> None:
    tell = "import atexit; atexit.register(lambda: print(sys.modules['lambda_runtime.entry'].main"
    tell += ".__code__.co_filename, type(sys.modules['lambda_runtime.entry'].__loader__).__name__))"
    outcome = run(f"{BREAK[name]}\n{tell}", task, bundled / "bootstrap")
    assert answers(outcome) == expected
    assert f"{bundled}/lambda_runtime/entry.py BundleLoader" in outcome.stdout


def test_without_the_magic_number_the_bundle_is_left_alone(
    task: Path, bundled: Path, expected: list[tuple[str, object]]
) -> None:
    tell = "import atexit; atexit.register(lambda: print(type(sys.modules['lambda_runtime.entry']"
    tell += ".__loader__).__name__))"
    broken = f"{BREAK['no _frozen_importlib']}\n{tell}"
    outcome = run(broken, task, bundled / "bootstrap")
    assert answers(outcome) == expected
    assert "OwnLoader" in outcome.stdout


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "import signal; sys.modules['_signal'] = None",
        "import ctypes; sys.modules['ctypes'] = None",
    ],
    ids=["as it is", "no _signal", "no ctypes"],
)
def test_an_invocation_is_interrupted(broken: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import time\nfrom lambda_runtime import DeadlineExceeded\n"
        "def handler(event, context):\n"
        "    try:\n        time.sleep(20)\n"
        "    except DeadlineExceeded:\n        return 'interrupted'\n"
    )
    outcome = run_function(
        "",
        task=tmp_path,
        headers={"Lambda-Runtime-Deadline-Ms": str(int((time.time() + 3) * 1000))},
        command=[sys.executable, "-S", "-c", START.format(broken, str(BOOTSTRAP))],
        environment={"LAMBDA_RUNTIME_TIMEOUT": "raise"},
    )
    assert outcome.answer == "interrupted"


def test_without_current_frames_the_trace_is_faulthandlers(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import time\ndef handler(event, context):\n    time.sleep(2.5)\n"
    )
    outcome = run_function(
        "",
        task=tmp_path,
        headers={"Lambda-Runtime-Deadline-Ms": str(int((time.time() + 2) * 1000))},
        command=[
            *(sys.executable, "-S", "-c"),
            START.format("del sys._current_frames", str(BOOTSTRAP)),
        ],
    )
    assert outcome.answer is None
    trace = outcome.stdout.replace("\r", "\n")
    assert "about to time out" in trace
    assert f'File "{tmp_path}/app.py", line 3 in handler' in trace


def python(code: str) -> "subprocess.CompletedProcess[str]":
    """What the code printed in an interpreter that finds the runtime."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}"],
        env={"PYTHONPATH": str(RUNTIME)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("broken", ["", "del atexit._run_exitfuncs\n"])
def test_exit_functions_run(broken: str) -> None:
    process = python(
        f"import atexit\nfrom lambda_runtime import shutdown\n{broken}"
        "atexit.register(print, 'left')\nshutdown.end_process(3)"
    )
    assert (process.stdout, process.returncode) == ("left\n", 3)


@pytest.mark.parametrize(
    ("broken", "is_put_in_place"),
    [
        ("", True),
        ("del os._Environ", False),
        ("os.environ._data = dict.fromkeys('a')", True),
        ("type(os.environ).__setattr__ = object.__setattr__; del os.environ._data", False),
    ],
)
def test_a_variable_is_set_for_everyone(broken: str, is_put_in_place: bool) -> None:
    # What os.environ cannot do any more, it does not do for its own methods either: the value
    # comes to it through a stand-in.
    process = python(
        "import os, subprocess\nfrom lambda_runtime.ground import env_buffer, settings\n"
        "puts = []\nsettings.put = lambda name, value: puts.append((name, value))\n"
        f"{broken}\n"
        "env_buffer.EnvBuffer('TRACE').put('value')\n"
        "print(puts)"
    )
    assert process.stdout == ("[]\n" if is_put_in_place else "[('TRACE', 'value')]\n")


@pytest.mark.parametrize("broken", ["", "import socket; sys.modules['_socket'] = None\n"])
def test_telemetry_is_accepted(broken: str) -> None:
    process = python(
        f"{broken}"
        "import http.client\nfrom lambda_runtime.extensions import Listener\n"
        "got = []\nlistener = Listener(got.extend, 'test')\nlistener.start()\n"
        "peer = http.client.HTTPConnection('127.0.0.1', listener.port, timeout=10)\n"
        'batch = b\'[{"time":"2026-01-01T00:00:00.000Z","type":"function","record":"x"}]\'\n'
        "peer.request('POST', '/', batch)\n"
        "print(peer.getresponse().status, [record.record for record in got])\n"
        "print(hasattr(listener._socket, 'accept'))"
    )
    assert process.stdout == f"200 ['x']\n{bool(broken)}\n"


@pytest.mark.parametrize(
    "broken",
    [
        "sys.modules['_socket'] = sys.modules['_signal'] = None",
        "import ctypes; sys.modules['ctypes'] = None",
    ],
)
def test_several_at_once_can_be_served(broken: str) -> None:
    process = python(
        f"import socket, signal\n{broken}\n"
        "from lambda_runtime.concurrency import output, supervisor, threads\n"
        "from lambda_runtime.deadline import threads as interrupter\n"
        "interrupter._raise_in(1, None)\nprint('loaded')"
    )
    assert process.stdout == "loaded\n", process.stderr


def test_threads_that_cannot_be_seen_are_not_interrupted() -> None:
    process = python(
        "import _thread\nfrom lambda_runtime.deadline import threads as interrupter\n"
        "me = _thread.get_ident()\nprint(interrupter._frame_of(me) is sys._getframe().f_back)\n"
        "del sys._current_frames\nprint(interrupter._frame_of(me))"
    )
    assert process.stdout.endswith("None\n"), process.stderr


def test_modules_of_the_standard_library_are_told_by_their_folder() -> None:
    process = python(
        "import json\nfrom lambda_runtime.concurrency import worker\n"
        "print(worker._is_standard(json), worker._is_standard(worker))\n"
        "del sys._stdlib_dir\nprint(worker._is_standard(json))"
    )
    assert process.stdout == "True False\nFalse\n", process.stderr
