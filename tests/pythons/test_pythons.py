"""Every Python from 3.11 on: the unit tests, and the contract beside AWS's own runtime.

On 3.15 orjson is not installed: there all of it is done without.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from _pytest.mark import ParameterSet

from support.contract import check
from support.contract.cases import again
from support.contract.session import Case, Session
from support.interpreters import VERSIONS, Interpreter
from support.paths import ROOT

# The long form runs all unit tests and all cases on each Python. The short form runs the unit tests
# that depend on the interpreter most, and all cases on the newest. On the Python that runs this
# suite, tests/unit and tests/rie have run both.
NEWEST = VERSIONS[-1]
THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"
INTERPRETER = [
    f"tests/unit/test_{name}.py"
    for name in (
        *("private_interfaces", "startup", "payload", "payload_adoption", "errors", "handlers"),
        *("compat", "context", "settings", "deadline", "snapstart", "lazy_imports", "hooks"),
        "web_asgi",
    )
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "interpreter",
    [pytest.param(each, marks=[pytest.mark.long] * (each == THIS)) for each in VERSIONS],
    indirect=True,
)
def test_the_unit_tests_pass(
    interpreter: Interpreter,
    python: str,
    record_property: Callable[[str, object], None],
    pytestconfig: pytest.Config,
) -> None:
    record_property("python", str(interpreter))
    tests = INTERPRETER if pytestconfig.getoption("-m") else ["tests/unit"]
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PYTEST")}
    command = [python, "-m", "pytest", *tests, "-p", "no:cacheprovider", "--color=no"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-10_000:]}\n{done.stderr[-2000:]}"


# Before 3.11.4 a NUL in a source is a ValueError out of importlib, not a SyntaxError.
BUT = {"init-nul"}


def _cases() -> Iterator[ParameterSet]:
    """Each Python with each case; but for the newest, what a process may do to itself is long."""
    for version in VERSIONS:
        for parameter in again(BUT):
            case = parameter.values[0]
            is_long = version != NEWEST and str(case).startswith(("hostile-", "init-"))
            marks = [pytest.mark.long] if is_long else parameter.marks
            yield pytest.param(version, case, id=f"{version}-{case}", marks=marks)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("interpreter", "case"), [*_cases()], indirect=["interpreter"])
def test_same_outcome(case: Case, reference: Session, subject: Session) -> None:
    check.same(case, reference, subject)


def test_only_the_newest_goes_without_orjson(interpreter: Interpreter, python: str) -> None:
    found = subprocess.run([python, "-c", "import orjson"], capture_output=True, text=True)
    without = interpreter.version == "3.15"
    assert found.returncode == without, found.stderr
