"""Runs a function under random faults, and counts the outcomes of all invocations.

Each *batch* has a separate emulator with one environment. Its seed determines its invocations and
its faults, so a failed batch can run again. The machine's speed determines how far a process gets
before its peer dies, so this may differ between runs.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from lambda_emulator.emulator import Emulator
from lambda_emulator.http.faults import RandomFaults
from lambda_emulator.invocation import Invocation
from support.emulated import Target
from support.memory import Held
from support.paths import ROOT

KINDS_FOLDER = ROOT / "tests" / "contract" / "kinds"
PATIENCE = 60.0
"""Seconds after which an answer counts as lost, even on a busy machine."""

_STREAMS = ("stream", "break_off", "http", "forked_stream", "async_stream")
_FAILING = ("fail", "odd_error", "leave", "break_off", "broken_stdout")
_KINDS = {
    "plain": 40,
    "fail": 12,
    "odd_error": 3,
    "stream": 12,
    "break_off": 6,
    "http": 6,
    "forked_stream": 3,
    "logging_stdout": 3,
    "broken_stdout": 3,
    "coroutine": 14,
    "async_stream": 8,
    "leave": 1,
    "vanish": 1,
}
_ENDS = ("leave", "vanish")
_AWAITED = ("coroutine", "async_stream")
_SHARED_WAYS = ("threads", "async")
_PLATFORM = ("Runtime.Unknown", "Runtime.TruncatedResponse", "Sandbox.Timedout")
_POLLS = 8
_MANAGED_TIMEOUT = 3.0
_EXIT = "Runtime.ExitError"
_SIZES = (0, 0, 0, 10, 3000, 40_000, 200_000)
_STEADY_HEAP = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""glibc's first thresholds, kept. It raises them when a large block is freed. Then the heap has
large blocks too, and more and more of it becomes resident, though no more is in use."""


@dataclass
class Account:
    """The outcomes of the invocations of one batch, or of several."""

    seed: int = 0
    invocations: int = 0
    faults: int = 0
    starts: int = 0
    exits: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __iadd__(self, other: Account) -> Account:
        self.invocations += other.invocations
        self.faults += other.faults
        self.starts += other.starts
        self.exits += other.exits
        self.outcomes += other.outcomes
        self.wrong += other.wrong
        return self

    def __str__(self) -> str:
        return (
            f"{self.invocations} invocations, {self.faults} faults, {self.starts} processes: "
            f"{dict(sorted(self.outcomes.items()))}, {len(self.wrong)} wrong"
        )


@dataclass
class _Answer:
    payload: bytes
    error_type: str | None
    document: bytes = b""


