"""From exec to the first event: paths, environment, customisations, wrappers, refusals."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lambda_runtime.start.bundle import COLD
from support.paths import ROOT
from support.process import BOOTSTRAP, run_function

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"

COLD_MODULES = {
    # what the runtime is made of
    "lambda_runtime",
    "lambda_runtime.errors",
    "lambda_runtime.entry",
    "lambda_runtime.ground",
    "lambda_runtime.ground.invocation",
    "lambda_runtime.ground.process",
    "lambda_runtime.runtime_api",
    "lambda_runtime.start",
    "lambda_runtime.runtime_api.client",
    "lambda_runtime.runtime_api.connection",
    "lambda_runtime.context",
    "lambda_runtime.handlers",
    "lambda_runtime.runtime_api.http1",
    "lambda_runtime.logs",
    "lambda_runtime.errors.last_resort",
    "lambda_runtime.loop",
    "lambda_runtime.payload",
    "lambda_runtime.ground.settings",
    "lambda_runtime.start.startup",
    "lambda_runtime.ground.trusted",
    # compiled modules that it cannot do without
    "_json",
    "_socket",
    "gc",
    # the function itself
    "app",
}


BARE = """
import sys
try:
    import sitecustomize
except ImportError:
    pass
print(*sys.modules)
"""


@pytest.fixture(scope="session")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter whose site-packages hold no .pth file of this machine's."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    return str(folder / "bin" / "python")


def test_the_cold_path_is_sacred(clean_python: str) -> None:
    modules = "import sys\nLOADED = sorted(sys.modules)\ndef handler(e, c): return LOADED"
    loaded = run_function(modules, command=[clean_python, "-S", str(BOOTSTRAP)]).answer
    # Distributions ship a sitecustomize of their own, which comes with the interpreter.
    bare = subprocess.check_output([clean_python, "-I", "-S", "-c", BARE], text=True)
    assert isinstance(loaded, list)
    assert set(loaded) - set(bare.split()) == COLD_MODULES


def test_the_path(clean_python: str) -> None:
    code = "import sys\ndef handler(e, c): return [list(sys.path), sys.argv[0]]"
    outcome = run_function(
        code,
        command=[clean_python, "-S", str(BOOTSTRAP)],
        environment={"PYTHONPATH": "/from/pythonpath"},
    )
    assert isinstance(outcome.answer, list)
    path = outcome.answer[0]
    assert path[1:4] == [
        f"/opt/python/lib/{VERSION}/site-packages",
        "/opt/python",
        "/from/pythonpath",
    ]
    assert path[-2:] == [
        f"{Path(clean_python).parents[1]}/lib/{VERSION}/site-packages",
        str(ROOT / "runtime"),
    ]
    assert len(path) == len(set(path))
    assert str(ROOT) not in path


def test_a_checkout_and_a_bundle_behave_alike(tmp_path: Path, clean_python: str) -> None:
    code = (
        "import sys, lambda_runtime.entry as entry\n"
        "def handler(e, c): return [entry.__file__, entry.main.__code__.co_filename,"
        " entry.__spec__.origin, lambda_runtime.__path__, type(sys.meta_path[0]).__name__,"
        " *map(spec, ('', '.ground', '.loop', '.context', '.ground.trusted'))]\n"
        "def spec(name):\n"
        "    module = sys.modules['lambda_runtime' + name]\n"
        "    spec = importlib.util.find_spec(module.__name__)\n"
        "    places = spec.submodule_search_locations\n"
        "    return [spec is module.__spec__, module.__loader__ is spec.loader, spec.name,"
        " spec.origin == module.__file__, spec.has_location, spec.parent == module.__package__,"
        " places == getattr(module, '__path__', None), isinstance(spec.loader,"
        " importlib.machinery.SourceFileLoader), hasattr(module, 'missing')]\n"
        "import lambda_runtime, importlib.util, importlib.machinery"
    )
    names = ("", ".ground", ".loop", ".context", ".ground.trusted")
    specs = [[True, True, f"lambda_runtime{name}", *[True] * 5, False] for name in names]
    for shape in ("runtime/lambda_runtime", "lambda_runtime"):
        home = tmp_path / shape.replace("/", "_")
        package = home / shape
        subprocess.run(["mkdir", "-p", package.parent], check=True)
        subprocess.run(["cp", "-r", ROOT / "runtime" / "lambda_runtime", package], check=True)
        subprocess.run(["cp", BOOTSTRAP, home], check=True)
        command = [clean_python, "-S", f"{home}/bootstrap"]
        plain = run_function(code, command=command)
        subprocess.run(
            [clean_python, "-m", "lambda_runtime.start.bundle"], cwd=package.parent, check=True
        )
        bundled = run_function(code, command=command)
        file = f"{package}/entry.py"
        assert plain.answer == [file, file, file, [str(package)], "ImportHooks", *specs]
        assert bundled.answer == plain.answer
        # the bundle is what is used: without the sources beside it the function still runs
        (package / "entry.py").unlink()
        assert run_function(code, command=command).answer == plain.answer


@pytest.fixture
def bundled(tmp_path: Path, clean_python: str) -> list[str]:
    """The command of a runtime that is loaded from a bundle."""
    package = ROOT / "runtime" / "lambda_runtime"
    subprocess.run(["cp", "-r", package, BOOTSTRAP, tmp_path], check=True)
    make = [clean_python, "-m", "lambda_runtime.start.bundle"]
    subprocess.run(make, cwd=tmp_path, check=True)
    return [clean_python, "-S", f"{tmp_path}/bootstrap"]


PUT_OFF = """
import builtins, sys
FIRST
IN_INIT
PARTS = {"payload": "encode", "context": "LambdaContext", "runtime_api.http1": "parse_head",
         "errors.last_resort": "tell"}
