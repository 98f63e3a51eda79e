"""Prints a line for each folder of tests when its last test has run."""

from __future__ import annotations

import time
from collections import Counter

import pytest


class Progress:
    """A pytest plugin that counts results by folder, in one process or in several."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._started = time.monotonic()
        self._left: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the tests of a run in one process."""
        self._expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: list[str]) -> None:
        """Note the tests of a run in several processes. Each process collects the same tests."""
        self._expect(ids)

    def _expect(self, ids: list[str]) -> None:
        if ids:
            self._left = Counter(map(_folder, ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a result. The teardown is the last report of a test."""
        folder = _folder(report.nodeid)
        if report.failed:
            self._failed[folder] += 1
        if report.when != "teardown":
            self._passed[folder] += report.when == "call" and report.passed
            return
        self._left[folder] -= 1
        if self._left[folder] == 0:
            self._say(folder)

    def pytest_terminal_summary(self) -> None:
        """Name the Pythons that ran, and those that were missing, and why."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            return
        had = {
            str(value)
            for reports in reporter.stats.values()
            for report in reports
            for name, value in getattr(report, "user_properties", ())
            if name == "python"
        }
        lacked = {
            str(report.longrepr[2]).removeprefix("Skipped: ")
            for report in reporter.stats.get("skipped", ())
            if report.nodeid.startswith("tests/pythons/")
        }
        if had:
            reporter.write_line(f"Pythons: {', '.join(sorted(had))}")
        for line in sorted(lacked):
            reporter.write_line(f"Not tested: {line}")

    def _say(self, folder: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            failed = f", {self._failed[folder]} failed" if self._failed[folder] else ""
            seconds = f"{time.monotonic() - self._started:.0f} s"
            reporter.write_line("")
            reporter.write_line(f"{folder}: {self._passed[folder]} passed{failed} ({seconds})")


def _folder(node: str) -> str:
    return node.partition("::")[0].rpartition("/")[0]
