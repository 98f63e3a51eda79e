"""The scenarios, each one kind of run, and the rows, each one line of the table.

For a new measurement add a ``Row`` that names the figure, and a ``Scenario`` if no other has it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks import answers, events
from benchmarks.answers import Verify
from benchmarks.subjects import (
    ADAPTER,
    ASYNC,
    AT_ONCE,
    BARE,
    C_CLIENT,
    COLLECTOR_ON,
    COPY,
    FLOOR,
    GO,
    HTTP_CLIENT,
    HTTPX,
    NODE,
    OURS,
    PEER,
    PLAIN,
    PRELOAD,
    RUST,
    RUST_ONE,
    STREAM,
    THREADS,
    UNWATCHED,
    WAYS,
    WEB,
    WEB_ADAPTER,
    WHOLE,
)

EVERYBODY = (OURS, PEER, HTTP_CLIENT, HTTPX, C_CLIENT)
RUNTIMES = (OURS, PEER)
"""The subjects of rows about the handler's output. The other subjects do not process output."""

LANGUAGES = (OURS, FLOOR, PEER, RUST, RUST_ONE, GO, NODE, C_CLIENT)
"""The subjects of ``--peers``."""

FRONTS = (OURS, PEER, ADAPTER)
"""The subjects that can serve a web application."""

ALL_FRONTS = (*FRONTS, WEB_ADAPTER)
"""The same with ``--peers``."""