class _Batch:
    good: tuple[str, ...] = ("answered", "failed as told", "process replaced")
    """The allowed outcomes of an invocation. ``_settle`` checks how often each may occur."""

    per_exit = 1
    """The number of invocations that fail, at most, when a process ends."""

    def __init__(
        self, seed: int, invocations: int, rate: float, kinds: dict[str, int], target: Target
    ) -> None:
        self.account = Account(seed, invocations)
        self.target = target
        self.kinds = kinds
        self.faults = RandomFaults(seed, rate)
        self._dice = random.Random(f"invocations {seed}")
        self._attempts: Counter[str] = Counter()

    def emulator(self) -> Emulator:
        return Emulator(
            command=self.target.command(),
            handler="chaos.handler",
            task_root=KINDS_FOLDER,
            timeout=PATIENCE,
            environment=self.target.environment,
            faults=self.faults,
        )

    async def run(self) -> Account:
        async with self.emulator() as emulator:
            self._count_attempts(emulator)
            await self._invoke_all(emulator)
            self.account.starts = emulator.environment.starts
        self.account.faults = self.faults.struck
        self._settle()
        return self.account

    async def _invoke_all(self, emulator: Emulator) -> None:
        for number in range(self.account.invocations):
            await self.invoke(emulator, f"{self.account.seed}-{number}")

    def _count_attempts(self, emulator: Emulator) -> None:
        """Count every answer that reaches the Runtime API, even if the API refuses it."""
        environment = emulator.environment
        begin_answer = environment.begin_answer

        def noting(request_id: str, call: Any) -> Invocation:
            self._attempts[request_id] += 1
            return begin_answer(request_id, call)

        environment.begin_answer = noting  # type: ignore[method-assign]

    async def invoke(self, emulator: Emulator, token: str) -> None:
        dice = self._dice
        (kind,) = dice.choices(list(self.kinds), list(self.kinds.values()))
        event = {"kind": kind, "token": token, "size": dice.choice(_SIZES)}
        if dice.random() < 0.2:
            event["padding"] = "y" * dice.choice(_SIZES)
        streamed = kind in _STREAMS and dice.random() < 0.7
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await _ask(emulator, event, token, streamed)
        except TimeoutError:
            self._note(token, kind, "lost")
            return
        self.account.exits += kind in _ENDS
        outcome = _judge(event, token, answer)
        self._note(token, kind, outcome, answer)

    def _note(self, token: str, kind: str, outcome: str, answer: _Answer | None = None) -> None:
        self.account.outcomes[outcome] += 1
        if outcome not in self.good:
            said = f": {answer.payload[:200]!r} {answer.document[:200]!r}" if answer else ""
            self.account.wrong.append(f"seed {self.account.seed}: {token} ({kind}) {outcome}{said}")

    def _settle(self) -> None:
        account = self.account
        for request_id, attempts in self._attempts.items():
            if attempts > 1:
                account.wrong.append(f"seed {account.seed}: {request_id} answered {attempts} times")
        if strangers := [
            seen for seen in self._attempts if not seen.startswith(f"{account.seed}-")
        ]:
            account.wrong.append(f"seed {account.seed}: answers to unknown {strangers[:5]}")
        reasons = account.faults + account.exits * self.per_exit
        if account.outcomes["process replaced"] > reasons:
            account.wrong.append(
                f"seed {account.seed}: more lost processes than reasons ({account})"
            )
        if account.starts > 1 + account.faults + account.exits:
            account.wrong.append(f"seed {account.seed}: more starts than reasons ({account})")


class _ManagedBatch(_Batch):
    """A batch with several invocations at once. The environment outlives its workers.

    The platform fails an invocation if its connection to the runtime breaks. If a fault has
    swallowed the event, the invocation fails at its timeout. The death of a process loses no event.
    """

    good = (*_Batch.good, *(f"failed with {kind}" for kind in _PLATFORM))

    def __init__(self, seed: int, invocations: int, rate: float, way: str, target: Target) -> None:
        unfit = _AWAITED if way == "threads" else ()
        kinds = {kind: weight for kind, weight in _KINDS.items() if kind not in unfit}
        if way in _SHARED_WAYS:
            self.per_exit = _POLLS  # an exit ends all invocations of the process
        super().__init__(seed, invocations, rate, kinds, target)
        self._way = way

    def emulator(self) -> Emulator:
        return Emulator(
            command=self.target.command(),
            handler="chaos.handler",
            task_root=KINDS_FOLDER,
            timeout=_MANAGED_TIMEOUT,
            max_concurrency=_POLLS,
            environment={**self.target.environment, "LAMBDA_RUNTIME_CONCURRENCY": self._way},
            faults=self.faults,
        )

    async def _invoke_all(self, emulator: Emulator) -> None:
        numbers = iter(range(self.account.invocations))

        async def one_after_the_other() -> None:
            for number in numbers:
                await self.invoke(emulator, f"{self.account.seed}-{number}")

        await asyncio.gather(*(one_after_the_other() for _ in range(_POLLS)))

    def _count_attempts(self, emulator: Emulator) -> None:
        """Count the answers that the Runtime API accepts. It refuses a repeated one."""
        environment = emulator.environment
        succeed, fail = environment.answer, environment.answer_failure

        def succeeding(invocation: Invocation, *arguments: Any, **options: Any) -> None:
            self._attempts[invocation.request_id] += not invocation.answered
            succeed(invocation, *arguments, **options)

        def failing(invocation: Invocation, failure: Any) -> None:
            self._attempts[invocation.request_id] += not invocation.answered
            fail(invocation, failure)

        environment.answer = succeeding  # type: ignore[method-assign]
        environment.answer_failure = failing  # type: ignore[method-assign]

    def _settle(self) -> None:
        super()._settle()
        account = self.account
        by_platform = sum(account.outcomes[f"failed with {kind}"] for kind in _PLATFORM)
        if by_platform > account.faults + account.exits * self.per_exit:
            account.wrong.append(f"seed {account.seed}: more lost than reasons ({account})")
        # One event may be on its way when the platform notices that the poll has ended.
        if account.outcomes["failed with Sandbox.Timedout"] > account.faults + 1:
            account.wrong.append(f"seed {account.seed}: events lost with processes ({account})")
        if account.starts != 1:
            account.wrong.append(f"seed {account.seed}: the environment ended ({account})")


