"""What user code has done to the process does not keep the runtime from answering."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.alone import served
from support.paths import ROOT
from support.process import BOOTSTRAP

HANDLER = """
import os, sys
def handler(event, context):
    return bad() if event == "bad" else [event, os.getpid()]
"""


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bootstrap whose modules are in a bundle, as layer and image have it."""
    folder = tmp_path_factory.mktemp("bundled")
    subprocess.run(["cp", "-r", ROOT / "runtime" / "lambda_runtime", BOOTSTRAP, folder], check=True)
    subprocess.run(
        [sys.executable, "-m", "lambda_runtime.start.bundle", folder],
        env={"PYTHONPATH": str(ROOT / "runtime")},
        check=True,
        timeout=60,
    )
    return folder / "bootstrap"


OWN = 'raise ValueError("own")'
HOOK = 'def hook(*given): raise RuntimeError("hook")\n'
REFUSE = 'def refuse(*given, **named): raise RuntimeError("refused")\n'
ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="only root may change its root folder")

# What the code does, and what the first of two invocations is to come to; the second is answered
# by the same process.
ANSWERED = {
    "descriptors used up": (
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "def bad():\n    try:\n        while True: os.open('/dev/null', 0)\n"
        f"    except OSError: {OWN}"
    ),
    "no descriptors allowed": (
        "import resource\n"
        f"def bad():\n    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 64)); {OWN}"
    ),
    "descriptors closed": f"def bad():\n    os.closerange(3, 256); {OWN}",
    "__import__ replaced": (
        f"import builtins\n{REFUSE}def bad():\n    builtins.__import__ = refuse; {OWN}"
    ),
    "sys.modules emptied": f"def bad():\n    sys.modules.clear(); {OWN}",
    "sys.modules replaced": f"def bad():\n    sys.modules = None; {OWN}",
    "the path replaced": (
        "def bad():\n    sys.path = sys.meta_path = None\n"
        f"    sys.path_hooks = sys.path_importer_cache = None; {OWN}"
    ),
    "json spoiled": (
        f"import json\n{REFUSE}def bad():\n    json.dumps = json.loads = refuse\n"
        f"    json.JSONEncoder = None; {OWN}"
    ),
    "traceback spoiled": (
        f"import traceback, linecache\n{REFUSE}def bad():\n"
        f"    linecache.getline = linecache.cache = traceback.extract_tb = refuse; {OWN}"
    ),
    "a low recursion limit": (
        "def bad():\n    for limit in range(1, 1000):\n        try: sys.setrecursionlimit(limit)\n"
        f"        except RecursionError: continue\n        {OWN}"
    ),
    "no memory": (
        "import resource\ndef bad():\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))\n"
        "    kept = []\n    for size in (1 << 20, 1 << 14, 1 << 10, 100):\n"
        "        try:\n            while True: kept.append(bytearray(size))\n"
        f"        except MemoryError: pass\n    {OWN}"
    ),
    "a file named like the standard library's": "",
}  # fmt: skip
RETURNED = {
    "descriptors closed": "def bad():\n    os.closerange(3, 256); return 'own'",
    "descriptors closed, streams": "def bad():\n    os.closerange(3, 256); yield 'own'",
    "os.environ replaced": (
        f"{REFUSE}class Environ(dict):\n    get = __getitem__ = __setitem__ = refuse\n"
        "    __delitem__ = __contains__ = __iter__ = refuse\n"
        "def bad():\n    os.environ = Environ(); return 'own'"
    ),
    "meta_path emptied, streams": "def bad():\n    sys.meta_path[:] = []; return iter_()\n"
    "def iter_(): yield 'own'",
    "sys.modules emptied, streams": "def bad():\n    sys.modules.clear(); return iter_()\n"
    "def iter_(): yield 'own'",
    "sys.modules emptied, HttpResponse": (
        "from lambda_runtime import HttpResponse\n"
        "def bad():\n    sys.modules.clear(); return HttpResponse('own')"
    ),
}