def untouched():
    return [name for name, part in PARTS.items()
            if part not in vars(sys.modules["lambda_runtime." + name])]
UNTOUCHED = untouched()
def handler(event, context):
    missing = "missing" in dir(sys.modules["lambda_runtime.payload"])
    return [event, missing, untouched(),
            context.__class__.__name__, context.aws_request_id != ""]
print(*UNTOUCHED)
"""
IN_THREADS = """
import threading
encode = lambda: sys.modules["lambda_runtime.payload"].encode(1)
threads = [threading.Thread(target=encode) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize("first", ["", "from lambda_runtime import LambdaContext"])
@pytest.mark.parametrize(
    "in_init",
    [
        "",
        "sys.modules['_json'] = None",
        "sys.modules['_json'] = sys",
        "import json\nsys.modules['_json'].make_scanner = None",
        "sys.path.clear(); sys.meta_path.clear(); sys.path_importer_cache.clear()",
        "del builtins.isinstance, builtins.frozenset",
        "import marshal; marshal.loads = None",
        IN_THREADS,
    ],
)
def test_what_is_put_off_comes_in_spite_of_user_code(
    in_init: str, first: str, bundled: list[str]
) -> None:
    """Modules of the bundle run while the first event is on its way, or at first use."""
    code = PUT_OFF.replace("IN_INIT", in_init).replace("FIRST", first)
    outcome = run_function(code, command=bundled, events=[b'{"a": [1, 2.5, "\\u00e9"]}'])
    assert outcome.answer == [{"a": [1, 2.5, "\u00e9"]}, False, [], "LambdaContext", True]
    untouched = {
        "payload": in_init != IN_THREADS,
        "context": not first,
        "runtime_api.http1": True,
        "errors.last_resort": True,
    }
    assert outcome.stdout.split() == [name for name, is_so in untouched.items() if is_so]


FORBIDDING = """
def hook(event, given):
    if event in ("exec", "marshal.loads"): raise RuntimeError(event)
from sys import addaudithook
addaudithook(hook=hook)
assert sys.addaudithook is not addaudithook
"""
AGAIN = """
OURS = [name for name in sys.modules if name.startswith("lambda_runtime")]
for name in OURS: del sys.modules[name]
for name in OURS: __import__(name)
"""
BY_LOADER = """
from importlib.util import module_from_spec
for name, module in [*sys.modules.items()]:
    if name.startswith("lambda_runtime"):
        module.__loader__.exec_module(module_from_spec(module.__spec__))
        assert module.__loader__.get_code(name).co_filename == module.__file__
"""


@pytest.mark.parametrize("in_init", [FORBIDDING, AGAIN, BY_LOADER])
def test_what_is_put_off_comes_before_it_is_too_late(in_init: str, bundled: list[str]) -> None:
    """As a hook may forbid it, or another module of the same name may take the code."""
    code = PUT_OFF.replace("IN_INIT", in_init).replace("FIRST", "")
    outcome = run_function(code, command=bundled, events=[b"1", b"2"])
    assert outcome.answer == [2, False, [], "LambdaContext", True]
    assert outcome.stdout == "\n"


def test_an_init_error_needs_what_is_put_off(bundled: list[str]) -> None:
    outcome = run_function("import sys; sys.path.clear(); 1 / 0", command=bundled)
    assert outcome.paths == ["init/error"]
    assert "ZeroDivisionError" in outcome.stdout


def test_no_cold_module_waits_for_another(bundled: list[str]) -> None:
    """The bundle has them in the order of their imports, so that none imports another itself."""
    code = "import sys\nLOADED = list(sys.modules)\ndef handler(e, c): return LOADED"
    outcome = run_function(code, command=bundled)
    assert isinstance(outcome.answer, list)
    assert [name for name in outcome.answer if name.startswith("lambda_runtime")] == list(COLD)


def test_the_bundle_is_reproducible_and_says_what_it_cannot_do(tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", ROOT / "runtime" / "lambda_runtime", tmp_path], check=True)
    command = [sys.executable, "-m", "lambda_runtime.start.bundle", str(tmp_path)]
    written = []
    for seed in ("1", "2"):
        environment = {"PYTHONPATH": str(ROOT / "runtime"), "PYTHONHASHSEED": seed}
        path = subprocess.check_output(command, env=environment, text=True).strip()
        written.append(Path(path).read_bytes())
    assert written[0] == written[1]
    command[-1] = str(tmp_path / "nowhere")
    failed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert failed.returncode == 1
    assert failed.stderr.startswith("lambda_runtime.start.bundle: ")
    assert "nowhere" in failed.stderr


def test_the_environment_lambda_sets() -> None:
    code = "import os, time\ndef handler(e, c): return [dict(os.environ), time.tzname, os.getcwd()]"
    answer = run_function(code, environment={"TZ": "", "LANG": "C.UTF-8"}).answer
    assert isinstance(answer, list)
    environment, tzname, cwd = answer
    assert environment["LAMBDA_TASK_ROOT"] == cwd
    assert environment["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{VERSION}"
    assert environment["LANG"] == "C.UTF-8"
    assert environment["LAMBDA_RUNTIME_DIR"] == str(ROOT / "runtime")
    assert (environment["TZ"], tzname[0]) == (":UTC", "UTC")


def test_exit_and_quit_are_there() -> None:
    outcome = run_function("def handler(e, c): exit(3)")
    assert outcome.status == 3
    assert outcome.paths == ["invocation/next", "invocation/id-1/error"]
    assert outcome.answer == {
        "errorMessage": "3",
        "errorType": "SystemExit",
        "requestId": "id-1",
        "stackTrace": outcome.answer["stackTrace"],  # type: ignore[index]
    }


def test_customisations_run_where_they_exist(tmp_path: Path, clean_python: str) -> None:
    task, customs, packages = tmp_path / "task", tmp_path / "customs", tmp_path / "packages"
    for folder in (task, customs, packages):
        folder.mkdir()
    (task / "app.py").write_text(
        "import sys\ndef handler(e, c): return [sys.ran, 'added' in dir()]"
    )
    (customs / "sitecustomize.py").write_text(
        "import sys; sys.ran = getattr(sys, 'ran', []) + ['s']"
    )
    (customs / "usercustomize.py").write_text(
        "import sys; sys.ran = getattr(sys, 'ran', []) + ['u']"
    )
    (task / "more.pth").write_text(
        f"{packages}\nimport sys; sys.ran = getattr(sys, 'ran', []) + ['p']\n"
    )
    outcome = run_function(
        "",
        task=task,
        command=[clean_python, "-S", str(BOOTSTRAP)],
        environment={"PYTHONPATH": str(customs)},
    )
    assert outcome.answer == [["p", "s", "u"], False]


def test_a_customisation_of_a_pth_folder_is_found(tmp_path: Path, clean_python: str) -> None:
    task, added = tmp_path / "task", tmp_path / "added"
    task.mkdir()
    added.mkdir()
    (task / "app.py").write_text("import sys, extra\ndef handler(e, c): return [sys.ran, extra.X]")
    (task / "more.pth").write_text(f"{added}\n")
    (added / "extra.py").write_text("X = 1")
    # A distribution's own sitecustomize would be found before this folder's.
    (added / "usercustomize.py").write_text("import sys; sys.ran = True")
    command = [clean_python, "-S", str(BOOTSTRAP)]
    assert run_function("", task=task, command=command).answer == [True, 1]


def test_a_broken_customisation_is_said_and_survived(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("1 / 0")
    outcome = run_function("def handler(e, c): return 1", environment={"PYTHONPATH": str(tmp_path)})
    assert outcome.answer == 1
    assert "lambda-runtime: error in sitecustomize: ZeroDivisionError" in outcome.stderr


def test_the_wrapper_is_executed_once(tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\necho "wrapped $# $1 $2 $3"\nexport BY_WRAPPER=1\nexec "$@"\n')
    wrapper.chmod(0o755)
    outcome = run_function(
        "import os\ndef handler(e, c): return [os.environ['BY_WRAPPER'],"
        " os.environ.get('_LAMBDA_RUNTIME_WRAPPED')]",
        environment={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)},
        arguments=["app.handler"],
    )
    assert outcome.answer == ["1", None]
    assert outcome.stdout == f"wrapped 3 {sys.executable} {BOOTSTRAP} app.handler\n"


def test_a_wrapper_that_cannot_be_executed(tmp_path: Path) -> None:
    outcome = run_function("", environment={"AWS_LAMBDA_EXEC_WRAPPER": str(tmp_path / "none")})
    assert outcome.status == 1
    assert outcome.stderr == (
        f"lambda-runtime: AWS_LAMBDA_EXEC_WRAPPER={tmp_path}/none: cannot be executed: "
        "No such file or directory\n"
    )


def start(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-S", str(BOOTSTRAP), *arguments],
        env={"PATH": "/nowhere", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_a_runtime_api_and_without_the_emulator() -> None:
    process = start("app.handler")
    assert process.returncode == 2
    assert "AWS_LAMBDA_RUNTIME_API is not set" in process.stderr
    assert "put aws-lambda-rie" in process.stderr
    assert process.stderr.count("\n") == 1


def test_without_a_handler() -> None:
    process = start()
    assert process.returncode == 2
    assert "no handler" in process.stderr


def test_with_the_emulator_on_path(tmp_path: Path) -> None:
    fake = tmp_path / "aws-lambda-rie"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    process = start("app.handler", PATH=f"/nowhere:{tmp_path}")
    assert process.stdout == f"{sys.executable} -S {BOOTSTRAP} app.handler\n"


@pytest.mark.parametrize("address", ["nowhere", "nowhere:port", ":1", "127.0.0.1:0"])
def test_an_address_that_is_not_one(address: str, tmp_path: Path) -> None:
    process = start("app.handler", AWS_LAMBDA_RUNTIME_API=address, LAMBDA_TASK_ROOT=str(tmp_path))
    assert process.returncode == 1
    assert "lambda-runtime: " in process.stderr
    assert "Traceback" not in process.stderr


def test_a_task_root_that_is_not_there() -> None:
    process = start("a.b", AWS_LAMBDA_RUNTIME_API="127.0.0.1:1", LAMBDA_TASK_ROOT="/no/such")
    assert process.returncode == 1
    assert (
        process.stderr == "lambda-runtime: LAMBDA_TASK_ROOT=/no/such: No such file or directory\n"
    )


def test_as_a_module_and_from_another_folder(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\ndef handler(e, c): return os.getcwd()")
    outcome = run_function(
        "",
        handler="",
        task=tmp_path,
        command=[sys.executable, "-m", "lambda_runtime"],
        arguments=["app.handler"],
        environment={"PYTHONPATH": str(ROOT / "runtime")},
    )
    assert outcome.answer == str(tmp_path)


def test_spawned_children_do_not_start_the_runtime() -> None:
    code = textwrap.dedent(
        """
        import multiprocessing, os
        def double(x): return x * 2
        def handler(e, c):
            answers = []
            for method in ("spawn", "fork"):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    answers.append(pool.map(double, [1, 2]))
            return answers
        """
    )
    assert run_function(code).answer == [[2, 4], [2, 4]]


def test_a_forked_child_does_not_answer() -> None:
    code = textwrap.dedent(
        """
        import os, sys
        def handler(event, c):
            pid = os.fork()
            if pid == 0:
                if event["how"] == "return":
                    return "child"
                if event["how"] == "exit":
                    sys.exit(4)
                raise ValueError
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        """
    )
    events = [b'{"how":"return"}', b'{"how":"exit"}', b'{"how":"raise"}']
    outcome = run_function(code, events=events)
    bodies = [request.partition(b"\r\n\r\n")[2] for request in outcome.requests]
    assert [body for body in bodies if body] == [b"0", b"4", b"1"]


def test_no_word_is_lost_when_the_process_ends(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import atexit, sys
        atexit.register(print, "at exit")
        def handler(event, c):
            print("printed", end="")
            print("to stderr", end="", file=sys.stderr)
            sys.exit("bye")
        """
    )
    outcome = run_function(code)
    assert outcome.status == 1
    assert outcome.stdout.startswith("printed[ERROR] SystemExit: bye")
    assert outcome.stdout.endswith("at exit\n")
    assert outcome.stderr == "to stderrbye\n"