async def _ask(emulator: Emulator, event: dict[str, Any], token: str, streamed: bool) -> _Answer:
    if not streamed:
        reply = await emulator.invoke(event, request_id=token)
        document = reply.payload if reply.function_error else b""
        return _Answer(reply.payload, reply.error_type, document)
    async with emulator.stream(event, request_id=token) as stream:
        payload = b"".join([chunk async for chunk in stream])
    if stream.failure is None:
        return _Answer(payload, None)
    return _Answer(payload, stream.failure.error_type, stream.failure.payload)


def _judge(event: dict[str, Any], token: str, answer: _Answer) -> str:
    kind, size = event["kind"], event["size"]
    if answer.error_type == _EXIT:
        return "process replaced"
    if answer.error_type in _PLATFORM:
        return f"failed with {answer.error_type}"
    if kind in _FAILING:
        return "failed as told" if _told(answer.document) == token else "crossed"
    if answer.error_type is not None:
        return f"failed with {answer.error_type}"
    return "answered" if _is_answer(kind, token, size, answer.payload) else "crossed"


def _told(document: bytes) -> str:
    """The token in an error document's message. Padding may follow it."""
    return str(json.loads(document)["errorMessage"]).partition("x")[0] if document else ""


def _is_answer(kind: str, token: str, size: int, payload: bytes) -> bool:
    if kind in ("plain", "logging_stdout", "coroutine"):
        answer: object = json.loads(payload)
        return answer == {"token": token, "id": token, "padding": "x" * size}
    told = token.encode()
    if kind == "http":
        return told in payload and payload.endswith(told + b"x" * size)
    return payload == told + b"x" * size + told


async def run_batch(
    seed: int, invocations: int, rate: float, target: Target | None = None
) -> Account:
    """Run a batch of invocations. ``rate`` is the share of exchanges with a fault (0 to 1)."""
    return await _Batch(seed, invocations, rate, _KINDS, target or Target()).run()


async def run_managed_batch(
    seed: int, invocations: int, rate: float, way: str, target: Target | None = None
) -> Account:
    """Run a batch with several invocations at once, in the concurrency mode ``way``."""
    return await _ManagedBatch(seed, invocations, rate, way, target or Target()).run()


async def measure_memory(
    seed: int, settle: int, invocations: int, target: Target
) -> tuple[Account, list[Held]]:
    """Run every kind of handler in one process, without faults.

    Returns the account, and readings at eleven equal intervals of the last ``invocations``, the
    first before them. ``settle`` invocations come before that one.
    """
    kinds = {kind: weight for kind, weight in _KINDS.items() if kind not in _ENDS}
    target = Target(target.python, {**target.environment, **_STEADY_HEAP})
    batch = _Batch(seed, settle + invocations, 0.0, kinds, target)
    moments = {settle + invocations * tenth // 10 for tenth in range(11)}
    readings = []
    async with batch.emulator() as emulator:
        for number in range(settle + invocations + 1):
            if number in moments:
                figures = await emulator.invoke({"kind": "figures", "token": ""})
                readings.append(Held(number, *figures.json()))
            if number < settle + invocations:
                await batch.invoke(emulator, f"{seed}-{number}")
        batch.account.starts = emulator.environment.starts
    return batch.account, readings
