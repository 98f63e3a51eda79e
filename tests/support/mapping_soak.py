"""Messages through a FIFO mapping, while function and emulator crash.

moto's server has the queue; an emulator in a process of its own maps it to a real function, which
writes down what it gets. The function crashes now and then, and the emulator is killed with SIGKILL
and started again with the same state. Then: no message is lost, every group is in order, and what
came twice was of a batch under way at a crash or a kill.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambda_emulator.emulator import Emulator
from lambda_emulator.ground.clients import Services
from lambda_emulator.ground.clock import Clock
from lambda_emulator.ground.counts import Counts
from lambda_emulator.ground.invoking import Outcome
from lambda_emulator.ground.state import State
from lambda_emulator.invocation import Throttled
from lambda_emulator.mappings.manager import Mappings
from lambda_emulator.mappings.tools import Tools
from support.emulated import HANDLERS, RUNTIMES
from support.mapped import ACCOUNT, configuration
from support.moto_server import moto_server

_AT_ONCE = 4
_QUEUED = 500
_STALL_SECONDS = 60
_UUID = "5f1c2f60-0a4e-4c9a-8b3e-000000000001"


@dataclass
class Ledger:
    """What the journal says, line by line."""

    groups: int
    length: int
    batches: int = 0
    crashes: int = 0
    again: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._messages: dict[str, list[tuple[int, int]]] = {}
        self._generation: dict[str, int] = {}
        self._crashed: set[str] = set()
        self._ended = 0
        self._done: dict[tuple[int, int], str] = {}
        self._next = [0] * self.groups
        self._last: defaultdict[tuple[int, int], str] = defaultdict(str)

    @property
    def done(self) -> int:
        """How many messages have been processed."""
        return sum(self._next)

    def read(self, line: dict[str, Any]) -> None:
        """Take a line."""
        batch = line["batch"]
        if line["event"] == "begin":
            self._begin(batch, line)
        elif line["event"] == "end":
            self._end(batch)
        else:
            self._crashed.add(batch)

    def _begin(self, batch: str, line: dict[str, Any]) -> None:
        self.batches += 1
        messages = [(group, number) for group, number in line["messages"]]
        for message in messages:
            if message in self._done:
                self.again += 1
                self._check_again(message, line["generation"])
        self._messages[batch] = messages
        self._generation[batch] = line["generation"]
        for group, _ in messages:
            self._last[line["generation"], group] = batch

    def _check_again(self, message: tuple[int, int], generation: int) -> None:
        """A message comes twice only if nothing of its group came after it before the kill."""
        before = self._done[message]
        earlier = self._generation[before]
        killed = earlier < generation and self._last[earlier, message[0]] == before
        if not killed and before not in self._crashed:
            self.wrong.append(f"message {message} came again, and no crash explains it")

    def _end(self, batch: str) -> None:
        self._ended += 1
        for group, number in self._messages[batch]:
            if number > self._next[group]:
                self.wrong.append(f"message {number} of group {group} before {self._next[group]}")
            self._next[group] = max(self._next[group], number + 1)
            self._done[group, number] = batch

    @property
    def failures(self) -> int:
        """How many batches have not ended, or not been answered."""
        return self.batches - self._ended + len(self._crashed)

    def missing(self) -> list[int]:
        """The groups of which messages are missing."""
        return [group for group, number in enumerate(self._next) if number < self.length]

    def __str__(self) -> str:
        return (
            f"{self.done} messages in {self.batches} batches, {self.failures} of them unfinished "
            f"or unanswered, {self.crashes} kills of the emulator, {self.again} messages again, "
            f"{len(self.wrong)} wrong"
        )


def run(messages: int, kills: int, crash_rate: float, seed: int, visibility: int = 5) -> Ledger:
    """Send so many messages through the mapping; what became of them.

    ``crash_rate`` is the share of batches at which the function crashes or fails; ``visibility``
    is the queue's, in seconds.
    """
    groups = max(4, min(40, messages // 40))
    ledger = Ledger(groups, messages // groups)
    with tempfile.TemporaryDirectory() as folder, moto_server() as endpoint:
        soak = _Soak(ledger, endpoint, Path(folder), kills, crash_rate, random.Random(seed))
        asyncio.run(soak.run(visibility))
    ledger.wrong += [f"messages of group {group} are lost" for group in ledger.missing()]
    return ledger


class _Soak:
    def __init__(
        self,
        ledger: Ledger,
        endpoint: str,
        folder: Path,
        kills: int,
        crash_rate: float,
        chance: random.Random,
    ) -> None:
        self._ledger = ledger
        self._endpoint = endpoint
        self._folder = folder
        self._crash_rate = crash_rate
        self._total = ledger.groups * ledger.length
        marks = (chance.uniform(0.05, 0.95) * self._total for _ in range(kills))
        self._kills = sorted(int(mark) for mark in marks)
        self._journal = folder / "journal"
        self._services = Services(endpoint_url=endpoint)
        self._sent = 0
        self._generations = itertools.count()

    async def run(self, visibility: int) -> None:
        attributes = {"FifoQueue": "true", "VisibilityTimeout": str(visibility)}
        answer = await self._services.call(
            "sqs", "create_queue", QueueName="soak.fifo", Attributes=attributes
        )
        self._journal.touch()
        emulator = self._start()
        try:
            with self._journal.open() as journal:
                await self._feed_and_follow(journal, answer["QueueUrl"], emulator)
        finally:
            self._services.close()
            self._emulator.kill()
            self._emulator.wait(10)

    def _start(self) -> subprocess.Popen[bytes]:
        arguments = [
            *(self._endpoint, str(self._folder / "state"), str(self._journal)),
            *(str(next(self._generations)), str(self._crash_rate)),
        ]
        self._emulator = subprocess.Popen(
            [sys.executable, "-m", "support.mapping_soak", *arguments],
            env={"PYTHONPATH": ":".join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self._emulator

    async def _feed_and_follow(
        self, journal: Any, url: str, emulator: subprocess.Popen[bytes]
    ) -> None:
        entries = self._entries()
        heard = time.monotonic()
        while self._ledger.done < self._total:
            await self._send(entries, url)
            found = self._read(journal)
            if found:
                heard = time.monotonic()
            elif time.monotonic() - heard > _STALL_SECONDS:
                self._ledger.wrong.append(f"nothing for {_STALL_SECONDS} s")
                return
            if self._kills and self._ledger.done >= self._kills[0]:
                self._kill()
            await asyncio.sleep(0.01)

    def _entries(self) -> Iterator[dict[str, str]]:
        """Three of a group, then three of the next, so that batches have several of one."""
        for first in range(0, self._ledger.length, 3):
            last = min(first + 3, self._ledger.length)
            for group, number in itertools.product(range(self._ledger.groups), range(first, last)):
                yield {
                    "Id": "",
                    "MessageBody": json.dumps([group, number]),
                    "MessageGroupId": f"group {group}",
                    "MessageDeduplicationId": f"{group}-{number}",
                }

    async def _send(self, entries: Iterator[dict[str, str]], url: str) -> None:
        while self._sent - self._ledger.done < _QUEUED:
            some = list(itertools.islice(entries, 10))
            if not some:
                return
            for number, entry in enumerate(some):
                entry["Id"] = str(number)
            await self._services.call("sqs", "send_message_batch", QueueUrl=url, Entries=some)
            self._sent += len(some)

    def _read(self, journal: Any) -> int:
        number = 0
        while True:
            position = journal.tell()
            line = journal.readline()
            if not line.endswith("\n"):
                journal.seek(position)
                return number
            self._ledger.read(json.loads(line))
            number += 1

    def _kill(self) -> None:
        self._kills.pop(0)
        self._emulator.send_signal(signal.SIGKILL)
        self._emulator.wait(10)
        self._ledger.crashes += 1
        self._start()


# the emulator that is killed


class _Functions:
    """Runs the function in environments, for the mapping."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def invoke(
        self, function: str, qualifier: str | None, payload: bytes, **more: Any
    ) -> Outcome:
        try:
            reply = await self._emulator.invoke(payload)
        except Throttled:
            return Outcome.throttle()
        return Outcome(reply.payload, 200, reply.function_error, reply.error_type)


async def _serve(endpoint: str, state: str, journal: str, generation: str, rate: str) -> None:
    variables = {"JOURNAL": journal, "GENERATION": generation, "CRASH_RATE": rate}
    handler = "journal.handler"
    emulator = Emulator(
        command=[*RUNTIMES["lambda_runtime"], handler],
        handler=handler,
        task_root=HANDLERS,
        environment=variables,
        concurrency=_AT_ONCE,
        on_demand=True,
    )
    services = Services(endpoint_url=endpoint)
    async with emulator:
        functions = _Functions(emulator)
        tools = Tools(functions, services, Clock(), Counts(), State(Path(state)))
        async with Mappings(tools) as mappings:
            source = f"arn:aws:sqs:us-east-1:{ACCOUNT}:soak.fifo"
            scaling = {"MaximumConcurrency": _AT_ONCE}
            await mappings.put(configuration(source, _UUID, ScalingConfig=scaling))
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