@dataclass(frozen=True)
class Scenario:
    """One kind of run: a fresh process that serves ``invocations`` events, ``rounds`` times."""

    name: str
    event: Callable[[], object]
    invocations: int
    rounds: int
    settle: int = 0
    """The number of first invocations that the warm figures leave out."""
    module: str = "echo"
    """The function's module: ``benchmarks/function/<module>.py``."""
    subjects: tuple[str, ...] = EVERYBODY
    task: str = PLAIN
    """The task that the subjects are staged for."""
    verify: Verify = answers.is_the_event
    mode: str = "serve"
    """``serve`` times the run, ``many`` times a run of several invocations at once, and ``count``
    counts the system calls up to the first ``next``."""
    polls: int = 0
    """The number of invocations at once, for ``many``."""
    pause_ms: int = 0
    """The time between an answer and the next event, for ``serve``."""
    output_lines: int = 0
    """The least number of lines that each invocation writes."""

    def shortened(self) -> "Scenario":
        """Return the scenario with fewer rounds and invocations: faster, less exact."""
        settle = self.settle // 5
        return Scenario(
            **{
                **vars(self),
                "settle": settle,
                "invocations": settle + max(1, (self.invocations - self.settle) // 5),
                "rounds": max(3, self.rounds // 5) if self.rounds > 1 else 1,
            }
        )


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure of a scenario, compared with a reference subject."""

    title: str
    scenario: str
    figure: str
    unit: str
    """The unit of the reference's median: ``ms``, ``µs``, ``MB`` or ``calls``."""
    reference: str = PEER
    limit: float | None = None
    """The largest allowed value on CPython 3.13."""
    as_difference: bool = False
    in_chart: bool = True
    surely: bool = False
    """Whether all of the 95 % interval has to be within the limit, and not only the median."""


SCENARIOS = (
    Scenario("start", events.message, 1, 41, subjects=(*EVERYBODY, BARE)),
    Scenario(
        "imports", events.message, 1, 21, module="imports", subjects=(*RUNTIMES, COLLECTOR_ON)
    ),
    Scenario("calls", events.message, 1, 1, subjects=(*EVERYBODY, BARE), mode="count"),
    Scenario("warm", events.message, 5000, 11, settle=2500, subjects=(*EVERYBODY, UNWATCHED)),
    Scenario("100 KB", lambda: events.orders(100_000), 130, 11, settle=10),
    Scenario("1 MB", lambda: events.orders(1_000_000), 24, 9, settle=3),
    Scenario("5.5 MB", lambda: events.orders(5_500_000), 6, 9, settle=1),
    Scenario("prints", events.message, 40, 11, 5, "prints", subjects=RUNTIMES, output_lines=1000),
    Scenario("logs", events.message, 40, 11, 5, "logs", subjects=RUNTIMES, output_lines=1000),
    Scenario(
        "first byte",
        lambda: events.chunks(1024, 2, pause_ms=1),
        260,
        11,
        settle=60,
        module="stream",
        subjects=(OURS, WHOLE, C_CLIENT),
        task=STREAM,
        verify=answers.is_the_chunks,
    ),
    Scenario(
        "100 MB stream",
        lambda: events.chunks(65_536, 1600),
        6,
        9,
        settle=1,
        module="stream",
        subjects=(OURS, C_CLIENT, COPY),
        task=STREAM,
        verify=answers.is_the_chunks,
    ),
    Scenario(
        "web start",
        events.http_request,
        1,
        11,
        subjects=FRONTS,
        task=WEB,
        verify=answers.is_the_greeting,
    ),
    Scenario(
        "web",
        events.http_request,
        1300,
        7,
        settle=300,
        subjects=FRONTS,
        task=WEB,
        verify=answers.is_the_greeting,
    ),
    *(
        Scenario(
            f"16 by {way}",
            events.message,
            5000,
            7,
            settle=1500,
            subjects=RUNTIMES,
            task=way,
            mode="many",
            polls=AT_ONCE,
        )
        for way in WAYS
    ),
)


def _rows_of(way: str) -> tuple[Row, ...]:
    """The rows of several invocations at once, in one concurrency mode."""
    scenario = f"16 by {way}"
    lean = way in (PRELOAD, ASYNC)
    return (
        Row(f"16 at once by {way}: CPU of the init", scenario, "ready_cpu_ns", "ms",
            limit=0.25 if lean else None, in_chart=lean),
        Row(f"16 at once by {way}: memory", scenario, "proportional_kb", "MB",
            limit=0.3 if lean else None, in_chart=lean),
        Row(f"16 at once by {way}: CPU per invocation", scenario, "cpu_ns", "µs", in_chart=False),
        Row(f"16 at once by {way}: time per invocation", scenario, "invocation_ns", "µs",
            in_chart=False),
    )  # fmt: skip


ROWS = (
    Row("exec to first `next`", "start", "next_ns", "ms", limit=0.35),
    Row("exec to first `next`, to the interpreter's", "start", "next_ns", "ms", BARE, 1.05),
    Row("exec to first response", "start", "first_response_ns", "ms"),
    Row("exec to first `next`, many imports", "imports", "next_ns", "ms"),
    Row("the same, to the collector left on", "imports", "next_ns", "ms", COLLECTOR_ON),
    Row("CPU per warm invocation", "warm", "cpu_ns", "µs", limit=0.25),
    Row("timeout trace, ns CPU per warm invocation", "warm", "cpu_ns", "µs", UNWATCHED, 5000, True),
    Row("warm round trip, p50", "warm", "cycle_ns_p50", "µs", limit=0.3),
    Row("warm round trip, p99", "warm", "cycle_ns_p99", "µs"),
    Row("100 KB JSON echo", "100 KB", "cycle_ns_p50", "ms", limit=0.2),
    Row("1 MB JSON echo", "1 MB", "cycle_ns_p50", "ms", limit=0.15),
    Row("5.5 MB JSON echo", "5.5 MB", "cycle_ns_p50", "ms", limit=0.25),
    Row("1000 `print` lines", "prints", "cycle_ns_p50", "ms", limit=0.5),
    Row("1000 `logging` lines", "logs", "cycle_ns_p50", "ms"),
    Row("resident memory after the first invocation", "start", "resident_kb", "MB", limit=0.7),
    Row("system calls to first `next`, difference", "calls", "calls", "calls", BARE, 60, True),
    Row(
        "first byte of a stream, to a plain response",
        "first byte",
        "first_byte_ns_p50",
        "µs",
        WHOLE,
    ),
    Row(
        "100 MB stream, to a plain socket copy", "100 MB stream", "response_ns_p50", "ms", COPY, 2.0
    ),
    Row("FastAPI, CPU per request, to Mangum", "web", "cpu_ns", "µs", PEER, 0.6),
    Row("the same, to uvicorn behind a hop", "web", "cpu_ns", "µs", ADAPTER, 0.5),
    Row("FastAPI, exec to first response, to Mangum", "web start", "first_response_ns", "ms"),
    Row("the same, to uvicorn behind a hop", "web start", "first_response_ns", "ms", ADAPTER),
    *(row for way in WAYS for row in _rows_of(way)),
)


PEER_SCENARIOS = (
    *(
        replace(each, subjects=ALL_FRONTS)
        for each in SCENARIOS
        if each.name in ("web start", "web")
    ),
    Scenario("warm", events.message, 5000, 21, settle=2500, subjects=LANGUAGES),
    Scenario("first 1500", events.message, 1500, 21, settle=1, subjects=LANGUAGES),
    Scenario("pause", events.message, 150, 21, settle=50, subjects=LANGUAGES, pause_ms=2),
    Scenario(
        "100 KB",
        lambda: events.orders(100_000),
        130,
        11,
        settle=10,
        subjects=LANGUAGES,
        verify=answers.seems_the_event,
    ),
    Scenario(
        "1 MB",
        lambda: events.orders(1_000_000),
        24,
        11,
        settle=3,
        subjects=LANGUAGES,
        verify=answers.seems_the_event,
    ),
    Scenario(
        "5.5 MB",
        lambda: events.orders(5_500_000),
        6,
        11,
        settle=1,
        subjects=LANGUAGES,
        verify=answers.seems_the_event,
    ),
    *(
        Scenario(
            f"16 by {way}",
            events.message,
            5000,
            11,
            settle=1500,
            subjects=(OURS, FLOOR, PEER),
            task=way,
            mode="many",
            polls=AT_ONCE,
        )
        for way in (PRELOAD, THREADS, ASYNC)
    ),
)
"""What ``--peers`` measures instead: this runtime beside others, and the floor."""

PEER_ROWS = (
    Row("CPU per warm invocation", "warm", "cpu_ns", "µs", RUST_ONE, 1.0, surely=True),
    Row("event to event, p50", "warm", "cycle_ns_p50", "µs", RUST_ONE, 1.0, surely=True),
    Row("event to answer after a pause, p50", "pause", "response_ns_p50", "µs", RUST_ONE),
    Row("CPU, second to 1500th invocation", "first 1500", "cpu_ns", "µs", PEER, 0.35),
    Row("100 KB JSON echo", "100 KB", "cycle_ns_p50", "ms", FLOOR),
    Row("1 MB JSON echo", "1 MB", "cycle_ns_p50", "ms", FLOOR, 1.15),
    Row("5.5 MB JSON echo", "5.5 MB", "cycle_ns_p50", "ms", FLOOR, 1.15),
    Row("16 at once by preload: CPU per invocation", "16 by preload", "cpu_ns", "µs", FLOOR, 1.3),
    Row("16 at once by threads: CPU per invocation", "16 by threads", "cpu_ns", "µs", FLOOR),
    Row("16 at once by async: CPU per invocation", "16 by async", "cpu_ns", "µs", FLOOR, 1.3),
    Row("FastAPI, CPU per request", "web", "cpu_ns", "µs", WEB_ADAPTER),
    Row("FastAPI, exec to first response", "web start", "first_response_ns", "ms", WEB_ADAPTER),
)
