"""The records of the platform's events, for the Telemetry API and the log's START and REPORT lines.

Durations are in milliseconds, sizes in MB. Source: AWS, 'Lambda Telemetry API Event schema
reference'.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from lambda_emulator.function import Function
from lambda_emulator.invocation import Failure, Invocation

Record = dict[str, Any]

RUNTIME_VERSION_ARN = "arn:aws:lambda:{region}::runtime:emulator"


@dataclass(frozen=True)
class Cold:
    """What came before an environment's first invocation: init, or the restore of a snapshot."""

    milliseconds: float
    restored: bool = False


def init_start(function: Function, address: str) -> Record:
    """``platform.initStart``; the Runtime API's address tells one environment from another."""
    return {
        "initializationType": function.initialization_type,
        "phase": "init",
        "functionName": function.name,
        "functionVersion": function.version,
        "instanceId": address,
        "instanceMaxMemory": function.memory_size * 1024 * 1024,
    }


def init_runtime_done(function: Function, failure: Failure | None) -> Record:
    """``platform.initRuntimeDone``"""
    return {
        "initializationType": function.initialization_type,
        "phase": "init",
        **_status(failure),
    }


def init_report(function: Function, milliseconds: float, failure: Failure | None) -> Record:
    """``platform.initReport``"""
    return {
        **init_runtime_done(function, failure),
        "metrics": {"durationMs": round(milliseconds, 3)},
    }


def restore_start(function: Function, address: str) -> Record:
    """``platform.restoreStart``"""
    return {
        "functionName": function.name,
        "functionVersion": function.version,
        "instanceId": address,
        "instanceMaxMemory": function.memory_size * 1024 * 1024,
        "runtimeVersion": "emulator",
        "runtimeVersionArn": RUNTIME_VERSION_ARN.format(region=function.region),
    }


def restore_runtime_done(failure: Failure | None) -> Record:
    """``platform.restoreRuntimeDone``"""
    return _status(failure)


def restore_report(milliseconds: float, failure: Failure | None) -> Record:
    """``platform.restoreReport``"""
    return {**_status(failure), "metrics": {"durationMs": round(milliseconds, 3)}}


def start(function: Function, invocation: Invocation) -> Record:
    """``platform.start``"""
    return {
        "requestId": invocation.request_id,
        "version": function.version,
        **_tracing(invocation),
    }


def runtime_done(invocation: Invocation, failure: Failure | None) -> Record:
    """``platform.runtimeDone``"""
    return {
        "requestId": invocation.request_id,
        **_status(failure),
        "metrics": {
            "durationMs": round(_elapsed(invocation), 3),
            "producedBytes": invocation.produced,
        },
        **_tracing(invocation),
    }


def report(function: Function, invocation: Invocation, memory: int, cold: Cold | None) -> Record:
    """``platform.report``

    ``memory`` is the runtime's peak memory in bytes. ``cold`` is given for the first invocation
    only.
    """
    return {
        "requestId": invocation.request_id,
        **_status(invocation.failure),
        "metrics": _metrics(function, invocation, memory, cold),
        **_tracing(invocation),
    }


def invoke_event(function: Function, invocation: Invocation) -> Record:
    """The INVOKE event of the Extensions API."""
    event: Record = {
        "eventType": "INVOKE",
        "deadlineMs": invocation.deadline_ms,
        "requestId": invocation.request_id,
        "invokedFunctionArn": invocation.invoked_arn or function.arn,
    }
    if invocation.trace_id:
        event["tracing"] = {"type": "X-Amzn-Trace-Id", "value": invocation.trace_id}
    return event


def start_line(function: Function, invocation: Invocation) -> str:
    """The line that the platform logs before those of the function."""
    return f"START RequestId: {invocation.request_id} Version: {function.version}"


def end_lines(function: Function, invocation: Invocation, memory: int, cold: Cold | None) -> str:
    """The two lines that the platform logs after those of the function."""
    request_id = invocation.request_id
    metrics = _metrics(function, invocation, memory, cold)
    return (
        f"END RequestId: {request_id}\nREPORT RequestId: {request_id}\t"
        f"Duration: {metrics['durationMs']:.2f} ms\t"
        f"Billed Duration: {metrics['billedDurationMs']} ms\t"
        f"Memory Size: {metrics['memorySizeMB']} MB\t"
        f"Max Memory Used: {metrics['maxMemoryUsedMB']} MB\t{_cold(cold)}"
    )


def _cold(cold: Cold | None) -> str:
    if cold is None:
        return ""
    if not cold.restored:
        return f"Init Duration: {cold.milliseconds:.2f} ms\t"
    billed = math.ceil(cold.milliseconds)
    return f"Restore Duration: {cold.milliseconds:.2f} ms\tBilled Restore Duration: {billed} ms\t"


def _metrics(function: Function, invocation: Invocation, memory: int, cold: Cold | None) -> Record:
    elapsed = _elapsed(invocation)
    init = cold.milliseconds if cold is not None and not cold.restored else 0.0
    metrics: Record = {
        "durationMs": round(elapsed, 3),
        "billedDurationMs": math.ceil(elapsed + init),
        "memorySizeMB": function.memory_size,
        "maxMemoryUsedMB": memory // (1024 * 1024),
    }
    if cold is not None and cold.restored:
        metrics["restoreDurationMs"] = round(cold.milliseconds, 3)
        metrics["billedRestoreDurationMs"] = math.ceil(cold.milliseconds)
    elif cold is not None:
        metrics["initDurationMs"] = round(cold.milliseconds, 3)
    return metrics


def _elapsed(invocation: Invocation) -> float:
    if not invocation.delivered_at:
        return 0.0  # the invocation timed out before a poll could take it
    return (time.monotonic() - invocation.delivered_at) * 1000


def _status(failure: Failure | None) -> Record:
    if failure is None:
        return {"status": "success"}
    if failure.error_type == "Sandbox.Timedout":
        return {"status": "timeout"}
    crashed = failure.error_type.startswith(("Runtime.ExitError", "Extension."))
    return {"status": "failure" if crashed else "error", "errorType": failure.error_type}


def _tracing(invocation: Invocation) -> Record:
    if not invocation.trace_id:
        return {}
    return {"tracing": {"type": "X-Amzn-Trace-Id", "value": invocation.trace_id}}