@pytest.mark.parametrize("code", ANSWERED.values(), ids=ANSWERED)
def test_the_error_is_the_answer(code: str, tmp_path: Path) -> None:
    if not code:
        code = f"def bad(): {OWN}"
        (tmp_path / "token.py").write_text("NAME = 1\n")
    assert_own_error(tmp_path, code)


def assert_own_error(
    folder: Path, code: str, bootstrap: Path = BOOTSTRAP, environment: dict[str, str] | None = None
) -> None:
    with served(folder, HANDLER + code, bootstrap, environment) as (polls, process):
        polls.add(b'"bad"', b'"alive"')
        polls.wait(2)
        document = json.loads(polls.errors["id-1"])
        assert (document["errorType"], document["errorMessage"]) == ("ValueError", "own")
        assert document["stackTrace"] or "RLIMIT_AS" in code
        assert json.loads(polls.answers["id-2"]) == ["alive", process.pid]


# Without these the interpreter's own import functions fail.
BUILTINS = ("KeyError", "getattr", "hasattr", "super", "isinstance", "type", "tuple")
TAKE = """
import builtins, os
own, there = ValueError("own"), vars(builtins)
def take(names):
    for name in names:
        WAY
NAMES = NAMED
ALL = [name for name in there if name[:2] != "__" or name in ("__import__", "__build_class__")]
def stream():
    yield "own"
def handler(event, context):
    if event == "take": take(NAMES or ALL)
    if event == "stream": return stream()
    if event == "error": raise own
    return ["alive", os.getpid()]
"""
PLACES = ("init", "handler")
WAYS = {"None": "there[name] = None", "deleted": "del there[name]"}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("place", "name"),
    # In init all at once would keep the function's own module from being imported.
    [*(("init", name) for name in BUILTINS), *(("handler", name) for name in (*BUILTINS, "all"))],
)
def test_builtins_that_are_gone(
    place: str, name: str, way: str, tmp_path: Path, bundled: Path
) -> None:
    names = [] if name == "all" else [name]
    code = TAKE.replace("WAY", way).replace("NAMED", repr(names))
    if place == "init":
        code += "take(NAMES)\n"
    first = b'"take"' if place == "handler" else b'"alive"'
    for bootstrap in (BOOTSTRAP, bundled):
        with served(tmp_path, code, bootstrap) as (polls, process):
            polls.add(first, b'"error"', b'"stream"', b'"alive"')
            polls.wait(4)
            error = json.loads(polls.errors["id-2"])
            assert (error["errorType"], error["errorMessage"]) == ("ValueError", "own")
            assert error["stackTrace"]
            for number in (1, 4):
                assert json.loads(polls.answers[f"id-{number}"]) == ["alive", process.pid]
            # What a stream needs of the standard library asks them for more.
            assert "id-3" in {**polls.answers, **polls.errors}


@pytest.mark.parametrize(
    ("mode", "place", "name"),
    [
        *(("threads", place, name) for place in PLACES for name in ("isinstance", "str")),
        # The event loop needs them at every turn, or for a connection.
        *(("async", place, name) for place in PLACES for name in ("range", "type")),
        ("async", "handler", "isinstance"),  # to send an answer
        # Not in init, nor in threads: since 3.12 every import needs it, the runtime's too.
        ("async", "handler", "len"),
    ],
)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_builtins_that_are_gone_where_several_invocations_run(
    mode: str, place: str, name: str, way: str, tmp_path: Path
) -> None:
    code = TAKE.replace("WAY", way).replace("NAMED", repr([name]))
    if mode == "async":
        code = code.replace("def handler", "async def handler")
    if place == "init":
        code += "take(NAMES)\n"
    several = {"AWS_LAMBDA_MAX_CONCURRENCY": "2", "LAMBDA_RUNTIME_CONCURRENCY": mode}
    with served(tmp_path, code, environment=several) as (polls, _):
        for number, event in enumerate(("take" if place == "handler" else "", "error", "alive"), 1):
            polls.add(json.dumps(event).encode())
            polls.wait(number)
        assert json.loads(polls.errors["id-2"])["errorMessage"] == "own"
        assert json.loads(polls.answers["id-1"]) == json.loads(polls.answers["id-3"])


