"""Gives invocations to polls, and decides whether a call on the Runtime API is allowed.

``OnDemand`` has one invocation at a time and follows the runtime's state. ``Managed`` has many,
each independent of the others.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import NamedTuple

from lambda_emulator.environment.state import (
    MANAGED,
    ON_DEMAND,
    SNAP_START,
    Call,
    Machine,
    NotAllowed,
    RequestTimedOut,
    State,
    Table,
    UnknownRequest,
)
from lambda_emulator.function import Function
from lambda_emulator.http.server import Connection
from lambda_emulator.invocation import Failure, Invocation

_EXPIRED_KEPT = 10_000


class Poll(NamedTuple):
    """A call of ``next`` that waits for its event, and the connection that it came on."""

    event: asyncio.Future[Invocation]
    connection: Connection


class Delivery(ABC):
    """The invocations of one environment, the polls that wait for them, and the runtime's state.

    Invocations in ``pending`` wait for a poll; those in ``running`` have been delivered and have
    not ended. ``exclusive`` tells whether an invocation has the environment to itself.
    """

    exclusive: bool

    def __init__(self, capacity: int, table: Table) -> None:
        self.pending: deque[Invocation] = deque()
        self.running: dict[str, Invocation] = {}
        self.polls: deque[Poll] = deque()
        self._capacity = capacity
        self._table = table
        self.machine = Machine(table)

    @property
    def has_room(self) -> bool:
        """Whether another invocation may be added."""
        return len(self.pending) + len(self.running) < self._capacity

    @property
    def runtime_initialised(self) -> bool:
        """Whether the runtime has asked for its first event, or to be restored."""
        return self.machine.state in (State.READY, State.RESTORE_READY)

    def start(self) -> None:
        """Begin with a runtime that has just been started."""
        self.machine = Machine(self._table)

    def poll(self, connection: Connection) -> asyncio.Future[Invocation]:
        """Take a call of ``next``. Raises NotAllowed."""
        self.machine.call(Call.NEXT)
        event: asyncio.Future[Invocation] = asyncio.get_running_loop().create_future()
        self.polls.append(Poll(event, connection))
        return event

    def match(self) -> tuple[Poll, Invocation] | None:
        """Pair a waiting poll with a pending invocation, which is running from now on."""
        while self.pending and self.polls and self._may_begin():
            poll = self.polls.popleft()
            if poll.event.done() or self._is_useless(poll):
                continue
            invocation = self.pending.popleft()
            self.running[invocation.request_id] = invocation
            return poll, invocation
        return None

    def _may_begin(self) -> bool:
        return True

    def _is_useless(self, poll: Poll) -> bool:
        return False

    def begin_answer(self, request_id: str, call: Call) -> Invocation:
        """The invocation to which this answer belongs.

        Raises UnknownRequest, RequestTimedOut and NotAllowed.
        """
        invocation = self.running.get(request_id)
        if invocation is None:
            raise UnknownRequest
        self.machine.call(call)
        return invocation

    @abstractmethod
    def abandon_answer(self, invocation: Invocation) -> None:
        """Forget an answer that broke off or was refused: the runtime may try again."""

    @abstractmethod
    def broken_answer(self, invocation: Invocation) -> Failure | None:
        """The error if the invocation fails because its answer broke off."""

    @abstractmethod
    def broken_event(self, invocation: Invocation) -> Failure | None:
        """The error if the invocation fails because its event did not reach the runtime."""

    @abstractmethod
    def answered(self, invocation: Invocation) -> bool:
        """Note that the caller has the answer. Return whether this ends the invocation."""

    def finished(self) -> Invocation | None:
        """The invocation that ends because the runtime has polled again."""
        return None

    @abstractmethod
    def expire(self, invocation: Invocation) -> bool:
        """Note that the invocation has timed out. Return whether the environment goes on."""

    def end(self, invocation: Invocation) -> None:
        """Remove an invocation that has ended."""
        self.running.pop(invocation.request_id, None)

    def cancel_polls(self) -> None:
        """Drop the polls of a runtime that has ended."""
        for poll in self.polls:
            poll.event.cancel()
        self.polls.clear()


class OnDemand(Delivery):
    """One invocation at a time: it ends when the runtime asks for the next one."""

    exclusive = True

    def __init__(self, *, snap_start: bool) -> None:
        super().__init__(1, SNAP_START if snap_start else ON_DEMAND)

    def poll(self, connection: Connection) -> asyncio.Future[Invocation]:
        """Take a call of ``next``; a runtime that asks again gets the same event again."""
        if self.machine.state is not State.RUNNING:
            return super().poll(connection)
        event: asyncio.Future[Invocation] = asyncio.get_running_loop().create_future()
        event.set_result(next(iter(self.running.values())))
        return event

    def match(self) -> tuple[Poll, Invocation] | None:
        """Pair a poll with an invocation; the runtime is busy with it from now on."""
        matched = super().match()
        if matched is not None:
            self.machine.state = State.RUNNING
        return matched

    def _may_begin(self) -> bool:
        return not self.running

    def abandon_answer(self, invocation: Invocation) -> None:
        """Let the runtime answer once more."""
        if self.machine.state is State.RESPONDING:
            self.machine.state = State.RUNNING

    def broken_answer(self, invocation: Invocation) -> None:
        """No error: the runtime may answer once more."""

    def broken_event(self, invocation: Invocation) -> None:
        """No error: the runtime may ask for the event once more."""

    def answered(self, invocation: Invocation) -> bool:
        """Note the answer; the invocation goes on until the runtime polls."""
        if self.machine.state is State.RESPONDING:
            self.machine.state = State.RESPONSE_SENT
        return False

    def finished(self) -> Invocation | None:
        """The answered invocation, once the runtime has polled again."""
        if self.machine.state is not State.READY:
            return None
        return next((one for one in self.running.values() if one.answered), None)

    def expire(self, invocation: Invocation) -> bool:
        """Let the environment end with its invocation."""
        return False


class Managed(Delivery):
    """Many invocations at once, each of which fails alone and ends with its answer."""

    exclusive = False

    def __init__(self, max_concurrency: int) -> None:
        super().__init__(max_concurrency, MANAGED)
        self._expired: deque[str] = deque(maxlen=_EXPIRED_KEPT)
        self._answering: set[str] = set()

    def _is_useless(self, poll: Poll) -> bool:
        return poll.connection.closed

    def begin_answer(self, request_id: str, call: Call) -> Invocation:
        """The invocation to which this answer belongs, if it is the first answer."""
        if request_id not in self.running and request_id in self._expired:
            raise RequestTimedOut
        invocation = super().begin_answer(request_id, call)
        if request_id in self._answering:
            raise NotAllowed(State.RESPONSE_SENT, call)
        self._answering.add(request_id)
        return invocation

    def abandon_answer(self, invocation: Invocation) -> None:
        """Let the runtime answer once more."""
        self._answering.discard(invocation.request_id)

    def broken_answer(self, invocation: Invocation) -> Failure | None:
        """An error: the runtime may not know that the answer did not arrive."""
        return Failure.of(
            "Runtime.TruncatedResponse", "the response broke off", invocation.request_id
        )

    def broken_event(self, invocation: Invocation) -> Failure | None:
        """An error: no other poll may have the event."""
        return Failure.of(
            "Runtime.Unknown", "the event could not be delivered", invocation.request_id
        )

    def answered(self, invocation: Invocation) -> bool:
        """End the invocation with its answer."""
        return True

    def expire(self, invocation: Invocation) -> bool:
        """Refuse later answers to this invocation; the other invocations go on."""
        if invocation in self.pending:
            self.pending.remove(invocation)
        self._expired.append(invocation.request_id)
        return True

    def end(self, invocation: Invocation) -> None:
        """Remove an invocation that has ended."""
        self._answering.discard(invocation.request_id)
        super().end(invocation)


def delivery_for(function: Function) -> Delivery:
    """The delivery for a function's configuration."""
    if function.max_concurrency:
        return Managed(function.max_concurrency)
    return OnDemand(snap_start=function.snap_start is not None)
