"""Children of the interpreter start as they would from a plain one, though the runtime has no site.

With what a function's own packages lean on: joblib and the standard library's process pools.
"""

import itertools
import sys
from pathlib import Path

import pytest

from support.process import run_function
from support.runtime_api import Counted

_PLAIN = "import sys; print(sys.flags.no_site, [p for p in sys.path if 'packages' in p])"

_WORK = """
import json, os, sys
def work(number):
    import site, joblib
    return number * 2, sys.flags.no_site, "site" in sys.modules, joblib.__name__, sys.path
"""


def _plain() -> str:
    import subprocess

    return subprocess.check_output([sys.executable, "-c", _PLAIN], text=True)


def test_the_flags_that_children_are_started_with() -> None:
    code = """
import multiprocessing.util, subprocess
def handler(event, context):
    return [subprocess._args_from_interpreter_flags(),
            multiprocessing.util._args_from_interpreter_flags()]
"""
    assert run_function(code).answer == [[], []]


def test_other_flags_are_passed_on() -> None:
    code = """
import subprocess
def handler(event, context): return subprocess._args_from_interpreter_flags()
"""
    command = [sys.executable, "-S", "-B", "-W", "error::ImportWarning", "-X", "dev"]
    bootstrap = Path(__file__).parents[2] / "bootstrap"
    answer = run_function(code, command=[*command, str(bootstrap)]).answer
    assert isinstance(answer, list)
    assert {"-B", "-Werror::ImportWarning", "-Xdev"} <= {
        part.replace(" ", "") for part in answer
    } | {first + second for first, second in itertools.pairwise(answer)}
    assert "-S" not in answer


@pytest.mark.parametrize("when", ["usual", "customisation", "reloaded"])
def test_whenever_subprocess_is_imported(when: str, tmp_path: Path) -> None:
    if when == "customisation":
        (tmp_path / "sitecustomize.py").write_text("import subprocess")
    reload = "import importlib; importlib.reload(subprocess)" if when == "reloaded" else ""
    code = f"""
import subprocess
{reload}
def handler(event, context): return subprocess._args_from_interpreter_flags()
"""
    assert run_function(code, environment={"PYTHONPATH": str(tmp_path)}).answer == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str) -> None:
    code = f"""
import multiprocessing
{_WORK}
def child(connection): connection.send(work(21))
def handler(event, context):
    method = multiprocessing.get_context("{method}")
    ours, theirs = method.Pipe()
    process = method.Process(target=child, args=(theirs,))
    process.start()
    *answer, path = ours.recv()
    process.join()
    return [answer, process.exitcode, [entry for entry in sys.path if entry not in path]]
"""
    outcome = run_function(code)
    assert outcome.answer == [[42, int(method == "fork"), True, "joblib"], 0, []]
    assert "No module named" not in outcome.stderr


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_pools(method: str) -> None:
    code = f"""
import concurrent.futures, multiprocessing
{_WORK}
def handler(event, context):
    method = multiprocessing.get_context("{method}")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=method) as pool:
        return [each[0] for each in pool.map(work, range(4))]
"""
    outcome = Counted(code)
    assert outcome.answers == {"id-1": [b"[0,2,4,6]"]}, outcome.stderr
    assert outcome.most_waiting == 1
    assert "No module named" not in outcome.stderr


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_joblib(backend: str) -> None:
    """Its resource tracker is started with the interpreter's flags, and needs joblib."""
    code = f"""
import joblib
{_WORK}
def handler(event, context):
    jobs = (joblib.delayed(work)(number) for number in range(4))
    return [each[0] for each in joblib.Parallel(n_jobs=2, backend="{backend}")(jobs)]
"""
    outcome = Counted(code, [b"1", b"2"], seconds=60)
    assert outcome.answers == {"id-1": [b"[0,2,4,6]"], "id-2": [b"[0,2,4,6]"]}, outcome.stderr
    assert "No module named" not in outcome.stdout + outcome.stderr


def test_an_interpreter_started_by_hand() -> None:
    code = f"""
import subprocess, sys
def handler(event, context):
    return subprocess.check_output([sys.executable, "-c", {_PLAIN!r}], text=True)
"""
    assert run_function(code).answer == _plain()


def test_the_environment_for_children_is_as_it_was() -> None:
    code = "import os\ndef handler(event, context): return os.environ.get('PYTHONPATH')"
    assert run_function(code).answer is None
    assert run_function(code, environment={"PYTHONPATH": "/a:/b"}).answer == "/a:/b"
