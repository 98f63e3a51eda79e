"""Images as users build them, run by a real engine and invoked through RIE over HTTP."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import pytest

from container.engine import Engine
from support.containers import build_user_image, run, started

# Fixtures build images, which has its own bounds.
pytestmark = pytest.mark.timeout(120, func_only=True)

MANAGED = Path(__file__).parents[1] / "contract" / "managed_handlers"
HANDLERS = (Path(__file__).parent / "handlers.py").read_text()
PYTHON = ("--entrypoint", "/usr/bin/python3")
LOCKED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all")


def task(folder: Path) -> tuple[str, str]:
    """Options that put a folder in the place of the function's."""
    folder.chmod(0o755)  # Lambda's user has to be able to read it
    return "--volume", f"{folder}:/var/task:ro"


@pytest.fixture(scope="module")
def three_lines(engine: Engine, base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_user_image(
        engine,
        tmp_path_factory.mktemp("three-lines"),
        f"FROM {base}\nCOPY app.py ${{LAMBDA_TASK_ROOT}}\n" + 'CMD ["app.handler"]\n',
        {"app.py": HANDLERS},
    )


def test_three_line_image_on_a_read_only_root_as_lambda_s_user(
    engine: Engine, python: str, three_lines: str
) -> None:
    with started(engine, three_lines, options=LOCKED) as container:
        seen = container.invoke({"ask": "whereabouts"})
        again = container.invoke({"ask": "whereabouts"})
        assert container.invoke({"ask": "core"}) == [
            f"/var/runtime/lambda_runtime/core.{platform.machine()}.so"
        ]
    assert seen == again
    assert (seen["uid"], seen["gid"]) == (993, 990)
    assert seen["cwd"] == seen["path"][0] == "/var/task"
    assert seen["python"] == [int(part) for part in python.split(".")]
    assert seen["writable"] == ["/tmp"]


def test_any_user_will_do(engine: Engine, three_lines: str) -> None:
    with started(engine, three_lines, options=(*LOCKED, "--user", "12345:54321")) as container:
        assert container.invoke({"ask": "whereabouts"})["uid"] == 12345


def test_the_standard_library_works(engine: Engine, three_lines: str) -> None:
    # multiprocessing wants semaphores, which Lambda has not either: shared memory stays out of it.
    with started(engine, three_lines, options=LOCKED) as container:
        seen = container.invoke({"ask": "standard_library"})
    assert seen.pop("authorities") > 100
    assert seen.pop("sha") and seen.pop("localhost")
    assert seen == {
        "sqlite": 2,
        "strlen": 4,
        "compressed": [True, True, True],
        "decimal": "0.3333",
        "zone": "Europe/Paris",
        "service": 443,
        "spawned": 1,
        "child": "42",
        "uuid": 36,
        "user": "sbx_user1051",
        "locale": "C.UTF-8",
        "mime": "application/json",
    }


def test_stop_ends_an_idle_function_at_once_and_well(engine: Engine, three_lines: str) -> None:
    with started(engine, three_lines, options=LOCKED) as container:
        container.invoke({"ask": "whereabouts"})
        code, seconds = container.stop(30)
    assert code == 0
    assert seconds < 15


def test_stop_before_the_first_invocation(engine: Engine, three_lines: str) -> None:
    with started(engine, three_lines, options=LOCKED) as container:
        container.await_listening()
        code, seconds = container.stop(30)
    assert code == 0
    assert seconds < 15


def test_arguments_take_the_place_of_the_handler(engine: Engine, base: str, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("def main(event, context):\n    return event['x'] + 1\n")
    options = (*LOCKED, *task(tmp_path))
    with started(engine, base, "other.main", options=options) as container:
        assert container.invoke({"x": 1}) == 2


def test_layers_and_extensions_below_opt(engine: Engine, base: str, tmp_path: Path) -> None:
    extension = (
        "#!/usr/bin/python3\n"
        "import json, os, sys, urllib.request\n"
        "api = f\"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2020-01-01/extension\"\n"
        "body = json.dumps({'events': ['INVOKE', 'SHUTDOWN']}).encode()\n"
        "name = {'Lambda-Extension-Name': 'spy'}\n"
        "reply = urllib.request.urlopen(urllib.request.Request(api + '/register', body, name))\n"
        "key = {'Lambda-Extension-Identifier': reply.headers['Lambda-Extension-Identifier']}\n"
        "while True:\n"
        "    got = urllib.request.urlopen(urllib.request.Request(api + '/event/next', None, key))\n"
        "    kind = json.load(got)['eventType']\n"
        "    print('spy saw', kind, flush=True)\n"
        "    if kind == 'SHUTDOWN':\n"
        "        break\n"
    )
    tag = build_user_image(
        engine,
        tmp_path,
        f"FROM {base}\nCOPY opt/ /opt/\nCOPY app.py ${{LAMBDA_TASK_ROOT}}\n",
        {
            "opt/extensions/spy": extension,
            "opt/python/layered.py": "ANSWER = 42\n",
            "app.py": "import layered\ndef handler(event, context):\n    return layered.ANSWER\n",
        },
    )
    with started(engine, tag, options=LOCKED) as container:
        assert container.invoke({}) == 42
        code, _ = container.stop(30)
        logs = container.logs()
    assert code == 0
    assert logs.index("spy saw INVOKE") < logs.index("spy saw SHUTDOWN")


def test_runtime_copied_to_opt_as_a_layer_s_bootstrap(
    engine: Engine, base: str, toolbox: str, tmp_path: Path
) -> None:
    dockerfile = (
        f"FROM {toolbox}\n"
        f"COPY --from={base} /var/runtime /opt\n"
        "RUN rm -rf /var/runtime\n"
        "COPY app.py ${LAMBDA_TASK_ROOT}\n"
        'ENTRYPOINT ["/opt/bootstrap"]\nCMD ["app.handler"]\n'
    )
    tag = build_user_image(engine, tmp_path, dockerfile, {"app.py": HANDLERS})
    with started(engine, tag) as container:
        assert "/opt" in container.invoke({"ask": "whereabouts"})["path"]


@pytest.mark.parametrize(
    ("handler", "kind"),
    [("missing.handler", "Runtime.ImportModuleError"), ("app.other", "Runtime.HandlerNotFound")],
)
def test_a_wrong_handler_is_an_error_that_says_so(
    engine: Engine, three_lines: str, handler: str, kind: str
) -> None:
    with started(engine, three_lines, handler, options=LOCKED) as container:
        assert container.invoke({})["errorType"] == kind


def test_no_stdlib_source_is_read_for_want_of_byte_code(
    engine: Engine, python: str, base: str
) -> None:
    """Imports every module there is; the interpreter, verbose, says where the code is from."""
    program = (
        "import pkgutil, sys\n"
        "skip = {'antigravity', 'this', 'idlelib', 'turtle', 'turtledemo', 'tkinter'}\n"
        "sys.path.append('/var/runtime')\n"
        f"library = '/usr/lib/python{python}'\n"
        "import lambda_runtime\n"
        "for found in pkgutil.walk_packages([library], onerror=lambda name: None):\n"
        "    name = found.name\n"
        "    if name.split('.')[0] in skip or name.endswith('__main__'):\n"
        "        continue\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except Exception:\n"
        "        pass  # a module for another operating system\n"
        "print(len(sys.modules), 'modules')\n"
    )
    logs = run(engine, base, "-v", "-c", program, options=(*LOCKED, *PYTHON))
    compiled = [line for line in logs.splitlines() if line.startswith("# code object from ")]
    assert len([line for line in compiled if "__pycache__" in line]) > 300
    assert [line for line in compiled if "__pycache__" not in line] == []


COLD_START = Path(__file__).parents[2] / "benchmarks" / "cold_start.py"


@pytest.mark.long  # a time says something where nothing else runs; other tests run beside this one
def test_cold_start_is_close_to_the_bare_interpreter_s(
    engine: Engine, python: str, base: str, tmp_path: Path
) -> None:
    shutil.copy(COLD_START, tmp_path / "cold.py")
    options = (*LOCKED, *task(tmp_path), *PYTHON)
    within = ("cold.py", f"/usr/bin/python{python}", "/var/runtime/bootstrap")
    ratios = json.loads(run(engine, base, *within, options=options))
    # Of three rounds the one that the machine's other work disturbed least. On a quiet machine it
    # is about 1.2; docs/benchmarks.md says what it consists of.
    assert min(ratios) <= 1.3, ratios


def test_several_invocations_at_once(engine: Engine, base: str, tmp_path: Path) -> None:
    """As a managed instance, which the image's own RIE plays with this variable.

    It wants to be root then, and runs the runtime as Lambda's user.
    """
    shutil.copy(MANAGED / "work.py", tmp_path)
    polls = ("--env", "AWS_LAMBDA_MAX_CONCURRENCY=4", "--env", "LAMBDA_RUNTIME_CONCURRENCY=threads")
    options = ("--read-only", "--tmpfs", "/tmp", "--user", "0", *task(tmp_path), *polls)
    with started(engine, base, "work.handler", options=options) as container:
        events = [{"number": number, "seconds": 0.02} for number in range(40)]
        answers = container.invoke_many(events, 4)
        assert [answer.get("number", answer) for answer in answers] == list(range(40))
        assert len({answer["pid"] for answer in answers}) == 1
        assert len({answer["thread"] for answer in answers}) > 1