REPLACED = """
import builtins
class Odd:
    def __eq__(self, other): raise ValueError("no comparison")
def mine(*given): pass
odd, given = Odd(), __import__
def importing(*arguments, **named): return given(*arguments, **named)
def handler(event, context):
    if event == "put":
        builtins.print, builtins.added, builtins.__import__ = mine, 1, importing
        builtins.set = ODD
    if event == "stream": return stream()
    return [builtins.print is mine, builtins.added, builtins.__import__ is importing,
            builtins.set is ODD]
def stream(): yield "own"
"""


@pytest.mark.parametrize("odd", ["frozenset", "odd"])
def test_what_user_code_puts_into_builtins_stays_there(
    odd: str, tmp_path: Path, bundled: Path
) -> None:
    code = REPLACED.replace("ODD", odd)
    for bootstrap in (BOOTSTRAP, bundled):
        with served(tmp_path, code, bootstrap) as (polls, _):
            polls.add(b'"put"', b'"stream"', b'"ask"')
            polls.wait(3)
            assert polls.errors == {}
            assert json.loads(polls.answers["id-3"]) == [True, 1, True, True]


@ROOT_ONLY
@pytest.mark.parametrize("log_format", ["TEXT", "JSON"])
def test_without_files_what_is_needed_is_in_memory(
    log_format: str, tmp_path: Path, bundled: Path
) -> None:
    code = f"import tempfile\ndef bad():\n    os.chroot(tempfile.mkdtemp()); {OWN}"
    for bootstrap in (BOOTSTRAP, bundled):
        assert_own_error(tmp_path, code, bootstrap, {"AWS_LAMBDA_LOG_FORMAT": log_format})


@pytest.mark.parametrize("code", RETURNED.values(), ids=RETURNED)
def test_the_result_is_the_answer(code: str, tmp_path: Path) -> None:
    with served(tmp_path, HANDLER + code) as (polls, process):
        polls.add(b'"bad"')
        polls.wait(1)
        assert polls.errors == {}
        assert b"own" in polls.answers["id-1"]
        polls.add(b'"alive"')
        polls.wait(2)
        assert process.poll() is None


def test_the_log_is_not_written_into_the_next_connection(tmp_path: Path) -> None:
    """User code has closed the platform's descriptor too, and the kernel gives its number again."""
    reading, writing = os.pipe()
    first = tmp_path / "first.py"  # the lowest number for the log, as on Lambda
    first.write_text(
        f"import os, sys\nos.dup2({writing}, 3)\nos.environ['_LAMBDA_TELEMETRY_LOG_FD'] = '3'\n"
        f"os.execv(sys.executable, [sys.executable, '-S', {str(BOOTSTRAP)!r}])\n"
    )
    code = (
        "import logging, os\ndef handler(event, context):\n"
        "    if event == 'bad': os.closerange(3, 256)\n"
        "    else: logging.error('a record')\n    return event\n"
    )
    try:
        with served(tmp_path, code, first, pass_fds=[writing]) as (polls, process):
            for number, name in enumerate(("alive", "bad", "alive", "alive"), 1):
                polls.add(json.dumps(name).encode())
                polls.wait(number)
            assert polls.errors == {}
            process.kill()
            assert process.stdout is not None
            assert process.stdout.read().count(b"a record") == 2
            assert os.read(reading, 4096).count(b"a record") == 1
    finally:
        os.close(reading)
        os.close(writing)


