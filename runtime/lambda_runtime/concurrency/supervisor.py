"""Starts the workers, starts others for those that die, and answers what they leave behind.

Theory of operation
-------------------
The supervisor starts the first worker alone. When its init is over, the worker reports its mode and
waits. If the worker needs SIGTERM, the supervisor registers the extension that brings it. Then it
lets the worker go on, and starts the other workers of the mode. The worker waits because its first
``next`` ends the init for the platform.

If the first worker dies in its init, the environment ends for the same reason. The supervisor
replaces every other worker that dies, after a pause if the worker had no event since its start. If
workers die one after the other, and no worker is left that serves, the environment ends too.

A worker that cannot answer its invocations in flight marks them in the table, and sends SIGCHLD.
The supervisor kills a worker that is stuck (``watchdog``). The kernel kills a worker whose
supervisor has ended (``lifeline``).

The supervisor waits in one place: for signals (SIGCHLD, SIGTERM), which arrive through a socket,
for reports, and for the time of the next look or the end of a pause.
"""

import posix
import select
import sys
import time

try:
    import _signal  # type: ignore[import-not-found]
except ImportError:
    import signal as _signal
try:
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime import logs, payload, shutdown
from lambda_runtime.concurrency import modes, watchdog
from lambda_runtime.concurrency.client import SupervisorClient
from lambda_runtime.concurrency.handover import Orphan, Receiver
from lambda_runtime.concurrency.in_flight import BUSY, HELPLESS, OVER, InFlightTable, Slot
from lambda_runtime.concurrency.lifeline import Lifeline
from lambda_runtime.concurrency.output import OutputLock
from lambda_runtime.concurrency.shared import warn
from lambda_runtime.concurrency.watchdog import Clock, Watch
from lambda_runtime.concurrency.worker import Worker, WorkerReady
from lambda_runtime.runtime_api.client import RuntimeApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_WINDOW_SECONDS = 0.45
"""How long workers may take to end after SIGTERM: slightly longer than their own limit."""

_LOADED_LATER = ("lambda_runtime.deadline", "lambda_runtime.ground.env_buffer")
"""Modules that every worker loads sooner or later."""

_HELPLESS = "its process cannot answer, and is replaced"
_STUCK = "killed, as it has neither answered nor asked for an event for {} s"

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

_SIGNALS = (_signal.SIGCHLD, _signal.SIGTERM, _signal.SIGINT)


