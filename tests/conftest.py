"""What tests of several folders share, and how the suite is spread over processes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import signals
from support.progress import Progress

pytest_plugins = ["pytester"]  # for tests/emulator/test_pytest_plugin.py

signals.heed()
pytest.register_assert_rewrite("support.contract.check")

# Tests of one group run one after the other in one process: they share what is slow to make (an
# image, a layer, the functions of the contract). The slowest groups come first. Every other file is
# a group of its own.
GROUPS = {
    "container/": "container",
    "layer/": "layer",
    "pythons/": "Python",
    "rie/test_contract.py": "contract",
}


def pytest_configure(config: pytest.Config) -> None:
    """Say which part of the suite is done, once, where the results come together."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(config), "progress")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say what this machine cannot do, a line each, before anything is skipped for it."""
    if not hasattr(session.config, "workerinput"):
        from support import machine

        for line in machine.lacking(session.config.args):
            print(line)
        from support import transports

        if (reason := transports.provide()) is not None:
            print(reason)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the groups in order: processes take them in the order of their first tests."""
    if spare := [item for item in items if _is_spare(item)]:
        config.hook.pytest_deselected(items=spare)
        items[:] = [item for item in items if item not in spare]
    order = {name: number for number, name in enumerate(GROUPS.values())}
    items.sort(key=lambda item: order.get(_group(item.nodeid).split()[0], len(order)))


def _is_spare(item: pytest.Item) -> bool:
    """Whether the test is to run with the core where the runtime never uses it."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    way = given.get("way") or given.get("mode")
    return given.get("wire") == "core" and way in ("threads", "async")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole groups.

    pytest-xdist 3.8 has ``--dist loadgroup`` for that, but it writes the group into the test's ID,
    which pytest 9.2 no longer lets it do.
    """
    from xdist.scheduler import LoadScopeScheduling

    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = _group
    return scheduling


def _group(node: str) -> str:
    path = node.partition("::")[0].removeprefix("tests/")
    name = next((group for start, group in GROUPS.items() if path.startswith(start)), path)
    version = re.search(r"\[(\d\.\d+)", node) if name == "Python" else None
    return f"{name} {version[1]}" if version else name


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function's folder with all the test handlers in it."""
    # The unit tests, which run on every interpreter, do without what this needs.
    from support.runtimes import copy_handlers

    return copy_handlers(tmp_path_factory.mktemp("function") / "task")


@pytest.fixture(scope="module", autouse=True)
def wire(request: pytest.FixtureRequest) -> Iterator[None]:
    """What ``transports.in_processes`` sets up for a file's tests."""
    from support import transports

    transport = getattr(request, "param", None)
    if transport is None:
        yield
    else:
        with transports.chosen(transport):
            yield