def test_an_event_loop_without_descriptors_ends_the_process(tmp_path: Path) -> None:
    code = (
        "import os\nasync def handler(event, context):\n"
        "    if event == 'bad': os.closerange(3, 256)\n    return event\n"
    )
    with served(tmp_path, code) as (polls, process):
        polls.add(b'"alive"', b'"bad"', b'"alive"')
        polls.wait(3)
        assert polls.answers == {"id-1": b'"alive"', "id-2": b'"bad"'}
        error = json.loads(polls.errors["id-3"])
        assert error["errorMessage"].startswith("the event loop cannot run any more")
        assert process.wait(10) == 1


SHORT = """
class Short(bytes):
    def __len__(self): return 1
class Long(str):
    def encode(self): return Short(b"other")
def handler(event, context):
    return Short(b"own") if event == "whole" else stream()
def stream():
    yield Short(b"own")
    yield Long("text")
"""


def test_subclasses_do_not_say_where_an_answer_ends(tmp_path: Path) -> None:
    with served(tmp_path, SHORT) as (polls, process):
        polls.add(b'"whole"', b'"stream"', b'"whole"')
        polls.wait(3)
        chunks = b"3\r\nown\r\n4\r\ntext\r\n0\r\n\r\n"
        assert polls.answers == {"id-1": b"own", "id-2": chunks, "id-3": b"own"}
        assert process.poll() is None


# The standard library's modules that errors, streams, async handlers and log records have needed.
NAMES = (
    "token", "types", "re", "json", "traceback", "logging", "threading", "enum", "functools",
    "string", "linecache", "weakref", "base64", "collections", "contextvars", "asyncio", "warnings",
    "select", "binascii", "genericpath",
)  # fmt: skip
KINDS = f"""
import os, sys
def handler(event, context):
    if event == "error": {OWN}
    if event == "stream": return stream()
    if event == "async": return later()
    return event if event == "alive" else stream(fail=True)
def stream(fail=False):
    yield "own"
    if fail: {OWN}
async def later(): {OWN}
"""