class _Seat:
    """The place of one worker, and of the workers that replace it one after the other."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.pid = 0
        self.channel: _socket.socket | None = None
        self.lifeline: Lifeline | None = None
        self.receiver: Receiver | None = None
        """The connections that the worker shares."""
        self.watch: Watch | None = None
        """Tells whether the worker is stuck; None until the worker serves."""
        self.verdict = ""
        """Why the supervisor has killed the worker; empty if it has not."""
        self.is_succeeded = False
        """Whether another seat has taken over: this seat ends with its worker."""
        self.failed_starts = 0
        """How many workers in a row have ended without an event."""
        self.due = 0.0
        """When to start the next worker, by the monotonic clock."""
        self._events_before = 0

    @property
    def serves(self) -> bool:
        """Whether the worker is initialised."""
        return self.watch is not None

    def started(self, pid: int, channel: _socket.socket, lifeline: Lifeline) -> None:
        """A worker has been started."""
        lifeline.hold()
        self.pid, self.channel, self.lifeline, self.verdict = pid, channel, lifeline, ""
        self._events_before = self._events()

    def exited(self) -> None:
        """The worker has ended."""
        self.pid, self.watch = 0, None
        self.failed_starts = self.failed_starts_now()

    def failed_starts_now(self) -> int:
        """The failed starts, the present worker's included."""
        return self.failed_starts + 1 if self._events() == self._events_before else 0

    def receive_connections(self, channel: _socket.socket) -> None:
        """From here on the worker shares its connections through the channel."""
        self.channel, self.receiver = None, Receiver(channel)

    def let_go(self) -> None:
        """Close everything that leads to the worker."""
        self.end_report()
        if self.receiver is not None:
            self.receiver.close()
            self.receiver = None
        if self.lifeline is not None:
            self.lifeline.release()
            self.lifeline = None

    def end_report(self) -> None:
        """Close the channel: the supervisor reads no more from the worker."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def pause(self) -> float:
        """Seconds before the next worker is started."""
        return (
            min(_FIRST_PAUSE * 2**self.failed_starts / 2, _LONGEST_PAUSE)
            if self.failed_starts
            else 0.0
        )

    def _events(self) -> int:
        return sum(slot.events for slot in self.slots)


class Supervisor:
    """Keeps the workers running that serve ``polls`` concurrent invocations.

    Raises FaultException for invalid settings.
    """

    def __init__(self, address: str, polls: int, output_lock: OutputLock) -> None:
        self._address = address
        self._client = SupervisorClient(address)
        # Twice the slots: where one process has all polls, its successor begins while it ends.
        self._table = InFlightTable(2 * polls)
        self._seats = [_Seat(self._table.slots[:polls])]
        self._spare = [self._table.slots[polls:]]
        self._mode = ""
        self._terminated = False
        self._previous = {number: _signal.getsignal(number) for number in _SIGNALS}
        self._wakeup, self._woken = _socket.socketpair()
        self._wakeup.setblocking(False)
        self._woken.setblocking(False)
        self._orphans: list[Orphan] = []
        self._output_lock = output_lock
        self._patience = watchdog.patience()
        self._beat = watchdog.beat_seconds()
        self._clock = Clock(longest=2 * self._beat)
        self._next_look = 0.0

    def supervise(self) -> Worker:
        """Keep the workers running until the environment ends. Returns once in each worker."""
        for number in _SIGNALS:
            _signal.signal(number, self._on_signal)
        _signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        while True:
            for seat in self._seats:
                if not seat.pid and seat.due <= time.monotonic():
                    worker = self._start(seat)
                    if worker is not None:
                        return worker
            self._wait()
            for seat in list(self._seats):
                if seat.channel is not None:
                    self._read_report(seat, seat.channel)
                if self._has_ended(seat, posix.WNOHANG):
                    self._plan_next(seat)
                self._help(seat)
            self._read_orphans()
            self._look()
            if self._terminated:
                self._end()

    def _on_signal(self, number: int, frame: object) -> None:
        if number != _signal.SIGCHLD:
            self._terminated = True

    def _wait(self) -> None:
        """Wait for a signal, a report, the end of a pause, or the time of the next look."""
        channels = [seat.channel for seat in self._seats if seat.channel is not None]
        channels += [orphan.connection for orphan in self._orphans]
        times = [self._next_look, *(seat.due for seat in self._seats if not seat.pid)]
        times += [orphan.ends for orphan in self._orphans]
        self._poll(channels, min(times) - time.monotonic())

    def _poll(self, channels: list[_socket.socket], seconds: float) -> None:
        poll = select.poll()
        for each in (self._woken, *channels):
            poll.register(each, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000 + 1)
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            pass

    # the life of a worker

    def _start(self, seat: _Seat) -> Worker | None:
        """Fork a worker. Returns the worker in its process, and None in the supervisor."""
        logs.flush()
        lifeline = None
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _SIGNALS)
        try:
            ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            lifeline = Lifeline()
            pid = posix.fork()
            if not pid:
                ours.close()
                theirs.setblocking(True)  # with preload, init may have set a default timeout
                lifeline.tie()
                self._let_go()
                return Worker(self._address, seat.slots, theirs, self._output_lock)
            theirs.close()
            ours.setblocking(False)
            seat.started(pid, ours, lifeline)
        except OSError as error:
            if lifeline is not None:
                lifeline.discard()
            self._postpone(seat, f"cannot start a worker: {error.strerror}")
        finally:
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _SIGNALS)
        return None

    def _let_go(self) -> None:
        """In a worker's process: let go of what belongs to the supervisor."""
        _signal.set_wakeup_fd(-1)
        for number, previous in self._previous.items():
            _signal.signal(number, _signal.SIG_DFL if previous is None else previous)
        self._wakeup.close()
        self._woken.close()
        self._client.reconnect()
        for seat in self._seats:
            seat.let_go()
        for orphan in self._orphans:
            orphan.connection.close()

    def _read_report(self, seat: _Seat, channel: _socket.socket) -> None:
        """Read the worker's report that it is initialised, and let it go on."""
        try:
            said = channel.recv(1024)
        except BlockingIOError:
            return
        if said:
            ready = WorkerReady.read(said)
            if not self._mode and ready.wants_extension:
                shutdown.register()
            if not self._mode:
                self._adopt_mode(ready)
            seat.watch = Watch(seat.slots, beats=self._mode in modes.SHARED)
            try:
                channel.send(b"\n")
            except OSError:
                pass  # the worker has died meanwhile
            if self._mode in modes.SHARED:
                return seat.receive_connections(channel)
        seat.end_report()

    def _adopt_mode(self, ready: WorkerReady) -> None:
        """Adopt the mode of the first worker, and plan the other workers of that mode."""
        self._mode = ready.mode
        if ready.mode in modes.SHARED:
            return
        for module in (*_LOADED_LATER, *ready.modules):
            # Load them here once: the workers that are forked from now on share them.
            try:
                __import__(module)
            except Exception:
                pass  # the workers import it themselves, and report the error
        first = self._seats[0]
        first.slots, others = first.slots[:1], first.slots[1:]
        self._seats += [_Seat([slot]) for slot in others]

    def _has_ended(self, seat: _Seat, options: int) -> bool:
        """Whether the worker has ended. If so, answer for it."""
        if not seat.pid:
            return False
        pid, status = posix.waitpid(seat.pid, options)
        if not pid:
            return False
        code = posix.waitstatus_to_exitcode(status)
        seat.exited()
        if not self._mode:
            _exit_like(code)
        reason = seat.verdict or _describe_exit(code)
        self._take_orphans(seat, reason)
        seat.let_go()
        for slot in seat.slots:
            self._answer_for(slot, reason)
        self._read_orphans()
        if not self._terminated:
            warn(f"A worker has ended ({reason})", "")
        return True

    def _answer_for(self, slot: Slot, reason: str) -> None:
        """Answer a worker's invocations in flight. The platform refuses a second answer."""
        in_flight = slot.in_flight
        slot.reset()
        for (request_id, invocation_id), _ in in_flight:
            self._answer(request_id, invocation_id, reason)

    def _answer(self, request_id: str, invocation_id: str, reason: str) -> None:
        text = f"RequestId: {request_id} Error: Runtime exited with error: {reason}"
        kind = "Runtime.ExitError"
        report = payload.encode({"errorMessage": text, "errorType": kind})
        try:
            self._client.post_invocation_error(request_id, report, "", invocation_id, kind)
        except RuntimeApiError as error:
            warn(f"The invocation remains without an answer: {error}", request_id)

    def _take_orphans(self, seat: _Seat, reason: str) -> None:
        """Take over the connections that may hold events which the worker has not read."""
        if seat.receiver is None:
            return
        for number, connection in list(seat.receiver.receive().items()):
            slot = seat.slots[number]
            if not slot.is_arriving:
                known = [request_id for (request_id, _), _ in slot.in_flight]
                self._orphans.append(Orphan(connection, reason, known))
                seat.receiver.leave(number)

    def _read_orphans(self) -> None:
        """Answer the events that dead workers have not read."""
        for orphan in self._orphans:
            for ids in orphan.read():
                self._answer(*ids, orphan.reason)
        now = time.monotonic()
        for orphan in [each for each in self._orphans if each.ends <= now]:
            self._orphans.remove(orphan)
            orphan.connection.close()

    def _help(self, seat: _Seat) -> None:
        """Answer for the polls that have ended in a worker that lives on, and replace it."""
        for slot in seat.slots:
            if slot.state == HELPLESS:
                self._answer_for(slot, _HELPLESS)
            elif slot.state == OVER:
                slot.state = BUSY
            else:
                continue
            self._succeed(seat)

    def _succeed(self, seat: _Seat) -> None:
        """Plan another worker to take over from one whose polls end."""
        if self._mode not in modes.SHARED or seat.is_succeeded or not self._spare:
            return
        seat.is_succeeded = True
        successor = _Seat(self._spare.pop())
        successor.failed_starts = seat.failed_starts_now()
        successor.due = time.monotonic() + successor.pause()
        self._seats.append(successor)
        if seat.receiver is not None:
            seat.receiver.retire()

    def _look(self) -> None:
        """Check from time to time whether a worker is stuck."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._beat
        now = self._clock.read()
        for seat in self._seats:
            if seat.receiver is not None:
                seat.receiver.receive()  # makes room in the channel
            if not self._patience or seat.watch is None or seat.verdict:
                continue
            if seat.watch.stuck_seconds(now, self._beat) >= self._patience:
                self._kill(seat, seat.watch)
            elif seat.watch.is_half_lost(now, self._patience):
                self._succeed(seat)

    def _kill(self, seat: _Seat, watch: Watch) -> None:
        if watchdog.is_held(seat.pid):
            watch.spare()
        else:
            seat.verdict = _STUCK.format(self._patience)
            posix.kill(seat.pid, _signal.SIGKILL)

    def _plan_next(self, seat: _Seat) -> None:
        failed_starts = sum(each.failed_starts for each in self._seats)
        if failed_starts >= max(2, len(self._seats)) and not any(
            each.serves for each in self._seats
        ):
            self._give_up("no worker gets as far as its first event")
        if seat.is_succeeded:
            self._seats.remove(seat)
            self._spare.append(seat.slots)
        seat.due = time.monotonic() + seat.pause()

    def _postpone(self, seat: _Seat, reason: str) -> None:
        """A worker could not be started."""
        if not any(each.serves for each in self._seats):
            self._give_up(reason)
        warn(reason, "")
        seat.failed_starts += 1
        seat.due = time.monotonic() + seat.pause()

    # the end

    def _end(self) -> "NoReturn":
        """After SIGTERM: let the workers end in good order while there is time."""
        end = time.monotonic() + _WINDOW_SECONDS
        self._signal_all(_signal.SIGTERM)
        while self._are_left(posix.WNOHANG) and (left := end - time.monotonic()) > 0:
            self._poll([], left)
        self._signal_all(_signal.SIGKILL)
        self._are_left(0)
        _exit(0)

    def _give_up(self, reason: str) -> "NoReturn":
        sys.stderr.write(f"lambda-runtime: {reason}\n")
        self._signal_all(_signal.SIGKILL)
        self._are_left(0)
        _exit(1)

    def _signal_all(self, number: int) -> None:
        for seat in self._seats:
            if seat.pid:
                posix.kill(seat.pid, number)

    def _are_left(self, options: int) -> bool:
        """Whether workers are left; with ``options`` 0, wait until none are."""
        for seat in self._seats:
            self._has_ended(seat, options)
        return any(seat.pid for seat in self._seats)


def _describe_exit(code: int) -> str:
    """An exit code in the platform's words."""
    return f"exit status {code}" if code >= 0 else f"signal {-code}"


def _exit_like(code: int) -> "NoReturn":
    """The init has failed: end the way its process ended."""
    logs.flush()
    if code < 0:
        if -code not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(-code, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -code)
    posix._exit(code & 0xFF)


def _exit(status: int) -> "NoReturn":
    """Exit without ``atexit``: its functions belong to the workers."""
    logs.flush()
    posix._exit(status)
