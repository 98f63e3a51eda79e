"""The image's interpreter starts as the layer's does: from its own file, and without a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from container.images import DEBUG, Made
from lambda_rie.roots import Root
from layer.target import digits
from support.containers import Unpacked
from support.machine import need_namespaces
from support.plain_starts import facts, facts_of_runtime, hide

# Fixtures build images, which has its own bounds.
pytestmark = pytest.mark.timeout(120, func_only=True)


@pytest.fixture
def root(made: dict[str, Made], tmp_path: Path) -> Root:
    """The files of the image with a shell, to run programs in and to change."""
    need_namespaces()
    unpacked = Unpacked(made[DEBUG], tmp_path / "image")
    for name in ("proc", "dev"):  # an engine mounts them
        (unpacked.root / name).mkdir(exist_ok=True)
    return Root(unpacked.root)


def test_a_plain_start_looks_for_nothing(root: Root, python: str) -> None:
    program, library = f"/usr/bin/python{python}", f"/usr/lib/python{python}"
    plain = facts(root, program)
    assert plain["prefix"] == plain["base_prefix"] == "/usr"
    assert plain["origins"] == ["frozen"] * 3
    assert plain["files"][1:] == [f"{library}/encodings/utf_8.py", f"{library}/linecache.py"]
    assert plain["collector"] == [[0, 0, 0], True, [2000, 10, 10]]
    # Another path of the same program: CPython's own search has the same result.
    assert plain == facts(root, f"/usr/bin/../bin/python{python}")
    (root.folder / "usr/pyvenv.cfg").write_text("home = /tmp\n")
    hide(root.folder / library[1:] / "encodings", "__init__.py", "aliases.py", "utf_8.py")
    assert facts(root, program) == plain


def test_the_bootstrap_is_started_from_the_program(root: Root, python: str, tmp_path: Path) -> None:
    home, task = root.folder / "var/runtime", tmp_path / "task"
    task.mkdir()
    bootstrap = home / "bootstrap"
    text = bootstrap.read_text()
    plain = facts_of_runtime(root, "/var/runtime/bootstrap", task=task)
    assert plain["sys_argv"] == [plain["file"]] == ["/var/runtime/bootstrap"]
    bootstrap.write_text(text + "# changed\n")
    assert facts_of_runtime(root, "/var/runtime/bootstrap", task=task) == plain
    (home / f"lambda_runtime/cold.cpython-{digits(python)}").unlink()
    hide(home / "lambda_runtime", "__init__.py", "entry.py", "loop.py")
    said = root.run("/var/runtime/bootstrap", "app.handler").stderr
    assert said == "this file was executed\n"
    bootstrap.write_text(text)
    assert facts_of_runtime(root, "/var/runtime/bootstrap", task=task) == plain
