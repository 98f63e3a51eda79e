"""What tests of several folders share, and how the suite is spread over processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import signals
from support.progress import Progress

pytest_plugins = ["pytester"]  # for tests/emulator/test_pytest_plugin.py

signals.heed()
pytest.register_assert_rewrite("support.contract.check")

# Files of one group run one after the other in one process: they share what is slow to make (an
# image, a layer, the functions of the contract). The slowest group comes first.
GROUPS = {
    "rie/test_contract.py": "contract",
    "container/": "container",
    "layer/": "layer",
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


@pytest.hookimpl(tryfirst=True)  # before the plugin that spreads the tests looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its group, by default its file, and order the groups."""
    order = {name: number for number, name in enumerate(GROUPS.values())}
    for item in items:
        group = _group(item.nodeid)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: order.get(_group(item.nodeid), len(order)))


def _group(node: str) -> str:
    path = node.partition("::")[0].removeprefix("tests/")
    if path.startswith("pythons/") and (version := re.search(r"\[(\d\.\d+)", node)):
        return f"Python {version[1]}"
    return next((group for start, group in GROUPS.items() if path.startswith(start)), path)


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A function's folder with all the test handlers in it."""
    # The unit tests, which run on every interpreter, do without what this needs.
    from support.runtimes import copy_handlers

    return copy_handlers(tmp_path_factory.mktemp("function") / "task")