@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_functions_own(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("NAME = 1\n")
    with served(tmp_path, KINDS, environment={"AWS_LAMBDA_LOG_FORMAT": "JSON"}) as (polls, process):
        polls.add(b'"error"', b'"stream"', b'"async"', b'"breaks off"', b'{"broken', b'"alive"')
        polls.wait(6)
        for number in (1, 3):
            assert json.loads(polls.errors[f"id-{number}"])["errorMessage"] == "own"
        assert b"own" in polls.answers["id-2"]
        assert b"Error-Type: Function.ValueError" in polls.answers["id-4"]
        assert json.loads(polls.errors["id-5"])["errorType"] == "Runtime.UnmarshalError"
        assert json.loads(polls.answers["id-6"]) == "alive"
        assert process.poll() is None


def test_the_functions_own_module_stays_its_own(tmp_path: Path) -> None:
    (tmp_path / "token.py").write_text("NAME = 'the own one'\n")
    code = (
        "import os, sys\nasync def later(): return 1\n"
        "def handler(event, context):\n"
        "    if event == 'import':\n        import token\n        return token.NAME\n"
        "    return later()\n"
    )
    with served(tmp_path, code) as (polls, _):
        polls.add(b'"async"', b'"import"')
        polls.wait(2)
        assert polls.answers == {"id-1": b"1", "id-2": b'"the own one"'}


@pytest.mark.parametrize("ends", ["return 'own'", OWN])
def test_an_audit_hook_that_raises(ends: str, tmp_path: Path) -> None:
    # It forbids even to load what describes errors: the last resort answers.
    code = f"{HOOK}def bad():\n    sys.addaudithook(hook); {ends}"
    with served(tmp_path, HANDLER + code) as (polls, process):
        polls.add(b'"bad"', b'"alive"')
        polls.wait(2)
        for document in map(json.loads, polls.errors.values()):
            assert document["errorType"] in ("ValueError", "RuntimeError")
        assert process.poll() is None
        assert "id-1" in polls.errors or polls.answers["id-1"] == b'"own"'


def test_an_audit_hook_of_a_later_invocation(tmp_path: Path) -> None:
    code = f"{HOOK}def bad():\n    sys.addaudithook(hook); {OWN}"
    with served(tmp_path, HANDLER + code) as (polls, process):
        polls.add(b'"alive"')
        polls.wait(1)
        time.sleep(0.2)  # what describes errors is loaded after the first answer
        polls.add(b'"bad"', b'"alive"')
        polls.wait(3)
        assert json.loads(polls.errors["id-2"])["errorMessage"] == "own"
        assert process.poll() is None


@pytest.mark.parametrize("ends", ["return 'own'", OWN])
def test_a_trace_function_is_for_user_code(ends: str, tmp_path: Path) -> None:
    code = f"{HOOK}def bad():\n    sys.settrace(hook); {ends}"
    with served(tmp_path, HANDLER + code) as (polls, process):
        polls.add(b'"bad"', b'"alive"', b'"alive"')
        polls.wait(3)
        assert "own" in str(polls.answers.get("id-1") or polls.errors["id-1"])
        # Called again, the handler is traced again; the interpreter takes out a hook that raises.
        assert json.loads(polls.errors["id-2"])["errorMessage"] == "hook"
        assert json.loads(polls.answers["id-3"]) == ["alive", process.pid]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no sys.monitoring")
def test_a_monitoring_tool_that_raises(tmp_path: Path) -> None:
    code = (
        f"{HOOK}def bad():\n    m = sys.monitoring; m.use_tool_id(3, 'x')\n"
        "    m.register_callback(3, m.events.PY_START, hook)\n"
        f"    m.set_events(3, m.events.PY_START); {OWN}"
    )
    with served(tmp_path, HANDLER + code) as (polls, process):
        polls.add(b'"bad"', b'"alive"')
        polls.wait(2)
        assert json.loads(polls.errors["id-1"])["errorType"] == "RuntimeError"
        assert json.loads(polls.answers["id-2"]) == ["alive", process.pid]


@pytest.mark.parametrize(
    "raised",
    [
        "FaultException(5, b'x', 7)",
        "FaultException('Runtime.Own', 'own', [1, None])",
        "LambdaRuntimeClientError('own')",
    ],
)
def test_the_runtimes_own_classes_raised_by_the_user(raised: str, tmp_path: Path) -> None:
    code = (
        "from awslambdaric.lambda_runtime_exception import FaultException\n"
        "from awslambdaric.lambda_runtime_client import LambdaRuntimeClientError\n"
        f"def bad(): raise {raised}"
    )
    with served(tmp_path, HANDLER + code) as (polls, process):
        polls.add(b'"bad"', b'"alive"')
        polls.wait(2)
        kind = json.loads(polls.errors["id-1"])["errorType"]
        assert kind in ("FaultException", "Runtime.Own", "RuntimeApiError")
        assert json.loads(polls.answers["id-2"]) == ["alive", process.pid]


def test_sockets_of_the_runtime_wait_without_limit(tmp_path: Path) -> None:
    code = HANDLER + "import socket; socket.setdefaulttimeout(0.2)\ndef bad(): yield 'own'"
    with served(tmp_path, code) as (polls, process):
        for number in (1, 3):
            polls.add(b'"bad"')  # its connection is used up: the next one is opened anew
            polls.wait(number)
            time.sleep(0.5)
            polls.add(b'"alive"')
            polls.wait(number + 1)
            assert json.loads(polls.answers[f"id-{number + 1}"]) == ["alive", process.pid]


def test_the_collector_is_as_it_was_left(tmp_path: Path) -> None:
    code = (
        "import gc\nfrom gc import disable, enable, isenabled\n"
        "seen = [gc.isenabled()]; gc.disable(); seen.append(gc.isenabled())\n"
        "gc.set_threshold(9, 8, 7)\n"
        "def handler(event, context):\n"
        "    found = [seen, gc.isenabled(), gc.get_threshold(), gc.get_freeze_count() > 0]\n"
        "    enable(); found.append(gc.isenabled())\n"
        "    disable(); return [*found, isenabled()]\n"
    )
    with served(tmp_path, code) as (polls, _):
        polls.add(b"1")
        polls.wait(1)
        found = json.loads(polls.answers["id-1"])
        assert found[:2] == [[True, False], False]
        assert found[2][:2] == [9, 8]
        assert found[3:] == [True, True, False]
    code = (
        "import gc\ngc.disable(); gc.enable()\ndef handler(event, context): return gc.isenabled()"
    )
    with served(tmp_path, code) as (polls, _):
        polls.add(b"1")
        polls.wait(1)
        assert polls.answers["id-1"] == b"true"


def test_async_handlers_run_on_the_loop_that_the_module_has_set(tmp_path: Path) -> None:
    code = (
        "import asyncio, warnings\nwarnings.simplefilter('error')\n"
        "loop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\n"
        "future = loop.create_future()\nloop.call_later(0.05, future.set_result, 'own')\n"
        "async def handler(event, context):\n"
        "    return [await future, asyncio.get_running_loop() is loop]\n"
    )
    with served(tmp_path, code) as (polls, _):
        polls.add(b"1")
        polls.wait(1)
        assert polls.answers == {"id-1": b'["own",true]'}, polls.errors


@pytest.mark.parametrize(
    "first",
    [
        "",
        "loop.close()",
        "threading.Thread(target=loop.run_forever, daemon=True).start(); time.sleep(0.2)",
    ],
)
def test_without_a_usable_loop_one_is_made(first: str, tmp_path: Path) -> None:
    code = (
        "import asyncio, threading, time, warnings\nwarnings.simplefilter('error')\n"
        "loop = asyncio.new_event_loop()\n"
        f"if {first!r}: asyncio.set_event_loop(loop)\n{first}\n"
        "async def handler(event, context): return asyncio.get_running_loop() is loop\n"
    )
    with served(tmp_path, code) as (polls, _):
        polls.add(b"1")
        polls.wait(1)
        assert polls.answers == {"id-1": b"false"}, polls.errors


LIFESPAN = """
import asyncio
async def handler(scope, receive, send):
    if scope["type"] == "lifespan":
        await asyncio.sleep(3600)
"""


@pytest.mark.parametrize(
    ("code", "line"), [("import time\ntime.sleep(3600)", "line 2"), (LIFESPAN, "line 5")]
)
def test_a_start_up_that_hangs_leaves_a_trace(code: str, line: str, tmp_path: Path) -> None:
    with served(tmp_path, code, environment={"LAMBDA_RUNTIME_INIT_TRACE_MS": "1000"}) as (
        _,
        process,
    ):
        assert process.stdout is not None
        trace = process.stdout.readline().decode().replace("\r", "\n")
    assert "The function is still being initialised, after " in trace
    assert f'File "{tmp_path}/app.py", {line}' in trace


@pytest.mark.parametrize(
    ("kind", "given", "has_thread"),
    [
        ("on-demand", None, True),
        ("on-demand", "0", False),
        ("on-demand", "soon", True),
        ("provisioned-concurrency", None, False),
        ("provisioned-concurrency", "5000", True),
        ("snap-start", None, False),
    ],
)
def test_which_inits_are_watched(
    kind: str, given: str | None, has_thread: bool, tmp_path: Path
) -> None:
    code = (
        "import os\nthreads = len(os.listdir('/proc/self/task'))\n"
        "def handler(event, context): return threads\n"
    )
    environment = {"AWS_LAMBDA_INITIALIZATION_TYPE": kind}
    if given is not None:
        environment["LAMBDA_RUNTIME_INIT_TRACE_MS"] = given
    if kind == "snap-start":
        code += "print(threads, flush=True)\n"
    with served(tmp_path, code, environment=environment) as (polls, process):
        if kind == "snap-start":
            assert process.stdout is not None
            assert process.stdout.readline() == b"1\n"
            return
        polls.add(b"1")
        polls.wait(1)
        assert json.loads(polls.answers["id-1"]) == 1 + has_thread
