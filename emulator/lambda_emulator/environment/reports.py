"""The platform's reports about an environment: telemetry, and lines around a function's log."""

from __future__ import annotations

import time

from lambda_emulator.function import Function
from lambda_emulator.invocation import Failure, Invocation
from lambda_emulator.platform import events
from lambda_emulator.platform.logs import LogRecord, Logs
from lambda_emulator.platform.sandbox import Sandbox
from lambda_emulator.platform.telemetry import Telemetry

_LONGEST_TAIL = 4096


class Reports:
    """The reports of one environment; the first invocation's report includes init or restore."""

    def __init__(
        self, function: Function, logs: Logs, telemetry: Telemetry, sandbox: Sandbox
    ) -> None:
        self._function = function
        self._logs = logs
        self._telemetry = telemetry
        self._sandbox = sandbox
        self._cold: events.Cold | None = None

    # init and restore

    def init_started(self, address: str) -> None:
        """Report that init begins in the environment with this Runtime API."""
        self._logs.start_tail()
        self._telemetry.platform("platform.initStart", events.init_start, self._function, address)

    def init_done(self, milliseconds: float, failure: Failure | None) -> None:
        """Report that init is over."""
        self._cold = events.Cold(milliseconds)
        self._telemetry.platform(
            "platform.initRuntimeDone", events.init_runtime_done, self._function, failure
        )
        self._telemetry.platform(
            "platform.initReport", events.init_report, self._function, milliseconds, failure
        )

    def restore_started(self, address: str) -> None:
        """Report that a snapshot is being restored."""
        self._telemetry.platform(
            "platform.restoreStart", events.restore_start, self._function, address
        )

    def restore_done(self, milliseconds: float, failure: Failure | None) -> None:
        """Report that the restore is over."""
        self._cold = events.Cold(milliseconds, restored=True)
        self._telemetry.platform(
            "platform.restoreRuntimeDone", events.restore_runtime_done, failure
        )
        self._telemetry.platform(
            "platform.restoreReport", events.restore_report, milliseconds, failure
        )

    # invocations

    def started(self, invocation: Invocation, *, exclusive: bool) -> None:
        """Report that the runtime has the event; if ``exclusive``, begin a new tail of the log."""
        if exclusive and self._cold is None:
            self._logs.start_tail()
        if self._function.report_lines:
            self._announce(events.start_line(self._function, invocation))
        self._telemetry.platform("platform.start", events.start, self._function, invocation)

    def answered(self, invocation: Invocation, failure: Failure | None) -> None:
        """Report that the caller has the answer."""
        if self._function.report_lines:
            self._announce(self._end_lines(invocation))
        self._telemetry.platform("platform.runtimeDone", events.runtime_done, invocation, failure)

    def ended(self, invocation: Invocation) -> None:
        """Report the time and memory that the invocation has used."""
        if self._telemetry.active:
            memory = self._sandbox.peak_memory()
            self._telemetry.platform(
                "platform.report",
                events.report,
                self._function,
                invocation,
                memory,
                self._cold,
            )
        self._cold = None

    def timed_out(self, invocation: Invocation, text: str) -> None:
        """Write the service's line about a timeout to the log."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        line = f"{stamp}Z {invocation.request_id} {text}"
        self._logs.emit(LogRecord("platform", line, time.time()))

    def log_tail(self, invocation: Invocation) -> bytes | None:
        """The last 4 KB of the log with the platform's lines, if the caller wants it."""
        self._sandbox.drain()
        if not invocation.log_tail_wanted:
            return None
        begin = events.start_line(self._function, invocation)
        end = self._end_lines(invocation)
        whole = b"%b\n%b%b\n" % (begin.encode(), self._logs.tail(), end.encode())
        return whole[-_LONGEST_TAIL:]

    def _end_lines(self, invocation: Invocation) -> str:
        memory = self._sandbox.peak_memory()
        return events.end_lines(self._function, invocation, memory, self._cold)

    def _announce(self, text: str) -> None:
        self._logs.announce(LogRecord("platform", text, time.time()))
