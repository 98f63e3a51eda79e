"""The queue of asynchronous events, and the tasks that work it off.

Source: AWS, 'How Lambda handles errors and retries with asynchronous invocation' (Lambda developer
guide, invocation-async-error-handling): after a function error the event is tried again twice, a
minute and two minutes later; after a throttle or an error of the service for up to six hours, at
intervals from a second up to five minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

from lambda_emulator.asynchronous import records
from lambda_emulator.asynchronous.configuration import MAXIMUM_AGE, EventConfiguration
from lambda_emulator.asynchronous.store import Delivery, Event, Store
from lambda_emulator.closing import Closing
from lambda_emulator.ground import recursion
from lambda_emulator.ground.clients import Refused, Services
from lambda_emulator.ground.clock import Clock
from lambda_emulator.ground.counts import Counts
from lambda_emulator.ground.destinations import Destinations, Parcel
from lambda_emulator.ground.invoking import FunctionInvoker, Outcome
from lambda_emulator.ground.state import State

Configuration = Callable[[str, str | None], EventConfiguration]

_AFTER_ERROR = (60.0, 120.0)
_LONGEST_DELAY = 300.0
_DELIVERIES_AT_ONCE = 16
_WIDEST = 1000
_FIRST_WIDTH = 8
_NAP = 60.0
_STOP_SECONDS = 5.0


class EventQueue(Closing):
    """Asynchronous events: ``put`` queues one, tasks invoke the functions and send the records.

    ``configuration`` is asked at each attempt, so that a change counts for events that wait; it
    raises KeyError if there is no such function (any more), and the event is dropped. Events that a
    ``state`` in a folder has kept are worked off from the start; one that was under way when the
    emulator was killed is invoked again.
    """

    def __init__(
        self,
        invoker: FunctionInvoker,
        configuration: Configuration,
        *,
        services: Services,
        state: State,
        clock: Clock,
        counts: Counts,
    ) -> None:
        self._invoker = invoker
        self._configuration = configuration
        self._clock = clock
        self._counts = counts
        self._store = Store(state, clock)
        self._tell = services.tell
        self._destinations = Destinations(services, self.put)
        self._paces: defaultdict[str, _Pace] = defaultdict(_Pace)
        self._deliveries = 0
        self._work: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> EventQueue:
        self._runner = asyncio.create_task(self._run())
        return self

    async def close(self) -> None:
        """Stop. What is under way has 5 seconds to end; what waits stays in the state."""
        if self._runner is not None:
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner
        if self._work:
            _, pending = await asyncio.wait(self._work, timeout=_STOP_SECONDS)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def put(
        self,
        function: str,
        qualifier: str | None,
        payload: bytes,
        *,
        client_context: str | None = None,
        request_id: str | None = None,
        trace_id: str | None = None,
        tenant_id: str | None = None,
    ) -> str:
        """Queue an event; return its request id.

        ``trace_id`` is the header that the caller sent: the queue counts the hop of a chain.
        """
        identity = request_id or str(uuid.uuid4())
        now = self._clock.now()
        hop = recursion.next_hop(trace_id, function)
        what = (identity, function, qualifier, payload, client_context)
        self._store.put(Event(*what, hop.trace_id, hop.count, tenant_id, received=now, due=now))
        self._counts.add(function, "AsyncEventsReceived")
        self._changed.set()
        return identity

    @property
    def waiting(self) -> int:
        """How many events and records are not done yet."""
        return self._store.waiting()

    # what is due

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                self._begin_what_is_due()
                pause = self._pause()
            except sqlite3.Error as error:
                self._tell(f"the event queue cannot be read, which is tried again: {error}")
                pause = _NAP
            # Not wait_for, which on Python 3.11 can swallow the cancellation by close().
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    def _begin_what_is_due(self) -> None:
        while (event := self._store.take_event(self._clock.now(), self._full())) is not None:
            self._paces[event.function].running += 1
            self._begin(self._handle(event))
        while self._deliveries < _DELIVERIES_AT_ONCE:
            delivery = self._store.take_delivery(self._clock.now())
            if delivery is None:
                break
            self._deliveries += 1
            self._begin(self._deliver(delivery))

    def _full(self) -> list[str]:
        return [name for name, pace in self._paces.items() if pace.running >= pace.width]

    def _pause(self) -> float:
        due = self._store.next_due(self._full())
        return _NAP if due is None else min(_NAP, max(0.001, due - self._clock.now()))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The state could not be written: what it has is done again at the next start.
            self._tell(f"the event queue cannot be written: {type(error).__name__}: {error}")
        self._changed.set()

    # events

    async def _handle(self, event: Event) -> None:
        try:
            await self._attempt(event)
        except Exception as error:
            # An event is not lost to what nobody has thought of.
            self._tell(f"an event of {event.function} is put off: {type(error).__name__}: {error}")
            event.due = self._clock.after(_LONGEST_DELAY)
            self._store.postpone(event)
        finally:
            self._paces[event.function].running -= 1

    async def _attempt(self, event: Event) -> None:
        try:
            configuration = self._configuration(event.function, event.qualifier)
        except KeyError:
            self._counts.add(event.function, "AsyncEventsDropped")
            self._store.finish(event, self._clock.now(), ())
            return
        if event.hop > recursion.LIMIT and configuration.recursive_loop != "Allow":
            self._counts.add(event.function, "RecursiveInvocationsDropped")
            refusal = Outcome(b"", 400, message=recursion.MESSAGE)
            self._drop(event, configuration, records.RETRIES_EXHAUSTED, refusal)
        elif self._clock.since(event.received) >= configuration.maximum_event_age:
            self._drop(event, configuration, records.AGE_EXCEEDED, event.last)
        elif configuration.reserved_concurrency == 0:
            # Source: the page on records: no retries while a function is turned off.
            self._drop(event, configuration, records.RETRIES_EXHAUSTED, Outcome.throttle())
        else:
            await self._invoke(event, configuration)

    async def _invoke(self, event: Event, configuration: EventConfiguration) -> None:
        age = self._clock.since(event.received) * 1000
        self._counts.measure(event.function, "AsyncEventAge", age)
        event.last = outcome = await self._ask(event)
        event.invocations += 1
        self._paces[event.function].note(outcome)
        self._judge(event, configuration, outcome)

    async def _ask(self, event: Event) -> Outcome:
        try:
            return await self._invoker.invoke(
                event.function,
                event.qualifier,
                event.payload,
                client_context=event.client_context,
                request_id=event.request_id,
                trace_id=event.trace_id,
                tenant_id=event.tenant_id,
            )
        except Exception as error:
            # One event must not end what works off the others.
            return Outcome.service_error(f"{type(error).__name__}: {error}")

    def _judge(self, event: Event, configuration: EventConfiguration, outcome: Outcome) -> None:
        if outcome.succeeded:
            self._finish(event, configuration, records.SUCCESS, outcome)
        elif outcome.temporary:
            event.delays += 1
            self._postpone(event, configuration, _delay(event.delays))
        elif outcome.failed and event.errors < configuration.maximum_retry_attempts:
            event.errors += 1
            self._postpone(event, configuration, _AFTER_ERROR[event.errors - 1])
        else:
            self._drop(event, configuration, records.RETRIES_EXHAUSTED, outcome)

    def _postpone(self, event: Event, configuration: EventConfiguration, seconds: float) -> None:
        """Try again after ``seconds``, or give up when the event is too old if that is first."""
        end = self._clock.after(configuration.maximum_event_age, event.received)
        event.due = min(self._clock.after(seconds), end)
        self._store.postpone(event)

    def _drop(
        self,
        event: Event,
        configuration: EventConfiguration,
        condition: str,
        outcome: Outcome | None,
    ) -> None:
        self._counts.add(event.function, "AsyncEventsDropped")
        self._finish(event, configuration, condition, outcome)

    def _finish(
        self,
        event: Event,
        configuration: EventConfiguration,
        condition: str,
        outcome: Outcome | None,
    ) -> None:
        now = self._clock.now()
        parcels: list[tuple[str, str, Parcel]] = []
        succeeded = condition == records.SUCCESS
        destination = configuration.on_success if succeeded else configuration.on_failure
        if destination:
            record = records.invocation_record(event, configuration, condition, outcome, now)
            parcels.append(("DestinationDeliveryFailures", destination, record))
        if configuration.dead_letter and not succeeded:
            letter = records.dead_letter(event, outcome, condition)
            parcels.append(("DeadLetterErrors", configuration.dead_letter, letter))
        self._store.finish(event, now, parcels)

    # records and dead letters

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await self._destinations.send(delivery.arn, delivery.parcel)
        except Refused:
            self._counts.add(delivery.function, delivery.metric)
        except Exception:
            # Unreachable, or what nobody has thought of.
            if self._clock.since(delivery.since) < MAXIMUM_AGE:
                self._put_delivery_off(delivery)
                return
            self._counts.add(delivery.function, delivery.metric)
        finally:
            self._deliveries -= 1
        self._store.finish_delivery(delivery)

    def _put_delivery_off(self, delivery: Delivery) -> None:
        delivery.delays += 1
        delivery.due = self._clock.after(_delay(delivery.delays))
        self._store.postpone_delivery(delivery)


def _delay(number: int) -> float:
    """Seconds before the next attempt after the ``number``-th throttle: 1, 2, 4 … 300."""
    return min(_LONGEST_DELAY, 2.0 ** min(number - 1, 10))


class _Pace:
    """How many events of a function are invoked at once: more after answers, half after a throttle.

    Source: the page above: Lambda reads less of the queue when the function is throttled.
    """

    def __init__(self) -> None:
        self.running = 0
        self.width = _FIRST_WIDTH
        self._narrowed = 0.0

    def note(self, outcome: Outcome) -> None:
        """Widen or narrow after an invocation."""
        if not outcome.throttled:
            self.width = min(_WIDEST, self.width + 1)
        elif time.monotonic() - self._narrowed > 0.05:
            # Those that were sent together are throttled together, which halves once.
            self._narrowed = time.monotonic()
            self.width = max(1, self.width // 2)
